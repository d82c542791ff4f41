#ifndef MIME_CHARSET_H
#define MIME_CHARSET_H

// Charsets: any label seen in mail to UTF-8 (ICU, with the labels of the wild), and the
// canonical form in which text is compared (i;unicode-casemap, RFC 5051).
// Trust: none; broken input becomes U+FFFD.
// Threads: a converter belongs to one thread at a time.

#include "base/buf.h"
#include "base/span.h"

struct mime_charset;

// Can text with this label be read? Also with what mailers write where they do not know.
bool mime_charset_known(struct span label);
// Does the label name a charset? Not "", "x-unknown" and the like.
bool mime_charset_named(struct span label);

// A stream to UTF-8. R_NONE for an unknown label: read the text as
// mime_charset_open(SPAN("utf-8")).
enum result mime_charset_open(struct span label, struct mime_charset **out) MUST_CHECK;
void mime_charset_feed(struct mime_charset *c, struct span in, struct buf *out);
// What the next octets are in UTF-8: themselves where they stay as they are, else what is put into the empty `room`.
struct span mime_charset_view(struct mime_charset *c, struct span in, struct buf *room);
// flushes; ready for new text
void mime_charset_end(struct mime_charset *c, struct buf *out);
void mime_charset_free(struct mime_charset **c);

// Whole text; an unknown label is R_FAIL (FAULT_BADCHARSET): SEARCH CHARSET.
enum result mime_charset_to_utf8(struct span label, struct span in, struct buf *out,
                                 struct fault *f) MUST_CHECK;
// Puts unlabelled header or body text as valid UTF-8: valid UTF-8 stays, other octets become
// U+FFFD.
void mime_utf8_clean(struct buf *out, struct span in);
bool mime_utf8_valid(struct span in);

// How strings are compared (RFC 4790): i;unicode-casemap (RFC 5051), i;ascii-casemap, i;octet; and
// what is alike to people (RFC 6203): casemap without accents and points, and sharp s = SS, ae
// ligature = AE, o with stroke = O, dashes and quotation marks of any form.
enum collation { COLLATION_CASEMAP, COLLATION_ASCII, COLLATION_OCTET, COLLATION_FUZZY };

// The comparison key: equal keys are equal strings, substring of keys is substring, octet order
// of keys is the order. Text may be folded in pieces cut between characters. What is no UTF-8
// stays as it is, whole (RFC 5051 section 2 (1) (b)). A fuzzy key of a casemap key is that of the
// text. At most 11 octets come of one.
void mime_fold_as(struct buf *out, enum collation collation, struct span utf8);
// Does nothing but ASCII become ASCII in the key, and nothing become empty? Then a text of ASCII is in the key where it is in the text, in
// another case.
bool mime_fold_is_apart(enum collation collation, struct span utf8);
void mime_fold(struct buf *out, struct span utf8);  // COLLATION_CASEMAP

#endif
