// Who is told of changed entries. An account keeps the changes that some watch was not told of; the last one of each entry
// stands for all before it.
#include "mail/metadata_log.h"

#include "base/limits.h"
#include "mail/mount.h"
#include "mail/name.h"

struct event {
    uint64_t serial, mailbox;
    const struct metadata_watch *origin;
    struct span key;  // owned
};

// A watch in one account.
struct ear {
    struct ear *next, **prev;
    struct metadata_watch *watch;
    struct account *account;
    struct span prefix;
    uint32_t rights;
    bool own;
    uint64_t told;  // serial
};

struct metadata_log {
    struct event *events;  // ascending by serial
    size_t count, cap;
    uint64_t serial;
    uint64_t lost;  // changes up to this one were dropped before all were told
    struct ear *ears;
};

struct metadata_watch {
    struct poke *poke;
    uint64_t user;
    atomic_bool pending;
    atomic_uint open;  // ears that are linked
    size_t ear_count;
    struct ear *ears;
};

// ---- the log ----

static void
drop(struct metadata_log *log, size_t i)
{
    free((char *)(uintptr_t)log->events[i].key.p);
    log->count--;
    memmove(log->events + i, log->events + i + 1, (log->count - i) * sizeof *log->events);
}

static void
make_room(struct metadata_log *log)
{
    if (log->count == LIMIT_metadata_events) {
        log->lost = log->events[0].serial;
        drop(log, 0);
    }
    if (log->count < log->cap)
        return;
    log->cap = log->cap ? log->cap * 2 : 16;
    log->events = reallocarray(log->events, log->cap, sizeof *log->events);
    must(log->events != NULL);
}

static void
put_event(struct metadata_log *log, uint64_t mailbox, struct span key,
          const struct metadata_watch *origin)
{
    for (size_t i = 0; i < log->count; i++)
        if (log->events[i].mailbox == mailbox && span_eq(log->events[i].key, key)) {
            drop(log, i);
            break;
        }
    make_room(log);
    char *copy = calloc(1, key.n);
    must(copy != NULL);
    memcpy(copy, key.p, key.n);
    log->events[log->count++] =
        (struct event){++log->serial, mailbox, origin, span_of(copy, key.n)};
}

void
metadata_log_add(struct account *a, uint64_t mailbox, struct span key,
                 const struct metadata_watch *origin)
{
    struct metadata_log *log = a->metadata;
    if (!log)
        return;
    put_event(log, mailbox, key, origin);
    for (struct ear *e = log->ears; e; e = e->next) {
        if (e->watch == origin)
            continue;
        atomic_store(&e->watch->pending, true);
        poke_post(e->watch->poke);
    }
}

static void
trim(struct metadata_log *log)
{
    uint64_t oldest = log->serial;
    size_t told = 0;
    for (const struct ear *e = log->ears; e; e = e->next)
        if (e->told < oldest)
            oldest = e->told;
    for (; told < log->count && log->events[told].serial <= oldest; told++)
        free((char *)(uintptr_t)log->events[told].key.p);
    log->count -= told;
    if (told > 0 && log->count > 0)
        memmove(log->events, log->events + told, log->count * sizeof *log->events);
}

// ---- open and close ----

static void
ear_open(void *arg)
{
    struct ear *e = arg;
    struct account *a = e->account;
    if (!a->metadata) {
        a->metadata = calloc(1, sizeof *a->metadata);
        must(a->metadata != NULL);
    }
    a->refs++;
    e->told = a->metadata->serial;
    e->next = a->metadata->ears;
    e->prev = &a->metadata->ears;
    if (e->next)
        e->next->prev = &e->next;
    a->metadata->ears = e;
}

static void
origin_forget(struct metadata_log *log, const struct metadata_watch *w)
{
    for (size_t i = 0; i < log->count; i++)
        if (log->events[i].origin == w)
            log->events[i].origin = NULL;
}

static void
watch_free(struct metadata_watch *w)
{
    poke_unref(w->poke);
    free(w->ears);
    free(w);
}

static void
ear_close(void *arg)
{
    struct ear *e = arg;
    struct account *a = e->account;
    struct metadata_log *log = a->metadata;
    *e->prev = e->next;
    if (e->next)
        e->next->prev = e->prev;
    origin_forget(log, e->watch);
    trim(log);
    if (!log->ears) {
        free(log->events);
        free(log);
        a->metadata = NULL;
    }
    if (atomic_fetch_sub(&e->watch->open, 1) == 1)
        watch_free(e->watch);
    account_unref(a);
}

struct metadata_watch *
metadata_watch_open(struct mail_user *u, view_poke_fn *poke, void *arg)
{
    struct metadata_watch *w = calloc(1, sizeof *w);
    must(w != NULL);
    w->poke = poke_new(poke, arg);
    w->user = account_id(mail_user_account(u));
    w->ears = calloc(1 + mail_user_mounts(u), sizeof *w->ears);
    must(w->ears != NULL);
    for (const struct mount *m = &u->own; m; m = m->next) {
        if (!(m->rights & RIGHT_LOOKUP) || !metadata_may(m->rights))
            continue;
        w->ears[w->ear_count++] = (struct ear){.watch = w,
                                               .account = m->account,
                                               .prefix = m->prefix,
                                               .rights = m->rights,
                                               .own = m == &u->own};
    }
    atomic_store(&w->open, (unsigned)w->ear_count);
    for (size_t i = 0; i < w->ear_count; i++)
        account_run(w->ears[i].account, ear_open, &w->ears[i]);
    return w;
}

void
metadata_watch_close(struct metadata_watch **wp)
{
    struct metadata_watch *w = *wp;
    if (!w)
        return;
    w->poke->fn = NULL;
    size_t n = w->ear_count;  // the watch goes with its last ear
    struct ear *ears = w->ears;
    for (size_t i = 0; i < n; i++) {
        struct account *a = ears[i].account;
        loop_post(mail_home(account_mail(a), account_id(a)), ear_close, &ears[i]);
    }
    *wp = NULL;
}

// ---- taking ----

struct found {
    uint64_t mailbox;
    struct span name;
};

struct take_call {
    struct ear *ear;
    struct arena *arena;
    struct found *found;
    size_t n, room;
    struct metadata_told *told;
    size_t told_n;
};

static void
take_one(struct take_call *c, uint64_t mailbox, struct span key)
{
    if (key.p[0] != '/' || (mailbox == 0 && !c->ear->own))
        return;
    struct span name = metadata_key_name(c->arena, c->ear->watch->user, key);
    if (!name.p)
        return;
    if (c->n == c->room) {
        size_t room = c->room ? c->room * 2 : 16;
        struct found *more = arena_array(c->arena, room, sizeof *more);
        if (c->n)
            memcpy(more, c->found, c->n * sizeof *more);
        c->found = more;
        c->room = room;
    }
    c->found[c->n++] = (struct found){mailbox, arena_dup(c->arena, name)};
}

static void
take_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    (void)value;
    take_one(arg, mailbox, key);
}

static int
found_order(const void *pa, const void *pb)
{
    const struct found *a = pa, *b = pb;
    if (a->mailbox != b->mailbox)
        return a->mailbox < b->mailbox ? -1 : 1;
    return span_cmp(a->name, b->name);
}

static void
collect(struct take_call *c)
{
    const struct metadata_log *log = c->ear->account->metadata;
    if (c->ear->told < log->lost)
        state_meta_each(c->ear->account->state, take_each, c);
    for (size_t i = 0; i < log->count; i++)
        if (log->events[i].serial > c->ear->told && log->events[i].origin != c->ear->watch)
            take_one(c, log->events[i].mailbox, log->events[i].key);
    if (c->n > 0)
        qsort(c->found, c->n, sizeof *c->found, found_order);
}

// "" for the server; SPAN_NONE when the mailbox went meanwhile.
static struct span
name_told(const struct take_call *c, uint64_t mailbox)
{
    struct state *s = c->ear->account->state;
    const struct mailbox_state *m = state_mailbox(s, mailbox);
    struct mount mount = {.prefix = c->ear->prefix};
    if (mailbox == 0)
        return SPAN("");
    return m ? mount_name(c->arena, &mount, name_full(c->arena, s, m)) : SPAN_NONE;
}

static void
group(struct take_call *c)
{
    struct metadata_told *now = NULL;
    c->told = arena_array(c->arena, c->n, sizeof *c->told);
    for (size_t i = 0; i < c->n; i++) {
        const struct found *o = &c->found[i];
        bool first = i == 0 || o[-1].mailbox != o->mailbox;
        if (!first && span_eq(o[-1].name, o->name))
            continue;
        if (first) {
            struct span mailbox = name_told(c, o->mailbox);
            now = mailbox.p ? &c->told[c->told_n++] : NULL;
            if (now)
                *now = (struct metadata_told){
                    mailbox, arena_array(c->arena, c->n - i, sizeof *now->names), 0};
        }
        if (now)
            now->names[now->n++] = o->name;
    }
}

static void
take_run(void *arg)
{
    struct take_call *c = arg;
    struct metadata_log *log = c->ear->account->metadata;
    collect(c);
    c->ear->told = log->serial;
    trim(log);
    group(c);
}

void
metadata_watch_take(struct metadata_watch *w, struct arena *a, struct metadata_told **out,
                    size_t *n_out)
{
    *out = NULL;
    *n_out = 0;
    if (!atomic_exchange(&w->pending, false))
        return;
    for (size_t i = 0; i < w->ear_count; i++) {
        struct take_call c = {.ear = &w->ears[i], .arena = a};
        account_run(c.ear->account, take_run, &c);
        if (c.told_n == 0)
            continue;
        struct metadata_told *all = arena_array(a, *n_out + c.told_n, sizeof *all);
        if (*n_out > 0)
            memcpy(all, *out, *n_out * sizeof *all);
        memcpy(all + *n_out, c.told, c.told_n * sizeof *all);
        *out = all;
        *n_out += c.told_n;
    }
}
