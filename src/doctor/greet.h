#ifndef DOCTOR_GREET_H
#define DOCTOR_GREET_H

// A server that clients are told of, greeted as a client does: connected, TLS by its way (from the first octet, or STARTTLS), the
// certificate verified for its name, its capabilities read. Nobody logs in.
// Trust: a stranger's. Threads: one. Blocks, LIMIT_doctor_ms in all.

#include "doctor/names.h"
#include "base/buf.h"
#include "http/offers.h"

#include <openssl/ssl.h>

struct greeting {
    const char *tls;   // "TLSv1.3"
    int days;          // that the certificate is still good for
    bool can_login;    // a way to log in is offered once TLS is there
    bool plain_login;  // and one before (STARTTLS only)
};

// R_FAIL: f->why says in words for people where it ended; FAULT_PRIVACY: at the certificate or for lack of TLS.
enum result greet(struct names *n, SSL_CTX *trust, const struct offer *offer,
                  struct greeting *out, struct fault *f) MUST_CHECK;

#endif
