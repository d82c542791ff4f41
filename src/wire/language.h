#ifndef WIRE_LANGUAGE_H
#define WIRE_LANGUAGE_H

// The languages of what a client's user reads in responses, of all protocols (RFC 5255, 6856). Each has its own texts, which are
// found by their English.
// Trust: what the client names is looked up, never used. Threads: any.

#include "base/span.h"
#include <stdbool.h>

enum language { LANGUAGE_DEFAULT, LANGUAGE_EN, LANGUAGE_DE, LANGUAGES };

const char *language_tag(enum language l);
// Is it a language-range (RFC 4647 sections 2.1 and 2.2)?
bool language_is_range(struct span range);
// "Lookup" of RFC 4647 section 3.4: DE-IT gets de.
bool language_find(struct span range, enum language *out);

struct language_text {
    const char *english, *german;
};
// The text in this language; English where there is no other.
const char *language_text(enum language l, const struct language_text *texts, size_t n,
                          const char *english);

#endif
