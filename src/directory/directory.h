#ifndef DIRECTORY_DIRECTORY_H
#define DIRECTORY_DIRECTORY_H

// A directory is a connection to each of the outer user databases that block: SQL and LDAP. It connects when it is first
// asked, again when a connection is lost, and takes no longer than LIMIT_directory_ms for an answer.
// Owner: one thread at a time. Trust: names passed name_of and are nothing but values in a query; what the database says is
// for the caller to check (password_check, nets_check). Nothing is ever written to it.

#include "auth/user_quota.h"
#include "auth/userdb.h"

// The settings of the same names (ctl/config.def); NULL and "" where there is none.
struct directory_settings {
    const char *passwd_file;
    struct {
        const char *connection, *password, *query;
        const char *iterate;  // "": users are not listed
    } sql;
    struct {
        const char *uri, *ca, *base, *bind_dn, *bind_password, *filter;
        const char *iterate, *iterate_attribute;
        const char *const *attributes;  // "password=userPassword"
        size_t attribute_count;
        bool starttls, bind;
    } ldap;
    struct {
        const char *service;
    } pam;
};

// What a database knows of one user. All texts as it has them.
struct directory_user {
    struct buf hash, networks, groups;
    struct user_quota quota;
    bool disabled;
    bool there;  // passwords are judged by directory_verify
};

void directory_user_init(struct directory_user *u);
void directory_user_done(struct directory_user *u);
void directory_user_reset(struct directory_user *u);
// Takes a field of an answer, by name: password, disabled, networks, groups, and those of
// user_quota_take. R_FAIL (FAULT_BAD) for a value that is too
// long or cannot be understood; other names are passed over.
enum result directory_user_take(struct directory_user *u, struct span field,
                                struct span value, struct fault *f) MUST_CHECK;

// Are these settings whole, and is that kind of database built in? R_FAIL (FAULT_BAD) says what is wrong.
enum result directory_check(enum user_source source, const struct directory_settings *s,
                            struct fault *f) MUST_CHECK;
// TCP ports that it connects to, at most `max`.
size_t directory_ports(enum user_source source, const struct directory_settings *s,
                       uint16_t *ports, size_t max);
// Loads what the libraries need, before the sandbox closes.
void directory_warm(const struct directory_settings *s);

struct directory;
struct directory *
directory_new(const struct directory_settings *s);  // which must outlive it

// R_NONE: no such user. R_FAIL: it cannot be said now; FAULT_UNAVAILABLE: of nobody, FAULT_BAD: the database answers, but not
// for this name. `out` is initialised and empty. A query that does not look at domains (%u, %d) knows no name with one:
// otherwise a user had as many names, and accounts, as there are domains.
enum result directory_find(struct directory *d, enum user_source source, struct span name,
                           struct directory_user *out, struct fault *f) MUST_CHECK;
// R_OK: it is their password; R_NONE: it is not, or there is no such user.
enum result directory_verify(struct directory *d, enum user_source source, struct span name,
                             struct span password, struct fault *f) MUST_CHECK;

// Names of all users, in their normal forms, as packed spans; what can be no name is passed over. R_NONE: the settings do not
// say how. Takes LIMIT_directory_list_ms at most. FAULT_UNAVAILABLE; FAULT_LIMIT: `out` is too small for them.
enum result directory_list_names(struct directory *d, enum user_source source,
                                 struct buf *out, struct fault *f) MUST_CHECK;
// Puts one of them; domain SPAN_NONE: `user` is all of it.
void directory_put_name(struct buf *out, struct span user, struct span domain);

// A host of this machine: what is said to it is seen by nobody else.
bool directory_is_local(struct span host);

#endif
