#ifndef STORE_CODEC_H
#define STORE_CODEC_H

// The codec seam: everything that leaves memory passes here (record metadata, body frames, index values,
// caches, backup; later the search index and exports), so that encryption is one implementation of this interface.
// Bodies may be compressed before they come here (body_frame.h). `identity` copies; `scramble` is the test codec.
// Bodies are cut into frames of CODEC_FRAME octets, each encoded alone, so that a range can be read.
// Threads: any (stateless).

#include "base/buf.h"

enum { CODEC_FRAME = 65536 };

// Names the bytes: part of the key stream or nonce, so that equal texts differ on disk.
struct codec_context {
    uint32_t key_id;
    uint64_t a, b;  // e.g. blob and frame number, or account and row key hash
};

struct codec {
    const char *name;
    uint8_t id;         // stands in record headers
    uint32_t overhead;  // octets that encode adds to a value or frame
    void (*encode)(const struct codec_context *ctx, struct span in, char *out);
    // R_FAIL: damaged
    enum result (*decode)(const struct codec_context *ctx, struct span in, char *out);
};

const struct codec *codec_find(uint8_t id);  // NULL when unknown
const struct codec *codec_by_name(const char *name);

#endif
