#include "mail/undelete_inside.h"

#include "base/limits.h"
#include "mail/name.h"

static bool
is_wanted(const struct undelete *u, struct span name)
{
    struct span f = u->wish.folder;
    if (f.n == 0)
        return true;
    if (name_is_inbox(f) && span_istarts(name, f))
        return name.n == f.n || name.p[f.n] == '/';
    return span_starts(name, f) && (name.n == f.n || name.p[f.n] == '/');
}

static void
add_source(struct undelete *u, uint64_t mailbox, struct lost *lost, struct span name)
{
    if (is_wanted(u, name))
        u->sources[u->count++] = (struct source){mailbox, lost, name};
}

static unsigned
depth_of(const struct lost *x)
{
    unsigned depth = 0;
    while ((x = x->above) != NULL)
        depth++;
    return depth;
}

// Parents before their children; of one name the one that was deleted last, which so gets it back.
static int
lost_order(const void *a, const void *b)
{
    const struct lost *const *x = a, *const *y = b;
    unsigned dx = depth_of(*x), dy = depth_of(*y);
    if (dx != dy)
        return dx < dy ? -1 : 1;
    return (*x)->d->modseq > (*y)->d->modseq ? -1 : (*x)->d->modseq < (*y)->d->modseq;
}

static void
plan_lost(struct undelete *u, struct lost *list, size_t n)
{
    struct lost **order = arena_array(u->arena, n, sizeof(struct lost *));
    for (size_t i = 0; i < n; i++)
        order[i] = &list[i];
    if (n > 1)
        qsort(order, n, sizeof(struct lost *), lost_order);
    for (size_t i = 0; i < n; i++)
        if (!(order[i]->d->flags & MAILBOX_NOSELECT) &&
            order[i]->d->when_s >= u->wish.since_s)
            add_source(u, order[i]->id, order[i], order[i]->old);
}

static void
plan_live(struct undelete *u)
{
    struct state *s = account_state(u->account);
    for (uint32_t i = 0; i < s->mailbox_count; i++)
        if (!(s->mailboxes[i]->flags & MAILBOX_NOSELECT))
            add_source(u, s->mailboxes[i]->id, NULL,
                       name_full(u->arena, s, s->mailboxes[i]));
}

struct open_call {
    struct undelete *u;
    struct fault *fault;
    enum result result;
};

static void
open_run(void *arg)
{
    struct open_call *c = arg;
    struct undelete *u = c->u;
    struct account *a = u->account;
    struct store_deleted found = {.a = u->arena, .max = LIMIT_mailboxes};
    c->result = store_deleted(mail_store(a->mail), account_state(a), &found, c->fault);
    if (c->result != R_OK)
        return;
    struct lost *list = arena_array(u->arena, found.n, sizeof *list);
    size_t n = 0;
    for (const struct store_deleted_mailbox *d = found.first; d; d = d->next)
        list[n++] = (struct lost){.id = d->id, .d = d};
    undelete_link(u, list, n);
    u->sources =
        arena_array(u->arena, n + account_state(a)->mailbox_count, sizeof *u->sources);
    plan_live(u);
    plan_lost(u, list, n);
    if (u->wish.folder.n > 0 && u->count == 0)
        c->result =
            fault_set(c->fault, FAULT_NONEXISTENT,
                      "there is no folder '%.*s', and none was deleted in that time",
                      SPAN_ARG(u->wish.folder));
}

enum result
undelete_open(struct mail_user *user, const struct undelete_wish *wish,
              struct undelete **out, struct fault *f)
{
    struct undelete *u = calloc(1, sizeof *u);
    must(u != NULL);
    u->account = mail_user_account(user);
    u->wish = *wish;
    u->arena = arena_new();
    struct open_call c = {u, f, R_OK};
    if (wish->folder.n > 0)
        c.result = mail_name_check(u->arena, wish->folder, &u->wish.folder, f);
    if (c.result == R_OK)
        account_run(u->account, open_run, &c);
    if (c.result != R_OK) {
        undelete_close(&u);
        return R_FAIL;
    }
    *out = u;
    return R_OK;
}

struct next_call {
    struct undelete *u;
    struct undelete_folder *out;
    struct fault *fault;
    enum result result;
};

static void
next_run(void *arg)
{
    struct next_call *c = arg;
    struct undelete *u = c->u;
    c->result = R_NONE;
    while (c->result == R_NONE && u->at < u->count) {
        const struct source *s = &u->sources[u->at++];
        *c->out = (struct undelete_folder){
            .from = s->name, .to = s->name, .whole = s->lost != NULL};
        c->result = undelete_source(u, s, c->out, c->fault);
        if (c->result == R_FAIL && c->fault->kind != FAULT_DISK) {
            c->out->failed = true;
            c->out->why = *c->fault;
            c->result = R_OK;
        }
    }
}

enum result
undelete_next(struct undelete *u, struct undelete_folder *out, struct fault *f)
{
    struct next_call c = {u, out, f, R_FAIL};
    account_run(u->account, next_run, &c);
    return c.result;
}

void
undelete_close(struct undelete **u)
{
    if (!*u)
        return;
    HASH_CLEAR(hh, (*u)->by_id);
    HASH_CLEAR(by_path, (*u)->claimed);
    arena_free(&(*u)->arena);
    free(*u);
    *u = NULL;
}
