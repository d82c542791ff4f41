#include "auth/userdb_inside.h"
#include "base/hash.h"

static const char *const source_names[USER_SOURCES] = {"own", "passwd-file", "sql", "ldap",
                                                       "pam"};

const char *
user_source_name(enum user_source s)
{
    return source_names[s];
}

enum result
user_source_from(struct span name, enum user_source *out)
{
    for (int i = 0; i < USER_SOURCES; i++) {
        if (span_eq(name, span_str(source_names[i]))) {
            *out = (enum user_source)i;
            return R_OK;
        }
    }
    return R_FAIL;
}

// The one step of a statement that gives at most one row; the caller binds before and reads the columns
// after R_OK, then calls settle.
enum result
userdb_step(struct userdb *db, enum sql which, struct fault *f)
{
    int rc = sqlite3_step(db->statements[which]);
    if (rc == SQLITE_ROW)
        return R_OK;
    return rc == SQLITE_DONE ? R_NONE : userdb_failed(db, f);
}

void
userdb_settle(struct userdb *db, enum sql which)
{
    sqlite3_reset(db->statements[which]);
    sqlite3_clear_bindings(db->statements[which]);
}

void
userdb_bind_text(struct userdb *db, enum sql which, int at, struct span s)
{
    must(s.n <= INT32_MAX);
    must(sqlite3_bind_text(db->statements[which], at, s.p ? s.p : "", (int)s.n,
                           SQLITE_TRANSIENT) == SQLITE_OK);
}

void
userdb_bind_u64(struct userdb *db, enum sql which, int at, uint64_t v)
{
    must(sqlite3_bind_int64(db->statements[which], at, (sqlite3_int64)v) == SQLITE_OK);
}

// In the columns from `at` on, one for each hash.
static void
bind_scram(struct userdb *db, enum sql which, int at, const struct scram_set *set)
{
    for (int h = 0; set && h < SCRAM_HASHES; h++) {
        struct buf text;
        if (!scram_has(set, (enum scram_hash)h))
            continue;
        buf_init(&text, LIMIT_password_hash);
        scram_print((enum scram_hash)h, &set->of[h], &text);
        userdb_bind_text(db, which, at + h, buf_span(&text));
        buf_done(&text);
    }
}

struct span
userdb_column_text(sqlite3_stmt *s, int at)
{
    const void *p = sqlite3_column_text(s, at);
    return p ? span_of(p, (size_t)sqlite3_column_bytes(s, at)) : SPAN_NONE;
}

static enum result
read_scram(sqlite3_stmt *s, int at, struct scram_set *out)
{
    for (int h = 0; h < SCRAM_HASHES; h++) {
        struct span text = userdb_column_text(s, at + h);
        if (text.n > 0 && scram_parse((enum scram_hash)h, text, &out->of[h]))
            return R_FAIL;
    }
    return R_OK;
}

static enum result
read_user(sqlite3_stmt *s, struct user *out, struct fault *f)
{
    struct span name = userdb_column_text(s, 0), hash = userdb_column_text(s, 3),
                source = userdb_column_text(s, 6);
    memset(out, 0, sizeof *out);
    out->account = (uint64_t)sqlite3_column_int64(s, 1);
    out->disabled = sqlite3_column_int(s, 2) != 0;
    if (name.n == 0 || name.n >= NAME_MAX_SIZE || hash.n > sizeof out->hash ||
        out->account == 0)
        return fault_set(f, FAULT_CORRUPTION, "user database: row out of bounds");
    if (read_scram(s, 4, &out->scram))
        return fault_set(f, FAULT_CORRUPTION, "user database: SCRAM keys cannot be read");
    if (source.p && user_source_from(source, &out->source))
        return fault_set(f, FAULT_CORRUPTION, "user database: unknown source of a user");
    memcpy(out->name.text, name.p, name.n);
    out->name.n = name.n;
    if (hash.n > 0)
        memcpy(out->hash, hash.p, hash.n);
    out->hash_n = hash.n;
    return R_OK;
}

static enum result
find(struct userdb *db, enum sql which, struct user *out, struct fault *f)
{
    enum result r = userdb_step(db, which, f);
    if (r == R_OK)
        r = read_user(db->statements[which], out, f);
    userdb_settle(db, which);
    return r;
}

enum result
userdb_find(struct userdb *db, struct span name, struct user *out, struct fault *f)
{
    userdb_bind_text(db, SQL_FIND, 1, name);
    return find(db, SQL_FIND, out, f);
}

enum result
userdb_find_account(struct userdb *db, uint64_t account, struct user *out, struct fault *f)
{
    userdb_bind_u64(db, SQL_ACCOUNT, 1, account);
    return find(db, SQL_ACCOUNT, out, f);
}

enum result
userdb_decoy(struct userdb *db, struct span name, struct user *out, struct fault *f)
{
    struct scram_keys like = {.salt_n = sizeof(uint64_t)}, drawn;
    uint64_t start = 0;
    scram_decoy(SCRAM_SHA_256, userdb_secret(db), name, &like, &drawn);
    memcpy(&start, drawn.stored_key, sizeof start);
    userdb_bind_u64(db, SQL_DECOY, 1, start >> 1);
    enum result r = find(db, SQL_DECOY, out, f);
    if (r != R_NONE)
        return r;
    userdb_bind_u64(db, SQL_DECOY, 1, 0);
    return find(db, SQL_DECOY, out, f);
}

struct span
userdb_secret(const struct userdb *db)
{
    return span_of(db->secret, sizeof db->secret);
}

// Runs a statement that gives no rows; the number of changed rows goes to *changed_out.
enum result
userdb_change(struct userdb *db, enum sql which, int *changed_out, struct fault *f)
{
    enum result r = userdb_step(db, which, f);
    int changed = sqlite3_changes(db->sqlite);
    userdb_settle(db, which);
    if (r == R_FAIL)
        return R_FAIL;
    *changed_out = changed;
    return R_OK;
}

enum result
userdb_change_one(struct userdb *db, enum sql which, struct fault *f)
{
    int changed = 0;
    if (userdb_change(db, which, &changed, f))
        return R_FAIL;
    return changed > 0 ? R_OK : fault_set(f, FAULT_NONEXISTENT, "no such user");
}

static enum result
account_new(struct userdb *db, uint64_t *out, struct fault *f)
{
    enum result r = R_OK;
    uint64_t id = 0;
    while (r == R_OK) {
        do
            id = random_u64() >> 1;  // positive as SQLite counts
        while (id == 0);
        userdb_bind_u64(db, SQL_USED, 1, id);
        r = userdb_step(db, SQL_USED, f);
        userdb_settle(db, SQL_USED);
    }
    *out = id;
    return r == R_NONE ? R_OK : R_FAIL;
}

static enum result
refuse_taken(struct userdb *db, struct span name, struct fault *f)
{
    userdb_bind_text(db, SQL_FIND, 1, name);
    enum result r = userdb_step(db, SQL_FIND, f);
    userdb_settle(db, SQL_FIND);
    if (r == R_OK)
        return fault_set(f, FAULT_ALREADYEXISTS, "user exists already");
    return r == R_NONE ? R_OK : R_FAIL;
}

static enum result
insert(struct userdb *db, struct span name, uint64_t account, struct span hash,
       const struct scram_set *scram, struct fault *f)
{
    int freed = 0;
    must(hash.n <= LIMIT_password_hash);
    userdb_bind_text(db, SQL_UNKEEP, 1, name);
    if (userdb_change(db, SQL_UNKEEP, &freed, f))
        return R_FAIL;
    userdb_bind_text(db, SQL_ADD, 1, name);
    userdb_bind_u64(db, SQL_ADD, 2, account);
    userdb_bind_text(db, SQL_ADD, 3, hash);
    bind_scram(db, SQL_ADD, 4, scram);
    if (userdb_change_one(db, SQL_ADD, f))
        return R_FAIL;
    db->count++;
    return R_OK;
}

enum result
userdb_add(struct userdb *db, struct span name, struct span hash,
           const struct scram_set *scram, uint64_t *account_out, struct fault *f)
{
    uint64_t id = 0;
    if (refuse_taken(db, name, f) || account_new(db, &id, f) ||
        insert(db, name, id, hash, scram, f))
        return R_FAIL;
    *account_out = id;
    return R_OK;
}

enum result
userdb_set_source(struct userdb *db, struct span name, enum user_source source,
                  struct fault *f)
{
    userdb_bind_text(db, SQL_SET_SOURCE, 1, name);
    if (source != USER_OWN)
        userdb_bind_text(db, SQL_SET_SOURCE, 2, span_str(user_source_name(source)));
    return userdb_change_one(db, SQL_SET_SOURCE, f);
}

static enum result
add_adopted(struct userdb *db, struct span name, enum user_source source, struct fault *f)
{
    uint64_t account = 0;
    if (userdb_begin(db, f))
        return R_FAIL;
    if (userdb_add(db, name, SPAN_NONE, NULL, &account, f) ||
        userdb_set_source(db, name, source, f)) {
        userdb_abort(db);
        return R_FAIL;
    }
    return userdb_commit(db, f);
}

// One of our own stays that: another database comes before ours in the order, and may go again.
enum result
userdb_adopt(struct userdb *db, struct span name, enum user_source source, struct user *out,
             struct fault *f)
{
    enum result r = userdb_find(db, name, out, f);
    if (r == R_OK && (out->source == USER_OWN || out->source == source))
        return R_OK;
    bool fresh = r == R_NONE;
    if (fresh && (r = userdb_is_kept(db, name, f)) != R_NONE)
        return r == R_OK ? R_NONE : R_FAIL;
    if (fresh)
        r = add_adopted(db, name, source, f);
    else if (r == R_OK)
        r = userdb_set_source(db, name, source, f);
    if (r == R_OK)
        r = userdb_find(db, name, out, f);
    return r == R_OK ? R_OK : R_FAIL;
}

static enum result
refuse_used(struct userdb *db, uint64_t account, struct fault *f)
{
    userdb_bind_u64(db, SQL_USED, 1, account);
    enum result r = userdb_step(db, SQL_USED, f);
    userdb_settle(db, SQL_USED);
    if (r == R_OK)
        return fault_set(f, FAULT_ALREADYEXISTS, "account id is used already");
    return r == R_NONE ? R_OK : R_FAIL;
}

enum result
userdb_restore(struct userdb *db, const struct user *u, struct fault *f)
{
    struct span name = name_span(&u->name);
    if (u->account == 0 || u->account > INT64_MAX)
        return fault_set(f, FAULT_BAD, "account id out of range");
    if (refuse_taken(db, name, f) || refuse_used(db, u->account, f) ||
        insert(db, name, u->account, user_hash(u), &u->scram, f))
        return R_FAIL;
    return u->disabled ? userdb_disable(db, name, true, f) : R_OK;
}

enum result
userdb_restore_retired(struct userdb *db, struct span name, uint64_t account,
                       struct fault *f)
{
    if (account == 0 || account > INT64_MAX)
        return fault_set(f, FAULT_BAD, "account id out of range");
    if (refuse_used(db, account, f))
        return R_FAIL;
    userdb_bind_u64(db, SQL_RETIRE_AS, 1, account);
    userdb_bind_text(db, SQL_RETIRE_AS, 2, name);
    return userdb_change_one(db, SQL_RETIRE_AS, f);
}

enum result
userdb_set(struct userdb *db, struct span name, struct span hash,
           const struct scram_set *scram, struct fault *f)
{
    must(hash.n <= LIMIT_password_hash);
    userdb_bind_text(db, SQL_SET, 1, name);
    userdb_bind_text(db, SQL_SET, 2, hash);
    bind_scram(db, SQL_SET, 3, scram);
    return userdb_change_one(db, SQL_SET, f);
}

enum result
userdb_disable(struct userdb *db, struct span name, bool disabled, struct fault *f)
{
    userdb_bind_text(db, SQL_DISABLE, 1, name);
    userdb_bind_u64(db, SQL_DISABLE, 2, disabled);
    return userdb_change_one(db, SQL_DISABLE, f);
}

enum result
userdb_nets(struct userdb *db, uint64_t account, struct buf *out, struct fault *f)
{
    userdb_bind_u64(db, SQL_NETS, 1, account);
    enum result r = userdb_step(db, SQL_NETS, f);
    if (r == R_OK)
        buf_put(out, userdb_column_text(db->statements[SQL_NETS], 0));
    userdb_settle(db, SQL_NETS);
    return r == R_FAIL ? R_FAIL : R_OK;
}

enum result
userdb_set_nets(struct userdb *db, struct span name, struct span nets, struct fault *f)
{
    userdb_bind_text(db, SQL_SET_NETS, 1, name);
    if (nets.n > 0)
        userdb_bind_text(db, SQL_SET_NETS, 2, nets);
    return userdb_change_one(db, SQL_SET_NETS, f);
}

static enum result
retire(struct userdb *db, struct span name, bool keep, struct fault *f)
{
    struct user u;
    enum result r = userdb_find(db, name, &u, f);
    if (r != R_OK)
        return r == R_FAIL ? R_FAIL : fault_set(f, FAULT_NONEXISTENT, "no such user");
    userdb_bind_text(db, SQL_RETIRE, 1, name);
    r = userdb_change_one(db, SQL_RETIRE, f);
    return r == R_OK && keep ? userdb_keep(db, u.account, u.source, f) : r;
}

static enum result
retire_and_delete(struct userdb *db, struct span name, bool keep, struct fault *f)
{
    int left = 0;
    userdb_bind_text(db, SQL_MEMBER_LEAVE, 1, name);
    userdb_bind_text(db, SQL_APP_LEAVE, 1, name);
    userdb_bind_text(db, SQL_KEY_LEAVE, 1, name);
    if (userdb_change(db, SQL_MEMBER_LEAVE, &left, f) ||
        userdb_change(db, SQL_APP_LEAVE, &left, f) ||
        userdb_change(db, SQL_KEY_LEAVE, &left, f))
        return R_FAIL;
    if (retire(db, name, keep, f))
        return R_FAIL;
    userdb_bind_text(db, SQL_DELETE, 1, name);
    return userdb_change_one(db, SQL_DELETE, f);
}

enum result
userdb_delete(struct userdb *db, struct span name, bool keep, struct fault *f)
{
    bool own = !db->in_transaction;
    if (own && userdb_begin(db, f))
        return R_FAIL;
    if (retire_and_delete(db, name, keep, f)) {
        if (own)
            userdb_abort(db);
        return R_FAIL;
    }
    if (own && userdb_commit(db, f))
        return R_FAIL;
    db->count--;
    return R_OK;
}

enum result
userdb_each(struct userdb *db, userdb_each_fn *fn, void *arg, struct fault *f)
{
    struct user u;
    enum result r;
    while ((r = userdb_step(db, SQL_EACH, f)) == R_OK)
        if ((r = read_user(db->statements[SQL_EACH], &u, f)) != R_OK || !fn(&u, arg))
            break;
    userdb_settle(db, SQL_EACH);
    return r == R_FAIL ? R_FAIL : R_OK;
}

enum result
userdb_each_retired(struct userdb *db, userdb_retired_fn *fn, void *arg, struct fault *f)
{
    sqlite3_stmt *s = db->statements[SQL_RETIRED];
    enum result r;
    while ((r = userdb_step(db, SQL_RETIRED, f)) == R_OK)
        fn(userdb_column_text(s, 0), (uint64_t)sqlite3_column_int64(s, 1), arg);
    userdb_settle(db, SQL_RETIRED);
    return r == R_FAIL ? R_FAIL : R_OK;
}

uint64_t
userdb_count(const struct userdb *db)
{
    return db->count;
}

enum result
userdb_read_count(struct userdb *db, enum sql which, uint64_t *out, struct fault *f)
{
    enum result r = userdb_step(db, which, f);
    if (r == R_OK)
        *out = (uint64_t)sqlite3_column_int64(db->statements[which], 0);
    userdb_settle(db, which);
    return r;
}

enum result
userdb_some_without(struct userdb *db, enum scram_hash hash, bool *out, struct fault *f)
{
    static const enum sql which[] = {
        [SCRAM_SHA_256] = SQL_WITHOUT_SHA_256, [SCRAM_SHA_1] = SQL_WITHOUT_SHA_1};
    uint64_t some = 0;
    if (userdb_read_count(db, which[hash], &some, f))
        return R_FAIL;
    *out = some > 0;
    return R_OK;
}

enum result
userdb_begin(struct userdb *db, struct fault *f)
{
    int changed = 0;
    must(!db->in_transaction);
    if (userdb_change(db, SQL_BEGIN, &changed, f))
        return R_FAIL;
    db->in_transaction = true;
    return R_OK;
}

enum result
userdb_commit(struct userdb *db, struct fault *f)
{
    int changed = 0;
    must(db->in_transaction);
    if (userdb_change(db, SQL_COMMIT, &changed, f)) {
        userdb_abort(db);
        return R_FAIL;
    }
    db->in_transaction = false;
    return R_OK;
}

void
userdb_abort(struct userdb *db)
{
    struct fault f;
    int changed = 0;
    // SQLite has rolled back itself when this fails (a full disk, an I/O error).
    if (userdb_change(db, SQL_ROLLBACK, &changed, &f) ||
        userdb_read_count(db, SQL_COUNT, &db->count, &f))
        db->count = 0;
    db->in_transaction = false;
}
