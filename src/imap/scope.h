#ifndef IMAP_SCOPE_H
#define IMAP_SCOPE_H

// A scope names mailboxes other than by the selected one: PERSONAL, SUBTREE and the like of NOTIFY (RFC 5465 section 6) and of
// ESEARCH (RFC 7377 section 2.2). It names what is there when it is asked, so what comes to be later is covered too.
// Owner: an arena. Threads: its session's loop.

#include "imap/session.h"
#include "mail/tree.h"

enum imap_scope_kind {
    SCOPE_PERSONAL,
    SCOPE_SUBSCRIBED,
    SCOPE_SUBTREE,
    SCOPE_SUBTREE_ONE,  // of ESEARCH alone
    SCOPE_MAILBOXES
};

struct imap_scope {
    enum imap_scope_kind kind;
    struct span names;  // canonical ones, each behind two octets of its length
};

// How much one command names; more than the limits fails it with `over`.
struct imap_scope_size {
    size_t names, octets;
    enum fault_kind over;
};
void imap_scope_charge(struct imap_command *c, struct imap_scope_size *size, size_t names,
                       size_t octets);

// From the specifier's word on; its names go to the arena. Breaks of rules are in c->parse.
void imap_scope_parse(struct imap_command *c, struct span word, struct arena *a,
                      struct imap_scope_size *size, struct imap_scope *out);
// `name` is the entry's canonical one.
bool imap_scope_covers(const struct imap_scope *s, const struct tree_entry *e,
                       struct span name);

#endif
