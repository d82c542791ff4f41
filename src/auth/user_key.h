#ifndef AUTH_USER_KEY_H
#define AUTH_USER_KEY_H

// What `posthorn user set` says of one user, in the user database: forward, keep, protocols, size_limit, folder_language,
// pop3_delete, pop3_delete_after, sent_copy.
// What is not set is as the settings say. (Quota is the account's own: `quota set`.)
// Trust: values come from the administrator. Threads: the database's.

#include "auth/userdb.h"

struct user_keys {
    char forward[LIMIT_user_forward + 1];        // addresses, a space between
    bool keep;                                   // and the user gets it, too
    char protocols[LIMIT_app_protocols + 1];     // a space between; empty: all
    char folder_language[LIMIT_user_key + 1];    // empty: as the setting
    uint64_t size_limit;                         // 0: as the setting
    uint8_t sent_copy;                           // 0: as the setting, 1: yes, 2: no
    char pop3_delete[LIMIT_user_key + 1];        // empty: as the setting, here and below
    char pop3_delete_after[LIMIT_user_key + 1];  // days; "0": never
};

enum result user_keys_get(struct userdb *db, uint64_t account, struct user_keys *out,
                          struct fault *f) MUST_CHECK;
bool user_keys_allow(const struct user_keys *keys, struct span protocol);

// The value as it is kept, or empty for "default". FAULT_BAD names what is wrong.
enum result user_key_check(struct span name, struct span value, struct buf *out,
                           struct fault *f) MUST_CHECK;
enum result user_key_set(struct userdb *db, uint64_t account, struct span name,
                         struct span value, struct fault *f) MUST_CHECK;
typedef void user_key_fn(struct span name, struct span value, void *arg);
enum result user_key_each(struct userdb *db, uint64_t account, user_key_fn *fn, void *arg,
                          struct fault *f) MUST_CHECK;

#endif
