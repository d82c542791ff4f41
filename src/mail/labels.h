#ifndef MAIL_LABELS_H
#define MAIL_LABELS_H

// Labels: to a client of Gmail's extensions the mailboxes of an account are labels of its messages. A message has the
// labels of all mailboxes that hold it (by EMAILID); the mailbox that is looked into is not listed.
// docs/decisions/0009-labels.md. All functions suspend.

#include "mail/change.h"
#include "mail/tree.h"

struct label {
    uint64_t mailbox;
    struct span name;  // full, UTF-8, as the user sees it
    enum special_use use;
    bool inbox;
    void *own;  // the caller's
};

struct label_list {
    struct label **labels;  // in the order their mailboxes were made
    size_t n;
    bool important;  // the message has $Important (RFC 8457)
};

// Owner: who made it, for one view. It knows the labels met so far.
struct label_reader;
struct label_reader *label_reader_new(struct mail_user *u, struct view *v, struct arena *a);
void label_reader_free(struct label_reader **r);  // takes NULL
enum result label_reader_next(struct label_reader *r, const struct view_message *messages,
                              size_t n, struct arena *a, struct label_list *out,
                              struct fault *f) MUST_CHECK;

// The mailbox of this special use in the view's account, 0 when there is none; USE_NONE: INBOX.
enum result label_of_use(struct view *v, enum special_use use, uint64_t *mailbox_out,
                         struct fault *f) MUST_CHECK;
// UIDs of the view's messages that the mailbox holds too.
enum result label_holders(struct view *v, uint64_t mailbox, struct arena *a,
                          struct seqset *out, struct fault *f) MUST_CHECK;

// ---- the account's mode ----

// In folders mode (the default) copies have flags of their own. In labels mode flags belong to the message and the mailbox
// with the special use \\All holds every message.
struct label_switch {
    bool was, on;  // labels mode
    bool dry_run;
    struct span all;          // name of that mailbox; empty: there is none
    bool made, kept;          // it was made; it stays as an ordinary mailbox, for `alone`
    uint64_t messages;        // of the account, each once
    uint64_t added;           // put into \\All
    uint64_t copies, flags;   // second copies removed; copies that got other flags
    uint64_t removed, alone;  // taken out of \\All; in no other mailbox
};
// Suspends. One commit, besides the making of an empty mailbox that nobody can select yet; dry_run: nothing is done.
// Flags and keywords of copies that differ are united. Names are in the arena.
enum result label_switch(struct mail_user *u, bool on, bool dry_run, struct arena *a,
                         struct label_switch *out, struct fault *f) MUST_CHECK;

// ---- STORE of labels ----

// +X-GM-LABELS is a copy into that mailbox, -X-GM-LABELS an expunge there; all of it is one commit. \Starred is \Flagged,
// \Important is $Important.
struct label_target {
    uint64_t mailbox;  // of the view's account
    uint32_t rights;
};
struct label_change {
    enum flag_op op;
    const struct label_target *targets;
    size_t target_count;
    bool starred, important;
    bool has_unchangedsince;  // RFC 7162 section 3.1.3
    uint64_t unchangedsince;
};
struct label_result {
    struct flag_result
        flags;  // of those that are still in the view's mailbox; `changed` has names only
    bool left;  // some are not
    size_t addressed;    // all but the failed ones
    struct label_gain {  // the copies that were made: of each target that got some
        const struct label_target *target;
        struct seqset uids;
    } * gains;
    size_t gain_count;
};
// FAULT_CANNOT, and nothing is done, when a message would be in no mailbox any more; FAULT_NOPERM when a right is missing
// that is needed. The modseq of a message rises in every mailbox that holds it, when its labels change.
enum result change_labels(const struct selection *sel, const struct label_change *change,
                          struct arena *a, struct label_result *out,
                          struct fault *f) MUST_CHECK;

#endif
