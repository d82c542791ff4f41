#ifndef POP3_PREAUTH_H
#define POP3_PREAUTH_H

// POP3 before login, the AUTHORIZATION state (RFC 1939, 2449, 2595, 5034, 6856): the preauth machine that the gate drives.
// There is no APOP: it needs passwords that are kept in the clear, and MD5; SCRAM does what it was for.
// Trust: raw bytes from strangers. A command is at most LIMIT_pop3_line octets (RFC 2449 section 4), a SASL response
// LIMIT_line_preauth; after LIMIT_bad_preauth bad commands, or the first words of an HTTP request, the connection ends.
// Threads: the gate's. Includes floors 0 to 2 only.

#include "preauth/preauth.h"

extern const struct preauth_service pop3_preauth_service;

// What a client has switched on before login (handover.mode).
enum pop3_mode { POP3_UTF8 = 1 };

#endif
