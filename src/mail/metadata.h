#ifndef MAIL_METADATA_H
#define MAIL_METADATA_H

// Entries of METADATA (RFC 5464): named values of a mailbox or of the server. They are META records of the account that
// owns the mailbox, "/shared/x" once and "/private/x" for each user apart. The server's shared entries are settings; its
// private ones belong to the user's own account. "/private/specialuse" of a mailbox is the tree's (RFC 6154 section 4).
// Owner: the caller's arena. Threads: the session's loop; all but names suspend.
// Trust: names and values are the client's; caps in limits.def.

#include "mail/tree.h"
#include "mail/watch.h"

// Where entries are: a mailbox, or the server (mailbox 0).
struct metadata_place {
    const struct mail_user *by;
    struct account *account;  // borrowed from the user
    struct span prefix;       // of the mounted tree, SPAN_NONE for the own one
    uint64_t mailbox;
    uint64_t user;  // whose private entries
    uint32_t rights;
};

// The place of this name, "" for the server, by mail_access. RFC 5464 section 3.3: FAULT_NOPERM without any of r, s, w, i, p.
enum result metadata_place(struct mail_user *u, struct span name,
                           struct metadata_place *out, struct fault *f) MUST_CHECK;

// The canonical (lower case) form of an entry name. R_FAIL when it cannot be one (RFC 5464 section 3.2). `root`: also
// names that only have entries below them ("/private", "/shared/vendor/x").
enum result metadata_name(struct arena *a, struct span given, bool root,
                          struct span *out) MUST_CHECK;

struct metadata_value {
    size_t size;
    struct span octets;  // SPAN_NONE when larger than was asked for
};
// R_NONE: the entry has no value. R_FAIL: the mailbox, or the right to its entries, went since the place was asked for. Names are
// canonical ones, here and below.
enum result metadata_get(const struct metadata_place *p, struct span name, uint32_t max,
                         struct arena *a, struct metadata_value *out) MUST_CHECK;
// Names of the entries below `name`, sorted; `deep`: of those below these, too. R_FAIL as metadata_get.
enum result metadata_below(const struct metadata_place *p, struct span name, bool deep,
                           struct arena *a, struct span **names_out,
                           size_t *n_out) MUST_CHECK;

struct metadata_entry {
    struct span name;
    struct span value;  // SPAN_NONE removes
};
struct metadata_change {
    const struct metadata_entry *entries;  // of one name the last one counts
    size_t n;
    // out, in the arena: the mailbox that lost its special use to this one; SPAN_NONE: none
    struct span robbed;
};
// All or nothing, as one commit. FAULT_TOOBIG (a value), FAULT_METADATATOOMANY, FAULT_OVERQUOTA (all values),
// FAULT_NOPERM, FAULT_USEATTR.
enum result metadata_set(const struct metadata_place *p, struct metadata_change *change,
                         struct arena *a, struct fault *f) MUST_CHECK;

struct metadata_told {
    // as it was when this was taken, without has_children; its name is "" for the server
    const struct tree_entry *mailbox;
    struct span *names;  // sorted
    size_t n;
};
// For a watch of WATCH_METADATA: what others changed since the last time, by mailbox. Too much for LIMIT_metadata_events:
// all entries there are.
void metadata_watch_take(struct mail_watch *w, struct arena *a, struct metadata_told **out,
                         size_t *n_out);

#endif
