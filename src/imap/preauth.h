#ifndef IMAP_PREAUTH_H
#define IMAP_PREAUTH_H

// IMAP before login (RFC 9051 sections 6.1 and 6.2, RFC 3501): the preauth machine that the gate drives.
// Capabilities are few and short; LOGINDISABLED and NO [PRIVACYREQUIRED] wherever a password would be refused.
// Trust: raw bytes from strangers. A command is at most LIMIT_line_preauth octets, literals included;
// non-synchronising literals at most LIMIT_literal_nonsync (LITERAL-, RFC 7888); after LIMIT_bad_preauth
// bad commands, or the first words of an HTTP request, the connection ends.
// Threads: the gate's. Includes floors 0 to 2 only.

#include "preauth/preauth.h"

extern const struct preauth_service imap_preauth_service;

#endif
