#ifndef AUTH_USERDB_H
#define AUTH_USERDB_H

// The user database, data/users/users.db (SQLite, WAL, synchronous FULL): what returned R_OK is on disk.
// Owner: one process at a time: the auth role, or an admin verb that holds the lock on data/lock.
// Trust: names pass name_of, hashes password_check, before they are written. Threads: the one that opened it.

#include "auth/name.h"
#include "auth/scram.h"
#include "base/limits.h"

struct userdb;

// The database that knows a user. Those of the others have a row here too, for their account, without a password.
enum user_source {
    USER_OWN,
    USER_PASSWD_FILE,
    USER_SQL,
    USER_LDAP,
    USER_PAM,
    USER_SOURCES
};
const char *user_source_name(enum user_source s);  // "own", "passwd-file", "sql"
enum result user_source_from(struct span name, enum user_source *out) MUST_CHECK;

struct user {
    struct name name;
    uint64_t
        account;  // never 0, never given again, after `user delete` only to the same name by `user undelete`
    bool disabled;
    enum user_source source;
    bool there;  // passwords are judged in that database; its hash is not told
    struct scram_set scram;
    size_t hash_n;
    char hash[LIMIT_password_hash];
};

static inline struct span
user_hash(const struct user *u)
{
    return span_of(u->hash, u->hash_n);
}

// dir is made when it is missing (0700). R_FAIL with FAULT_CORRUPTION when the file is no user database of
// a version this program knows, FAULT_DISK or FAULT_UNAVAILABLE for what the disk did.
enum result userdb_open(const char *dir, struct userdb **out, struct fault *f) MUST_CHECK;
void userdb_close(struct userdb **db);

// R_NONE when there is no such user. `name` is the normal form.
enum result userdb_find(struct userdb *db, struct span name, struct user *out,
                        struct fault *f) MUST_CHECK;
enum result userdb_find_account(struct userdb *db, uint64_t account, struct user *out,
                                struct fault *f) MUST_CHECK;
// Some user, always the same for the same name while the users stay: stands in for an unknown name, so
// that an answer costs what it costs for a real one. R_NONE in an empty database.
enum result userdb_decoy(struct userdb *db, struct span name, struct user *out,
                         struct fault *f) MUST_CHECK;
struct span userdb_secret(const struct userdb *db);  // random, as old as the database

// The new user gets an account id. FAULT_ALREADYEXISTS when the name is taken.
enum result userdb_add(struct userdb *db, struct span name, struct span hash,
                       const struct scram_set *scram, uint64_t *account_out,
                       struct fault *f) MUST_CHECK;
// The same with the account id of a backup; retired ids come back as such. FAULT_ALREADYEXISTS.
enum result userdb_restore(struct userdb *db, const struct user *u,
                           struct fault *f) MUST_CHECK;
enum result userdb_restore_retired(struct userdb *db, struct span name, uint64_t account,
                                   struct fault *f) MUST_CHECK;
// A user whom another database knows: the row here, added when there is none. R_NONE: the name is kept (below).
enum result userdb_adopt(struct userdb *db, struct span name, enum user_source source,
                         struct user *out, struct fault *f) MUST_CHECK;
// Of a user who is here. FAULT_NONEXISTENT.
enum result userdb_set_source(struct userdb *db, struct span name, enum user_source source,
                              struct fault *f) MUST_CHECK;
// Replaces hash and keys (NULL: none); the user is of our own database from now on. FAULT_NONEXISTENT.
enum result userdb_set(struct userdb *db, struct span name, struct span hash,
                       const struct scram_set *scram, struct fault *f) MUST_CHECK;
enum result userdb_disable(struct userdb *db, struct span name, bool disabled,
                           struct fault *f) MUST_CHECK;
// Networks that the user may log in from (auth/nets.h); nothing: from everywhere.
enum result userdb_nets(struct userdb *db, uint64_t account, struct buf *out,
                        struct fault *f) MUST_CHECK;
enum result userdb_set_nets(struct userdb *db, struct span name, struct span nets,
                            struct fault *f) MUST_CHECK;
// The account id is retired. With `keep` in one commit with userdb_keep.
enum result userdb_delete(struct userdb *db, struct span name, bool keep,
                          struct fault *f) MUST_CHECK;

// The name of a deleted user whom an outer database may know still is kept: it is nobody's until userdb_undelete gives it
// back, with the account, or userdb_unkeep frees it for a new account. Adding a user of our own frees it, too.
// `source`: who knew the deleted user of that account.
enum result userdb_keep(struct userdb *db, uint64_t account, enum user_source source,
                        struct fault *f) MUST_CHECK;
// FAULT_NONEXISTENT: it is not kept. FAULT_ALREADYEXISTS: there is such a user.
enum result userdb_undelete(struct userdb *db, struct span name,
                            enum user_source *source_out, struct fault *f) MUST_CHECK;
enum result userdb_unkeep(struct userdb *db, struct span name, struct fault *f) MUST_CHECK;
// R_NONE: not.
enum result userdb_is_kept(struct userdb *db, struct span name, struct fault *f) MUST_CHECK;
typedef void userdb_kept_fn(struct span name, uint64_t account, struct span source,
                            void *arg);
enum result userdb_each_kept(struct userdb *db, userdb_kept_fn *fn, void *arg,
                             struct fault *f) MUST_CHECK;

// Calls fn for each user in order of name, until it returns false.
typedef bool userdb_each_fn(const struct user *u, void *arg);
enum result userdb_each(struct userdb *db, userdb_each_fn *fn, void *arg,
                        struct fault *f) MUST_CHECK;
typedef void userdb_retired_fn(struct span name, uint64_t account, void *arg);
enum result userdb_each_retired(struct userdb *db, userdb_retired_fn *fn, void *arg,
                                struct fault *f) MUST_CHECK;
uint64_t userdb_count(const struct userdb *db);
// Are there enabled users who could not use SCRAM with this hash: no keys, and no plain text to make them from?
enum result userdb_some_without(struct userdb *db, enum scram_hash hash, bool *out,
                                struct fault *f) MUST_CHECK;

// One transaction around many changes; commit makes them durable at once.
enum result userdb_begin(struct userdb *db, struct fault *f) MUST_CHECK;
enum result userdb_commit(struct userdb *db, struct fault *f) MUST_CHECK;
void userdb_abort(struct userdb *db);

#endif
