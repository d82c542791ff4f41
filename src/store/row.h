#ifndef STORE_ROW_H
#define STORE_ROW_H

// The rows of the fold: one message in one mailbox, and a mailbox's header. Plain values, no pointers
// except in mailbox_state, which owns its strings and its table.
// Threads: an account's state belongs to its home.

#include "base/span.h"

enum message_flag {
    FLAG_SEEN = 1,
    FLAG_ANSWERED = 2,
    FLAG_FLAGGED = 4,
    FLAG_DELETED = 8,
    FLAG_DRAFT = 16,
    FLAG_ALL = 31,
};

// message_row.sent: the day of the Date field as it was written, so that SEARCH reads no summary.
enum {
    // ask the summary: an older row, or a day outside of 1970 to 2149
    SENT_UNKNOWN = 0,
    SENT_NONE = 1,     // no date can be read
    SENT_DAY = 2,      // + days since 1970
    SENT_DAYS = 65534  // that have a number
};

// 64 octets. Dates are seconds since 1970; zone_min is INTERNALDATE's offset as it was given.
// blob = segment << 32 | record number: where the body is (journal.h). COPY and MOVE keep blob, emailid
// and threadid, also into another account.
struct message_row {
    uint32_t uid;
    uint32_t size;      // RFC822.SIZE, octets
    uint32_t keywords;  // index into the mailbox's keyword sets; 0 = none
    uint16_t flags;     // enum message_flag
    int16_t zone_min;
    uint64_t modseq;
    int64_t internal_date;
    uint32_t save_date;
    uint16_t sent, unused;
    uint64_t emailid, threadid;
    uint64_t blob;
};

static inline uint16_t
row_sent(bool dated, int32_t day)
{
    if (!dated)
        return SENT_NONE;
    return (uint16_t)(day >= 0 && day < SENT_DAYS ? SENT_DAY + day : SENT_UNKNOWN);
}

// Absolute values, written with every record that changes a mailbox (STORE.md rule 5).
struct mailbox_counts {
    uint32_t uidnext, exists, unseen, deleted;
    uint64_t size, modseq;  // sum of sizes; HIGHESTMODSEQ
};

enum special_use {
    USE_NONE,
    USE_ALL,
    USE_ARCHIVE,
    USE_DRAFTS,
    USE_FLAGGED,
    USE_JUNK,
    USE_SENT,
    USE_TRASH,
    USE_IMPORTANT,
    USE_MEMOS,  // RFC 9979
    USE_SCHEDULED,
    USE_SNOOZED,
    USE_COUNT
};

#endif
