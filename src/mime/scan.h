#ifndef MIME_SCAN_H
#define MIME_SCAN_H

// A scan finds the structure of a message in one pass: bytes are pushed in any cuts, a flat
// tree of parts with offsets comes out (RFC 5322, 2045, 2046). Bodies are looked at, never
// kept.
// Owner: the arena given to mime_scan_new; the tree borrows nothing from the bytes fed.
// Trust: none; any bytes give a tree. Memory is bounded by LIMIT_mime_*: what is nested deeper
// or comes later than the caps is an opaque body; longer header fields are cut for
// interpretation only. Lines end with CRLF or bare LF; offsets and sizes are octets of the
// message exactly as fed.
// Threads: one at a time per scan.

#include "base/arena.h"
#include "base/span.h"

enum mime_field {
#define FIELD(id, name) MIME_##id,
#include "mime/fields.def"
#undef FIELD
    MIME_FIELDS,
    MIME_ENVELOPE_FIELDS = MIME_REFERENCES + 1,
};

enum mime_kind { MIME_KIND_LEAF, MIME_KIND_MULTIPART, MIME_KIND_MESSAGE };
enum mime_encoding { MIME_ENC_IDENTITY, MIME_ENC_QP, MIME_ENC_BASE64, MIME_ENC_UNKNOWN };

struct mime_range {
    uint64_t at, size;  // octets; `at` counts from the start of the message
    uint32_t lines;     // line ends inside
};

struct mime_param {
    struct span name, value;  // pieces of RFC 2231 joined: name* = charset'language'text
    struct mime_param *next;
};

// One occurrence of a kept field: line ends removed (the white space after them stays), without
// leading white space, NUL replaced by U+FFFD.
struct mime_value {
    struct span text;
    struct mime_value *next;  // the next field of the same name
};

struct mime_envelope {
    struct mime_value *field[MIME_ENVELOPE_FIELDS];
    // Who reads the header as it is written (mime/header.h) may see more of these fields, or other values: one was left out
    // or cut, one has a NUL or a CR inside, a name has blanks before it or is beyond what is looked at of a line.
    bool strange;
};

// A missing or broken field is SPAN_NONE. The child of a MESSAGE part is the root of the nested
// message; that and the root have an envelope.
struct mime_part {
    enum mime_kind kind;
    enum mime_encoding encoding;
    struct mime_range header;   // with the empty line that ends it
    struct mime_range body;     // without the line end that belongs to a delimiter
    struct span type, subtype;  // as written
    struct mime_param *params;
    struct span id, description, encoding_name, md5, location;
    struct span language;  // tags, one NUL between two
    struct span disposition;
    struct mime_param *disposition_params;
    struct mime_envelope *envelope;
    struct mime_part *parent, *child, *last, *next;
    uint32_t children;
    bool digest;  // the child of a multipart/digest: message/rfc822 when it has no type
    bool mime;    // its Content-* fields count: RFC 2045 section 4, read tolerantly
};

struct mime_scan;

struct mime_scan *mime_scan_new(struct arena *a);
void mime_scan_feed(struct mime_scan *s, struct span bytes);
// Ends the message. The root part; never NULL.
const struct mime_part *mime_scan_end(struct mime_scan *s);

#endif
