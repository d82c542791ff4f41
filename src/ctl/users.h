#ifndef CTL_USERS_H
#define CTL_USERS_H

// The user database in the command's own process, while no server runs: the same verbs as auth does for a server.
// The caller holds data/lock (an open store). Threads: the one that opened it.

#include "ctl/verb.h"

struct users;
enum result users_open(const struct config *c, struct users **u_out,
                       struct fault *f) MUST_CHECK;
void users_close(struct users **u);

// In the forms of struct verb_host; arg is the struct users.
enum result users_do(void *arg, struct span verb, const struct span *args, size_t n,
                     struct buf *text, struct fault *f) MUST_CHECK;
enum result users_find(void *arg, struct span name, uint64_t *account_out,
                       struct buf *user_out, struct fault *f) MUST_CHECK;

// Puts the users of a backup into a fresh database under data/users, with their account numbers.
enum result users_restore(const char *data, struct span dump, struct fault *f) MUST_CHECK;

#endif
