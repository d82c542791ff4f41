#ifndef MANAGESIEVE_PREAUTH_H
#define MANAGESIEVE_PREAUTH_H

// ManageSieve before login (RFC 5804): the preauth machine that the gate drives. AUTHENTICATE, STARTTLS, CAPABILITY, NOOP and
// LOGOUT, and NO to all others; passwords are refused (ENCRYPT-NEEDED) where there is no TLS.
// Trust: raw bytes from strangers. A command, with its literals, is at most LIMIT_line_preauth octets, and so is a SASL
// response; after LIMIT_bad_preauth bad commands, or the first words of an HTTP request, the connection ends.
// Threads: the gate's. Of floors above 1 it reads the table of sieve's extensions only.

#include "preauth/preauth.h"

extern const struct preauth_service managesieve_preauth_service;

#endif
