#ifndef AUTH_VERBS_H
#define AUTH_VERBS_H

// The user verbs of the admin socket and of the command line, on an open user database:
//   user add NAME PASSWORD | user passwd NAME PASSWORD | user list | user delete NAME
//   user undelete NAME ""|new | user disable NAME | user enable NAME | user networks NAME LIST|any
//   user password add NAME LABEL PROTOCOLS EXPIRES read-only|"" | user password list NAME |
//   user password delete NAME LABEL | group add|delete NAME | group list | group member add|delete GROUP NAME
//   address add ADDRESS "TARGET ... [send=yes|no]" | address list NAME|"" | address delete ADDRESS "TARGET ..."|"" |
//   address test ADDRESS | user set NAME "KEY=VALUE ..." | user show NAME
//   user load FIRST-LINE TEXT (a piece of a passwd-file) | user dump (what verbs_restore reads back)
// Trust: arguments come from root or the service user; names and hashes are checked all the same.
// Threads: the database's.

#include "auth/lookup.h"

// argon2id hash and SCRAM keys of a new password, about 45 ms. None of
// these for a password that SASLprep forbids: such a user logs in with PLAIN only. Threads: any.
enum result verbs_credentials(struct span password, struct buf *hash_out,
                              struct scram_set *scram_out, struct fault *f) MUST_CHECK;

// Rows for the person (field_put_row) go to `text`; of `user dump` its text. The caller sets the first four. R_FAIL: FAULT_BAD (wrong arguments), FAULT_NONEXISTENT,
// FAULT_ALREADYEXISTS or what the database says.
struct verbs_call {
    struct span verb;
    const struct span *args;
    size_t n;
    // what addresses mean; NULL: without domains of ours, and '+' for the detail
    const struct lookup_rules *rules;
    bool
        outer;  // outer databases are asked, too: the names of those who are deleted are kept
    bool
        stays;  // nothing goes elsewhere: no relay_host, and no transfer agent asks where aliases lead (the setting maps)
    // `user list`: who is in outer databases, u8 enum user_source and a span each (packed), the first of a name counts
    struct span listed;
    struct buf hash;
    struct scram_set scram;
    uint64_t
        touched_account;  // set by verbs_apply: what this user is or may is other now; 0: nobody's
    // set by verbs_apply: sessions of this account end (0: of none), those of this app password (0: all of them)
    uint64_t ended_account, ended_password;
    struct buf ended;  // and all of these accounts (pack_u64)
    struct buf keep;   // networks from where sessions of ended_account go on
};
// What others remember of the users, and have to ask for again behind a verb.
enum verbs_touch {
    VERBS_NOTHING,  // it reads
    VERBS_NAMES,  // where mail for a name goes; who is logged in stays who they are, but for touched_account
    VERBS_IDENTITIES,  // both
};
enum verbs_touch verbs_touch(struct span verb);  // IDENTITIES of one that is not known

enum result verbs_run(struct userdb *db, struct verbs_call *c, struct buf *text,
                      struct fault *f) MUST_CHECK;

// The same in two steps, for whose loop must not wait: verbs_make turns a password into hash and keys (45 ms when
// verbs_slow; any thread), then verbs_apply makes the change. Free hash, ended and keep in any case.
bool verbs_slow(struct span verb);
enum result verbs_make(struct verbs_call *c, struct fault *f) MUST_CHECK;
enum result verbs_apply(struct userdb *db, struct verbs_call *c, struct buf *text,
                        struct fault *f) MUST_CHECK;

// Puts the users of a `user dump` into an empty database, with their account ids.
enum result verbs_restore(struct userdb *db, struct span dump, struct fault *f) MUST_CHECK;

#endif
