#ifndef AUTH_CRYPTS_H
#define AUTH_CRYPTS_H

// The slow password schemes (argon2, crypt, PBKDF2, SCRAM): each has a check of form and cost and a judge.
// Trust: hashes may come from a foreign passwd-file; a check must have passed before the judge is called,
// and the text is NUL-terminated after its last octet.
// Threads: any.

#include "auth/scram.h"

enum result crypts_argon2_check(struct span hash, const char *prefix,
                                struct fault *f) MUST_CHECK;
enum result crypts_argon2_judge(struct span hash, struct span password,
                                struct fault *f) MUST_CHECK;

// $1$ $2a$ $2b$ $2y$ $5$ $6$ $y$ and traditional DES.
enum result crypts_crypt_check(struct span hash, struct fault *f) MUST_CHECK;
enum result crypts_crypt_judge(struct span hash, struct span password,
                               struct fault *f) MUST_CHECK;

// Dovecot's "$1$salt$rounds$hex", PBKDF2-HMAC-SHA1.
enum result crypts_pbkdf2_check(struct span hash, struct fault *f) MUST_CHECK;
enum result crypts_pbkdf2_judge(struct span hash, struct span password,
                                struct fault *f) MUST_CHECK;

enum result crypts_scram_check(enum scram_hash kind, struct span hash,
                               struct fault *f) MUST_CHECK;
enum result crypts_scram_judge(enum scram_hash kind, struct span hash, struct span password,
                               struct fault *f) MUST_CHECK;

#endif
