#include "auth/userdb.h"
#include "base/hash.h"

#include <errno.h>
#include <sqlite3.h>
#include <sys/stat.h>

enum { SECRET_SIZE = 32, SCHEMA_VERSION = 1, APPLICATION_ID = 0x50485553 };  // "PHUS"

enum sql {
#define SQL(name, text) SQL_##name,
#include "auth/userdb_sql.def"
#undef SQL
    SQL_COUNT_OF
};

static const char *const sql_text[] = {
#define SQL(name, text) text,
#include "auth/userdb_sql.def"
#undef SQL
};

struct userdb {
    sqlite3 *sqlite;
    sqlite3_stmt *statements[SQL_COUNT_OF];
    uint8_t secret[SECRET_SIZE];
    uint64_t count;
    bool in_transaction;
};

static const char schema[] =
    "CREATE TABLE users (name TEXT PRIMARY KEY, account INTEGER NOT NULL UNIQUE,"
    " disabled INTEGER NOT NULL, hash TEXT NOT NULL, scram TEXT, changed INTEGER NOT NULL)"
    " WITHOUT ROWID, STRICT;"
    "CREATE TABLE retired (account INTEGER PRIMARY KEY, name TEXT NOT NULL,"
    " since INTEGER NOT NULL) STRICT;"
    "CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, "
    "STRICT;"
    "PRAGMA user_version = 1;"
    "PRAGMA application_id = 1346917715;";

_Static_assert(APPLICATION_ID == 1346917715, "the schema names the application id");

static enum fault_kind
kind_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return FAULT_CORRUPTION;
    case SQLITE_FULL:
    case SQLITE_IOERR:
        return FAULT_DISK;
    default:
        return FAULT_UNAVAILABLE;
    }
}

static enum result
failed(struct userdb *db, struct fault *f)
{
    int code = sqlite3_extended_errcode(db->sqlite);
    return fault_set(f, kind_of(code), "user database: %s (%d)", sqlite3_errmsg(db->sqlite),
                     code);
}

static enum result
run(struct userdb *db, const char *sql, struct fault *f)
{
    return sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK ? R_OK
                                                                        : failed(db, f);
}

static enum result
pragma_number(struct userdb *db, const char *sql, int64_t *out, struct fault *f)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->sqlite, sql, -1, &s, NULL);
    if (rc == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0);
    else
        rc = SQLITE_ERROR;
    enum result r = rc == SQLITE_OK ? R_OK : failed(db, f);
    sqlite3_finalize(s);
    return r;
}

// The one step of a statement that gives at most one row; the caller binds before and reads the columns
// after R_OK, then calls settle.
static enum result
step(struct userdb *db, enum sql which, struct fault *f)
{
    int rc = sqlite3_step(db->statements[which]);
    if (rc == SQLITE_ROW)
        return R_OK;
    return rc == SQLITE_DONE ? R_NONE : failed(db, f);
}

static void
settle(struct userdb *db, enum sql which)
{
    sqlite3_reset(db->statements[which]);
    sqlite3_clear_bindings(db->statements[which]);
}

static void
bind_text(struct userdb *db, enum sql which, int at, struct span s)
{
    must(s.n <= INT32_MAX);
    must(sqlite3_bind_text(db->statements[which], at, s.p, (int)s.n, SQLITE_TRANSIENT) ==
         SQLITE_OK);
}

static void
bind_u64(struct userdb *db, enum sql which, int at, uint64_t v)
{
    must(sqlite3_bind_int64(db->statements[which], at, (sqlite3_int64)v) == SQLITE_OK);
}

static void
bind_scram(struct userdb *db, enum sql which, int at, const struct scram_keys *k)
{
    struct buf text;
    if (!k)
        return;
    buf_init(&text, LIMIT_password_hash);
    scram_print(k, &text);
    bind_text(db, which, at, buf_span(&text));
    buf_done(&text);
}

static struct span
column_text(sqlite3_stmt *s, int at)
{
    const void *p = sqlite3_column_text(s, at);
    return p ? span_of(p, (size_t)sqlite3_column_bytes(s, at)) : SPAN_NONE;
}

static enum result
read_user(sqlite3_stmt *s, struct user *out, struct fault *f)
{
    struct span name = column_text(s, 0), hash = column_text(s, 3),
                scram = column_text(s, 4);
    memset(out, 0, sizeof *out);
    out->account = (uint64_t)sqlite3_column_int64(s, 1);
    out->disabled = sqlite3_column_int(s, 2) != 0;
    out->has_scram = scram.n > 0;
    if (name.n == 0 || name.n >= NAME_MAX_SIZE || hash.n > sizeof out->hash ||
        out->account == 0)
        return fault_set(f, FAULT_CORRUPTION, "user database: row out of bounds");
    if (out->has_scram && scram_parse(scram, &out->scram))
        return fault_set(f, FAULT_CORRUPTION, "user database: SCRAM keys cannot be read");
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
    enum result r = step(db, which, f);
    if (r == R_OK)
        r = read_user(db->statements[which], out, f);
    settle(db, which);
    return r;
}

enum result
userdb_find(struct userdb *db, struct span name, struct user *out, struct fault *f)
{
    bind_text(db, SQL_FIND, 1, name);
    return find(db, SQL_FIND, out, f);
}

enum result
userdb_find_account(struct userdb *db, uint64_t account, struct user *out, struct fault *f)
{
    bind_u64(db, SQL_ACCOUNT, 1, account);
    return find(db, SQL_ACCOUNT, out, f);
}

enum result
userdb_decoy(struct userdb *db, struct span name, struct user *out, struct fault *f)
{
    struct scram_keys like = {.salt_n = sizeof(uint64_t)}, drawn;
    uint64_t start = 0;
    scram_decoy(userdb_secret(db), name, &like, &drawn);
    memcpy(&start, drawn.stored_key, sizeof start);
    bind_u64(db, SQL_DECOY, 1, start >> 1);
    enum result r = find(db, SQL_DECOY, out, f);
    if (r != R_NONE)
        return r;
    bind_u64(db, SQL_DECOY, 1, 0);
    return find(db, SQL_DECOY, out, f);
}

struct span
userdb_secret(const struct userdb *db)
{
    return span_of(db->secret, sizeof db->secret);
}

// Runs a statement that gives no rows; the number of changed rows goes to *changed_out.
static enum result
change(struct userdb *db, enum sql which, int *changed_out, struct fault *f)
{
    enum result r = step(db, which, f);
    int changed = sqlite3_changes(db->sqlite);
    settle(db, which);
    if (r == R_FAIL)
        return R_FAIL;
    *changed_out = changed;
    return R_OK;
}

static enum result
change_one(struct userdb *db, enum sql which, struct fault *f)
{
    int changed = 0;
    if (change(db, which, &changed, f))
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
        bind_u64(db, SQL_USED, 1, id);
        r = step(db, SQL_USED, f);
        settle(db, SQL_USED);
    }
    *out = id;
    return r == R_NONE ? R_OK : R_FAIL;
}

static enum result
refuse_taken(struct userdb *db, struct span name, struct fault *f)
{
    bind_text(db, SQL_FIND, 1, name);
    enum result r = step(db, SQL_FIND, f);
    settle(db, SQL_FIND);
    if (r == R_OK)
        return fault_set(f, FAULT_ALREADYEXISTS, "user exists already");
    return r == R_NONE ? R_OK : R_FAIL;
}

static enum result
insert(struct userdb *db, struct span name, uint64_t account, struct span hash,
       const struct scram_keys *scram, struct fault *f)
{
    must(hash.n <= LIMIT_password_hash);
    bind_text(db, SQL_ADD, 1, name);
    bind_u64(db, SQL_ADD, 2, account);
    bind_text(db, SQL_ADD, 3, hash);
    bind_scram(db, SQL_ADD, 4, scram);
    if (change_one(db, SQL_ADD, f))
        return R_FAIL;
    db->count++;
    return R_OK;
}

enum result
userdb_add(struct userdb *db, struct span name, struct span hash,
           const struct scram_keys *scram, uint64_t *account_out, struct fault *f)
{
    uint64_t id = 0;
    if (refuse_taken(db, name, f) || account_new(db, &id, f) ||
        insert(db, name, id, hash, scram, f))
        return R_FAIL;
    *account_out = id;
    return R_OK;
}

static enum result
refuse_used(struct userdb *db, uint64_t account, struct fault *f)
{
    bind_u64(db, SQL_USED, 1, account);
    enum result r = step(db, SQL_USED, f);
    settle(db, SQL_USED);
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
        insert(db, name, u->account, user_hash(u), u->has_scram ? &u->scram : NULL, f))
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
    bind_u64(db, SQL_RETIRE_AS, 1, account);
    bind_text(db, SQL_RETIRE_AS, 2, name);
    return change_one(db, SQL_RETIRE_AS, f);
}

enum result
userdb_set(struct userdb *db, struct span name, struct span hash,
           const struct scram_keys *scram, struct fault *f)
{
    must(hash.n <= LIMIT_password_hash);
    bind_text(db, SQL_SET, 1, name);
    bind_text(db, SQL_SET, 2, hash);
    bind_scram(db, SQL_SET, 3, scram);
    return change_one(db, SQL_SET, f);
}

enum result
userdb_disable(struct userdb *db, struct span name, bool disabled, struct fault *f)
{
    bind_text(db, SQL_DISABLE, 1, name);
    bind_u64(db, SQL_DISABLE, 2, disabled);
    return change_one(db, SQL_DISABLE, f);
}

static enum result
retire_and_delete(struct userdb *db, struct span name, struct fault *f)
{
    bind_text(db, SQL_RETIRE, 1, name);
    if (change_one(db, SQL_RETIRE, f))
        return R_FAIL;
    bind_text(db, SQL_DELETE, 1, name);
    return change_one(db, SQL_DELETE, f);
}

enum result
userdb_delete(struct userdb *db, struct span name, struct fault *f)
{
    bool own = !db->in_transaction;
    if (own && userdb_begin(db, f))
        return R_FAIL;
    if (retire_and_delete(db, name, f)) {
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
    while ((r = step(db, SQL_EACH, f)) == R_OK)
        if ((r = read_user(db->statements[SQL_EACH], &u, f)) != R_OK || !fn(&u, arg))
            break;
    settle(db, SQL_EACH);
    return r == R_FAIL ? R_FAIL : R_OK;
}

enum result
userdb_each_retired(struct userdb *db, userdb_retired_fn *fn, void *arg, struct fault *f)
{
    sqlite3_stmt *s = db->statements[SQL_RETIRED];
    enum result r;
    while ((r = step(db, SQL_RETIRED, f)) == R_OK)
        fn(column_text(s, 0), (uint64_t)sqlite3_column_int64(s, 1), arg);
    settle(db, SQL_RETIRED);
    return r == R_FAIL ? R_FAIL : R_OK;
}

uint64_t
userdb_count(const struct userdb *db)
{
    return db->count;
}

static enum result
count(struct userdb *db, enum sql which, uint64_t *out, struct fault *f)
{
    enum result r = step(db, which, f);
    if (r == R_OK)
        *out = (uint64_t)sqlite3_column_int64(db->statements[which], 0);
    settle(db, which);
    return r;
}

enum result
userdb_count_plain_only(struct userdb *db, uint64_t *out, struct fault *f)
{
    return count(db, SQL_PLAIN_ONLY, out, f);
}

enum result
userdb_begin(struct userdb *db, struct fault *f)
{
    int changed = 0;
    must(!db->in_transaction);
    if (change(db, SQL_BEGIN, &changed, f))
        return R_FAIL;
    db->in_transaction = true;
    return R_OK;
}

enum result
userdb_commit(struct userdb *db, struct fault *f)
{
    int changed = 0;
    must(db->in_transaction);
    if (change(db, SQL_COMMIT, &changed, f)) {
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
    if (change(db, SQL_ROLLBACK, &changed, &f) || count(db, SQL_COUNT, &db->count, &f))
        db->count = 0;
    db->in_transaction = false;
}

static enum result
check_version(struct userdb *db, bool *fresh_out, struct fault *f)
{
    int64_t version = 0, id = 0;
    if (pragma_number(db, "PRAGMA user_version", &version, f) ||
        pragma_number(db, "PRAGMA application_id", &id, f))
        return R_FAIL;
    *fresh_out = version == 0 && id == 0;
    if (id == APPLICATION_ID && version > SCHEMA_VERSION)
        return fault_set(f, FAULT_CORRUPTION,
                         "the user database has format %lld, this program knows up to %d: "
                         "use a newer one",
                         (long long)version, SCHEMA_VERSION);
    if (!*fresh_out && (id != APPLICATION_ID || version != SCHEMA_VERSION))
        return fault_set(f, FAULT_CORRUPTION, "user database of unknown version %lld",
                         (long long)version);
    return R_OK;
}

static enum result
create(struct userdb *db, struct fault *f)
{
    return run(db, "BEGIN IMMEDIATE", f) || run(db, schema, f) || run(db, "COMMIT", f)
               ? R_FAIL
               : R_OK;
}

static enum result
prepare_all(struct userdb *db, struct fault *f)
{
    for (int i = 0; i < SQL_COUNT_OF; i++)
        if (sqlite3_prepare_v3(db->sqlite, sql_text[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &db->statements[i], NULL) != SQLITE_OK)
            return failed(db, f);
    return R_OK;
}

static enum result
make_secret(struct userdb *db, struct fault *f)
{
    random_bytes(db->secret, SECRET_SIZE);
    must(sqlite3_bind_blob(db->statements[SQL_SECRET_ADD], 1, db->secret, SECRET_SIZE,
                           SQLITE_TRANSIENT) == SQLITE_OK);
    return change_one(db, SQL_SECRET_ADD, f);
}

static enum result
load_secret(struct userdb *db, struct fault *f)
{
    sqlite3_stmt *s = db->statements[SQL_SECRET];
    enum result r = step(db, SQL_SECRET, f);
    if (r == R_OK && sqlite3_column_bytes(s, 0) == SECRET_SIZE)
        memcpy(db->secret, sqlite3_column_blob(s, 0), SECRET_SIZE);
    else if (r == R_OK)
        r = fault_set(f, FAULT_CORRUPTION, "user database with a wrong secret");
    settle(db, SQL_SECRET);
    return r == R_NONE ? make_secret(db, f) : r;
}

// EXCLUSIVE: one process owns the file, so WAL needs no shared memory and the sandbox no mmap of files.
static const char locking[] = "PRAGMA locking_mode = EXCLUSIVE;";
static const char pragmas[] =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
    "PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON;";

static enum result
start(struct userdb *db, struct fault *f)
{
    bool fresh = false;
    if (run(db, locking, f) || check_version(db, &fresh, f) || run(db, pragmas, f) ||
        (fresh && create(db, f)) || prepare_all(db, f) || load_secret(db, f))
        return R_FAIL;
    return count(db, SQL_COUNT, &db->count, f);
}

static enum result
open_file(struct userdb *db, const char *dir, struct fault *f)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/users.db", dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return fault_set(f, FAULT_DISK, "path of the user database is too long");
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &db->sqlite, flags, NULL) != SQLITE_OK)
        return db->sqlite ? failed(db, f)
                          : fault_set(f, FAULT_UNAVAILABLE, "out of memory");
    sqlite3_extended_result_codes(db->sqlite, 1);
    sqlite3_busy_timeout(db->sqlite, 2000);
    return start(db, f);
}

enum result
userdb_open(const char *dir, struct userdb **out, struct fault *f)
{
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return fault_errno(f, FAULT_DISK, dir);
    mode_t old = umask(0077);
    struct userdb *db = calloc(1, sizeof *db);
    must(db != NULL);
    enum result r = open_file(db, dir, f);
    umask(old);
    if (r == R_OK)
        *out = db;
    else
        userdb_close(&db);
    return r;
}

void
userdb_close(struct userdb **db)
{
    if (!*db)
        return;
    for (int i = 0; i < SQL_COUNT_OF; i++)
        sqlite3_finalize((*db)->statements[i]);
    must(sqlite3_close((*db)->sqlite) == SQLITE_OK);
    free(*db);
    *db = NULL;
}
