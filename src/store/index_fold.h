#ifndef STORE_INDEX_FOLD_H
#define STORE_INDEX_FOLD_H

// Inside the index's writer: its transaction and headers (index_fold.c), used by the row operations
// (index_rows.c). Headers are kept decoded from record to record and written when a transaction commits.
// A record with more than INDEX_OPS operations is spread over several transactions: the position then names it
// as partly folded, and its header follows in the last one.
// Threads: the writer's.

#include "store/index_block.h"

struct header_key {
    uint64_t account, mailbox;  // mailbox 0: the account itself
};

struct header {
    UT_hash_handle hh;
    struct header_key key;
    bool exists, dirty;
    struct mailbox_row mailbox;
    struct index_account account;
    struct buf name;  // of the mailbox, or the user
};

// The block of rows that is worked on: what is done to it is written when another one follows, or the transaction ends.
struct fold_block {
    struct index_key key;  // n is 0: none
    bool dirty;
    struct index_block rows;
    struct arena *arena;  // of the keywords
};

struct index_fold {
    struct index *ix;
    MDB_txn *txn;
    size_t ops, ops_max;
    uint64_t account, seq;     // of the record that is being applied
    uint64_t done, committed;  // positions
    uint64_t max_id, committed_id;
    bool with_body;
    struct header *headers;
    struct buf scratch;
    struct fold_block block;
};

extern const struct store_rows index_fold_rows;  // target: struct index_fold *

// The header of this account, also one that does not exist (yet). Stays until the record is applied.
enum result fold_header_get(struct index_fold *w, uint64_t mailbox, struct header **h_out,
                            struct fault *f) MUST_CHECK;
void fold_header_drop(struct index_fold *w, struct header *h);
void fold_header_name(struct header *h, struct span name);
struct index_key fold_header_place(const struct header_key *k);
enum result fold_headers_write(struct index_fold *w, struct fault *f) MUST_CHECK;

// R_NONE: flags had MDB_NOOVERWRITE and there is one.
enum result fold_put(struct index_fold *w, const struct index_key *key, struct span value,
                     unsigned flags, struct fault *f) MUST_CHECK;
enum result fold_delete(struct index_fold *w, const struct index_key *key,
                        struct fault *f) MUST_CHECK;
// Decoded; valid until the next get.
enum result fold_get(struct index_fold *w, const struct index_key *key,
                     struct span *value_out, struct fault *f) MUST_CHECK;
enum result fold_decode(struct index_fold *w, struct span key, MDB_val v,
                        struct span *value_out, struct fault *f) MUST_CHECK;
// The first entry from `from` on that begins with the prefix. R_NONE when there is none.
enum result fold_find(struct index_fold *w, const struct index_key *prefix,
                      const struct index_key *from, struct index_key *found_out,
                      struct fault *f) MUST_CHECK;
// Deletes all entries that begin with the prefix: from `from` on, up to the key `last` when given.
enum result fold_delete_between(struct index_fold *w, const struct index_key *prefix,
                                const struct index_key *from, const struct index_key *last,
                                struct fault *f) MUST_CHECK;
// Writes the block that is worked on; the next use reads it again. Before each look at or deletion of blocks by their keys.
enum result fold_block_close(struct index_fold *w, struct fault *f) MUST_CHECK;
void fold_block_drop(struct index_fold *w);  // what was done to it is lost
// Before each operation inside a record: a transaction that is full ends here.
enum result fold_make_room(struct index_fold *w, struct fault *f) MUST_CHECK;

// index_private_rows.c: operations of index_fold_rows.
enum result fold_private_put(void *t, const struct record_private *p,
                             struct fault *f) MUST_CHECK;
enum result fold_privates_put(void *t, const struct record_privates *p,
                              const struct record_group *g, struct fault *f) MUST_CHECK;
enum result fold_privates_drop(void *t, uint64_t mailbox, uint64_t user, struct span ranges,
                               uint64_t buried, struct fault *f) MUST_CHECK;

#endif
