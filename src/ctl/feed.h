#ifndef CTL_FEED_H
#define CTL_FEED_H

// The command's side of `import`: finds the mailboxes under a path, reads them and sends parcels.
// Owner: feed_import's stack. Trust: whatever lies under the path; symbolic links are not followed.

#include "ctl/parcel.h"
#include "ctl/progress.h"
#include "ctl/verb.h"

struct feed_folder {
    const char *path;    // under the root
    struct span stored;  // as it is called there
    // where it goes, before the account's special-use folders are looked at
    struct span name;
};

struct feed {
    struct verb_client *client;
    struct span path, folder;  // --folder, or empty
    struct span uidl_format;   // ctl/uidl_format.h
    struct arena *arena;
    int root;
    struct buf out;
    struct feed_folder *folders;
    size_t count, cap;
    struct progress progress;
};

// A mailbox that was found; its stored name's levels are separated by `separator`. FAULT_LIMIT past LIMIT_mailboxes.
enum result feed_folder_add(struct feed *fd, const char *path, struct span stored,
                            char separator, struct fault *f) MUST_CHECK;
// The account's name for a name of the source: --folder, which may be empty, goes before it. In the arena where it is made.
struct span feed_name(struct arena *a, struct span folder, struct span name);

// Sends what waits when it is much.
enum result feed_flush(struct feed *fd, bool all, struct fault *f) MUST_CHECK;
enum result feed_send(struct feed *fd, enum parcel_kind kind, struct span payload,
                      struct fault *f) MUST_CHECK;
enum result feed_mailbox(struct feed *fd, const struct parcel_mailbox *m,
                         struct fault *f) MUST_CHECK;
enum result feed_message(struct feed *fd, const struct parcel_message *m,
                         struct fault *f) MUST_CHECK;
// Something is left out; goes on. R_FAIL as feed_flush.
enum result feed_problem(struct feed *fd, const char *where, const char *why,
                         struct fault *f) MUST_CHECK;

// Dovecot's list of what is subscribed to, where there is one: levels of version 1 have the separator between them.
enum result feed_subscriptions(struct feed *fd, const char *file, char separator,
                               struct fault *f) MUST_CHECK;

// feed_maildir.c, feed_mbox.c
enum result feed_maildir(struct feed *fd, struct fault *f) MUST_CHECK;
enum result feed_mbox(struct feed *fd, struct fault *f) MUST_CHECK;

#endif
