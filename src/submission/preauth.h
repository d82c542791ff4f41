#ifndef SUBMISSION_PREAUTH_H
#define SUBMISSION_PREAUTH_H

// Submission before login (RFC 6409, 5321, 3207, 4954, 8314): the preauth machine that the gate drives. Whoever has not logged in
// is answered 530 to all that has to do with mail. Only CRLF ends a line.
// Trust: raw bytes from strangers. A command has LIMIT_smtp_line octets at most, a SASL response LIMIT_line_preauth; after
// LIMIT_bad_preauth bad commands, or the first words of an HTTP request, the connection ends.
// Threads: the gate's. Includes floors 0 to 2 only.

#include "preauth/preauth.h"

// The name that EHLO gave goes along as handover.client_id.
extern const struct preauth_service submission_preauth_service;

#endif
