#include "mail/folders.h"
#include "mail/home.h"
#include "mail/label_mode.h"
#include "mail/learn_inside.h"

#include "base/limits.h"

struct change {
    struct change *next;
    change_fn *fn;
    void *arg;
    unsigned flags;
    const struct change_by *by;
    struct fault *fault;
    struct task *task;
    enum result result;
    size_t records;  // of the batch, made by this change
    bool done;
};

struct batch_run {
    struct account *account;
    struct store_batch *batch;
    struct change *taken, **taken_end;
};

uint64_t
change_modseq(struct account *a)
{
    return ++a->next_modseq;
}

enum result
change_room(const struct store_batch *b, bool first, size_t octets, struct fault *f)
{
    if (octets < LIMIT_record_meta - LIMIT_batch_octets / 4 &&
        store_batch_octets(b) + octets < LIMIT_record_meta - LIMIT_batch_octets / 4)
        return R_OK;
    return first ? fault_set(f, FAULT_LIMIT, "too many messages for one change") : R_NONE;
}

// ---- what will be ----

struct mailbox_counts *
mailbox_next(struct account *a, struct mailbox *m)
{
    if (m->next_batch != a->batch_number) {
        m->next_batch = a->batch_number;
        m->touched = a->quota.touched;
        a->quota.touched = m;
        m->next = m->state->counts;
        m->next_keywords = m->state->keyword_count;
        m->new_keywords = NULL;
        m->rows_dirty = false;
        if (m->next.uidnext < m->burned)
            m->next.uidnext = m->burned;
    }
    return &m->next;
}

enum result
mailbox_next_uid(struct account *a, struct mailbox *m, uint32_t *uid_out, struct fault *f)
{
    struct mailbox_counts *next = mailbox_next(a, m);
    if (next->uidnext == UINT32_MAX)
        return fault_set(f, FAULT_LIMIT, "mailbox has no UIDs left");
    *uid_out = next->uidnext++;
    m->burned = next->uidnext;
    return R_OK;
}

static struct pending_row *
pending_find(struct account *a, uint64_t mailbox, uint32_t uid)
{
    struct pending_key key = {mailbox, uid};
    struct pending_row *p;
    HASH_FIND(hh, a->pending, &key, sizeof key, p);
    return p;
}

static struct pending_row *
pending_make(struct account *a, uint64_t mailbox, uint32_t uid)
{
    struct pending_row *p = pending_find(a, mailbox, uid);
    if (p)
        return p;
    p = ARENA_NEW(a->batch_arena, struct pending_row);
    p->key = (struct pending_key){mailbox, uid};
    HASH_ADD(hh, a->pending, key, sizeof p->key, p);
    return p;
}

enum result
pending_get(struct account *a, struct mailbox *m, const struct message_row *row,
            struct row_flags *out)
{
    struct pending_row *p = a->pending ? pending_find(a, m->id, row->uid) : NULL;
    if (p && p->expunged)
        return R_NONE;
    if (p) {
        *out = (struct row_flags){p->flags, p->keywords, p->keyword_count};
        return R_OK;
    }
    out->flags = row->flags;
    out->keywords = keyword_sets_get(m->state->sets, row->keywords, &out->keyword_count);
    return R_OK;
}

void
pending_set(struct account *a, struct mailbox *m, uint32_t uid, const struct row_flags *now)
{
    struct pending_row *p = pending_make(a, m->id, uid);
    p->flags = now->flags;
    p->keyword_count = now->keyword_count;
    p->keywords = arena_array(a->batch_arena, now->keyword_count, sizeof *p->keywords);
    if (now->keyword_count > 0)
        memcpy(p->keywords, now->keywords, now->keyword_count * sizeof *p->keywords);
}

void
pending_expunge(struct account *a, struct mailbox *m, uint32_t uid)
{
    pending_make(a, m->id, uid)->expunged = true;
}

// ---- the batch ----

// Moves a change from the waiting to the taken list and answers it later, with the batch.
static void
take(struct batch_run *run, struct change *c)
{
    struct account *a = run->account;
    a->waiting.first = c->next;
    if (!a->waiting.first)
        a->waiting.end = &a->waiting.first;
    c->next = NULL;
    *run->taken_end = c;
    run->taken_end = &c->next;
}

// Runs the waiting changes in order; stops at one that must wait for the next batch.
static void
collect(struct batch_run *run)
{
    struct account *a = run->account;
    bool labels = label_mode(a, NULL);  // until what changes it is applied
    for (unsigned n = 0; a->waiting.first && n < LIMIT_batch_changes; n++) {
        struct change *c = a->waiting.first;
        if (store_batch_octets(run->batch) > LIMIT_batch_octets)
            return;
        size_t before = store_batch_count(run->batch);
        bool empty = before == 0;
        bool alone = labels || (c->flags & CHANGE_ALONE);
        if (alone && !empty)
            return;
        c->result = c->fn(a, run->batch, c->arg, c->fault);
        c->records = store_batch_count(run->batch) - before;
        if (c->result == R_OK && labels && !(c->flags & CHANGE_OF_MODE))
            c->result = label_follow(a, run->batch, c->fault);
        if (c->result == R_OK && a->quota.asked)
            c->result = quota_grown(a, a->quota.how, c->fault);
        if (c->result == R_FAIL && alone) {
            store_batch_cut(run->batch, before);
            c->records = 0;
        }
        // also behind one that was refused, and has left its marks but no records
        if (c->result == R_NONE && (!empty || run->taken))
            return;
        must(c->result != R_NONE);
        take(run, c);
        if (alone)
            return;
    }
}

// Who asked for each record of the batch.
static const struct change_by **
origins(struct batch_run *run)
{
    struct account *a = run->account;
    const struct change_by **by =
        arena_array(a->batch_arena, store_batch_count(run->batch) + 1, sizeof *by);
    size_t i = 0;
    for (struct change *c = run->taken; c; c = c->next)
        for (size_t end = i + c->records; i < end; i++)
            by[i] = c->by;
    return by;
}

static void
apply_all(struct batch_run *run, const struct change_by **by)
{
    struct account *a = run->account;
    a->quota.applying = true;
    for (size_t i = 0; i < store_batch_count(run->batch); i++) {
        a->by = by[i];
        account_apply(a, store_batch_type(run->batch, i), store_batch_meta(run->batch, i),
                      store_batch_place(run->batch, i));
        bool more = i + 1 < store_batch_count(run->batch) &&
                    store_batch_type(run->batch, i + 1) == RECORD_PRIVATES;
        if (store_batch_type(run->batch, i) == RECORD_COPIED && !more)
            task_yield();  // each has a modseq of its own
    }
    a->by = NULL;
}

static void
answer(struct batch_run *run)
{
    for (struct change *c = run->taken, *next; c; c = next) {
        next = c->next;
        c->done = true;
        task_wake(c->task);
    }
    run->taken = NULL;
}

static void
fail_all(struct batch_run *run, const struct fault *why)
{
    for (struct change *c = run->taken; c; c = c->next) {
        if (c->result == R_OK)
            *c->fault = *why;
        c->result = R_FAIL;
    }
}

static void
batch_end(struct account *a, bool committed)
{
    learn_settle(a, committed);
    HASH_CLEAR(hh, a->pending);
    threads_settle(a);
    arena_free(&a->batch_arena);
    a->batch_number++;
    quota_settle(a);
}

static void
batch_once(struct account *a)
{
    struct batch_run run = {.account = a};
    struct fault fault;
    run.taken_end = &run.taken;
    a->batch_arena = arena_new_small();
    run.batch = store_batch_new(mail_store(a->mail), a->id, 0, 0);
    collect(&run);
    const struct change_by **by = origins(&run);
    if (mail_options_get(a->mail)->test_ack_before_commit)
        answer(&run);
    enum result r = store_batch_count(run.batch) > 0
                        ? store_commit(mail_store(a->mail), run.batch, &fault)
                        : R_OK;
    if (r == R_OK)
        apply_all(&run, by);
    else
        fail_all(&run, &fault);
    batch_end(a, r == R_OK);
    answer(&run);
    store_batch_free(&run.batch);
}

// The commit task of an account: lives while changes wait.
static void
commit_run(void *arg)
{
    struct account *a = arg;
    while (a->waiting.first)
        batch_once(a);
    a->committing = false;
}

enum result
account_change(struct account *a, change_fn *fn, void *arg, unsigned flags,
               const struct change_by *by, struct fault *f)
{
    struct change c = {NULL, fn, arg, flags, by, f, task_self(), R_FAIL, 0, false};
    must(c.task != NULL);
    a->use.refs++;
    *a->waiting.end = &c;
    a->waiting.end = &c.next;
    if (!a->committing) {
        a->committing = true;
        task_start_helper(a->id, commit_run, a);
    }
    while (!c.done)
        task_suspend();
    account_unref(a);
    return c.result;
}
