#ifndef AUTH_VERBS_INSIDE_H
#define AUTH_VERBS_INSIDE_H

// The inside of the user verbs: what a row of verbs.c runs. Threads: the database's.

#include "auth/verbs.h"

typedef enum result verbs_run_fn(struct userdb *db, struct verbs_call *c, struct buf *text,
                                 struct fault *f);

// "added staff", of what was changed: a user, a group.
void verbs_put_change(struct buf *rows, const char *what, const char *change,
                      const struct name *name);

verbs_run_fn verbs_dump;
verbs_run_fn verbs_group_add, verbs_group_list, verbs_group_delete;
verbs_run_fn verbs_password_add, verbs_password_list, verbs_password_delete;
verbs_run_fn verbs_member_add, verbs_member_delete;

#endif
