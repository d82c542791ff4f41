#include "io/loop_inside.h"

#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static _Thread_local struct loop *self;

struct loop *
loop_self(void)
{
    return self;
}

struct event_base *
loop_base(struct loop *l)
{
    return l->base;
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    (void)arg;
    uint64_t count;
    must(read(fd, &count, sizeof count) == sizeof count || errno == EAGAIN);
}

static void
on_wait_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    ((struct loop *)arg)->wait_until_ms = 0;
}

static struct event_base *
base_new(void)
{
    struct event_config *config = event_config_new();
    must(config != NULL);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    must(base != NULL);
    return base;
}

struct loop *
loop_new(void)
{
    signal(SIGPIPE, SIG_IGN);  // OpenSSL's socket BIO writes without MSG_NOSIGNAL
    struct loop *l = calloc(1, sizeof *l);
    must(l != NULL);
    l->base = base_new();
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    must(l->wake_fd >= 0);
    l->wake_event = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, NULL);
    l->wait_event = event_new(l->base, -1, 0, on_wait_over, l);
    must(l->wake_event != NULL && l->wait_event != NULL);
    must(event_add(l->wake_event, NULL) == 0);
    must(pthread_mutex_init(&l->lock, NULL) == 0);
    l->deferred.last = &l->deferred.first;
    l->at_end.last = &l->at_end.first;
    wheel_init(&l->wheel, clock_mono_ms());
    task_room_init(&l->tasks);
    return l;
}

void
loop_post(struct loop *l, loop_fn *fn, void *arg)
{
    static const uint64_t one = 1;
    pthread_mutex_lock(&l->lock);
    struct post_list *p = &l->posted;
    if (p->n == p->cap) {
        p->cap = p->cap > 0 ? p->cap * 2 : 16;
        p->at = reallocarray(p->at, p->cap, sizeof *p->at);
        must(p->at != NULL);
    }
    p->at[p->n++] = (struct post){fn, arg};
    // its own thread comes by before it waits: no need to wake it
    bool own = l == self, signal_it = !own && !l->signalled;
    if (own)
        l->posted_here = true;
    l->signalled |= signal_it;
    // Written under the lock: after it the loop may run the last function of its life and be freed.
    if (signal_it)
        must(write(l->wake_fd, &one, sizeof one) == sizeof one);
    pthread_mutex_unlock(&l->lock);
}

void
loop_disarm(struct armed *a)
{
    if (a->what)
        event_del(&a->event);
    a->what = 0;
}

void
loop_arm(struct armed *a, int fd, short what, event_callback_fn fn, void *arg)
{
    if (what == a->what)
        return;
    loop_disarm(a);
    if (!what)
        return;
    a->what = what;
    must(event_assign(&a->event, loop_base(loop_self()), fd, (short)(what | EV_PERSIST), fn,
                      arg) == 0);
    must(event_add(&a->event, NULL) == 0);
}

void
loop_test_between(struct loop *l, loop_fn *fn, void *arg)
{
    l->between = (struct post){fn, arg};
}

static void
stop(void *arg)
{
    ((struct loop *)arg)->stopped = true;
}

void
loop_stop(struct loop *l)
{
    loop_post(l, stop, l);
}

static void
run_posted(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    l->posted_here = false;
    struct post_list batch = l->posted;
    l->posted = l->draining;
    l->signalled = false;
    pthread_mutex_unlock(&l->lock);
    l->draining = (struct post_list){0};
    for (size_t i = 0; i < batch.n; i++) {
        batch.at[i].fn(batch.at[i].arg);
        loop_between(l);
    }
    batch.n = 0;
    l->draining = batch;
}

static void
append_to(struct deferred_list *list, struct deferred *d, void (*fn)(struct deferred *d))
{
    if (d->at)
        return;
    d->fn = fn;
    d->next = NULL;
    d->list = list;
    d->at = list->last;
    *list->last = d;
    list->last = &d->next;
}

void
loop_defer(struct deferred *d, void (*fn)(struct deferred *d))
{
    must(self != NULL);
    append_to(&self->deferred, d, fn);
}

void
loop_at_end(struct deferred *d, void (*fn)(struct deferred *d))
{
    must(self != NULL);
    append_to(&self->at_end, d, fn);
}

void
loop_undefer(struct deferred *d)
{
    if (!d->at)
        return;
    *d->at = d->next;
    if (d->next)
        d->next->at = d->at;
    else
        d->list->last = d->at;
    d->at = NULL;
}

// Runs what is in the list now; what is added meanwhile waits for the next turn behind the mark.
static void
run_deferred(struct deferred_list *list)
{
    append_to(list, &list->mark, NULL);
    while (list->first != &list->mark) {
        struct deferred *d = list->first;
        loop_undefer(d);
        d->fn(d);
    }
    loop_undefer(&list->mark);
}

static bool
work_left(struct loop *l)
{
    return l->stopped || l->posted_here || l->deferred.first || task_room_busy(&l->tasks);
}

static void
set_wait(struct loop *l)
{
    uint64_t until = wheel_next_ms(&l->wheel);
    if (until == l->wait_until_ms)
        return;
    l->wait_until_ms = until;
    if (until == 0) {
        event_del(l->wait_event);
        return;
    }
    uint64_t now = clock_mono_ms();
    uint64_t delay = until > now ? until - now : 0;
    struct timeval tv = {(time_t)(delay / 1000), (suseconds_t)(delay % 1000 * 1000)};
    must(event_add(l->wait_event, &tv) == 0);
}

static void
turn(struct loop *l)
{
    task_room_turn(&l->tasks);
    run_posted(l);
    wheel_run(&l->wheel, clock_mono_ms());
    loop_between(l);
    run_deferred(&l->deferred);  // answers leave before others have their slices
    task_room_run(&l->tasks);
    run_deferred(&l->deferred);
    bool more = work_left(l);
    if (!more)
        set_wait(l);
    must(event_base_loop(l->base, EVLOOP_ONCE | (more ? EVLOOP_NONBLOCK : 0)) >= 0);
    loop_between(l);
}

void
loop_run(struct loop *l)
{
    must(self == NULL || self == l);
    self = l;
    l->stopped = false;
    while (!l->stopped)
        turn(l);
    self = NULL;
}

void
loop_free(struct loop **lp)
{
    struct loop *l = *lp;
    if (!l)
        return;
    *lp = NULL;
    struct loop *outer = self;
    self = l;
    while (l->at_end.first) {
        struct deferred *d = l->at_end.first;
        loop_undefer(d);
        d->fn(d);
    }
    task_room_done(&l->tasks);
    self = outer;
    event_free(l->wake_event);
    event_free(l->wait_event);
    event_base_free(l->base);
    close(l->wake_fd);
    pthread_mutex_destroy(&l->lock);
    free(l->posted.at);
    free(l->draining.at);
    free(l);
}
