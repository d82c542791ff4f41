#include "auth/userdb_inside.h"
#include "base/hash.h"

#include <errno.h>
#include <sys/stat.h>

enum { SCHEMA_VERSION = 5, APPLICATION_ID = 0x50485553 };  // "PHUS"

static const char *const sql_text[] = {
#define SQL(name, text) text,
#include "auth/userdb_sql.def"
#undef SQL
};

// One step per version of the schema, from an empty file on. What a step says never changes.
static const char *const schema_steps[SCHEMA_VERSION] = {
    "CREATE TABLE users (name TEXT PRIMARY KEY, account INTEGER NOT NULL UNIQUE,"
    " disabled INTEGER NOT NULL, hash TEXT NOT NULL, scram TEXT, changed INTEGER NOT NULL)"
    " WITHOUT ROWID, STRICT;"
    "CREATE TABLE retired (account INTEGER PRIMARY KEY, name TEXT NOT NULL,"
    " since INTEGER NOT NULL) STRICT;"
    "CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, "
    "STRICT;"
    "PRAGMA user_version = 1;"
    "PRAGMA application_id = 1346917715;",
    // scram1: SCRAM-SHA-1 keys; nets: networks that the user may log in from, separated by spaces
    "ALTER TABLE users ADD COLUMN scram1 TEXT;"
    "ALTER TABLE users ADD COLUMN nets TEXT;"
    "CREATE TABLE groups (name TEXT PRIMARY KEY, since INTEGER NOT NULL)"
    " WITHOUT ROWID, STRICT;"
    "CREATE TABLE members (name TEXT NOT NULL, account INTEGER NOT NULL,"
    " PRIMARY KEY (name, account)) WITHOUT ROWID, STRICT;"
    "CREATE INDEX members_account ON members (account);"
    // times are seconds since 1970, 0: never; protocols separated by spaces, empty: all
    "CREATE TABLE app_passwords (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " account INTEGER NOT NULL, label TEXT NOT NULL, digest BLOB NOT NULL UNIQUE,"
    " protocols TEXT NOT NULL, read_only INTEGER NOT NULL, expires INTEGER NOT NULL,"
    " created INTEGER NOT NULL, used INTEGER NOT NULL, used_from TEXT NOT NULL,"
    " UNIQUE (account, label)) STRICT;"
    "PRAGMA user_version = 2;",
    // address: local@domain, a bare name, or @domain; target: the same; send: the target's users may send as the address.
    // user_settings: what `user set` says of an account, where it is not the default
    "CREATE TABLE addresses (address TEXT NOT NULL, target TEXT NOT NULL, send INTEGER NOT "
    "NULL,"
    " since INTEGER NOT NULL, PRIMARY KEY (address, target)) WITHOUT ROWID, STRICT;"
    "CREATE TABLE user_settings (account INTEGER NOT NULL, name TEXT NOT NULL, value TEXT "
    "NOT NULL,"
    " PRIMARY KEY (account, name)) WITHOUT ROWID, STRICT;"
    "PRAGMA user_version = 3;",
    // source: the outer database that knows the user; NULL: ours
    "ALTER TABLE users ADD COLUMN source TEXT;"
    "PRAGMA user_version = 4;",
    // kept: the database that knew who was deleted; the name is nobody's until `user undelete` or `user add`
    "ALTER TABLE retired ADD COLUMN kept TEXT;"
    "CREATE UNIQUE INDEX retired_kept ON retired (name) WHERE kept IS NOT NULL;"
    "PRAGMA user_version = 5;",
};

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

enum result
userdb_failed(struct userdb *db, struct fault *f)
{
    int code = sqlite3_extended_errcode(db->sqlite);
    return fault_set(f, kind_of(code), "user database: %s (%d)", sqlite3_errmsg(db->sqlite),
                     code);
}

static enum result
run(struct userdb *db, const char *sql, struct fault *f)
{
    return sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK
               ? R_OK
               : userdb_failed(db, f);
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
    enum result r = rc == SQLITE_OK ? R_OK : userdb_failed(db, f);
    sqlite3_finalize(s);
    return r;
}

static enum result
check_version(struct userdb *db, int64_t *version_out, struct fault *f)
{
    int64_t version = 0, id = 0;
    if (pragma_number(db, "PRAGMA user_version", &version, f) ||
        pragma_number(db, "PRAGMA application_id", &id, f))
        return R_FAIL;
    bool fresh = version == 0 && id == 0;
    if (id == APPLICATION_ID && version > SCHEMA_VERSION)
        return fault_set(f, FAULT_CORRUPTION,
                         "the user database has format %lld, this program knows up to %d: "
                         "use a newer one",
                         (long long)version, SCHEMA_VERSION);
    if (!fresh && (id != APPLICATION_ID || version < 1))
        return fault_set(f, FAULT_CORRUPTION, "user database of unknown version %lld",
                         (long long)version);
    *version_out = version;
    return R_OK;
}

// All steps in one transaction: a crash leaves the old version.
static enum result
migrate(struct userdb *db, int64_t version, struct fault *f)
{
    enum result r = run(db, "BEGIN IMMEDIATE", f);
    for (; r == R_OK && version < SCHEMA_VERSION; version++)
        r = run(db, schema_steps[version], f);
    return r == R_OK ? run(db, "COMMIT", f) : R_FAIL;
}

static enum result
prepare_all(struct userdb *db, struct fault *f)
{
    for (int i = 0; i < SQL_COUNT_OF; i++)
        if (sqlite3_prepare_v3(db->sqlite, sql_text[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &db->statements[i], NULL) != SQLITE_OK)
            return userdb_failed(db, f);
    return R_OK;
}

static enum result
make_secret(struct userdb *db, struct fault *f)
{
    random_bytes(db->secret, SECRET_SIZE);
    must(sqlite3_bind_blob(db->statements[SQL_SECRET_ADD], 1, db->secret, SECRET_SIZE,
                           SQLITE_TRANSIENT) == SQLITE_OK);
    return userdb_change_one(db, SQL_SECRET_ADD, f);
}

static enum result
load_secret(struct userdb *db, struct fault *f)
{
    sqlite3_stmt *s = db->statements[SQL_SECRET];
    enum result r = userdb_step(db, SQL_SECRET, f);
    if (r == R_OK && sqlite3_column_bytes(s, 0) == SECRET_SIZE)
        memcpy(db->secret, sqlite3_column_blob(s, 0), SECRET_SIZE);
    else if (r == R_OK)
        r = fault_set(f, FAULT_CORRUPTION, "user database with a wrong secret");
    userdb_settle(db, SQL_SECRET);
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
    int64_t version = 0;
    if (run(db, locking, f) || check_version(db, &version, f) || run(db, pragmas, f) ||
        (version < SCHEMA_VERSION && migrate(db, version, f)) || prepare_all(db, f) ||
        load_secret(db, f))
        return R_FAIL;
    return userdb_read_count(db, SQL_COUNT, &db->count, f);
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
        return db->sqlite ? userdb_failed(db, f)
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
