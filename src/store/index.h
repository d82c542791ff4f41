#ifndef STORE_INDEX_H
#define STORE_INDEX_H

// The index: the fold of the journal in LMDB, data/index/0/ (one environment; the number of environments stands
// in its format). Disposable: losing it loses nothing, index_open then begins an empty one at position 0.
// Keys hold only ids and hashes, never names; values pass the codec. Long readers make the file grow, so a
// reader lives for one scan and never over a suspension.
// Owner: struct store. Threads: readers any; one writer at a time (struct index_fold: the checkpoint thread).
// Errors: FAULT_CORRUPTION (the next open makes the index anew), FAULT_DISK.

#include "base/arena.h"
#include "store/codec.h"
#include "store/state_inside.h"
#include "store/store.h"

#include <lmdb.h>
#include <pthread.h>

enum {
    INDEX_FORMAT = 4,
    INDEX_ENVIRONMENTS = 1,
    INDEX_OPS = 8192,
    INDEX_CACHE_CONTEXT = 'C'
};

// Rows: account (8 octets), a letter, and what the letter needs. All numbers big-endian, so that order is meaning.
enum index_letter {
    INDEX_ACCOUNT = 'A',
    INDEX_MAILBOX = 'B',  // mailbox
    INDEX_DELETED =
        'D',  // mailbox: deleted, its rows are tombstones of one modseq; its header as it was
    INDEX_KEYWORD = 'K',  // mailbox, number (4)
    INDEX_VALUE = 'M',    // mailbox, hash of the name (16)
    INDEX_PRIVATE = 'P',  // mailbox, user, uid (4)
    INDEX_MARK = 'Q',     // mailbox, modseq, uid (4), user: a private flag of a tombstone
    INDEX_ROW = 'R',      // mailbox, uid / INDEX_BLOCK (4): a block of rows (index_block.h)
    INDEX_SUBSCRIBED = 'S',  // hash of the name (16)
    INDEX_THREAD = 'T',      // blob: THREADID and thread keys of a message
    INDEX_TOMBSTONE = 'X',   // mailbox, modseq, uid (4)
};

struct index_key {
    uint8_t n;
    char p[39];
};
struct index_key index_key(uint64_t account, enum index_letter letter);
void index_key_u64(struct index_key *k, uint64_t v);
void index_key_u32(struct index_key *k, uint32_t v);
void index_key_hash(struct index_key *k, struct span name);
uint64_t index_key_get_u64(struct span key, size_t at);
uint32_t index_key_get_u32(struct span key, size_t at);
// A key is as long as its letter says; anything else is damage.
bool index_key_good(struct span key);

struct index {
    MDB_env *env;
    MDB_dbi rows, caches, meta;
    const struct codec *codec;
    char *path;  // data/index
    size_t map_size;
    pthread_mutex_t lock;  // of what follows
    unsigned users;        // transactions that are open
    uint64_t uses, uses_seen, seen_ms, rested_ms;
    bool rested;
};

struct index_position {
    uint64_t seq;       // all records up to here are folded
    uint64_t part_seq;  // of this record only some rows are; 0 = none
    uint64_t part_account;
    uint64_t max_id;
};
static inline bool
index_is_in_parts(const struct index_position *p, uint64_t account)
{
    return p->part_seq != 0 && p->part_account == account;
}

// FAULT_CORRUPTION: damaged, of another store, codec or format; f->why tells. index_remove, then open again.
enum result index_open(const char *folder, const uint8_t uuid[16],
                       const struct codec *codec, struct index **ix_out,
                       struct fault *f) MUST_CHECK;
void index_close(struct index **ix);
enum result index_remove(const char *folder, struct fault *f) MUST_CHECK;
// Leaves a mark: the next index_open says FAULT_CORRUPTION. Safe in a signal handler.
void index_distrust(const char *folder);
bool index_distrusted(const struct index *ix);
// Around every transaction, so that none is open when the map is renewed.
void index_enter(struct index *ix);
void index_leave(struct index *ix);
// Takes the file's pages out of the process when nothing was read or written for some seconds, and else every 20; they
// stay in the page cache. True when nothing was, and that was done now. Call it now and then.
bool index_rest(struct index *ix);
// The fault of an LMDB return code; damage is distrusted at once.
enum result index_fault(struct index *ix, int rc, const char *what, struct fault *f);

// ---- reading ----

// A reader: one transaction and a place to decode into. Between begin and end nothing may suspend.
struct index_reader {
    struct index *ix;
    MDB_txn *txn;
    MDB_cursor *cursor;  // on rows
    bool plain;          // values need no decoding
    struct buf scratch;
};
// A transaction that reads, with a cursor on one of the tables.
enum result index_cursor_begin(struct index *ix, MDB_dbi table, MDB_txn **txn_out,
                               MDB_cursor **cursor_out, struct fault *f) MUST_CHECK;
void index_cursor_end(struct index *ix, MDB_txn *txn, MDB_cursor *cursor);
enum result index_read_begin(struct index *ix, struct index_reader *r,
                             struct fault *f) MUST_CHECK;
void index_read_end(struct index_reader *r);
enum result index_read_position(struct index_reader *r, struct index_position *out,
                                struct fault *f) MUST_CHECK;
// First entry at or after the key. Key and (decoded) value are valid until the next call; R_NONE when there is none
// that begins with prefix.
enum result index_seek(struct index_reader *r, const struct index_key *from,
                       struct span prefix, struct span *key_out, struct span *value_out,
                       struct fault *f) MUST_CHECK;
enum result index_next(struct index_reader *r, struct span prefix, struct span *key_out,
                       struct span *value_out, struct fault *f) MUST_CHECK;

// In the flags of a tombstone's row: a MOVED record made it.
enum { INDEX_MOVED = 0x8000 };
struct index_row {
    struct message_row row;
    struct span keywords;  // packed
};
enum { INDEX_ROW_SIZE = 64 };
_Static_assert(sizeof(struct message_row) == INDEX_ROW_SIZE,
               "rows of tombstones are stored as they are in memory");
enum result index_row_get(struct span value, struct index_row *out) MUST_CHECK;

struct index_account {
    struct account_row row;
    uint64_t last_seq;  // of the last record of this account that was folded
};
enum result index_account_get(struct span value, struct index_account *out) MUST_CHECK;
enum result index_mailbox_get(struct span value, struct mailbox_row *out) MUST_CHECK;
void index_account_put(struct buf *b, const struct index_account *a);
void index_mailbox_put(struct buf *b, const struct mailbox_row *m);

// ---- scans (index_scan.c); each is one reader ----

// R_NONE: no such account in the index; then only *p_out is set.
enum result index_load_state(struct index *ix, uint64_t account, struct state **out,
                             struct index_position *p_out, struct fault *f) MUST_CHECK;
struct index_table {
    uint32_t expected;  // in: rows to make room for
    struct message_table table;
    struct index_position position;
    uint64_t last_seq;  // as in index_account; a record that is folded in part counts
};
// The table as it was at t->position.
enum result index_load_table(struct index *ix, uint64_t account, uint64_t mailbox,
                             struct index_table *t, struct fault *f) MUST_CHECK;
enum result index_accounts(struct index *ix, uint64_t **ids_out, size_t *n_out,
                           struct fault *f) MUST_CHECK;
// out->modseq, uid, max and the arena say which; nobody else uses the arena meanwhile.
enum result index_tombstones(struct index *ix, uint64_t account, uint64_t mailbox,
                             struct store_tombstones *out, struct fault *f) MUST_CHECK;
enum result index_deleted(struct index *ix, uint64_t account, struct store_deleted *out,
                          struct fault *f) MUST_CHECK;
enum result index_keywords(struct index *ix, uint64_t account, uint64_t mailbox,
                           struct store_keywords *out, struct fault *f) MUST_CHECK;
enum result index_privates(struct index *ix, uint64_t account, uint64_t mailbox,
                           uint64_t user, struct store_privates *out,
                           struct fault *f) MUST_CHECK;
enum result index_private_users(struct index *ix, uint64_t account,
                                struct store_private_users *out,
                                struct fault *f) MUST_CHECK;
enum result index_thread_keys(struct index *ix, uint64_t account,
                              struct store_thread_key **out, size_t *n_out,
                              struct fault *f) MUST_CHECK;

// ---- caches (index_cache.c) ----

// One transaction and a cursor on the caches. Spans are valid until end; nothing may suspend in between.
struct index_cache_reader {
    struct index *ix;
    MDB_txn *txn;
    MDB_cursor *cursor;
    bool placed;          // the cursor stands on an entry
    bool plain;           // values need no decoding
    struct arena *arena;  // decoded values; made when the codec needs it
};
enum result index_cache_begin(struct index *ix, struct index_cache_reader *r,
                              struct fault *f) MUST_CHECK;
// Quickest for ascending blobs.
enum result index_cache_find(struct index_cache_reader *r, uint64_t blob,
                             struct span *cache_out) MUST_CHECK;
void index_cache_end(struct index_cache_reader *r);
// Tells of every cache of `full` that is missing or different in `ix`.
typedef void index_cache_differs_fn(uint64_t blob, void *arg);
enum result index_caches_compare(struct index *ix, struct index *full,
                                 index_cache_differs_fn *differs, void *arg,
                                 struct fault *f) MUST_CHECK;

// ---- writing (index_rows.c) ----

// The fold's target: transactions of at most INDEX_OPS operations, headers kept from one to the next.
struct index_fold;
struct index_fold *index_fold_new(struct index *ix);
void index_fold_free(struct index_fold **w);  // what is not committed is lost
struct index_record {
    uint64_t account;
    enum record_type type;
    struct span meta;
    struct record_place place;
    bool with_body;
};
// Applies one record, which follows the one before. with_body: the body is there, so keep its cache and thread keys.
enum result index_fold_record(struct index_fold *w, const struct index_record *r,
                              struct fault *f) MUST_CHECK;
bool index_fold_full(const struct index_fold *w);
enum result index_fold_commit(struct index_fold *w, struct fault *f) MUST_CHECK;
// After a fault: back to what is on disk.
void index_fold_abort(struct index_fold *w);
uint64_t index_fold_position(const struct index_fold *w);
uint64_t index_fold_max_id(const struct index_fold *w);
// Caches and thread keys of bodies that were dropped. Transactions of its own.
struct index_body {
    uint64_t account, blob;
};
enum result index_bodies_drop(struct index *ix, const struct index_body *bodies, size_t n,
                              struct fault *f) MUST_CHECK;

#endif
