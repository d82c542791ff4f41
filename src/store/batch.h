#ifndef STORE_BATCH_H
#define STORE_BATCH_H

// A batch on its way into the journal: the inside of store_batch (store.h). The committing task seals it
// (metadata encoded and checksummed); the journal thread places it (sequence, segment, record number).
// Owner: the committing task; the journal thread between journal_commit's queueing and its completion.

#include "base/buf.h"
#include "store/layout.h"
#include "store/store.h"

#include <sys/uio.h>

struct loop;
struct task;
struct volume;

struct batch_record {
    enum record_type type;
    uint32_t meta_n;
    size_t at;                    // of the metadata in `bytes`
    struct store_body *body;      // borrowed; NULL when none
    struct record_header header;  // complete after batch_place
    struct record_place place;
};

struct store_batch {
    uint64_t account, session, actor;
    struct batch_record *records;
    uint32_t count, cap;
    struct buf bytes;  // per record: room for the header, then the metadata as it was given
    struct buf coded;  // the same as stored, when the codec is not identity
    uint64_t stored;   // octets in the journal, after batch_seal
    size_t iovs;       // iovecs it needs at most
    void *unfolded;    // the fold's own node, prepared before the commit

    struct store_batch *next;  // the journal's queue
    struct loop *loop;         // whom to tell; NULL: a thread waits
    struct task *task;
    bool done, failed;  // done is set in the waiter's thread (or under the journal's lock)
    struct fault fault;
};

// Suspends (links of external bodies). Encodes and checksums. FAULT_TOOBIG over LIMIT_record_meta.
enum result batch_seal(struct store_batch *b, struct volume *v, struct fault *f) MUST_CHECK;
// Where a batch goes.
struct batch_position {
    uint64_t seq, nonce;
    uint32_t segment, recno, group_pos;
    int64_t time_ms;
};
void batch_place(struct store_batch *b, const struct batch_position *at);
size_t batch_iovs(struct store_batch *b, struct iovec *iov);
// The commit failed for certain: its external bodies are nobody's again.
void batch_unclaim(struct store_batch *b);

#endif
