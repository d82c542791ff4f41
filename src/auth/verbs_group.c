#include "auth/verbs_inside.h"
#include "auth/group.h"
#include "base/field.h"
#include "base/pack.h"

enum result
verbs_group_add(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct name name;
    if (group_name_of(c->args[0], &name, f) || group_add(db, name_span(&name), f))
        return R_FAIL;
    verbs_put_change(rows, "group", "added", &name);
    return R_OK;
}

enum result
verbs_group_delete(struct userdb *db, struct verbs_call *c, struct buf *rows,
                   struct fault *f)
{
    struct name name;
    if (group_name_of(c->args[0], &name, f) || group_delete(db, name_span(&name), f))
        return R_FAIL;
    verbs_put_change(rows, "group", "deleted", &name);
    return R_OK;
}

// The row of one group, once all its members are known.
struct listing {
    struct buf *rows, name, members;
};

static void
put_group(struct listing *l)
{
    if (l->name.n > 0)
        field_put_row(l->rows, SPAN("group"), SPAN_NONE,
                      FIELDS(field_text("name", "%", buf_span(&l->name)),
                             field_list("members", l->members.n > 0 ? "\t%" : "",
                                        buf_span(&l->members))));
    buf_reset(&l->name);
    buf_reset(&l->members);
}

static void
list_member(struct span name, struct span user, uint64_t account, void *arg)
{
    struct listing *l = arg;
    (void)account;
    if (!span_eq(name, buf_span(&l->name))) {
        put_group(l);
        buf_put(&l->name, name);
    }
    if (user.p)
        pack_span(&l->members, user);
}

enum result
verbs_group_list(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct listing l = {.rows = rows};
    (void)c;
    buf_init(&l.name, NAME_MAX_SIZE);
    buf_init(&l.members, rows->max);
    enum result r = group_each(db, list_member, &l, f);
    put_group(&l);
    rows->over |= l.members.over;
    buf_done(&l.name);
    buf_done(&l.members);
    return r;
}

static enum result
change_member(struct userdb *db, struct verbs_call *c, struct buf *rows, const char *change,
              enum result (*fn)(struct userdb *db, struct span name, struct span user,
                                struct fault *f),
              struct fault *f)
{
    struct name name, user;
    struct user member;
    if (group_name_of(c->args[0], &name, f) || name_of(c->args[1], &user, f) ||
        fn(db, name_span(&name), name_span(&user), f))
        return R_FAIL;
    if (userdb_find(db, name_span(&user), &member, f) == R_OK)
        c->touched_account = member.account;
    field_put_row(rows, SPAN("member"), SPAN_NONE,
                  FIELDS(field_str("change", "%", change),
                         field_text("user", " %", name_span(&user)),
                         field_text("group", " %", name_span(&name))));
    return R_OK;
}

enum result
verbs_member_add(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    return change_member(db, c, rows, "added", group_member_add, f);
}

enum result
verbs_member_delete(struct userdb *db, struct verbs_call *c, struct buf *rows,
                    struct fault *f)
{
    return change_member(db, c, rows, "deleted", group_member_delete, f);
}
