#ifndef AUTH_VERBS_INSIDE_H
#define AUTH_VERBS_INSIDE_H

// The inside of the user verbs: what a row of verbs.c runs. Threads: the database's.

#include "auth/verbs.h"

typedef enum result verbs_run_fn(struct userdb *db, struct verbs_call *c, struct buf *text,
                                 struct fault *f);

// "added staff", of what was changed: a user, a group.
void verbs_put_change(struct buf *rows, const char *what, const char *change,
                      const struct name *name);

const struct lookup_rules *verbs_rules(const struct verbs_call *c);
// The user of args[0]. FAULT_NONEXISTENT.
enum result verbs_user_of(struct userdb *db, struct span sent, struct user *out,
                          struct fault *f) MUST_CHECK;
// Puts what `user set` said of an account behind the *n fields of its row: 16 at most.
struct arena;
struct field;
enum result verbs_user_fields(struct userdb *db, uint64_t account, struct arena *a,
                              struct field *fields, size_t *n, struct fault *f) MUST_CHECK;
// FAULT_CANNOT: mail that goes there would never arrive.
enum result verbs_refuse_remote(struct userdb *db, const struct verbs_call *c,
                                struct span target, struct fault *f) MUST_CHECK;
// The addresses that lead to a user still.
enum result verbs_address_leftovers(struct userdb *db, const struct verbs_call *c,
                                    struct span user, struct buf *rows,
                                    struct fault *f) MUST_CHECK;

verbs_run_fn verbs_address_add, verbs_address_list, verbs_address_delete,
    verbs_address_test;
verbs_run_fn verbs_user_set, verbs_user_show;
verbs_run_fn verbs_dump;
verbs_run_fn verbs_group_add, verbs_group_list, verbs_group_delete;
verbs_run_fn verbs_password_add, verbs_password_list, verbs_password_delete;
verbs_run_fn verbs_member_add, verbs_member_delete;

#endif
