// Watches and their ears: how they come and go.
#include "mail/watch_log.h"

#include "base/limits.h"
#include "base/log.h"

static void
ear_link(void *arg)
{
    struct watch_ear *e = arg;
    struct account *a = e->account;
    if (!a->watched) {
        a->watched = calloc(1, sizeof *a->watched);
        must(a->watched != NULL);
        a->watched->names.max = LIMIT_watch_names;
        a->watched->entries.max = LIMIT_metadata_events;
    }
    a->use.refs++;
    e->told = a->watched->serial;
    e->next = a->watched->ears;
    e->prev = &a->watched->ears;
    if (e->next)
        e->next->prev = &e->next;
    a->watched->ears = e;
    // a tree that came later: all of it is new to the session
    for (uint32_t i = 0; e->late && i < account_state(a)->mailbox_count; i++)
        watch_rights_changed(e, account_state(a)->mailboxes[i]);
}

static void
log_free(struct watch_log **log)
{
    free((*log)->names.p);
    free((*log)->entries.p);
    free(*log);
    *log = NULL;
}

static void
watch_unref(struct mail_watch *w)
{
    if (atomic_fetch_sub(&w->open, 1) != 1)
        return;
    poke_unref(w->poke);
    free(w->ears);
    free(w);
}

void
watch_list_clear(struct watch_list *l)
{
    watch_list_drop(l, 0, l->count);
}

static void
ear_close(void *arg)
{
    struct watch_ear *e = arg;
    struct account *a = e->account;
    *e->prev = e->next;
    if (e->next)
        e->next->prev = e->prev;
    watch_trim(a->watched);
    if (!a->watched->ears)
        log_free(&a->watched);
    watch_unref(e->watch);
    watch_list_clear(&e->shown);
    free(e->shown.p);
    acl_who_unref(&e->who);
    free(e);
    account_unref(a);
}

static bool
hears(const struct mail_watch *w, const struct account *a)
{
    for (size_t i = 0; i < w->ear_count; i++)
        if (w->ears[i]->account == a)
            return true;
    return false;
}

static void
ear_open(struct mail_watch *w, const struct mount *m, bool late)
{
    struct watch_ear *e = calloc(1, sizeof *e);
    must(e != NULL);
    *e = (struct watch_ear){
        .watch = w,
        .user = w->user->own.id,
        .account = m->account,
        .prefix = m->prefix,
        .who = acl_who_ref((struct acl_who *)(uintptr_t)mail_user_who(w->user)),
        .own = m == &w->user->own,
        .late = late,
        .shown.max = LIMIT_watch_names};
    if (w->ear_count == w->ear_room) {
        w->ear_room = w->ear_room ? w->ear_room * 2 : 1;
        w->ears = reallocarray(w->ears, w->ear_room, sizeof *w->ears);
        must(w->ears != NULL);
    }
    w->ears[w->ear_count++] = e;
    atomic_fetch_add(&w->open, 1);
    account_run(m->account, ear_link, e);
}

void
watch_extend(struct mail_watch *w)
{
    struct fault f;
    bool late = w->ear_count > 0;
    if (mounts_open(w->user, &f) != R_OK)
        log_warning("mail", "trees are not watched", log_user(w->user->name),
                    log_fault(&f));
    for (const struct mount *m = &w->user->own; m; m = m->next)
        if (m->account && !hears(w, m->account))
            ear_open(w, m, late);
}

struct mail_watch *
mail_watch_open(struct mail_user *u, unsigned kinds, view_poke_fn *poke_fn, void *arg)
{
    struct mail_watch *w = calloc(1, sizeof *w);
    must(w != NULL);
    w->poke = poke_new(poke_fn, arg);
    w->user = u;
    atomic_store(&w->kinds, kinds);
    atomic_store(&w->open, 1);
    w->user_next = u->watches;
    w->user_at = &u->watches;
    if (u->watches)
        u->watches->user_at = &w->user_next;
    u->watches = w;
    watch_extend(w);
    return w;
}

void
mail_watch_close(struct mail_watch **wp)
{
    struct mail_watch *w = *wp;
    if (!w)
        return;
    w->poke->fn = NULL;
    *w->user_at = w->user_next;
    if (w->user_next)
        w->user_next->user_at = w->user_at;
    for (size_t i = 0; i < w->ear_count; i++) {
        struct account *a = w->ears[i]->account;
        loop_post(mail_home(account_mail(a), account_id(a)), ear_close, w->ears[i]);
    }
    watch_unref(w);
    *wp = NULL;
}

struct become_job {
    struct watch_ear *ear;
    struct acl_who *who;
};

// What is seen now and was not is told as if it were made, and the reverse.
static void
become_run(void *arg)
{
    struct become_job *job = arg;
    struct watch_ear *e = job->ear;
    const struct state *s = account_state(e->account);
    struct acl_who *was = e->who;
    e->who = job->who;
    for (uint32_t i = 0; !e->own && i < s->mailbox_count; i++) {
        e->had = acl_rights(was, e->account, s->mailboxes[i]->id);
        watch_rights_changed(e, s->mailboxes[i]);
    }
    acl_who_unref(&was);
    free(job);
}

void
watch_become(struct mail_watch *w, struct acl_who *who)
{
    for (size_t i = 0; i < w->ear_count; i++) {
        struct account *a = w->ears[i]->account;
        struct become_job *job = calloc(1, sizeof *job);
        must(job != NULL);
        *job = (struct become_job){w->ears[i], acl_who_ref(who)};
        loop_post(mail_home(account_mail(a), account_id(a)), become_run, job);
    }
    watch_stale(w);
}

void
watch_stale(struct mail_watch *w)
{
    atomic_store(&w->stale, true);
    atomic_fetch_or(&w->pending, atomic_load(&w->kinds));
    poke_post(w->poke);
}

void
mail_watch_kinds(struct mail_watch *w, unsigned kinds)
{
    atomic_store(&w->kinds, kinds);
}

unsigned
mail_watch_pending(const struct mail_watch *w)
{
    return atomic_load(&w->pending);
}
