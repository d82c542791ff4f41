#ifndef MAIL_SHARES_H
#define MAIL_SHARES_H

// Who shares with whom: META records of ACCOUNT_DIRECTORY, "share/IDENTIFIER/ACCOUNT" (hex) with the owner's name. Each is a
// hint that the account grants the identifier something: it is there before the grant, and may outlive it.
// Only files of mail/ include this. Threads: any loop; both calls suspend.

#include "mail/acl.h"
#include "mail/home.h"

struct share {
    uint64_t account;
    struct span owner;
};
// What may be shared with this user, by identifiers; sorted by owner, at most LIMIT_shared_trees. In the arena.
enum result shares_find(struct mail *m, const struct acl_who *who, struct arena *a,
                        struct share **out, size_t *n_out, struct fault *f) MUST_CHECK;
// There is a hint, or none, from the account to the identifier.
enum result shares_set(struct mail *m, struct account *from, struct span identifier,
                       bool on, struct fault *f) MUST_CHECK;

// Ids of the accounts with a hint for this identifier; of those with any hint under this owner's name; the identifiers for
// which an account has one. In the arena.
enum result shares_to(struct mail *m, struct span identifier, struct arena *a,
                      uint64_t **out, size_t *n_out, struct fault *f) MUST_CHECK;
enum result shares_owned(struct mail *m, struct span owner, struct arena *a, uint64_t **out,
                         size_t *n_out, struct fault *f) MUST_CHECK;
enum result shares_from(struct mail *m, uint64_t account, struct arena *a,
                        struct span **out, size_t *n_out, struct fault *f) MUST_CHECK;

// Rises when the hints change, or the public tree is made. Any thread.
uint64_t shares_generation(struct mail *m);
void shares_changed(struct mail *m);

// In the home of ACCOUNT_DIRECTORY: a record of it is applied.
void shares_applied(struct account *a, struct span key, struct span value);
void shares_free(struct account *a);

#endif
