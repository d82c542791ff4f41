#include "store/fold_inside.h"

#include "base/metrics.h"
#include "base/budget.h"
#include "base/clock.h"
#include "io/task.h"

// The records that are durable but not in the index yet.

// ---- memory ----

static void
unfolded_free(struct unfolded *u)
{
    free(u->records);
    free(u->cached);
    free(u->bytes);
    free(u);
}

static void
unref(struct unfolded *u)
{
    must(u->refs > 0);
    if (--u->refs == 0)
        unfolded_free(u);
}

// Batches that are folded and that nobody has pinned leave the account's list.
static void
trim_account(struct fold *fold, struct account_list *list)
{
    while (list->pins == 0 && list->head && list->head->folded) {
        struct unfolded *u = list->head;
        list->head = u->next_of;
        unref(u);
    }
    if (!list->head && list->pins == 0) {
        HASH_DELETE(hh, fold->accounts, list);
        free(list);
    } else if (!list->head) {
        list->tail = &list->head;
    }
}

static struct account_list *
account_of(struct fold *fold, uint64_t account)
{
    struct account_list *list;
    HASH_FIND(hh, fold->accounts, &account, sizeof account, list);
    if (list)
        return list;
    list = calloc(1, sizeof *list);
    must(list != NULL);
    list->account = account;
    list->tail = &list->head;
    HASH_ADD(hh, fold->accounts, account, sizeof list->account, list);
    return list;
}

// ---- commits ----

static struct unfolded *
unfolded_new(const struct store_batch *b)
{
    struct unfolded *u = calloc(1, sizeof *u);
    must(u != NULL);
    u->account = b->account;
    u->count = store_batch_count(b);
    u->refs = 1;
    u->records = calloc(u->count + 1, sizeof *u->records);
    u->cached = calloc(u->count + 1, sizeof *u->cached);
    size_t total = 0;
    for (size_t i = 0; i < u->count; i++)
        total += store_batch_meta(b, i).n;
    u->bytes = calloc(1, total + 1);
    must(u->records != NULL && u->cached != NULL && u->bytes != NULL);
    u->octets = total + sizeof *u + u->count * (sizeof *u->records + sizeof *u->cached);
    return u;
}

static void
copy_record(struct unfolded *u, size_t i, const struct store_batch *b, char *at)
{
    struct index_record *r = &u->records[i];
    struct span meta = store_batch_meta(b, i);
    struct record_added added;
    if (meta.n > 0)
        memcpy(at, meta.p, meta.n);
    r->account = b->account;
    r->type = store_batch_type(b, i);
    r->meta = span_of(at, meta.n);
    r->with_body = true;
    u->cached[i].unfolded = u;
    if (r->type == RECORD_ADDED && record_added_get(r->meta, &added) == R_OK)
        u->cached[i].cache = added.cache;
}

static enum result
wait_for_room(struct fold *fold, struct fault *f)
{
    pthread_mutex_lock(&fold->mutex);
    while (fold->octets > fold->o.unfolded_max && !fold->broken && !fold->failing)
        fold_wait(fold, &(struct waiter){0});
    bool full = fold->broken || fold->octets > fold->o.unfolded_max;
    if (full)
        *f = fold->fault;
    pthread_mutex_unlock(&fold->mutex);
    return full ? R_FAIL : R_OK;
}

enum result
fold_prepare(struct fold *fold, struct store_batch *b, struct fault *f)
{
    if (wait_for_room(fold, f) != R_OK)
        return R_FAIL;
    struct unfolded *u = unfolded_new(b);
    size_t at = 0;
    for (size_t i = 0; i < u->count; i++) {
        copy_record(u, i, b, u->bytes + at);
        at += u->records[i].meta.n;
        task_yield();
    }
    b->unfolded = u;
    return R_OK;
}

void
fold_discard(struct fold *fold, struct store_batch *b)
{
    (void)fold;
    if (b->unfolded)
        unfolded_free(b->unfolded);
    b->unfolded = NULL;
}

void
fold_durable(struct store_batch *b, void *arg)
{
    struct fold *fold = arg;
    struct unfolded *u = b->unfolded;
    b->unfolded = NULL;
    for (size_t i = 0; i < u->count; i++)
        u->records[i].place = b->records[i].place;
    u->since_ms = clock_mono_ms();
    budget_force(BUDGET_RECORDS, u->octets);
    pthread_mutex_lock(&fold->mutex);
    bool wake = !fold->head;  // else the thread sleeps for a time, or works
    u->of = account_of(fold, u->account);
    *u->of->tail = u;
    u->of->tail = &u->next_of;
    *fold->tail = u;
    fold->tail = &u->next;
    fold->octets += u->octets;
    metric_set(METRIC_unfolded, fold->octets);
    for (size_t i = 0; i < u->count; i++) {
        struct cached *c = &u->cached[i];
        c->blob = u->records[i].place.blob;
        if (c->cache.n == 0)
            continue;
        HASH_ADD(hh, fold->caches, blob, sizeof c->blob, c);
        atomic_fetch_add(&fold->cache_count, 1);
    }
    wake |= fold_is_heavy(fold);
    pthread_mutex_unlock(&fold->mutex);
    if (wake)
        pthread_cond_signal(&fold->work);
}

// ---- an account's unfolded records ----

void
fold_pin(struct fold *fold, uint64_t account)
{
    pthread_mutex_lock(&fold->mutex);
    account_of(fold, account)->pins++;
    pthread_mutex_unlock(&fold->mutex);
}

void
fold_unpin(struct fold *fold, uint64_t account)
{
    pthread_mutex_lock(&fold->mutex);
    struct account_list *list = account_of(fold, account);
    must(list->pins > 0);
    list->pins--;
    trim_account(fold, list);
    pthread_mutex_unlock(&fold->mutex);
}

void
fold_list(struct fold *fold, uint64_t account, struct unfolded ***out, size_t *n_out)
{
    size_t n = 0;
    pthread_mutex_lock(&fold->mutex);
    struct account_list *list = account_of(fold, account);
    must(list->pins > 0);
    for (struct unfolded *u = list->head; u; u = u->next_of)
        n++;
    struct unfolded **all = calloc(n + 1, sizeof *all);
    must(all != NULL);
    n = 0;
    for (struct unfolded *u = list->head; u; u = u->next_of)
        all[n++] = u;
    pthread_mutex_unlock(&fold->mutex);
    *out = all;
    *n_out = n;
}

size_t
unfolded_count(const struct unfolded *u)
{
    return u->count;
}

const struct index_record *
unfolded_get(const struct unfolded *u, size_t i)
{
    return &u->records[i];
}

// ---- trimming ----

uint64_t
unfolded_last_seq(const struct unfolded *u)
{
    return u->count > 0 ? u->records[u->count - 1].place.seq : 0;
}

static void
drop_caches(struct fold *fold, struct unfolded *u)
{
    for (size_t i = 0; i < u->count; i++) {
        if (u->cached[i].cache.n == 0)
            continue;
        struct cached *c = &u->cached[i];
        HASH_DELETE(hh, fold->caches, c);
        atomic_fetch_sub(&fold->cache_count, 1);
    }
}

void
unfolded_trim(struct fold *fold)
{
    while (fold->head && unfolded_last_seq(fold->head) <= fold->position) {
        struct unfolded *u = fold->head;
        fold->head = u->next;
        if (!fold->head)
            fold->tail = &fold->head;
        fold->octets -= u->octets;
        budget_give(BUDGET_RECORDS, u->octets);
        drop_caches(fold, u);
        u->folded = true;
        trim_account(fold, u->of);
    }
}

// ---- caches ----

enum result
fold_cache_find(struct fold *fold, uint64_t blob, struct span *cache_out,
                struct unfolded **hold_out)
{
    struct cached *c;
    if (atomic_load(&fold->cache_count) == 0)
        return R_NONE;
    pthread_mutex_lock(&fold->mutex);
    HASH_FIND(hh, fold->caches, &blob, sizeof blob, c);
    if (c) {
        c->unfolded->refs++;
        *cache_out = c->cache;
        *hold_out = c->unfolded;
    }
    pthread_mutex_unlock(&fold->mutex);
    return c ? R_OK : R_NONE;
}

void
fold_cache_release(struct fold *fold, struct unfolded *hold)
{
    pthread_mutex_lock(&fold->mutex);
    unref(hold);
    pthread_mutex_unlock(&fold->mutex);
}
