#ifndef AUTH_ADMIN_H
#define AUTH_ADMIN_H

// The user verbs of the administrator: "user add NAME PASSWORD", "user passwd NAME PASSWORD", "user list",
// "user delete NAME", "user load FIRST-LINE TEXT" (a piece of a passwd-file, whole lines) and "user dump" (the whole
// database as one image, for a backup). One function for all: the auth role answers MESSAGE_ADMIN with it, an
// offline verb calls it under data/lock.
// Trust: from root or the service user; names and hashes are checked all the same.

#include "auth/userdb.h"

// Lines for the person are put into text, on R_FAIL too (f->why is one line). FAULT_BAD: unknown verb, wrong arguments.
enum result admin_users(struct userdb *db, struct span verb, const struct span *args,
                        size_t n, struct buf *text, struct fault *f) MUST_CHECK;

// Makes the database in `dir` from an image of "user dump". FAULT_ALREADYEXISTS when there is one.
enum result admin_users_restore(const char *dir, struct span image,
                                struct fault *f) MUST_CHECK;

#endif
