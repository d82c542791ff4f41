#ifndef IMAP_STATUS_H
#define IMAP_STATUS_H

// STATUS items (RFC 9051 section 6.3.11): what SLOT_STATUS words stand for.
// Owner: static tables; a parsed list belongs to the command.

#include "imap/session.h"
#include "mail/tree.h"

struct imap_status_item {
    void (*put)(struct buf *b, const struct tree_entry *e);  // the value
    // Suspends. Finds what is not in every entry, when it is asked for; may be NULL. R_NONE: the mailbox may not be read any more.
    enum result (*find)(struct mail_user *u, struct tree_entry *e, struct fault *f);
};
enum { STATUS_ITEMS_MAX = 16 };
enum { STATUS_AWARE = 1 };  // value of the word: enables CONDSTORE

struct imap_status {
    const struct imap_word *items[STATUS_ITEMS_MAX];
    unsigned count;
};

// "(MESSAGES UNSEEN)"
struct imap_status *imap_status_parse(struct imap_command *c, struct parse *p);
void imap_status_send(struct imap_session *s, const struct imap_status *st,
                      const struct tree_entry *e);

#endif
