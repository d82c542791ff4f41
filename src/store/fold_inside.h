#ifndef STORE_FOLD_INSIDE_H
#define STORE_FOLD_INSIDE_H

// The inside of struct fold: the unfolded lists (unfolded.c), the checkpoint thread and who waits for it (fold.c).
// Threads: all under fold.mutex, except what says otherwise.

#include "store/fold.h"

#include <pthread.h>
#include <stdatomic.h>

struct loop;
struct task;

struct cached {
    UT_hash_handle hh;
    uint64_t blob;
    struct unfolded *unfolded;
    struct span cache;
};

struct account_list {
    UT_hash_handle hh;
    uint64_t account;
    struct unfolded *head, **tail;
    unsigned pins;
};

struct unfolded {
    struct unfolded *next;     // of all
    struct unfolded *next_of;  // of the account
    struct account_list *of;
    uint64_t account, since_ms;
    size_t octets, count;
    unsigned refs;  // the lists' one, and those of cache readers
    bool folded;
    struct index_record *records;
    struct cached *cached;  // one per record; cache empty when there is none
    char *bytes;
};

// Somebody who waits for the checkpoint thread; lives on the waiter's stack.
struct waiter {
    struct waiter *next;
    struct loop *loop;
    struct task *task;
    uint64_t seq;  // until this is folded; 0: until there is room
    bool done;     // set in the waiter's thread, or under the mutex when there is no loop
};

struct fold {
    struct fold_options o;
    struct index_fold *writer;
    pthread_mutex_t mutex;
    pthread_cond_t work, changed;  // to the checkpoint thread; to threads that wait
    pthread_t thread;
    bool started, closing, folding, broken, failing;
    unsigned pauses, flushes;
    struct account_list *accounts;
    struct unfolded *head, **tail;
    size_t octets;
    uint64_t position, max_id;
    struct fault fault;  // when broken or failing
    struct waiter *waiters;
    struct cached *caches;
    atomic_size_t cache_count;
};

// So much is unfolded that the checkpoint thread does not wait for more. Under the mutex.
static inline bool
fold_is_heavy(const struct fold *fold)
{
    return fold->octets > fold->o.unfolded_max / 8;
}

uint64_t unfolded_last_seq(const struct unfolded *u);
// What the index has now leaves the lists.
void unfolded_trim(struct fold *fold);
// Under the mutex, which is released meanwhile. Suspends.
void fold_wait(struct fold *fold, struct waiter *w);

#endif
