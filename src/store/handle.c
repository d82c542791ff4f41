#include "store/handle.h"

#include <sys/stat.h>
#include <unistd.h>

void
handles_init(struct handles *c)
{
    memset(c, 0, sizeof *c);
    must(pthread_mutex_init(&c->lock, NULL) == 0);
}

static void
unpin_locked(struct handle *h)
{
    must(h->refs > 0);
    if (--h->refs > 0)
        return;
    close(h->fd);
    if (h->table_fd >= 0)
        close(h->table_fd);
    free(h);
}

void
handles_done(struct handles *c)
{
    for (size_t i = 0; i < HANDLES; i++)
        if (c->slots[i])
            unpin_locked(c->slots[i]);
    pthread_mutex_destroy(&c->lock);
}

struct handle *
handle_new(enum handle_kind kind, uint64_t id, int fd)
{
    struct handle *h = calloc(1, sizeof *h);
    must(h != NULL);
    *h = (struct handle){.kind = kind, .id = id, .fd = fd, .table_fd = -1, .refs = 1};
    return h;
}

static size_t
slot_of(const struct handles *c, enum handle_kind kind, uint64_t id)
{
    size_t i = 0;
    while (i < HANDLES &&
           !(c->slots[i] && c->slots[i]->kind == kind && c->slots[i]->id == id))
        i++;
    return i;
}

struct handle *
handles_pin(struct handles *c, enum handle_kind kind, uint64_t id)
{
    pthread_mutex_lock(&c->lock);
    size_t i = slot_of(c, kind, id);
    struct handle *h = i < HANDLES ? c->slots[i] : NULL;
    if (h) {
        h->refs++;
        h->used = ++c->clock;
    }
    pthread_mutex_unlock(&c->lock);
    return h;
}

static size_t
slot_oldest(const struct handles *c)
{
    size_t oldest = 0;
    for (size_t i = 0; i < HANDLES; i++) {
        if (!c->slots[i])
            return i;
        if (c->slots[i]->used < c->slots[oldest]->used)
            oldest = i;
    }
    return oldest;
}

// Was the file removed, or replaced by another, since it was opened?
static bool
is_removed(const struct handle *h)
{
    struct stat st;
    return fstat(h->fd, &st) == 0 && st.st_nlink == 0;
}

static void
keep_locked(struct handles *c, struct handle *h)
{
    size_t i = slot_of(c, h->kind, h->id);
    if (i == HANDLES)
        i = slot_oldest(c);
    if (c->slots[i])
        unpin_locked(c->slots[i]);
    c->slots[i] = h;
    h->refs++;
    h->used = ++c->clock;
}

// The look at the file is under the lock: one that goes behind it is forgotten behind it.
void
handles_keep(struct handles *c, struct handle *h)
{
    pthread_mutex_lock(&c->lock);
    if (!is_removed(h))
        keep_locked(c, h);
    pthread_mutex_unlock(&c->lock);
}

void
handles_forget(struct handles *c, enum handle_kind kind, uint64_t id)
{
    pthread_mutex_lock(&c->lock);
    size_t i = slot_of(c, kind, id);
    if (i < HANDLES) {
        unpin_locked(c->slots[i]);
        c->slots[i] = NULL;
    }
    pthread_mutex_unlock(&c->lock);
}

void
handle_unpin(struct handles *c, struct handle **h)
{
    if (!*h)
        return;
    pthread_mutex_lock(&c->lock);
    unpin_locked(*h);
    pthread_mutex_unlock(&c->lock);
    *h = NULL;
}
