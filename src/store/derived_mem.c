#include "store/derived_inside.h"

#include "base/order.h"

#include <pthread.h>

// Of the test engine: strings in memory, gone with the store.

struct mem_string {
    struct mem_string *next;
    uint64_t account;
    char name[DERIVED_NAME + 1];
    struct buf octets;
    unsigned refs;  // the list's own included
};

struct derived_table {
    pthread_mutex_t mutex;
    struct mem_string *first;
};

static void
mem_start(struct store *s)
{
    s->derived_table = calloc(1, sizeof *s->derived_table);
    must(s->derived_table != NULL);
    must(pthread_mutex_init(&s->derived_table->mutex, NULL) == 0);
}

// Under the mutex.
static void
unref(struct mem_string *t)
{
    if (--t->refs > 0)
        return;
    buf_done(&t->octets);
    free(t);
}

// Drops those that are of the account (0: of any) and of the name (NULL: any).
static void
drop(struct store *s, uint64_t account, const char *name)
{
    struct derived_table *all = s->derived_table;
    pthread_mutex_lock(&all->mutex);
    for (struct mem_string **link = &all->first; *link;) {
        struct mem_string *t = *link;
        bool other =
            (account != 0 && t->account != account) || (name && strcmp(t->name, name) != 0);
        if (other) {
            link = &t->next;
            continue;
        }
        *link = t->next;
        unref(t);
    }
    pthread_mutex_unlock(&all->mutex);
}

static void
mem_stop(struct store *s)
{
    drop(s, 0, NULL);
    pthread_mutex_destroy(&s->derived_table->mutex);
    free(s->derived_table);
}

// ---- writing ----

static enum result
mem_create(struct derived_writer *w, struct fault *f)
{
    (void)w, (void)f;
    return R_OK;
}

// All of it stays in the writer until the commit.
static enum result
mem_write(struct derived_writer *w, bool last, struct fault *f)
{
    (void)w, (void)last, (void)f;
    return R_OK;
}

static enum result
mem_commit(struct derived_writer *w, struct fault *f)
{
    struct derived_table *all = w->store->derived_table;
    struct mem_string *t = calloc(1, sizeof *t);
    (void)f;
    must(t != NULL);
    t->account = w->account;
    memcpy(t->name, w->name, sizeof t->name);
    t->octets = w->plain;
    t->refs = 1;
    buf_init(&w->plain, 0);
    drop(w->store, w->account, w->name);
    pthread_mutex_lock(&all->mutex);
    t->next = all->first;
    all->first = t;
    pthread_mutex_unlock(&all->mutex);
    return R_OK;
}

static void
mem_end(struct derived_writer *w)
{
    (void)w;
}

// ---- reading ----

static enum result
mem_open(struct derived *d, struct fault *f)
{
    struct derived_table *all = d->store->derived_table;
    struct mem_string *t;
    (void)f;
    pthread_mutex_lock(&all->mutex);
    for (t = all->first; t; t = t->next)
        if (t->account == d->account && strcmp(t->name, d->name) == 0)
            break;
    if (t) {
        t->refs++;
        d->string = t;
        d->size = t->octets.n;
    }
    pthread_mutex_unlock(&all->mutex);
    return t ? R_OK : R_NONE;
}

static enum result
mem_read(struct derived *d, uint64_t offset, char *dst, size_t n, struct fault *f)
{
    (void)f;
    memcpy(dst, d->string->octets.p + offset, n);
    return R_OK;
}

static void
mem_close(struct derived *d)
{
    if (!d->string)
        return;
    pthread_mutex_lock(&d->store->derived_table->mutex);
    unref(d->string);
    pthread_mutex_unlock(&d->store->derived_table->mutex);
}

// ---- all of them ----

static enum result
mem_remove(struct store *s, uint64_t account, const char *name, struct fault *f)
{
    (void)f;
    drop(s, account, name);
    return R_OK;
}

static enum result
mem_list(struct store *s, uint64_t account, struct derived_list *out, struct fault *f)
{
    struct derived_table *all = s->derived_table;
    size_t n = 0;
    (void)f;
    pthread_mutex_lock(&all->mutex);
    for (const struct mem_string *t = all->first; t; t = t->next)
        n += t->account == account;
    out->entries = arena_array(out->a, n + 1, sizeof *out->entries);
    for (const struct mem_string *t = all->first; t; t = t->next)
        if (t->account == account)
            out->entries[out->n++] =
                (struct derived_entry){arena_dup(out->a, span_str(t->name)), t->octets.n};
    pthread_mutex_unlock(&all->mutex);
    qsort(out->entries, out->n, sizeof *out->entries, derived_entry_compare);
    return R_OK;
}

static enum result
mem_accounts(struct store *s, uint64_t **ids_out, size_t *n_out, struct fault *f)
{
    struct derived_table *all = s->derived_table;
    size_t n = 0, to = 0;
    (void)f;
    pthread_mutex_lock(&all->mutex);
    for (const struct mem_string *t = all->first; t; t = t->next)
        n++;
    uint64_t *ids = calloc(n + 1, sizeof *ids);
    must(ids != NULL);
    n = 0;
    for (const struct mem_string *t = all->first; t; t = t->next)
        ids[n++] = t->account;
    pthread_mutex_unlock(&all->mutex);
    qsort(ids, n, sizeof *ids, order_u64);
    for (size_t i = 0; i < n; i++)
        if (to == 0 || ids[to - 1] != ids[i])
            ids[to++] = ids[i];
    *ids_out = ids;
    *n_out = to;
    return R_OK;
}

static enum result
mem_clear(struct store *s, uint64_t account, struct fault *f)
{
    (void)f;
    drop(s, account, NULL);
    return R_OK;
}

static enum result
mem_clear_all(struct store *s, struct fault *f)
{
    (void)f;
    drop(s, 0, NULL);
    return R_OK;
}

const struct derived_engine derived_mem = {
    .start = mem_start,
    .stop = mem_stop,
    .create = mem_create,
    .write = mem_write,
    .commit = mem_commit,
    .end = mem_end,
    .open = mem_open,
    .read = mem_read,
    .close = mem_close,
    .remove = mem_remove,
    .list = mem_list,
    .accounts = mem_accounts,
    .clear = mem_clear,
    .clear_all = mem_clear_all,
};
