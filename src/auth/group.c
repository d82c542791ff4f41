#include "auth/group.h"
#include "auth/userdb_inside.h"
#include "base/pack.h"

enum result
group_name_of(struct span s, struct name *out, struct fault *f)
{
    if (s.n > LIMIT_group_name)
        return fault_set(f, FAULT_BAD, "a group's name is longer than %d octets",
                         LIMIT_group_name);
    if (span_starts(s, SPAN("$")) || span_starts(s, SPAN("-")))
        return fault_set(f, FAULT_BAD, "a group's name begins with '%c'", s.p[0]);
    return name_of(s, out, f);
}

static void
bind_pair(struct userdb *db, enum sql which, struct span name, struct span user)
{
    userdb_bind_text(db, which, 1, name);
    userdb_bind_text(db, which, 2, user);
}

static enum result
refuse_missing(struct userdb *db, enum sql which, struct span name, const char *what,
               struct fault *f)
{
    userdb_bind_text(db, which, 1, name);
    enum result r = userdb_step(db, which, f);
    userdb_settle(db, which);
    return r == R_NONE ? fault_set(f, FAULT_NONEXISTENT, "there is no %s '%.*s'", what,
                                   SPAN_ARG(name))
                       : r;
}

static enum result
refuse_both_missing(struct userdb *db, struct span name, struct span user, struct fault *f)
{
    return refuse_missing(db, SQL_GROUP_FIND, name, "group", f) != R_OK ||
                   refuse_missing(db, SQL_FIND, user, "user", f) != R_OK
               ? R_FAIL
               : R_OK;
}

enum result
group_add(struct userdb *db, struct span name, struct fault *f)
{
    int changed = 0;
    userdb_bind_text(db, SQL_GROUP_ADD, 1, name);
    if (userdb_change(db, SQL_GROUP_ADD, &changed, f))
        return R_FAIL;
    return changed > 0 ? R_OK : fault_set(f, FAULT_ALREADYEXISTS, "group exists already");
}

static enum result
empty_and_delete(struct userdb *db, struct span name, struct fault *f)
{
    int members = 0;
    if (refuse_missing(db, SQL_GROUP_FIND, name, "group", f))
        return R_FAIL;
    userdb_bind_text(db, SQL_GROUP_EMPTY, 1, name);
    if (userdb_change(db, SQL_GROUP_EMPTY, &members, f))
        return R_FAIL;
    userdb_bind_text(db, SQL_GROUP_DELETE, 1, name);
    return userdb_change_one(db, SQL_GROUP_DELETE, f);
}

enum result
group_delete(struct userdb *db, struct span name, struct fault *f)
{
    if (userdb_begin(db, f))
        return R_FAIL;
    if (empty_and_delete(db, name, f) == R_OK)
        return userdb_commit(db, f);
    userdb_abort(db);
    return R_FAIL;
}

static enum result
refuse_many(struct userdb *db, struct span user, struct fault *f)
{
    uint64_t n = 0;
    userdb_bind_text(db, SQL_MEMBER_COUNT, 1, user);
    if (userdb_read_count(db, SQL_MEMBER_COUNT, &n, f))
        return R_FAIL;
    return n < LIMIT_groups_of_user
               ? R_OK
               : fault_set(f, FAULT_LIMIT, "the user is in %d groups already",
                           LIMIT_groups_of_user);
}

static enum result
is_member(struct userdb *db, struct span name, struct span user, struct fault *f)
{
    bind_pair(db, SQL_MEMBER_FIND, name, user);
    enum result r = userdb_step(db, SQL_MEMBER_FIND, f);
    userdb_settle(db, SQL_MEMBER_FIND);
    return r;
}

enum result
group_member_add(struct userdb *db, struct span name, struct span user, struct fault *f)
{
    if (refuse_both_missing(db, name, user, f))
        return R_FAIL;
    enum result r = is_member(db, name, user, f);
    if (r == R_OK)
        return fault_set(f, FAULT_ALREADYEXISTS, "the user is in this group already");
    if (r == R_FAIL || refuse_many(db, user, f))
        return R_FAIL;
    bind_pair(db, SQL_MEMBER_ADD, name, user);
    return userdb_change_one(db, SQL_MEMBER_ADD, f);
}

enum result
group_member_delete(struct userdb *db, struct span name, struct span user, struct fault *f)
{
    int changed = 0;
    if (refuse_both_missing(db, name, user, f))
        return R_FAIL;
    bind_pair(db, SQL_MEMBER_DELETE, name, user);
    if (userdb_change(db, SQL_MEMBER_DELETE, &changed, f))
        return R_FAIL;
    return changed > 0 ? R_OK
                       : fault_set(f, FAULT_NONEXISTENT, "the user is not in this group");
}

enum result
group_each(struct userdb *db, group_each_fn *fn, void *arg, struct fault *f)
{
    sqlite3_stmt *s = db->statements[SQL_GROUP_EACH];
    enum result r;
    while ((r = userdb_step(db, SQL_GROUP_EACH, f)) == R_OK)
        fn(userdb_column_text(s, 0), userdb_column_text(s, 1),
           (uint64_t)sqlite3_column_int64(s, 2), arg);
    userdb_settle(db, SQL_GROUP_EACH);
    return r == R_FAIL ? R_FAIL : R_OK;
}

enum result
group_of(struct userdb *db, uint64_t account, struct buf *out, struct fault *f)
{
    sqlite3_stmt *s = db->statements[SQL_MEMBER_OF];
    enum result r;
    userdb_bind_u64(db, SQL_MEMBER_OF, 1, account);
    while ((r = userdb_step(db, SQL_MEMBER_OF, f)) == R_OK)
        pack_span(out, userdb_column_text(s, 0));
    userdb_settle(db, SQL_MEMBER_OF);
    return r == R_FAIL ? R_FAIL : R_OK;
}
