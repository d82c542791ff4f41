#include "mail/maildrop.h"

#include "base/budget.h"
#include "base/clock.h"
#include "mail/acl_fold.h"
#include "mail/change.h"
#include "mail/maildrop_sets.h"
#include "mail/message.h"
#include "mail/select.h"
#include "mail/system.h"

enum { BATCH = 256, DAY_S = 86400 };

struct drop_message {
    uint32_t uid, size;
    uint64_t blob;
};
enum drop_mark { DROP_DELETED = 1, DROP_FETCHED = 2 };

struct maildrop {
    struct arena *arena;
    struct view *view;
    struct mail *mail;
    struct maildrop_policy policy;
    uint32_t uidvalidity;
    uint32_t last, count;
    uint64_t octets;
    struct drop_message *messages;
    uint8_t *marks;                // enum drop_mark
    struct maildrop_uidls *uidls;  // NULL: none was imported
    size_t charged;
};

// ---- opening ----

static enum result
charge(struct maildrop *d, uint32_t exists, struct fault *f)
{
    size_t octets = (size_t)exists * (sizeof *d->messages + sizeof *d->marks);
    if (budget_take(BUDGET_TABLES, octets, f) != R_OK)
        return R_FAIL;
    d->charged = octets;
    d->messages = arena_array(d->arena, exists, sizeof *d->messages);
    d->marks = arena_array(d->arena, exists, 1);
    return R_OK;
}

static void
add(struct maildrop *d, const struct message_row *row)
{
    d->messages[d->last++] = (struct drop_message){row->uid, row->size, row->blob};
    d->count++;
    d->octets += row->size;
}

static enum result
read_rows(struct maildrop *d, const struct seqset *hidden, struct fault *f)
{
    struct view_message *batch = arena_array(d->arena, BATCH, sizeof *batch);
    struct view_cursor c;
    size_t n;
    enum result r = view_cursor_init(&c, d->view, NULL, false, f);
    if (r != R_OK)
        return R_FAIL;
    while ((r = view_next(&c, batch, BATCH, &n, f)) == R_OK)
        for (size_t i = 0; i < n; i++)
            if (!seqset_contains(hidden, batch[i].row.uid))
                add(d, &batch[i].row);
    return r == R_NONE ? R_OK : R_FAIL;
}

static enum result
fill(struct maildrop *d, struct fault *f)
{
    struct view_info info;
    struct maildrop_sets sets;
    view_info(d->view, &info);
    d->uidvalidity = info.uidvalidity;
    if (charge(d, info.exists, f) != R_OK)
        return R_FAIL;
    maildrop_sets_read(d->view, d->arena, &sets);
    d->uidls = sets.uidls;
    return read_rows(d, &sets.hidden, f);
}

// The view leaves \Recent to IMAP.
enum result
maildrop_open(struct mail_user *u, const struct maildrop_policy *policy,
              struct maildrop **out, struct fault *f)
{
    struct mailbox_ref ref;
    if (mail_access(u, SPAN("INBOX"), RIGHT_READ, &ref, f) != R_OK)
        return R_FAIL;
    struct arena *a = arena_new();
    struct maildrop *d = ARENA_NEW(a, struct maildrop);
    *d = (struct maildrop){
        .arena = a, .policy = *policy, .mail = account_mail(mail_user_account(u))};
    enum result r = view_open(&ref, true, NULL, NULL, &d->view, f);
    if (r == R_OK) {
        d->view->read_only = policy->read_only;
        r = fill(d, f);
    }
    if (r == R_OK)
        *out = d;
    else
        maildrop_close(&d);
    return r;
}

void
maildrop_close(struct maildrop **dp)
{
    struct maildrop *d = *dp;
    if (!d)
        return;
    *dp = NULL;
    view_close(&d->view);
    budget_give(BUDGET_TABLES, d->charged);
    arena_free(&(struct arena *){d->arena});
}

// ---- what is there ----

uint32_t
maildrop_last(const struct maildrop *d)
{
    return d->last;
}

uint32_t
maildrop_count(const struct maildrop *d)
{
    return d->count;
}

uint64_t
maildrop_octets(const struct maildrop *d)
{
    return d->octets;
}

bool
maildrop_is_deleted(const struct maildrop *d, uint32_t n)
{
    return d->marks[n - 1] & DROP_DELETED;
}

uint32_t
maildrop_size(const struct maildrop *d, uint32_t n)
{
    return d->messages[n - 1].size;
}

void
maildrop_uidl(const struct maildrop *d, uint32_t n, struct buf *b)
{
    uint32_t uid = d->messages[n - 1].uid;
    struct span imported = maildrop_uidls_find(d->uidls, uid);
    if (imported.n > 0)
        buf_put(b, imported);
    else
        maildrop_uidl_put(b, uid, d->uidvalidity);
}

enum result
maildrop_read(const struct maildrop *d, uint32_t n, uint64_t offset, size_t len, char *dst,
              struct fault *f)
{
    struct message_row row = {.blob = d->messages[n - 1].blob};
    return message_read(d->mail, &row, offset, len, dst, f);
}

void
maildrop_delete(struct maildrop *d, uint32_t n)
{
    if (maildrop_is_deleted(d, n))
        return;
    d->marks[n - 1] |= DROP_DELETED;
    d->count--;
    d->octets -= d->messages[n - 1].size;
}

void
maildrop_undelete_all(struct maildrop *d)
{
    for (uint32_t i = 0; i < d->last; i++) {
        if (!(d->marks[i] & DROP_DELETED))
            continue;
        d->marks[i] &= (uint8_t)~DROP_DELETED;
        d->count++;
        d->octets += d->messages[i].size;
    }
}

void
maildrop_fetched(struct maildrop *d, uint32_t n)
{
    d->marks[n - 1] |= DROP_FETCHED;
}

// ---- the end ----

static void
marked(const struct maildrop *d, uint8_t mask, uint8_t want, struct arena *a,
       struct seqset *out)
{
    seqset_init(out, a);
    for (uint32_t i = 0; i < d->last; i++)
        if ((d->marks[i] & mask) == want)
            seqset_add(out, d->messages[i].uid);
}

bool
maildrop_has_seen(const struct maildrop *d)
{
    if (!d->policy.marks_seen || d->policy.read_only)
        return false;
    for (uint32_t i = 0; i < d->last; i++)
        if (d->marks[i] & DROP_FETCHED)
            return true;
    return false;
}

enum result
maildrop_see(struct maildrop *d, struct fault *f)
{
    struct flag_change seen = {.op = FLAG_OP_ADD, .flags = FLAG_SEEN};
    struct flag_result done;
    struct seqset uids;
    if (!maildrop_has_seen(d))
        return R_OK;
    struct arena *a = arena_new();
    uint8_t gone = d->policy.on_delete == MAILDROP_EXPUNGE ? DROP_DELETED : 0;
    marked(d, DROP_FETCHED | gone, DROP_FETCHED, a, &uids);
    enum result r =
        uids.count == 0
            ? R_OK
            : change_flags(&(struct selection){d->view, &uids, true}, &seen, a, &done, f);
    arena_free(&a);
    return r;
}

struct update {
    struct maildrop *drop;
    struct arena *arena;
    struct seqset deleted, fetched;  // in this session
    struct seqset gone;              // what this change expunges
    struct maildrop_sets sets;       // as they were
    struct fault *fault;
    enum result result;
};

static bool
is_old(const struct update *u, const struct message_row *row, int64_t now_s)
{
    int64_t age_s = (int64_t)u->drop->policy.expire_days * DAY_S;
    return age_s > 0 && row->save_date > 0 && row->save_date + age_s <= now_s;
}

static bool
was_fetched(const struct update *u, uint32_t uid)
{
    return seqset_contains(&u->fetched, uid) || seqset_contains(&u->sets.fetched, uid);
}

static void
find_gone(struct update *u, struct account *a, struct mailbox *m)
{
    bool expunges = u->drop->policy.on_delete == MAILDROP_EXPUNGE;
    int64_t now_s = clock_wall_s();
    struct row_flags now;
    seqset_init(&u->gone, u->arena);
    for (uint32_t i = 0; i < m->state->counts.exists; i++) {
        const struct message_row *row = &m->state->rows[i];
        bool goes = (expunges && seqset_contains(&u->deleted, row->uid)) ||
                    (is_old(u, row, now_s) && was_fetched(u, row->uid));
        yield_at(i);
        if (!goes || pending_get(a, m, row, &now) != R_OK)
            continue;
        seqset_add(&u->gone, row->uid);
        rows_count(mailbox_next(a, m), row, now.flags, -1);
    }
}

// What is still there of both, in the order of the table.
static void
join(struct update *u, const struct mailbox *m, const struct seqset *old,
     const struct seqset *more, struct seqset *out)
{
    seqset_init(out, u->arena);
    for (uint32_t i = 0; i < m->state->counts.exists; i++) {
        uint32_t uid = m->state->rows[i].uid;
        yield_at(i);
        if ((seqset_contains(old, uid) || seqset_contains(more, uid)) &&
            !seqset_contains(&u->gone, uid))
            seqset_add(out, uid);
    }
}

// Where the set of what was fetched is too large to keep, it stays as it was: then that mail stays, too.
static enum result
put_sets(struct update *u, struct account *a, struct store_batch *b, struct mailbox *m,
         struct fault *f)
{
    struct seqset now;
    if (u->drop->policy.on_delete == MAILDROP_HIDE && u->deleted.count > 0) {
        join(u, m, &u->sets.hidden, &u->deleted, &now);
        if (maildrop_set_put(a, b, m, MAILDROP_HIDDEN, &now) != R_OK)
            return fault_set(f, FAULT_LIMIT, "too many messages are hidden");
    }
    if (u->drop->policy.expire_days > 0 && u->fetched.count > 0) {
        join(u, m, &u->sets.fetched, &u->fetched, &now);
        (void)!maildrop_set_put(a, b, m, MAILDROP_FETCHED, &now);
    }
    return R_OK;
}

static enum result
update_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct update *u = arg;
    struct view *v = u->drop->view;
    struct mailbox *m = v->mailbox;
    if (view_may(v, RIGHT_EXPUNGE, f) != R_OK || mailbox_load(a, m, f) != R_OK)
        return R_FAIL;
    if (select_ready(a, m) == R_NONE)
        return R_NONE;
    maildrop_sets_here(a, m, u->arena, &u->sets);
    find_gone(u, a, m);
    if (put_sets(u, a, b, m, f) != R_OK)
        return R_FAIL;
    if (u->gone.count > 0) {
        maildrop_uidls_put_gone(u->sets.uidls, &u->gone, a, b, m);
        expunge_pending(a, m, &u->gone);
        rows_put_expunged(a, b, m, RECORD_EXPUNGED, &u->gone);
    }
    return R_OK;
}

static bool
has_work(const struct update *u)
{
    const struct maildrop_policy *p = &u->drop->policy;
    return !p->read_only &&
           ((p->on_delete != MAILDROP_KEEP && u->deleted.count > 0) || p->expire_days > 0);
}

// The sets are read and written: nothing else is in such a batch.
static void
update_run(void *arg)
{
    struct update *u = arg;
    struct maildrop *d = u->drop;
    bool plain =
        d->policy.on_delete == MAILDROP_EXPUNGE && d->policy.expire_days == 0 && !d->uidls;
    u->result = d->view->gone
                    ? fault_set(u->fault, FAULT_NONEXISTENT, "mailbox was deleted")
                    : account_change(d->view->account, update_change, u,
                                     plain ? 0 : CHANGE_ALONE, &d->view->by, u->fault);
}

enum result
maildrop_update(struct maildrop *d, uint64_t *gone_out, struct fault *f)
{
    struct update u = {.drop = d, .fault = f, .result = R_OK};
    u.arena = arena_new();
    marked(d, DROP_DELETED, DROP_DELETED, u.arena, &u.deleted);
    marked(d, DROP_FETCHED, DROP_FETCHED, u.arena, &u.fetched);
    seqset_init(&u.gone, u.arena);
    if (has_work(&u))
        account_run(d->view->account, update_run, &u);
    if (u.result == R_OK)
        *gone_out = seqset_size(&u.gone);
    arena_free(&u.arena);
    return u.result;
}
