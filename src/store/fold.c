#include "store/fold_inside.h"

#include "base/metrics.h"
#include "base/clock.h"
#include "io/loop.h"
#include "io/task.h"

#include <signal.h>

enum { UNFOLDED_MAX = 64 << 20, FOLD_DELAY_MS = 500, RETRY_MS = 1000 };

struct fold *
fold_new(const struct fold_options *o)
{
    struct fold *fold = calloc(1, sizeof *fold);
    must(fold != NULL);
    fold->o = *o;
    if (fold->o.unfolded_max == 0)
        fold->o.unfolded_max = UNFOLDED_MAX;
    fold->writer = index_fold_new(o->index);
    fold->tail = &fold->head;
    must(pthread_mutex_init(&fold->mutex, NULL) == 0);
    clock_cond_init(&fold->work);
    must(pthread_cond_init(&fold->changed, NULL) == 0);
    return fold;
}

// ---- waiting ----

static void
wake_task(void *arg)
{
    struct waiter *w = arg;
    w->done = true;
    task_wake(w->task);
}

static bool
satisfied(const struct fold *fold, const struct waiter *w)
{
    if (fold->broken || fold->failing)
        return true;
    return w->seq != 0 ? fold->position >= w->seq : fold->octets <= fold->o.unfolded_max;
}

static void
wake_waiters(struct fold *fold)
{
    struct waiter **at = &fold->waiters;
    while (*at) {
        struct waiter *w = *at;
        if (!satisfied(fold, w)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        fold->flushes -= w->seq != 0;
        if (w->task)
            loop_post(w->loop, wake_task, w);
        else
            w->done = true;
    }
    pthread_cond_broadcast(&fold->changed);
}

// Under the mutex, which is released meanwhile.
void
fold_wait(struct fold *fold, struct waiter *w)
{
    w->task = task_self();
    w->loop = loop_self();
    w->next = fold->waiters;
    fold->waiters = w;
    fold->flushes += w->seq != 0;
    pthread_cond_signal(&fold->work);
    if (!w->task) {
        while (!w->done)
            pthread_cond_wait(&fold->changed, &fold->mutex);
        return;
    }
    pthread_mutex_unlock(&fold->mutex);
    while (!w->done)
        task_suspend();
    pthread_mutex_lock(&fold->mutex);
}

// ---- the checkpoint thread ----

static struct unfolded *
next_of(struct fold *fold, const struct unfolded *u)
{
    pthread_mutex_lock(&fold->mutex);
    struct unfolded *next = u->next;
    pthread_mutex_unlock(&fold->mutex);
    return next;
}

// One transaction.
static enum result
fold_some(struct fold *fold, const struct unfolded *u, struct fault *f)
{
    for (; u && !index_fold_full(fold->writer); u = next_of(fold, u)) {
        for (size_t i = 0; i < u->count; i++) {
            if (index_fold_record(fold->writer, &u->records[i], f) != R_OK)
                return R_FAIL;
        }
    }
    return index_fold_commit(fold->writer, f);
}

static bool
is_due(const struct fold *fold)
{
    if (!fold->head || fold->pauses > 0 || fold->broken)
        return false;
    return fold->closing || fold->flushes > 0 || fold_is_heavy(fold) ||
           clock_mono_ms() >= fold->head->since_ms + FOLD_DELAY_MS;
}

static void
sleep_ms(struct fold *fold, uint64_t ms)
{
    (void)clock_cond_wait(&fold->work, &fold->mutex, clock_mono_us() + ms * 1000);
}

// After a fault: damage is final, a full disk is tried again later.
static void
note_fault(struct fold *fold, const struct fault *f)
{
    index_fold_abort(fold->writer);
    bool broken = f->kind != FAULT_DISK;
    if (broken && fold->o.broken) {
        pthread_mutex_unlock(&fold->mutex);
        fold->o.broken(f, fold->o.arg);
        pthread_mutex_lock(&fold->mutex);
    }
    fold->fault = *f;  // last: who waits for the fold goes on with this
    fold->broken = broken;
    fold->failing = true;
    wake_waiters(fold);
}

static void
fold_once(struct fold *fold)
{
    struct fault f;
    const struct unfolded *u = fold->head;
    fold->folding = true;
    pthread_mutex_unlock(&fold->mutex);
    uint64_t since_us = clock_mono_us();
    enum result r = fold_some(fold, u, &f);
    metric_time(METRIC_checkpoint, clock_mono_us() - since_us);
    pthread_mutex_lock(&fold->mutex);
    fold->folding = false;
    if (r != R_OK) {
        note_fault(fold, &f);
        return;
    }
    fold->failing = false;
    fold->position = index_fold_position(fold->writer);
    fold->max_id = index_fold_max_id(fold->writer);
    unfolded_trim(fold);
    metric_set(METRIC_unfolded, fold->octets);
    wake_waiters(fold);
}

static void *
checkpoint_thread(void *arg)
{
    struct fold *fold = arg;
    pthread_mutex_lock(&fold->mutex);
    while (!fold->closing || (fold->head && !fold->failing)) {
        if (is_due(fold)) {
            fold_once(fold);
            if (fold->failing && !fold->closing)
                sleep_ms(fold, RETRY_MS);
        } else if (fold->head && !fold->broken && fold->pauses == 0) {
            sleep_ms(fold, FOLD_DELAY_MS);
        } else {
            pthread_cond_wait(&fold->work, &fold->mutex);
        }
    }
    pthread_mutex_unlock(&fold->mutex);
    return NULL;
}

enum result
fold_replay(struct fold *fold, const struct index_record *r, struct fault *f)
{
    if (index_fold_record(fold->writer, r, f) != R_OK)
        return R_FAIL;
    return index_fold_full(fold->writer) ? index_fold_commit(fold->writer, f) : R_OK;
}

enum result
fold_replay_end(struct fold *fold, struct fault *f)
{
    struct index_reader r;
    struct index_position p;
    if (index_fold_commit(fold->writer, f) != R_OK ||
        index_read_begin(fold->o.index, &r, f) != R_OK)
        return R_FAIL;
    enum result read = index_read_position(&r, &p, f);
    index_read_end(&r);
    if (read != R_OK)
        return R_FAIL;
    fold->position = p.seq;
    fold->max_id = p.max_id;
    return R_OK;
}

void
fold_start(struct fold *fold)
{
    sigset_t all, old;
    sigfillset(&all);
    // a page of a map that cannot be read: its handler must run here too
    sigdelset(&all, SIGBUS);
    must(pthread_sigmask(SIG_BLOCK, &all, &old) == 0);
    must(pthread_create(&fold->thread, NULL, checkpoint_thread, fold) == 0);
    must(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    fold->started = true;
}

void
fold_stop(struct fold *fold)
{
    pthread_mutex_lock(&fold->mutex);
    fold->closing = true;
    pthread_cond_signal(&fold->work);
    pthread_mutex_unlock(&fold->mutex);
    if (fold->started)
        must(pthread_join(fold->thread, NULL) == 0);
    fold->started = false;
}

void
fold_free(struct fold **foldp)
{
    struct fold *fold = *foldp;
    if (!fold)
        return;
    fold_stop(fold);
    fold->position = UINT64_MAX;  // what could not be folded is in the journal
    unfolded_trim(fold);
    index_fold_free(&fold->writer);
    pthread_mutex_destroy(&fold->mutex);
    pthread_cond_destroy(&fold->work);
    pthread_cond_destroy(&fold->changed);
    free(fold);
    *foldp = NULL;
}

uint64_t
fold_position(struct fold *fold)
{
    pthread_mutex_lock(&fold->mutex);
    uint64_t position = fold->position;
    pthread_mutex_unlock(&fold->mutex);
    return position;
}

uint64_t
fold_max_id(struct fold *fold)
{
    pthread_mutex_lock(&fold->mutex);
    uint64_t id = fold->max_id;
    pthread_mutex_unlock(&fold->mutex);
    return id;
}

uint64_t
fold_unfolded(struct fold *fold)
{
    pthread_mutex_lock(&fold->mutex);
    uint64_t octets = fold->octets;
    pthread_mutex_unlock(&fold->mutex);
    return octets;
}

// Sequence up to which the account (or all) has unfolded records; 0 when none.
static uint64_t
unfolded_until(struct fold *fold, uint64_t account)
{
    uint64_t seq = 0;
    struct account_list *list = NULL;
    if (account != 0)
        HASH_FIND(hh, fold->accounts, &account, sizeof account, list);
    for (struct unfolded *u = list ? list->head : NULL; u; u = u->next_of)
        if (!u->folded)
            seq = unfolded_last_seq(u);
    for (struct unfolded *u = account == 0 ? fold->head : NULL; u; u = u->next)
        seq = unfolded_last_seq(u);
    return seq;
}

enum result
fold_flush(struct fold *fold, uint64_t account, struct fault *f)
{
    pthread_mutex_lock(&fold->mutex);
    struct waiter w = {.seq = unfolded_until(fold, account)};
    if (w.seq != 0 && !fold->broken) {
        fold->failing = false;
        fold_wait(fold, &w);
    }
    bool failed = w.seq != 0 && fold->position < w.seq;
    if (failed)
        *f = fold->fault;
    pthread_mutex_unlock(&fold->mutex);
    return failed ? R_FAIL : R_OK;
}

void
fold_pause(struct fold *fold)
{
    pthread_mutex_lock(&fold->mutex);
    fold->pauses++;
    while (fold->folding)
        pthread_cond_wait(&fold->changed, &fold->mutex);
    pthread_mutex_unlock(&fold->mutex);
}

void
fold_resume(struct fold *fold)
{
    pthread_mutex_lock(&fold->mutex);
    fold->pauses--;
    pthread_cond_signal(&fold->work);
    pthread_mutex_unlock(&fold->mutex);
}
