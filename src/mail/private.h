#ifndef MAIL_PRIVATE_H
#define MAIL_PRIVATE_H

// What is a user's own on messages that others see too: \Seen, and what the setting private_flags names (RFC 7162 section 2:
// "private"). Of the owner of the account these flags are in the rows, of everybody else in sets, one for each user and
// mailbox, loaded when first asked for. The owner has a set too once others know the account: it holds the modseqs of
// changes that were not told to others, whose rows stay as they were.
// Only files of mail/ include this. Threads: the account's home.

#include "mail/home.h"
#include "wire/seqset.h"

struct private_entry {
    uint32_t uid;
    uint16_t flags;
    uint64_t modseq;
};

// Ascending by UID.
struct private_list {
    struct private_entry *p;
    size_t n, cap;
};

struct private_set {
    struct private_set *next;  // of the mailbox
    uint64_t user;
    struct private_list list;
    struct private_list gone;  // of expunged messages, while a view may show them
    uint32_t seen;             // of `list`
    uint64_t modseq;           // highest that was in `list`
    uint64_t batch;            // that changes it: its outcome is not known before
    uint64_t used_ms;
    unsigned refs;
    bool loaded;
    bool first_known;
    uint32_t first_unseen;  // sequence number in the table
};

// The user of a change or a view; NULL is the owner, as deliveries are.
uint64_t private_user(const struct account *a, const struct mail_user *u);
bool private_foreign(const struct account *a, uint64_t user);
// Flags that are not in the rows: of a foreign user those of the setting, of the owner none.
uint16_t private_mask(const struct account *a, uint64_t user);
// Are the owner's changes of private flags kept from others here?
bool private_apart(struct account *a, const struct mailbox *m);

// Suspends; not between mailbox_read_begin and _end. The user's set of a mailbox: loaded, until private_close.
enum result private_open(struct account *a, struct mailbox *m, uint64_t user,
                         struct private_set **out, struct fault *f) MUST_CHECK;
// The same in a change.
enum result private_open_here(struct account *a, struct mailbox *m, uint64_t user,
                              struct private_set **out, struct fault *f) MUST_CHECK;
void private_close(struct private_set *s);  // takes NULL
// Drops sets that nobody uses and that were not used since.
void private_rest(struct mailbox *m, uint64_t before_ms);
void private_free(struct mailbox *m);

// The entry of a UID, looked for from *at on, or NULL. *at is quickest when UIDs ascend.
const struct private_entry *private_find(const struct private_list *l, uint32_t uid,
                                         size_t *at);
// The row as the view's user sees it.
void private_overlay(struct view *v, struct message_row *row, bool ghost);
// The row's modseq as that user sees it.
uint64_t private_modseq(struct view *v, const struct message_row *row);
static inline bool
private_overlaid(const struct view *v)
{
    return v->mine.mask != 0 || v->mine.set->list.n > 0 || v->mine.set->gone.n > 0;
}
// Counts as the user of the set sees them. With UNSEEN: how many are unseen; HIGHESTMODSEQ.
uint32_t private_unseen(const struct account *a, const struct mailbox *m,
                        const struct private_set *s);
uint64_t private_highest(const struct mailbox *m, const struct private_set *s);
// Both into `counts`, where nothing must be loaded for them; else false, and private_open is due.
bool private_counts(const struct account *a, const struct mailbox_state *s, uint64_t user,
                    struct mailbox_counts *counts);
// Sequence number in the table of the first unseen message, 0 when there is none. Table loaded.
uint32_t private_first_unseen(struct mailbox *m, struct private_set *s);
// Everything that was applied to the mailbox, seen by whom ever, has at most this modseq.
uint64_t private_position(const struct mailbox *m);

// Puts a PRIVATES record, when there are entries: they ascend, their modseqs are not looked at. No change_room.
struct private_put {
    struct mailbox *
        mailbox;  // NULL: the one that the batch makes, `made`, and the user is not the owner
    uint64_t user, modseq;
    const struct private_entry *entries;
    size_t n;
    uint64_t made;
};
void private_put(struct account *a, struct store_batch *b, const struct private_put *p);
enum { PRIVATE_OCTETS = 10, PRIVATE_RECORD = 512 };  // of an entry, and besides, at most

// private_move.c: what others than the owner and who moves have on messages that go to another mailbox of the account goes
// with them. In a change.
struct private_others {
    struct private_set **sets;
    size_t n;
};
// Suspends; before anything is put. Their sets, until private_others_close, in any case. R_NONE: one changes in this batch.
enum result private_others_open(struct account *a, struct mailbox *m, uint64_t mover,
                                struct private_others *out, struct fault *f) MUST_CHECK;
void private_others_close(struct private_others *o);
// Octets of the records, at most. rows NULL: of all.
size_t private_others_octets(const struct private_others *o, const struct mailbox *m,
                             const uint32_t *rows, size_t n);
// `to`: mailbox or made, as in private_put. The UIDs correspond, in order.
void private_others_put(struct account *a, struct store_batch *b,
                        const struct private_others *o, const struct private_put *to,
                        const struct seqset *source, const struct seqset *target);

// A record was applied to the state.
void private_applied(struct account *a, enum record_type type, struct span meta);

#endif
