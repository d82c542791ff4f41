#ifndef DIRECTORY_DIRECTORY_INSIDE_H
#define DIRECTORY_DIRECTORY_INSIDE_H

// The kinds of databases behind directory.h, a row each. Threads: those of the directory.

#include "directory/directory.h"

// The machine of the database has what was sent to it within that time (TCP_USER_TIMEOUT): a connection that a firewall has
// forgotten is found dead while there is time to make another.
enum { DIRECTORY_UNHEARD_MS = 2000 };

struct directory_kind {
    enum result (*check)(const struct directory_settings *s, struct fault *f);
    size_t (*ports)(const struct directory_settings *s, uint16_t *ports, size_t max);
    void (*warm)(const struct directory_settings *s);
    void *(*open)(const struct directory_settings *s);
    enum result (*find)(void *kind, struct span name, struct directory_user *out,
                        struct fault *f);
    enum result (*verify)(void *kind, struct span name, struct span password,
                          struct fault *f);  // NULL: it gives hashes
    enum result (*list)(void *kind, struct buf *out, struct fault *f);
};

// Can userdb_sql_query be asked? FAULT_BAD. `sign` as template_sql wants it.
enum result directory_check_query(const struct directory_settings *s, char sign,
                                  struct fault *f) MUST_CHECK;

// Takes a row of userdb_sql_iterate_query: a column "user", or "username" and "domain"; else the first.
struct directory_row {
    size_t n;
    const char *(*column)(const void *row, size_t i);
    struct span (*value)(const void *row, size_t i);
    const void *row;
};
void directory_put_row(struct buf *out, const struct directory_row *row);

extern const struct directory_kind sqlite_kind;
#ifdef HAVE_LIBPQ
extern const struct directory_kind postgres_kind;
#endif
#ifdef HAVE_LDAP
extern const struct directory_kind ldap_kind;
#endif

#endif
