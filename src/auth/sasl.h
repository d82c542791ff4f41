#ifndef AUTH_SASL_H
#define AUTH_SASL_H

// A sasl is one authentication exchange on the server's side: the framing of PLAIN (RFC 4616) and LOGIN
// (draft-murchison-sasl-login), SCRAM-SHA-256 and SCRAM-SHA-1, each with and without
// -PLUS (RFC 5802, 7677, 9266) by libgsasl.
// OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's) are framed only: the token is the caller's to judge.
// EXTERNAL (RFC 4422 appendix A) is a client certificate, which the gate has verified.
// It reads no database: a password to be judged and SCRAM keys are asked of the caller.
// Owner: the auth role's exchange. Trust: responses are strangers' bytes, at most LIMIT_sasl_response.
// Threads: one. sasl_init once per process, before the sandbox closes.

#include "auth/name.h"
#include "auth/scram.h"

struct sasl;

enum sasl_verdict {
    SASL_CONTINUE,  // send `data` as the challenge
    SASL_EXTERNAL,  // `user`, as the certificate has it, has proven to be
    SASL_TOKEN,  // judge the token in `password`; `user` is who the client says it is, or empty
    SASL_CHECK,  // judge `user` and `password`; the exchange itself is over
    SASL_OK,     // `user` has proven to know the password; `data` is the final server data
    SASL_REFUSED,  // `fault` says why
};

struct sasl_outcome {
    enum sasl_verdict verdict;
    struct span data;
    struct span user, password;  // as sent; live until the next call
    struct span authzid;         // whom the user wants to act for; empty: none but the user
};

// Gives the keys of `user` (as sent), or decoy keys; never fails.
typedef void sasl_keys_fn(void *arg, enum scram_hash hash, struct span user,
                          struct scram_keys *out);

struct sasl_setup {
    struct span mechanism;    // any case
    struct span certificate;  // the name in it; empty: no EXTERNAL
    struct span exporter;     // tls-exporter value; empty: no channel binding
    // a -PLUS was in the offer: a client's "y" flag means a downgrade
    bool plus_offered;
    sasl_keys_fn *keys;
    void *arg;
};

// What the client is told of a token that was refused (RFC 7628 section 3.2.3); its answer ends the exchange.
void sasl_token_error(const struct sasl *s, struct span scope, struct span issuer,
                      struct buf *out);

void sasl_init(void);
// R_FAIL (FAULT_CANNOT) for a mechanism that is unknown or cannot work here (-PLUS without TLS).
enum result sasl_new(const struct sasl_setup *setup, struct sasl **out,
                     struct fault *f) MUST_CHECK;
void sasl_free(struct sasl **s);

// SPAN_NONE: the client sent no initial response. Afterwards one call per response.
// With SASL_REFUSED *f is FAULT_AUTHFAILED or FAULT_BAD (not the mechanism's form).
struct sasl_outcome sasl_step(struct sasl *s, struct span response, struct fault *f);

// Whom the client's first message of SCRAM names, before sasl_step sees it. R_NONE: it is none, or names nobody.
enum result sasl_scram_user(const struct sasl *s, struct span response,
                            struct buf *user_out) MUST_CHECK;

// The user's bytes once they are known, for the log; else empty.
struct span sasl_user(const struct sasl *s);

#endif
