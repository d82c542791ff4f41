#ifndef AUTH_ADDRESS_H
#define AUTH_ADDRESS_H

// The table of addresses in the user database. An alias: "sales@x.org" -> "ann", "bob@y.org"; without a domain it holds in
// all of ours. A domain alias: "@old.org" -> "@new.org". A catch-all: "@x.org" -> "ann". What they come to: auth/resolve.h.
// Trust: entries come from the administrator; address_of checks what anybody sends. Threads: the database's.

#include "auth/userdb.h"
#include "base/arena.h"

// The one form of an address, as of a user's name (auth/name.h): local part unquoted, lower case, NFC. "local@domain", "local",
// "@domain". R_FAIL (FAULT_BAD): none of these, or white space, control characters or '/' in it.
enum result address_of(struct span s, struct name *out, struct fault *f) MUST_CHECK;
// The same of one that is elsewhere, or may be: its local part stays as it was given, since what it means is for others to say (RFC
// 5321 section 2.4). Of addresses here auth/resolve.h compares the one form.
enum result address_as_given(struct span s, struct name *out, struct fault *f) MUST_CHECK;
// Is this its one form?
bool address_is(struct span address, const struct name *form);
struct span address_local(struct span address);
struct span
address_domain(struct span address);          // behind the last '@'; SPAN_NONE without one
bool address_is_domain(struct span address);  // "@x.org"
// The local part without its quotes, as mail has it. R_FAIL: they do not close, or nothing is behind the '@'.
enum result address_unquote(struct span s, struct buf *out) MUST_CHECK;
// As SMTP writes it: the local part quoted where it must be (RFC 5321 section 4.1.2).
void address_print(struct span address, struct buf *out);

// All are normal forms, but for targets elsewhere. FAULT_ALREADYEXISTS; FAULT_LIMIT: LIMIT_address_targets; FAULT_BAD: not a pair that makes sense.
enum result address_add(struct userdb *db, struct span address, struct span target,
                        bool send, struct fault *f) MUST_CHECK;
// `target` empty: the whole entry. FAULT_NONEXISTENT.
enum result address_delete(struct userdb *db, struct span address, struct span target,
                           struct fault *f) MUST_CHECK;

struct address_row {
    struct span address, target;
    bool send;
};
// The rows of an entry, borrowed from the arena. R_NONE: there is no such entry.
enum result address_rows(struct userdb *db, struct span address, struct arena *a,
                         struct address_row **rows_out, size_t *n_out,
                         struct fault *f) MUST_CHECK;
typedef void address_each_fn(const struct address_row *row, void *arg);
// In order of address and target. fn must not use the table.
enum result address_each(struct userdb *db, address_each_fn *fn, void *arg,
                         struct fault *f) MUST_CHECK;

#endif
