#ifndef IMAP_LANGUAGE_H
#define IMAP_LANGUAGE_H

// The language of what a client's user reads in responses (RFC 5255 section 3). All of it goes through texts.def, whose rows are
// found by their English; codes in brackets, names and the log stay as they are.
// Trust: what the client names is looked up, never used. Threads: any. Includes floors 0 and 1 only: the gate speaks, too.

#include "wire/language.h"
#include "wire/parse.h"

// What LANGUAGE asks for: *(SP language-range), the first that is spoken.
struct imap_language_wish {
    bool lists;  // no range: the languages are to be told
    bool found;
    enum language language;
};
struct imap_language_wish imap_language_parse(struct parse *p);
void imap_language_list(struct buf *b);  // "* LANGUAGE (i-default en de)"

// "[CODE] text" in this language; a format keeps its arguments. NUL-terminated behind its end.
void imap_text_put(struct buf *b, enum language l, const char *english);
// The text alone, without a code.
const char *imap_text(enum language l, const char *english);
// A namespace's prefix as people read it; SPAN_NONE: as it is (section 3.4).
struct span imap_prefix_text(enum language l, struct span prefix);

#endif
