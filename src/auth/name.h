#ifndef AUTH_NAME_H
#define AUTH_NAME_H

// A user name in its one stored form: RFC 8265 UsernameCaseMapped (width mapping, lower case, NFC), so
// that "Ann", "ann" and full-width "ａｎｎ" are one person.
// Trust: the input is a stranger's bytes. Refused: empty, over LIMIT_user_name, not UTF-8, control and
// format characters, white space, '/', unassigned code points; and what is not stable under the rules.

#include "base/buf.h"

#define NAME_MAX_SIZE 256

struct name {
    char text[NAME_MAX_SIZE];
    size_t n;
};

// R_FAIL (FAULT_BAD) when the bytes cannot be a user name.
enum result name_of(struct span s, struct name *out, struct fault *f) MUST_CHECK;

// Is a name in its normal form one that comparison by others cannot make another's: no code points that compatibility
// normalization maps (RFC 8264 section 9.17) or that are ignored (9.13)? LDAP compares "\u24d0nn" and "ann" as equal (RFC 4518).
bool name_is_distinct(struct span name);

// A password in the form that is hashed: RFC 8265 OpaqueString (other spaces become SP, NFC). Bytes that
// are not UTF-8 stay as they are. Appends to `out`.
void name_opaque(struct span password, struct buf *out);

// Loads what ICU needs, before the sandbox closes.
void name_warm(void);

static inline struct span
name_span(const struct name *n)
{
    return span_of(n->text, n->n);
}

#endif
