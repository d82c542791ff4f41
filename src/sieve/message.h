#ifndef SIEVE_MESSAGE_H
#define SIEVE_MESSAGE_H

// The message while a script runs: as it came, or as editheader (RFC 5293), replace and enclose (RFC 5703) made it.

#include "sieve/ext.h"

struct sieve_message {
    struct span header;
    struct span body;    // SPAN_NONE: as it came
    bool edited;         // the header or the body is not as it came
    bool has_originals;  // Original-Subject and Original-From are ours (RFC 5703 section 5)
    // The text that the parts count in: its own header may be older than `header`.
    uint64_t size;
    const struct mime_part *root;
    void *read_arg;
    enum result (*read)(void *read_arg, uint64_t at, char *dst, size_t n, struct fault *f);
};

// The message as it is now.
const struct sieve_message *sieve_message(const struct sieve_run *r);
// Its body as it is now, in the scratch arena. R_FAIL: it is too large to be changed.
enum result sieve_message_body(struct sieve_run *r, struct span *out) MUST_CHECK;
// Another message from here on; loops go on at the same places, but not into `replaced`, a part of the one before. Frees
// the buf, whose first header_size octets are the header.
enum result sieve_message_set(struct sieve_run *r, struct buf *text, size_t header_size,
                              const struct mime_part *replaced) MUST_CHECK;
// What is redirected from here on is the message as it was before it was enclosed.
void sieve_message_enclosed(struct sieve_run *r);
// Original-Subject and Original-From stay.
void sieve_message_has_originals(struct sieve_run *r);

// text/plain in UTF-8: its fields, the empty line, its body.
void sieve_put_text_entity(struct buf *b, struct span text);
// "Name: value", the value in encoded words where it must be.
void sieve_put_field(struct buf *b, struct span name, struct span value);
// The same of a script's string, on one line.
enum result sieve_put_text_field(struct sieve_run *r, struct buf *b, struct span name,
                                 const struct sieve_value *v) MUST_CHECK;
bool sieve_is_mime_field(struct span name);  // Content-..., MIME-Version
// The fields of a header that are of MIME, or all others.
void sieve_put_fields(struct buf *b, struct span header, bool of_mime);

#endif
