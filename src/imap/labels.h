#ifndef IMAP_LABELS_H
#define IMAP_LABELS_H

// Labels as Gmail's extensions write them: names of mailboxes, and "\Inbox" and others for those with a special use, for
// \Flagged and for $Important. Owner: a command. Threads: the session's loop.

#include "imap/session.h"
#include "mail/labels.h"
#include "search/query.h"

struct imap_search;

enum imap_label_kind { LABEL_NAME, LABEL_USE, LABEL_STARRED, LABEL_IMPORTANT };
struct imap_label {
    enum imap_label_kind kind;
    enum special_use use;  // LABEL_USE; USE_NONE: INBOX
    struct span name;      // LABEL_NAME, UTF-8
};
// "\Inbox", "\\Inbox" in quotes, or a mailbox name. FAULT_CANNOT for what no system label is.
struct imap_label imap_label_parse(struct parse *p);
// Suspends. The mailbox of a LABEL_NAME or LABEL_USE in the view's account. R_NONE: there is none. FAULT_CANNOT: it is in
// another account.
enum result imap_label_find(struct imap_command *c, struct view *v,
                            const struct imap_label *l, struct label_target *out,
                            struct fault *f) MUST_CHECK;

// The label as a search key, looked up when the search begins: the messages that have it.
void imap_label_search(struct imap_search *s, const struct imap_label *l, struct query *q);

// The labels of messages of the selected mailbox, a batch at a time.
struct imap_labels;
struct imap_labels *imap_labels_new(struct imap_command *c);
void imap_labels_free(struct imap_labels **l);  // takes NULL
// Suspends. The batch must live until the next one.
enum result imap_labels_next(struct imap_labels *l, const struct view_message *batch,
                             size_t n, struct fault *f) MUST_CHECK;
// "(\"\\\\Inbox\" foo)" of one message of the batch.
void imap_labels_put(struct imap_labels *l, struct buf *b,
                     const struct view_message *message);

#endif
