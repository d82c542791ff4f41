#ifndef MAIL_LABEL_INDEX_H
#define MAIL_LABEL_INDEX_H

// Which mailboxes hold a stored message: EMAILID -> (mailbox, UID), for all messages of an account. Made from the
// tables when it is first needed, then kept by account_apply; dropped like a table. docs/decisions/0009-labels.md.
// Owner: the account. Threads: its home. Memory: some 32 octets for each row, in the budget.

#include "mail/home.h"

struct label_index;

// A mailbox that holds the message. `uid` is one of its `count` copies there, 0 when which one is not known.
struct label_place {
    uint64_t emailid;
    uint32_t slot;  // ascending with the mailbox's id
    uint32_t uid, count;
    uint32_t next;
};

// Suspends (first use). The index is whole until the next suspension, or, in a change, until its end.
enum result label_index_ready(struct account *a, struct fault *f) MUST_CHECK;
bool label_index_whole(const struct account *a);
// The places of one message, in no order; NULL after the last. Only while the index is whole.
const struct label_place *label_places(const struct account *a, uint64_t emailid);
const struct label_place *label_places_next(const struct account *a,
                                            const struct label_place *p);
uint64_t label_slot_mailbox(const struct account *a, uint32_t slot);
uint32_t label_slots(const struct account *a);
// The place in this mailbox; NULL when the message is not there.
const struct label_place *label_place_in(const struct account *a, uint64_t emailid,
                                         uint64_t mailbox);
bool label_held(const struct account *a, uint64_t emailid, uint64_t mailbox);

// A record is about to be applied, or was.
void label_index_before(struct account *a, enum record_type type, struct span meta);
void label_index_after(struct account *a, enum record_type type, struct span meta);
// Gives its memory back, unless it was used within that time. Octets that went.
size_t label_index_drop(struct account *a, uint64_t now_ms, uint64_t unused_ms);
void label_index_free(struct account *a);

#endif
