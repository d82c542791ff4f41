#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

// A stored password hash is text "{SCHEME}hash" or "{SCHEME.B64}", "{SCHEME.HEX}" as Dovecot writes it; one
// row per scheme in schemes.def. Comparison takes the same time whatever the bytes.
// Trust: stored text may come from a foreign passwd-file (checked by password_check before it is stored);
// the password is a stranger's bytes, at most LIMIT_password.
// Threads: any.

#include "base/buf.h"

enum password_cost {
    PASSWORD_FAST,
    PASSWORD_SLOW
};  // below 50 us: may run on the event loop

// R_OK, or R_FAIL with FAULT_AUTHFAILED (wrong) or FAULT_SERVERBUG, FAULT_UNAVAILABLE (could not be judged).
enum result password_verify(struct span stored, struct span password,
                            struct fault *f) MUST_CHECK;
enum password_cost password_cost(struct span stored);
// True for a hash that password_new would not make any better.
bool password_is_own(struct span stored);
// True for {PLAIN} and its aliases; *text_out is the password itself.
bool password_is_plain(struct span stored, struct span *text_out);

// Completes a hash from a passwd-file: no prefix means {CRYPT}. R_FAIL (FAULT_BAD) with the reason when
// the scheme is unknown, the text is malformed or its cost is beyond LIMIT_passwd_rounds.
enum result password_check(struct span text, struct buf *stored_out,
                           struct fault *f) MUST_CHECK;

// A new argon2id hash (19 MiB, 2 passes: about 25 ms) of the normalised password.
enum result password_new(struct span password, struct buf *stored_out,
                         struct fault *f) MUST_CHECK;
// Loads what OpenSSL and crypt need, before the sandbox closes.
void password_warm(void);

#endif
