#ifndef MAIL_WATCH_H
#define MAIL_WATCH_H

// A watch: what others change in the trees that its user may see: messages of every mailbox, names, subscriptions, or
// entries of METADATA (metadata_watch_take). An account keeps what some watch was not told of; of messages that is one
// note per changed mailbox, so that a watch costs the same over any number of them. What the same mail_user does is not
// told.
// Owner: the session. Threads: the session's loop; open and take suspend.

#include "mail/tree.h"
#include "mail/view.h"

enum watch_kind {
    WATCH_NEW = 1,
    WATCH_EXPUNGED = 2,
    WATCH_FLAGS = 4,
    WATCH_UNSEEN = 8,     // flags changed, and with them how many messages are unseen
    WATCH_VALIDITY = 16,  // the name may stand for another mailbox than before
    WATCH_MESSAGES = 31,
    WATCH_NAME =
        32,  // made, deleted, renamed; the level above one that was made or deleted
    WATCH_SUBSCRIBED = 64,
    WATCH_METADATA = 128,  // alone
};

struct mail_watch;

// From now on. Trees are watched that may be looked up and read (WATCH_METADATA: RFC 5464 section 3.3).
struct mail_watch *mail_watch_open(struct mail_user *u, unsigned kinds, view_poke_fn *poke,
                                   void *arg);
void mail_watch_close(struct mail_watch **w);  // takes NULL; does not suspend
void mail_watch_kinds(struct mail_watch *w, unsigned kinds);  // other ones, from now on
unsigned mail_watch_pending(const struct mail_watch *w);      // kinds to be taken

struct watch_event {
    unsigned kinds;
    struct tree_entry entry;  // as it is now, perhaps nonexistent
    struct span old;          // the name before it was renamed, or SPAN_NONE
};
// What happened since the last time: names first, in the order in which they changed. R_NONE: it cannot be told, or more than
// LIMIT_watch_names changes of names, some are lost.
enum result mail_watch_take(struct mail_watch *w, struct arena *a, struct watch_event **out,
                            size_t *n_out) MUST_CHECK;

#endif
