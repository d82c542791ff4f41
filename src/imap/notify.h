#ifndef IMAP_NOTIFY_H
#define IMAP_NOTIFY_H

// NOTIFY (RFC 5465): what a session wants to be told, also while no command runs. Before the first NOTIFY s->notify is
// NULL, and only the selected mailbox is told of, by commands and IDLE. Other mailboxes are seen by a mail_watch, by
// name: what comes to be later is covered, too.
// Owner: the session. Threads: its loop.

#include "imap/list.h"
#include "imap/scope.h"
#include "imap/session.h"
#include "mail/watch.h"

enum imap_event {
    EVENT_NEW = 1,
    EVENT_EXPUNGE = 2,
    EVENT_FLAGS = 4,
    EVENT_MESSAGES = 7,
    EVENT_NAME = 8,
    EVENT_SUBSCRIPTION = 16,
    EVENT_METADATA = 32,
    EVENT_SERVER_METADATA = 64,
    EVENT_ANNOTATION = 128,  // known, but there are no annotations
    EVENT_UNKNOWN = 256,
};

struct imap_notify_group {
    struct imap_scope scope;
    unsigned events;
};

// What one NOTIFY command asks for; in one arena.
struct imap_wish {
    struct arena *arena;
    bool set, status;
    bool has_selected, delayed;
    unsigned selected;  // events of the selected mailbox
    struct span fetch;  // "(uid flags)", as it was written; SPAN_NONE: none
    struct imap_notify_group *groups;
    size_t group_count, group_room;
    struct imap_scope_size size;
    unsigned events;  // of all groups
};

struct imap_notify {
    struct imap_wish wish;
    struct mail_watch *watch;  // NULL: nothing but the selected mailbox
    struct timer gather;
    uint64_t told_ms, names_ms;  // when events were told; since when names wait
};

// The command from the space behind NOTIFY on. Breaks of rules are in c->parse.
void imap_notify_parse(struct imap_command *c, struct imap_wish *w);
// The events that are asked for of this mailbox.
unsigned imap_notify_events(const struct imap_wish *w, const struct tree_entry *e,
                            struct arena *a);
// Is the session to be told while no command runs?
bool imap_notify_pushes(const struct imap_session *s);
// Has the session used NOTIFY, and does not want to be told of the selected mailbox?
bool imap_notify_is_frozen(const struct imap_session *s);
// The flags of view_sync that NOTIFY adds.
unsigned imap_notify_view_flags(const struct imap_session *s);
// Are changed entries of this mailbox ("": the server) told? Without NOTIFY: those that ENABLE METADATA tells.
bool imap_notify_metadata(const struct imap_session *s, const struct tree_entry *mailbox,
                          struct arena *a);
bool imap_notify_any_metadata(const struct imap_session *s);
// Messages [first, last] of this mailbox were made by the session's own command.
void imap_notify_own(struct imap_session *s, const struct mailbox_ref *ref, uint32_t first,
                     uint32_t last);
// Suspends. STATUS: UIDVALIDITY and these.
enum imap_notify_item { NOTIFY_COUNTS = 1, NOTIFY_UNSEEN = 2, NOTIFY_MODSEQ = 4 };
void imap_notify_status(struct imap_session *s, unsigned items, const struct tree_entry *e);
// As NOTIFY NONE does.
void imap_notify_none(struct imap_session *s);
// Suspends. What the watch has seen, when it has waited for more.
void imap_notify_on_sync(struct imap_session *s, struct arena *a);

#endif
