#ifndef AUTH_SASL_CLIENT_H
#define AUTH_SASL_CLIENT_H

// The client's side of a SASL exchange, by libgsasl: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and SCRAM-SHA-1 (RFC 5802, 7677).
// Owner: who made it. Trust: challenges are the server's octets. Threads: one.

#include "base/buf.h"

struct sasl_client;

struct sasl_login {
    const char *mechanism, *user, *password;
};

void sasl_client_init(void);  // once, before the sandbox closes
// R_FAIL (FAULT_CANNOT): the mechanism is none of these.
enum result sasl_client_new(const struct sasl_login *l, struct sasl_client **out,
                            struct fault *f) MUST_CHECK;
void sasl_client_free(struct sasl_client **c);
// Appends the response to a challenge (the first one of PLAIN and SCRAM: to an empty one). FAULT_AUTHFAILED: the challenge is
// wrong, and so is who sent it.
enum result sasl_client_step(struct sasl_client *c, struct span challenge, struct buf *out,
                             struct fault *f) MUST_CHECK;
// The server has proven what the mechanism has it prove: when it says that all is well, it may be believed.
bool sasl_client_done(const struct sasl_client *c);
bool sasl_client_first(const char *mechanism);  // does the client speak first?

#endif
