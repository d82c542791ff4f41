#ifndef MAIL_NAME_H
#define MAIL_NAME_H

// Names of mailboxes inside one account's tree: new levels are in NFC and all are compared in NFC (a name and
// its decomposed twin are the same); INBOX of the top level in any case. Threads: the account's home.

#include "mail/user.h"

struct span name_compose(struct arena *a, struct span name);  // NFC
// UTF-8 without controls, line or paragraph separators, or a byte order mark in front (RFC 5198 section 2).
bool name_is_net_unicode(struct span name);
bool name_is_inbox(struct span name);
struct mailbox_state *name_find_level(struct account *a, uint64_t parent,
                                      struct span level);              // NULL: none
struct mailbox_state *name_find(struct account *a, struct span name);  // NULL: none
// The same, level by level: the one of exactly that name, else one that differs in case only. NULL: none.
struct mailbox_state *name_find_any_case(struct account *a, struct span name);
// The mailbox was made, named or deleted by a record that is applied now.
void name_changed(struct account *a, uint64_t id);
void names_free(struct account *a);
struct span name_full(struct arena *a, struct state *s, const struct mailbox_state *m);
bool name_has_children(const struct state *s, uint64_t id);

#endif
