#ifndef GATE_TLS_SECRETS_H
#define GATE_TLS_SECRETS_H

// Certificates as the supervisor sends them, one secret after the other: "certificate" and "key" in pairs, "client_ca",
// then "session" (the seed of TLS session tickets), which puts them all into use.
// Owner: the role that embeds it. Threads: its loop's.

#include "gate/tls.h"

struct tls_secrets {
    struct tls_set *now;  // in use; NULL: none came yet
    struct tls_set *next;
    bool failed;  // one of the pairs did not fit: those before stay
    bool
        withdrawn;  // the last ones were none; what is in use stays for what was promised already
    struct buf chain;  // of the certificate whose key comes next
};

void tls_secrets_init(struct tls_secrets *s);
void tls_secrets_done(struct tls_secrets *s);
// Others than these are passed over.
void tls_secrets_take(struct tls_secrets *s, const char *role, struct span name,
                      struct span value);

#endif
