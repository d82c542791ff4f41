#ifndef POP3_LANGUAGE_H
#define POP3_LANGUAGE_H

// Texts of POP3's responses in the language that the client chose by LANG (RFC 6856 section 3): rows of texts.def.
// Includes floors 0 and 1 only: the gate speaks, too.

#include "base/buf.h"
#include "wire/language.h"

const char *pop3_text(enum language l, const char *english);
// "-ERR [AUTH] text" and the line's end; an empty code: none.
void pop3_reply_put(struct buf *b, enum language l, bool ok, const char *code,
                    const char *english);

// LANG: appends the answer to `argument`; *now is in-out.
void pop3_language_run(struct buf *b, struct span argument, enum language *now);

#endif
