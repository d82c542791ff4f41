#ifndef SEARCH_THREADING_H
#define SEARCH_THREADING_H

// Threading puts messages into trees, by RFC 5256 section 3 (ORDEREDSUBJECT, REFERENCES) and draft-ietf-morg-inthread
// section 4 (REFS: as REFERENCES, but subjects join nothing, and the thread that got the latest message is the last one).
// Ids and subjects are kept as 128-bit keyed hashes, so that what a message says costs the same however long it is, and
// nobody can make two of them collide. Time: O(n log n) in the ids, whatever the references say; no recursion.
// Owner: an arena; memory is taken from the account's ledger (FAULT_LIMIT). Trust: none. Threads: one at a time.

#include "base/arena.h"
#include "search/ledger.h"

enum threading_kind { THREADING_SUBJECT, THREADING_REFERENCES, THREADING_REFS };

struct threading_message {
    uint32_t number;            // what the answer says
    int64_t sent_s, arrived_s;  // sent date (section 2.2) and INTERNALDATE
    struct span
        message_id;  // in the form of mime/message_id.h; those that are not valid are ignored
    struct span references;   // the same, one NUL between two
    struct span in_reply_to;  // asked where there are no references
    struct span subject;      // base subject, folded for the comparator
    bool reply;               // the subject says reply or forward
};

struct threading;
// messages: about how many will come.
struct threading *threading_new(enum threading_kind kind, uint64_t messages,
                                struct search_ledger *ledger, struct arena *a);
// In the order of sequence numbers. Does not suspend.
enum result threading_add(struct threading *t, const struct threading_message *m,
                          struct fault *f) MUST_CHECK;
// Suspends. Links what was added since the last call; now and then, since it is kept until then.
enum result threading_settle(struct threading *t, struct fault *f) MUST_CHECK;
// Suspends. After the last message.
enum result threading_build(struct threading *t, struct fault *f) MUST_CHECK;

// The threads in the order of the answer: each opens, has members and sub-threads, and closes.
enum threading_step { THREADING_OPEN, THREADING_CLOSE, THREADING_MEMBER, THREADING_END };
enum threading_step threading_next(struct threading *t, uint32_t *number_out);

#endif
