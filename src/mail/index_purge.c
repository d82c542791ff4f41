#include "mail/index_inside.h"

#include "base/budget.h"
#include "base/load.h"
#include "base/order.h"
#include "io/task.h"
#include "mail/attachment.h"

// What the index and the cache of attachments' texts keep of messages that are gone is removed: segments and packs that have some
// of it are written again without.

enum { EASE_MS = 1000 };

// Sorted EMAILIDs.
struct ids {
    uint64_t *p;
    size_t n, room;
};

struct purge {
    struct mail_index *x;
    struct ids alive;    // of the account's messages
    struct ids missing;  // those of them that are in no segment
    struct fault *f;
};

static void
ids_add(struct ids *s, uint64_t id)
{
    if (s->n == s->room) {
        size_t room = s->room > 0 ? s->room * 2 : 512;
        budget_force(BUDGET_TABLES, (room - s->room) * sizeof *s->p);
        s->room = room;
        s->p = reallocarray(s->p, room, sizeof *s->p);
        must(s->p != NULL);
    }
    s->p[s->n++] = id;
}

static void
ids_free(struct ids *s)
{
    budget_give(BUDGET_TABLES, s->room * sizeof *s->p);
    free(s->p);
}

static bool
ids_have(const struct ids *s, uint64_t id)
{
    return s->n > 0 && bsearch(&id, s->p, s->n, sizeof id, order_u64) != NULL;
}

static bool
is_alive(void *arg, uint64_t emailid)
{
    const struct purge *p = arg;
    return ids_have(&p->alive, emailid);
}

bool
mail_index_goes_on(const struct mail_index *x)
{
    return mail_index_on(x->account) && !x->gone;
}

bool
mail_index_wait_for_ease(const struct mail_index *x)
{
    while (load_is_high() && mail_index_goes_on(x))
        task_sleep(EASE_MS);
    return mail_index_goes_on(x);
}

static bool
goes_on(void *arg)
{
    const struct purge *p = arg;
    return mail_index_wait_for_ease(p->x);
}

// ---- who is alive ----

typedef void rows_fn(struct purge *p, const struct mailbox_state *m);

// Calls fn, which does not suspend, for each mailbox that has messages.
static enum result
each_mailbox(struct purge *p, rows_fn *fn)
{
    struct account *account = p->x->account;
    const struct state *st = account_state(account);
    uint64_t next = 0;
    uint32_t at;
    while ((at = state_mailbox_at(st, next)) < st->mailbox_count) {
        struct mailbox *m = mailbox_of(account, st->mailboxes[at]->id);
        next = m->id + 1;
        if (m->state->counts.exists == 0)
            continue;
        if (mailbox_load(account, m, p->f) == R_OK)
            fn(p, m->state);
        else if (p->f->kind != FAULT_NONEXISTENT)
            return mail_index_of_mail(p->f);
        task_yield();
    }
    return R_OK;
}

static void
add_rows(struct purge *p, const struct mailbox_state *m)
{
    for (uint32_t i = 0; i < m->counts.exists; i++)
        ids_add(&p->alive, m->rows[i].emailid);
}

// Rows that come while it is made are not in it, and may be dropped from the index: they are looked at again the next time.
static enum result
alive_make(struct purge *p)
{
    if (each_mailbox(p, add_rows) != R_OK)
        return R_FAIL;
    if (p->alive.n > 0)
        qsort(p->alive.p, p->alive.n, sizeof *p->alive.p, order_u64);
    return R_OK;
}

static void
purge_free(struct purge *p)
{
    ids_free(&p->alive);
    ids_free(&p->missing);
}

// ---- what is missing ----

static void
uncover(struct purge *p, const struct mailbox_state *m)
{
    struct index_covered *c = mail_index_covered_of(p->x, m->id);
    for (uint32_t i = 0; i < m->counts.exists && m->rows[i].uid <= c->upto; i++)
        if (ids_have(&p->missing, m->rows[i].emailid))
            c->upto = m->rows[i].uid - 1;
}

// Rows that are covered and in no segment could not be read then.
static enum result
look_again(struct purge *p)
{
    for (size_t i = 0; i < p->alive.n; i++) {
        if (!text_index_has(p->x->text, p->alive.p[i]))
            ids_add(&p->missing, p->alive.p[i]);
        if (i % 256 == 0)
            task_yield();
    }
    return p->missing.n > 0 ? each_mailbox(p, uncover) : R_OK;
}

// ---- what is dropped ----

static enum result
merge_dead(struct purge *p)
{
    const struct text_merge_wish wish = {
        .dead = true, .alive = is_alive, .go_on = goes_on, .arg = p};
    enum result r;
    do
        r = text_index_merge(p->x->text, &wish, p->f);
    while (r == R_OK);
    return r == R_FAIL ? R_FAIL : R_OK;
}

enum result
mail_index_drop_dead(struct mail_index *x, struct fault *f)
{
    struct purge p = {.x = x, .f = f};
    enum result r = alive_make(&p);
    if (r == R_OK)
        r = merge_dead(&p);
    purge_free(&p);
    return r;
}

static enum result
purge_text(struct purge *p)
{
    return look_again(p) == R_OK ? merge_dead(p) : R_FAIL;
}

void
mail_index_purge_work(struct mail_index *x)
{
    struct account *a = x->account;
    struct fault f;
    struct purge p = {.x = x, .f = &f};
    if (alive_make(&p) != R_OK || (x->text && purge_text(&p) != R_OK))
        mail_index_failed(x, &f);
    else if (!x->gone)
        attachments_purge(a->mail, a->id, is_alive, &p);
    purge_free(&p);
}
