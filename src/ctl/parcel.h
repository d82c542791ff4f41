#ifndef CTL_PARCEL_H
#define CTL_PARCEL_H

// Parcels carry mailboxes between the command's side, which has the files, and the verb, which has the store:
// {u8 kind, u32 octets, payload}. Import: ANNOUNCE for every name, then SUBSCRIBED, then for each mailbox MAILBOX and its
// messages, each MESSAGE, OCTETS in any number, END or ABORT. Export: the same the other way, without ANNOUNCE, DONE at
// the end.
// Trust: both ends belong to the administrator; sizes are checked all the same.

#include "base/arena.h"
#include "base/buf.h"
#include "wire/seqset.h"

enum parcel_kind {
    PARCEL_ANNOUNCE = 1,  // name
    PARCEL_SUBSCRIBED,    // name
    PARCEL_MAILBOX,
    PARCEL_MESSAGE,
    PARCEL_OCTETS,   // of the message
    PARCEL_END,      // the message is whole
    PARCEL_ABORT,    // it is not: why
    PARCEL_PROBLEM,  // something else had to be left out: why
    PARCEL_DONE,     // export: nothing follows
    PARCEL_ORIGIN,   // restore: after MESSAGE
    // Of a pull (pull/pull.h), and the two that answer it:
    PARCEL_USE,     // before ANNOUNCE: special use and name
    PARCEL_RECALL,  // name; STATE answers
    PARCEL_SAME,    // a mailbox that has not changed since
    PARCEL_OFFER,   // a message, which is fetched if WANT says so
    PARCEL_ASK,     // WANT answers
    PARCEL_SETTLE,  // state
    PARCEL_BROKEN,  // the source is gone: fault
    PARCEL_STATE,
    PARCEL_WANT,  // UIDs
    PARCEL_FACT,  // import and export, behind the mailboxes: what else belongs to the account
    PARCEL_KINDS,
};

enum { PARCEL_MAX = (1 << 20) + (1 << 13), PARCEL_HEAD = 5, PARCEL_PIECE = 32000 };

struct parcel_mailbox {
    struct span name;               // UTF-8, levels separated by '/'
    uint32_t uidvalidity, uidnext;  // 0: not known
    uint32_t messages;              // about so many follow
    struct span there;              // of a pull: what the source calls it; n 0: `name`
    bool altered;                   // it cannot be called so here
    uint8_t role;                   // enum pull_role
};

struct parcel_message {
    uint32_t uid;    // 0: not known
    uint16_t flags;  // enum message_flag
    bool has_date;
    int64_t date;
    int16_t zone_min;
    struct span where;  // file and place, for the person
    struct span *keywords;
    size_t keyword_count;
    struct span uidl;  // POP3's unique id; n 0: none of its own
    uint64_t size;     // of an offer
    struct span
        id;  // of an offer: the same in every mailbox that holds the message; n 0: not known
};

// "script", name, text; "active", name; "metadata", entry, value; "acl", identifier, rights (RFC 4314's letters).
struct parcel_fact {
    struct span kind;
    struct span mailbox;  // n 0: the account
    struct span name, value;
};

// How a mailbox of a pull stands; as struct pull_state.
struct parcel_state {
    uint32_t uidvalidity, done, messages;
    uint64_t modseq;
    uint32_t gone;  // expunged there since the last time
    bool last;      // it is the mailbox's end
};

// Where a message of a backup comes from.
struct parcel_origin {
    uint8_t store[16];  // store_uuid
    uint64_t emailid, threadid;
    uint32_t save_date;
};

void parcel_put(struct buf *b, enum parcel_kind kind, struct span payload);
void parcel_put_mailbox(struct buf *b, enum parcel_kind kind,
                        const struct parcel_mailbox *m);
void parcel_put_message(struct buf *b, enum parcel_kind kind,
                        const struct parcel_message *m);
void parcel_put_origin(struct buf *b, const struct parcel_origin *o);
void parcel_put_use(struct buf *b, struct span use, struct span name);
void parcel_put_state(struct buf *b, enum parcel_kind kind, const struct parcel_state *s);
void parcel_put_broken(struct buf *b, const struct fault *f);
void parcel_put_fact(struct buf *b, const struct parcel_fact *fact);
void parcel_put_want(struct buf *b, const struct seqset *uids);

struct parcel {
    enum parcel_kind kind;
    struct span payload;  // borrowed from the input
    size_t size;          // octets of the input it took
};
// R_NONE: not whole yet. FAULT_BAD: no parcel.
enum result parcel_get(struct span in, struct parcel *out, struct fault *f) MUST_CHECK;
// Spans borrowed from the payload, the array in the arena.
enum result parcel_get_mailbox(struct span payload, struct parcel_mailbox *out) MUST_CHECK;
enum result parcel_get_message(struct span payload, struct arena *a,
                               struct parcel_message *out) MUST_CHECK;
enum result parcel_get_origin(struct span payload, struct parcel_origin *out) MUST_CHECK;
enum result parcel_get_use(struct span payload, struct span *use_out,
                           struct span *name_out) MUST_CHECK;
enum result parcel_get_state(struct span payload, struct parcel_state *out) MUST_CHECK;
enum result parcel_get_broken(struct span payload, struct fault *out) MUST_CHECK;
enum result parcel_get_fact(struct span payload, struct parcel_fact *out) MUST_CHECK;
enum result parcel_get_want(struct span payload, struct arena *a,
                            struct seqset *out) MUST_CHECK;

#endif
