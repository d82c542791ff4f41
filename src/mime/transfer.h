#ifndef MIME_TRANSFER_H
#define MIME_TRANSFER_H

// Content-transfer-decoding as a stream (RFC 2045 section 6), for BINARY (RFC 3516) and for searching.
// Trust: none. Strict decoders fail with FAULT_UNKNOWNCTE on data that cannot be decoded; lenient ones
// skip what is wrong. Feed in any cuts; the output is the same.

#include "base/buf.h"
#include "mime/scan.h"

struct mime_decoder {
    enum mime_encoding encoding;
    bool lenient, ended;
    uint8_t have;  // base64: sextets held; QP: octets of an unfinished "=.."
    uint32_t bits;  // base64: the sextets
    char held[4];  // QP: "=" and what follows
    uint32_t spaces;  // QP: white space that is dropped when a line end follows
    struct span unused;
};

struct mime_decoder mime_decoder_of(enum mime_encoding encoding, bool lenient);
enum result mime_decoder_feed(struct mime_decoder *d, struct span in, struct buf *out,
                              struct fault *f) MUST_CHECK;
enum result mime_decoder_end(struct mime_decoder *d, struct buf *out,
                             struct fault *f) MUST_CHECK;
enum mime_encoding
mime_encoding_of(struct span name);  // "" is identity; unknown names MIME_ENC_UNKNOWN

#endif
