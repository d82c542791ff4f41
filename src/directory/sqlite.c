#include "directory/directory_inside.h"
#include "directory/template.h"
#include "base/clock.h"
#include "base/limits.h"

#include <sqlite3.h>
#include <sys/stat.h>

// A file of SQLite, opened for reading. One that was put in its place is opened instead.
enum { BUSY_MS = 1000, STEPS = 10000 };

struct sqlite {
    const struct directory_settings *settings;
    struct buf sql;
    struct template_params params;
    sqlite3 *db;
    sqlite3_stmt *query;
    dev_t device;
    ino_t inode;
    uint64_t deadline_ms;
};

static const char *
path_of(const struct directory_settings *s)
{
    return s->sql.connection + strlen("sqlite:");
}

static enum result
check(const struct directory_settings *s, struct fault *f)
{
    if (path_of(s)[0] != '/')
        return fault_set(f, FAULT_BAD, "userdb_sql_connection: \"sqlite:/path\"");
    return directory_check_query(s, '?', f);
}

static void *
open_kind(const struct directory_settings *s)
{
    struct fault f;
    struct sqlite *q = calloc(1, sizeof *q);
    must(q != NULL);
    q->settings = s;
    buf_init(&q->sql, LIMIT_line);
    must(template_sql(span_str(s->sql.query), '?', &q->sql, &q->params, &f) == R_OK);
    return q;
}

static void
disconnect(struct sqlite *q)
{
    sqlite3_finalize(q->query);
    must(sqlite3_close(q->db) == SQLITE_OK);
    q->query = NULL;
    q->db = NULL;
}

static enum result
failed(struct sqlite *q, struct fault *f)
{
    return fault_set(f, FAULT_UNAVAILABLE, "SQLite: %s",
                     q->db ? sqlite3_errmsg(q->db) : "out of memory");
}

static int
on_steps(void *arg)
{
    struct sqlite *q = arg;
    return clock_mono_ms() > q->deadline_ms;
}

static enum result
connect(struct sqlite *q, const struct stat *now, struct fault *f)
{
    disconnect(q);
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    if (sqlite3_open_v2(path_of(q->settings), &q->db, flags, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(q->db, BUSY_MS) != SQLITE_OK ||
        sqlite3_exec(q->db, "PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY", NULL,
                     NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v3(q->db, q->sql.p, (int)q->sql.n, SQLITE_PREPARE_PERSISTENT,
                           &q->query, NULL) != SQLITE_OK) {
        failed(q, f);
        disconnect(q);
        return R_FAIL;
    }
    if (q->query == NULL || !sqlite3_stmt_readonly(q->query)) {
        disconnect(q);
        return fault_set(f, FAULT_UNAVAILABLE,
                         "userdb_sql_query: no query that only reads");
    }
    if (sqlite3_bind_parameter_count(q->query) != (int)q->params.n) {
        disconnect(q);
        return fault_set(f, FAULT_UNAVAILABLE,
                         "userdb_sql_query: a variable is not in the first statement");
    }
    sqlite3_progress_handler(q->db, STEPS, on_steps, q);
    q->device = now->st_dev;
    q->inode = now->st_ino;
    return R_OK;
}

static enum result
ready(struct sqlite *q, struct fault *f)
{
    struct stat now;
    if (stat(path_of(q->settings), &now) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, path_of(q->settings));
    if (q->db != NULL && now.st_ino == q->inode && now.st_dev == q->device)
        return R_OK;
    return connect(q, &now, f);
}

static void
bind(struct sqlite *q, struct span name)
{
    for (size_t i = 0; i < q->params.n; i++) {
        struct span v = template_value(q->params.order[i], name);
        must(sqlite3_bind_text(q->query, (int)i + 1, v.n > 0 ? v.p : "", (int)v.n,
                               SQLITE_TRANSIENT) == SQLITE_OK);
    }
}

static enum result
take_row(struct sqlite *q, struct directory_user *out, struct fault *f)
{
    for (int i = 0; i < sqlite3_column_count(q->query); i++) {
        const void *p = sqlite3_column_text(q->query, i);
        struct span value = span_of(p, p ? (size_t)sqlite3_column_bytes(q->query, i) : 0);
        struct span field = span_str(sqlite3_column_name(q->query, i));
        if (p != NULL && directory_user_take(out, field, value, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
step(struct sqlite *q, struct directory_user *out, struct fault *f)
{
    int rc = sqlite3_step(q->query);
    if (rc == SQLITE_DONE)
        return R_NONE;
    if (rc != SQLITE_ROW)
        return failed(q, f);
    if (take_row(q, out, f) != R_OK)
        return R_FAIL;
    rc = sqlite3_step(q->query);
    if (rc == SQLITE_ROW)
        return fault_set(f, FAULT_BAD, "the query gives several users");
    return rc == SQLITE_DONE ? R_OK : failed(q, f);
}

static enum result
find(void *kind, struct span name, struct directory_user *out, struct fault *f)
{
    struct sqlite *q = kind;
    q->deadline_ms = clock_mono_ms() + LIMIT_directory_ms;
    if (ready(q, f) != R_OK)
        return R_FAIL;
    bind(q, name);
    enum result r = step(q, out, f);
    sqlite3_reset(q->query);
    sqlite3_clear_bindings(q->query);
    return r;
}

// ---- all users ----

static const char *
column_name(const void *row, size_t i)
{
    return sqlite3_column_name((sqlite3_stmt *)(uintptr_t)row, (int)i);
}

static struct span
column_value(const void *row, size_t i)
{
    sqlite3_stmt *query = (sqlite3_stmt *)(uintptr_t)row;
    const void *p = sqlite3_column_text(query, (int)i);
    return span_of(p, p ? (size_t)sqlite3_column_bytes(query, (int)i) : 0);
}

static enum result
put_all(struct sqlite *q, sqlite3_stmt *query, struct buf *out, struct fault *f)
{
    struct directory_row row = {.n = (size_t)sqlite3_column_count(query),
                                .column = column_name,
                                .value = column_value,
                                .row = query};
    int rc;
    while ((rc = sqlite3_step(query)) == SQLITE_ROW && !out->over)
        directory_put_row(out, &row);
    return rc == SQLITE_DONE || out->over ? R_OK : failed(q, f);
}

static enum result
list(void *kind, struct buf *out, struct fault *f)
{
    struct sqlite *q = kind;
    sqlite3_stmt *query = NULL;
    if (q->settings->sql.iterate[0] == '\0')
        return R_NONE;
    q->deadline_ms = clock_mono_ms() + LIMIT_directory_list_ms;
    if (ready(q, f) != R_OK)
        return R_FAIL;
    if (sqlite3_prepare_v3(q->db, q->settings->sql.iterate, -1, 0, &query, NULL) !=
        SQLITE_OK)
        return failed(q, f);
    enum result r =
        query != NULL && sqlite3_stmt_readonly(query)
            ? put_all(q, query, out, f)
            : fault_set(f, FAULT_BAD, "userdb_sql_iterate_query: no query that only reads");
    sqlite3_finalize(query);
    return r;
}

static void
warm(const struct directory_settings *s)
{
    (void)s;
    must(sqlite3_initialize() == SQLITE_OK);
}

const struct directory_kind sqlite_kind = {
    .check = check, .warm = warm, .open = open_kind, .find = find, .list = list};
