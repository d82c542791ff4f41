#include "auth/userdb_inside.h"

// Names of deleted users, kept while outer databases may know them.

enum result
userdb_keep(struct userdb *db, uint64_t account, enum user_source source, struct fault *f)
{
    userdb_bind_u64(db, SQL_KEEP, 1, account);
    userdb_bind_text(db, SQL_KEEP, 2, span_str(user_source_name(source)));
    return userdb_change_one(db, SQL_KEEP, f);
}

enum result
userdb_unkeep(struct userdb *db, struct span name, struct fault *f)
{
    userdb_bind_text(db, SQL_UNKEEP, 1, name);
    return userdb_change_one(db, SQL_UNKEEP, f);
}

static enum result
find_kept(struct userdb *db, struct span name, uint64_t *account_out,
          enum user_source *source_out, struct fault *f)
{
    sqlite3_stmt *s = db->statements[SQL_KEPT];
    userdb_bind_text(db, SQL_KEPT, 1, name);
    enum result r = userdb_step(db, SQL_KEPT, f);
    if (r == R_OK) {
        *account_out = (uint64_t)sqlite3_column_int64(s, 0);
        if (user_source_from(userdb_column_text(s, 1), source_out) != R_OK)
            r = fault_set(f, FAULT_CORRUPTION, "user database: unknown source of a user");
    }
    userdb_settle(db, SQL_KEPT);
    return r;
}

enum result
userdb_is_kept(struct userdb *db, struct span name, struct fault *f)
{
    uint64_t account;
    enum user_source source;
    return find_kept(db, name, &account, &source, f);
}

static enum result
bring_back(struct userdb *db, struct span name, uint64_t account, enum user_source source,
           struct fault *f)
{
    struct user u = {.account = account};
    must(name.n < sizeof u.name.text);
    memcpy(u.name.text, name.p, name.n);
    u.name.n = name.n;
    userdb_bind_u64(db, SQL_UNRETIRE, 1, account);
    if (userdb_change_one(db, SQL_UNRETIRE, f) || userdb_restore(db, &u, f))
        return R_FAIL;
    return userdb_set_source(db, name, source, f);
}

enum result
userdb_undelete(struct userdb *db, struct span name, enum user_source *source_out,
                struct fault *f)
{
    uint64_t account = 0;
    enum result r = find_kept(db, name, &account, source_out, f);
    if (r != R_OK)
        return r == R_FAIL ? R_FAIL
                           : fault_set(f, FAULT_NONEXISTENT, "no such deleted user");
    if (userdb_begin(db, f))
        return R_FAIL;
    if (bring_back(db, name, account, *source_out, f)) {
        userdb_abort(db);
        return R_FAIL;
    }
    return userdb_commit(db, f);
}

enum result
userdb_each_kept(struct userdb *db, userdb_kept_fn *fn, void *arg, struct fault *f)
{
    sqlite3_stmt *s = db->statements[SQL_KEPT_EACH];
    enum result r;
    while ((r = userdb_step(db, SQL_KEPT_EACH, f)) == R_OK)
        fn(userdb_column_text(s, 0), (uint64_t)sqlite3_column_int64(s, 1),
           userdb_column_text(s, 2), arg);
    userdb_settle(db, SQL_KEPT_EACH);
    return r == R_FAIL ? R_FAIL : R_OK;
}
