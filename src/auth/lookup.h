#ifndef AUTH_LOOKUP_H
#define AUTH_LOOKUP_H

// Lookup tells what an address is: a user (by the whole address, or by the local part when the domain is ours), an entry of
// the table of addresses, or neither. "ann" logs in as "ann", mail comes to ann+lists@example.org (RFC 5233).
// Tried in this order: the whole address, then the local part alone, each as a user and then as an alias; the same without
// +detail; a domain alias; the catch-all. A disabled user ends it: no alias or catch-all takes what was theirs.
// Trust: the address is a stranger's text, already unquoted.

#include "auth/address.h"

// Who is called so? R_NONE: nobody; R_FAIL: it cannot be said now. Names are normal forms.
typedef enum result lookup_find_fn(void *arg, struct span name, struct user *out,
                                   struct fault *f);

struct lookup_rules {
    // ours, separated by spaces; empty: any domain's local part may be a bare user name
    struct span domains;
    struct span
        delimiters;  // each of these characters begins the detail; empty: there is none
    lookup_find_fn *find;  // NULL: the user database alone
    void *arg;
};

enum lookup_kind {
    LOOKUP_USER,
    LOOKUP_DISABLED,
    LOOKUP_ALIAS,
    LOOKUP_DOMAIN,  // a domain alias or a catch-all
    LOOKUP_REMOTE,  // of a domain that is not ours
    LOOKUP_UNKNOWN,
};

struct lookup_found {
    enum lookup_kind kind;
    struct user user;    // USER, DISABLED
    struct name entry;   // ALIAS, DOMAIN: its address in the table
    struct span detail;  // borrowed from the address, or empty
};

enum result lookup_address(struct userdb *db, const struct lookup_rules *rules,
                           struct span address, struct lookup_found *out,
                           struct fault *f) MUST_CHECK;
// Users alone: R_NONE when there is no such user or it is disabled. *detail_out is borrowed from `address`, or empty.
enum result lookup_recipient(struct userdb *db, const struct lookup_rules *rules,
                             struct span address, struct user *out, struct span *detail_out,
                             struct fault *f) MUST_CHECK;
// One of our domains, by the rules or by an entry of the table. R_NONE: it is not.
enum result lookup_domain(struct userdb *db, const struct lookup_rules *rules,
                          struct span domain, struct fault *f) MUST_CHECK;
// "local@domain" in its normal form, or the local part where the domain is empty. R_NONE: it can be nobody's.
enum result lookup_join(struct span local, struct span domain, struct name *out) MUST_CHECK;
// May the local part alone name somebody in this domain?
bool lookup_is_ours(const struct lookup_rules *rules, struct span domain);
// Is it one of `domains`? *first_out: and the first.
bool lookup_is_listed(const struct lookup_rules *rules, struct span domain,
                      bool *first_out);

#endif
