#ifndef CTL_PARCEL_H
#define CTL_PARCEL_H

// Parcels carry mailboxes between the command's side, which has the files, and the verb, which has the store:
// {u8 kind, u32 octets, payload}. Import: ANNOUNCE for every name, then SUBSCRIBED, then for each mailbox MAILBOX and its
// messages, each MESSAGE, OCTETS in any number, END or ABORT. Export: the same the other way, without ANNOUNCE, DONE at
// the end.
// Trust: both ends belong to the administrator; sizes are checked all the same.

#include "base/arena.h"
#include "base/buf.h"

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
    PARCEL_KINDS,
};

enum { PARCEL_MAX = 1 << 20, PARCEL_HEAD = 5, PARCEL_PIECE = 32000 };

struct parcel_mailbox {
    struct span name;               // UTF-8, levels separated by '/'
    uint32_t uidvalidity, uidnext;  // 0: not known
    uint32_t messages;              // about so many follow
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
};

// Where a message of a backup comes from.
struct parcel_origin {
    uint8_t store[16];  // store_uuid
    uint64_t emailid, threadid;
    uint32_t save_date;
};

void parcel_put(struct buf *b, enum parcel_kind kind, struct span payload);
void parcel_put_mailbox(struct buf *b, const struct parcel_mailbox *m);
void parcel_put_message(struct buf *b, const struct parcel_message *m);
void parcel_put_origin(struct buf *b, const struct parcel_origin *o);

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

#endif
