#ifndef IMAP_STORE_H
#define IMAP_STORE_H

// STORE as its parameters (SLOT_STORE) and items (SLOT_STORE_ITEM: "+NAME.SILENT") see it: c->own while it runs.

#include "imap/session.h"
#include "mail/change.h"

struct imap_store;

struct imap_store_item {
    // Reads the value.
    void (*parse)(struct imap_command *c, struct imap_store *s);
    // Suspends. Changes and tells.
    enum result (*run)(struct imap_command *c, struct imap_store *s, struct fault *f);
};

struct imap_store {
    struct flag_change change;  // op and UNCHANGEDSINCE of all items; the rest of FLAGS
    bool silent;
    const struct imap_store_item *item;
    void *own;  // the item's
};

// The last of an item's run. Of `addressed` messages some failed UNCHANGEDSINCE, or all are told; those that numbers of the
// set stand for and that are expunged make it NO.
enum result imap_store_end(struct imap_command *c, const struct imap_store *s,
                           const struct flag_result *r, size_t addressed,
                           struct fault *f) MUST_CHECK;
// What a silent STORE tells on CONDSTORE-aware sessions.
void imap_store_tell_modseq(struct imap_command *c, const struct imap_store *s,
                            const struct flag_result *r);

#endif
