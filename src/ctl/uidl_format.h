#ifndef CTL_UIDL_FORMAT_H
#define CTL_UIDL_FORMAT_H

// Dovecot's setting pop3_uidl_format, as its versions up to 2.3 read it: what that server told POP3 clients as a message's unique id
// (RFC 1939 section 7), where it has kept none. "%[OFFSET.][0][WIDTH][MODIFIERS]VARIABLE": of variables u (UID), v (UIDVALIDITY),
// f (file name) and g (GUID); of modifiers L, U (case), X (hexadecimal), M (MD5) and R (reversed).
// Trust: the administrator's words.

#include "base/buf.h"
#include "base/fault.h"

#define UIDL_FORMAT_USUAL "%08Xu%08Xv"

struct uidl_facts {
    uint32_t uid, uidvalidity;
    struct span file, guid;
};

// `known`: letters of the variables that the source tells. FAULT_BAD: another one, or no such format.
enum result uidl_format_check(struct span format, const char *known,
                              struct fault *f) MUST_CHECK;
// Does a format that was checked have it?
bool uidl_format_has(struct span format, char variable);
// Of a format that was checked.
void uidl_format_put(struct span format, const struct uidl_facts *facts, struct buf *out);

#endif
