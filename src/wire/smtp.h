#ifndef WIRE_SMTP_H
#define WIRE_SMTP_H

// The grammar of SMTP and LMTP (RFC 5321, 2033, 6531, 3461): command lines, paths, parameters, and the scanner that
// takes the dots off DATA. Nothing here does I/O.
// Trust: any bytes; lines are capped by the caller (LIMIT_smtp_line).

#include "base/arena.h"
#include "base/buf.h"

// Octets of the first line with its line end, or 0 when it is not whole yet. Only CRLF ends one (RFC 5321 section 2.3.8).
size_t smtp_line(struct span input);

struct smtp_param {
    struct span name;   // as written, compare without case
    struct span value;  // SPAN_NONE without '='
};

enum { SMTP_PARAMS_MAX = 16 };

struct smtp_path {
    struct span local;  // unquoted
    // empty for "<>" and for "<postmaster>"; address literals keep their brackets
    struct span domain;
    struct span address;  // local@domain as one span: the name of the recipient
    bool null;            // "<>"
    bool utf8;            // needs SMTPUTF8
};

struct smtp_command {
    struct span verb;  // as written
    struct span args;  // the rest of the line, trimmed
};

// Splits a line (with or without its line end). R_FAIL on NUL or an empty line.
enum result smtp_command_parse(struct span line, struct smtp_command *c_out) MUST_CHECK;

// No control character belongs in a line before its end, a bare CR or LF least of all.
bool smtp_line_is_clean(struct span line);
// "BDAT size [LAST]" (RFC 3030 section 2). R_FAIL: there is no telling where the next command begins.
enum result smtp_chunk_parse(struct span args, uint64_t *size_out,
                             bool *last_out) MUST_CHECK;

struct smtp_envelope {  // MAIL FROM:<path> params, RCPT TO:<path> params
    struct smtp_path path;
    struct smtp_param params[SMTP_PARAMS_MAX];
    unsigned param_count;
};

// `keyword` is "FROM" or "TO"; a space after the colon is tolerated, angle brackets are not optional. Source routes
// ("<@a,@b:c@d>") are dropped. Empty quoted local parts (`""@d`), control characters and wrong UTF-8 are refused.
enum result smtp_envelope_parse(struct span args, const char *keyword, struct arena *a,
                                struct smtp_envelope *e_out, struct fault *f) MUST_CHECK;
const struct smtp_param *smtp_param_find(const struct smtp_envelope *e, const char *name);
// RFC 3461 section 4; what is beyond ASCII stands for itself (RFC 6533 section 3: utf-8-addr-unitext).
enum result smtp_xtext_decode(struct span in, struct buf *out) MUST_CHECK;

// The DATA scanner: only CRLF "." CRLF ends a message. A dot at the start of a line (after CRLF only) is taken off.
// Bare CR and bare LF are data and never end a line. Any cut of the input gives the same result.
struct smtp_data {
    uint8_t state;
    bool done;
};
void smtp_data_init(struct smtp_data *d);
// Looks at input and gives the next piece of the message: *out_out is borrowed from input (or from a constant), may be
// empty. Returns the octets used. Call until everything is used or done.
size_t smtp_data_next(struct smtp_data *d, struct span input, struct span *out_out);

// What a text may not have where its lines are what counts (RFC 5321 section 2.3.8): a CR or an LF by itself, NUL. In any cuts.
struct smtp_ends {
    bool cr;         // the last octet was one
    bool bare, nul;  // seen
};
void smtp_ends_feed(struct smtp_ends *e, struct span input);
void smtp_ends_end(struct smtp_ends *e);

#endif
