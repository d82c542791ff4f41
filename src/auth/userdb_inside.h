#ifndef AUTH_USERDB_INSIDE_H
#define AUTH_USERDB_INSIDE_H

// The inside of the user database, for the files of src/auth that keep something in it: one prepared statement for
// each row of userdb_sql.def. Bind, step, read the columns, settle. Threads: the one that opened it.

#include "auth/userdb.h"

#include <sqlite3.h>

enum { SECRET_SIZE = 32 };

enum sql {
#define SQL(name, text) SQL_##name,
#include "auth/userdb_sql.def"
#undef SQL
    SQL_COUNT_OF
};

struct userdb {
    sqlite3 *sqlite;
    sqlite3_stmt *statements[SQL_COUNT_OF];
    uint8_t secret[SECRET_SIZE];
    uint64_t count;
    bool in_transaction;
};

// What SQLite says went wrong.
enum result userdb_failed(struct userdb *db, struct fault *f);

// R_OK: a row is there; R_NONE: no more.
enum result userdb_step(struct userdb *db, enum sql which, struct fault *f) MUST_CHECK;
void userdb_settle(struct userdb *db, enum sql which);
void userdb_bind_text(struct userdb *db, enum sql which, int at, struct span s);
void userdb_bind_u64(struct userdb *db, enum sql which, int at, uint64_t v);
// Borrowed until the next step; SPAN_NONE for NULL.
struct span userdb_column_text(sqlite3_stmt *s, int at);

// Runs a statement that gives no rows; the number of changed rows goes to *changed_out.
enum result userdb_change(struct userdb *db, enum sql which, int *changed_out,
                          struct fault *f) MUST_CHECK;
// The same; FAULT_NONEXISTENT when nothing was changed.
enum result userdb_change_one(struct userdb *db, enum sql which,
                              struct fault *f) MUST_CHECK;
enum result userdb_read_count(struct userdb *db, enum sql which, uint64_t *out,
                              struct fault *f) MUST_CHECK;

#endif
