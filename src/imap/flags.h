#ifndef IMAP_FLAGS_H
#define IMAP_FLAGS_H

// Flag lists as STORE and APPEND take them: system flags as bits, keywords as names.
// \Recent and unknown flags with a backslash are FAULT_BAD; keywords longer than LIMIT_keyword FAULT_LIMIT.

#include "wire/parse.h"

struct imap_flags {
    uint16_t flags;         // enum message_flag
    struct span *keywords;  // in the parse's arena
    size_t keyword_count;
};

// "(\Seen $x)", or (STORE only) the flags without parentheses.
void imap_parse_flags(struct parse *p, struct imap_flags *out);
// The bit of a system flag, 0 when it is none.
uint16_t imap_system_flag(struct span name);

#endif
