#ifndef MIME_TRANSFER_H
#define MIME_TRANSFER_H

// Content-transfer-decoding as a stream (RFC 2045 section 6), for BINARY (RFC 3516) and for
// searching.
// Trust: none. Strict decoders fail with FAULT_UNKNOWNCTE on data that cannot be decoded;
// lenient ones skip what is wrong. Feed in any cuts; the output is the same. `out` may be past
// its maximum afterwards (buf.over): use a roomy one and drain it after each feed.

#include "base/buf.h"
#include "mime/scan.h"

struct mime_decoder {
    enum mime_encoding encoding;
    bool lenient;
    bool ended;    // base64: padding was seen
    bool escape;   // quoted-printable: held begins with "="
    uint8_t have;  // base64: sextets in bits; quoted-printable: octets in held
    uint8_t pad;   // base64: "=" still expected
    uint32_t bits;
    char held[80];  // quoted-printable: what the next octet decides about
};

struct mime_decoder mime_decoder_of(enum mime_encoding encoding, bool lenient);
enum result mime_decoder_feed(struct mime_decoder *d, struct span in, struct buf *out,
                              struct fault *f) MUST_CHECK;
enum result mime_decoder_end(struct mime_decoder *d, struct buf *out,
                             struct fault *f) MUST_CHECK;
enum mime_encoding
mime_encoding_of(struct span name);  // "" is identity; unknown names MIME_ENC_UNKNOWN

#endif
