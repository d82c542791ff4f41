#ifndef AUTH_GROUP_H
#define AUTH_GROUP_H

// A group is a name for some users, kept in the user database; mail grants rights to it ("$staff" in an ACL). Its name is
// in the form of user names (name_of), at most LIMIT_group_name octets, and begins with neither '$' nor '-'.
// Trust: names come from the administrator. Threads: the database's.

#include "auth/userdb.h"

enum result group_name_of(struct span s, struct name *out, struct fault *f) MUST_CHECK;

// FAULT_ALREADYEXISTS, FAULT_NONEXISTENT. Names are normal forms.
enum result group_add(struct userdb *db, struct span name, struct fault *f) MUST_CHECK;
enum result group_delete(struct userdb *db, struct span name, struct fault *f) MUST_CHECK;
// FAULT_NONEXISTENT: no such group or user; FAULT_ALREADYEXISTS; FAULT_LIMIT: LIMIT_groups_of_user.
enum result group_member_add(struct userdb *db, struct span name, struct span user,
                             struct fault *f) MUST_CHECK;
enum result group_member_delete(struct userdb *db, struct span name, struct span user,
                                struct fault *f) MUST_CHECK;

// Each member of each group in order; `user` is SPAN_NONE once for a group without any.
typedef void group_each_fn(struct span name, struct span user, uint64_t account, void *arg);
enum result group_each(struct userdb *db, group_each_fn *fn, void *arg,
                       struct fault *f) MUST_CHECK;

// The groups of a user: packed spans (base/pack.h), in order of name.
enum result group_of(struct userdb *db, uint64_t account, struct buf *out,
                     struct fault *f) MUST_CHECK;

#endif
