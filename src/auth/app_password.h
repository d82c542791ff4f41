#ifndef AUTH_APP_PASSWORD_H
#define AUTH_APP_PASSWORD_H

// An app password is one that the server made for one device of a user: named by a label, shown once, 120 random bits,
// so a fast hash keeps it. It may be for some protocols only, read-only, and run out. It serves PLAIN and LOGIN.
// Trust: labels come from the administrator; what is judged from strangers. Threads: the database's.

#include "auth/userdb.h"

enum {
    APP_PASSWORD_DIGEST = 32,
    APP_PASSWORD_TEXT = 28
};  // "abcdef-ghijkl-mnopqr-stuvwx" and NUL

struct app_password {
    uint64_t id, account;
    struct name label;
    bool read_only;
    int64_t expires_s, created_s, used_s;     // since 1970; 0: never
    char protocols[LIMIT_app_protocols + 1];  // separated by spaces; empty: all
    char used_from[64];
};

// Spaces and '-' are left out, capitals count as small. R_FAIL: it has not the form.
enum result app_password_digest(struct span sent, uint8_t out[APP_PASSWORD_DIGEST]);
void app_password_new(char text_out[APP_PASSWORD_TEXT],
                      uint8_t digest_out[APP_PASSWORD_DIGEST]);

// FAULT_BAD: not a list of protocols that passwords are for ("imap,lmtp"). `out` holds LIMIT_app_protocols + 1.
enum result app_password_protocols(struct span list, char *out, struct fault *f) MUST_CHECK;
bool app_password_is_for(const struct app_password *p, struct span protocol);
bool app_protocols_have(const char *list, struct span protocol);  // an empty list has all

// FAULT_ALREADYEXISTS (the label), FAULT_LIMIT, FAULT_NONEXISTENT.
enum result app_password_add(struct userdb *db, const struct app_password *p,
                             const uint8_t digest[APP_PASSWORD_DIGEST],
                             struct fault *f) MUST_CHECK;
enum result app_password_delete(struct userdb *db, uint64_t account, struct span label,
                                uint64_t *id_out, struct fault *f) MUST_CHECK;
// R_NONE: the account has no such password; expiry and protocol are the caller's to look at.
enum result app_password_find(struct userdb *db, uint64_t account,
                              const uint8_t digest[APP_PASSWORD_DIGEST],
                              struct app_password *out, struct fault *f) MUST_CHECK;
enum result app_password_used(struct userdb *db, uint64_t id, int64_t now_s,
                              struct span address, struct fault *f) MUST_CHECK;

typedef void app_password_each_fn(const struct app_password *p,
                                  const uint8_t digest[APP_PASSWORD_DIGEST], void *arg);
// Of one account, or of all (account 0).
enum result app_password_each(struct userdb *db, uint64_t account, app_password_each_fn *fn,
                              void *arg, struct fault *f) MUST_CHECK;
// Those that ran out in (after_s, until_s].
enum result app_password_expired(struct userdb *db, int64_t after_s, int64_t until_s,
                                 app_password_each_fn *fn, void *arg,
                                 struct fault *f) MUST_CHECK;
// Has any user one?
enum result app_password_some(struct userdb *db, bool *out, struct fault *f) MUST_CHECK;

#endif
