#ifndef STORE_FOLD_H
#define STORE_FOLD_H

// The fold of the embedded engine: the index, the records that are durable but not folded yet (per account), and
// the checkpoint thread that moves them from the one to the other. What an account is at any moment = the index
// at position P, read in one transaction, plus its unfolded records after P.
// Threads: the unfolded lists are shared by the journal thread (adds), homes (read) and the checkpoint thread
// (trims) under one mutex; all calls from any thread except where said.
// Errors: FAULT_CORRUPTION of the index stops the fold for good (fold_options.broken is called, commits fail):
// the process should end, the next start makes the index anew. FAULT_DISK is tried again.

#include "store/batch.h"
#include "store/index.h"

struct fold;
struct pool;

struct fold_options {
    struct index *index;  // owned by the caller; no other writer
    struct pool *pool;
    uint64_t unfolded_max;                             // octets
    void (*broken)(const struct fault *f, void *arg);  // in the checkpoint thread
    void *arg;
};

struct fold *fold_new(const struct fold_options *o);
void fold_free(struct fold **fold);
// One record of the journal's tail, in order, before fold_start. Blocks.
enum result fold_replay(struct fold *fold, const struct index_record *r,
                        struct fault *f) MUST_CHECK;
enum result fold_replay_end(struct fold *fold, struct fault *f) MUST_CHECK;
void fold_start(struct fold *fold);  // the checkpoint thread
void fold_stop(struct fold *fold);   // folds what is there, ends the thread

uint64_t fold_position(struct fold *fold);
uint64_t fold_max_id(struct fold *fold);
uint64_t fold_unfolded(struct fold *fold);  // octets

// ---- commits ----

// Suspends while the unfolded records are over their bound. Copies the batch's metadata for the lists.
enum result fold_prepare(struct fold *fold, struct store_batch *b,
                         struct fault *f) MUST_CHECK;
// In the journal thread: the batch is durable, its places are set.
void fold_durable(struct store_batch *b, void *fold);
// After a commit that failed.
void fold_discard(struct fold *fold, struct store_batch *b);

// ---- an account's unfolded records ----

struct unfolded;  // the records of one batch

// From pin to unpin no unfolded record of the account is trimmed.
void fold_pin(struct fold *fold, uint64_t account);
void fold_unpin(struct fold *fold, uint64_t account);
// While pinned: the batches that are unfolded now, in order. The caller frees the array.
void fold_list(struct fold *fold, uint64_t account, struct unfolded ***out, size_t *n_out);
size_t unfolded_count(const struct unfolded *u);
const struct index_record *unfolded_get(const struct unfolded *u, size_t i);

// Suspends until all that is durable now is in the index; of one account only, account 0: of all.
enum result fold_flush(struct fold *fold, uint64_t account, struct fault *f) MUST_CHECK;
// Nothing is folded between pause and resume (verify, compaction: the index stands still). They nest.
void fold_pause(struct fold *fold);  // waits for the transaction under way
void fold_resume(struct fold *fold);

// ---- caches of unfolded messages ----

// R_OK: the span lives until fold_cache_release of *hold_out.
enum result fold_cache_find(struct fold *fold, uint64_t blob, struct span *cache_out,
                            struct unfolded **hold_out);
void fold_cache_release(struct fold *fold, struct unfolded *hold);

#endif
