#include "mail/emailids.h"

#include "base/budget.h"
#include "base/limits.h"
#include "mail/home.h"
#include "mail/message.h"

enum { FIRST_CAP = 256, SLICE = 65536, PAGE = 4096 };

struct slot {
    uint64_t emailid;  // 0: empty
    uint64_t threadid, blob;
    uint32_t size;
    bool hashed;
    unsigned char hash[MESSAGE_HASH];
};

struct emailids {
    struct mail *mail;
    struct slot *slots;
    size_t cap, n;
};

static struct slot *
slot_of(const struct emailids *e, uint64_t emailid)
{
    size_t at = (size_t)(emailid * 0x9e3779b97f4a7c15 >> 32) & (e->cap - 1);
    while (e->slots[at].emailid != 0 && e->slots[at].emailid != emailid)
        at = (at + 1) & (e->cap - 1);
    return &e->slots[at];
}

static void
free_slots(struct slot *slots, size_t cap)
{
    budget_give(BUDGET_TABLES, cap * sizeof *slots);
    free(slots);
}

static enum result
grow(struct emailids *e, struct fault *f)
{
    struct slot *old = e->slots;
    size_t old_cap = e->cap, cap = old_cap > 0 ? old_cap * 2 : FIRST_CAP;
    if (budget_take(BUDGET_TABLES, cap * sizeof *old, f) != R_OK)
        return R_FAIL;
    e->slots = calloc(cap, sizeof *old);
    must(e->slots != NULL);
    e->cap = cap;
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].emailid != 0)
            *slot_of(e, old[i].emailid) = old[i];
    free_slots(old, old_cap);
    return R_OK;
}

// The slot of an id, made when there is none.
static enum result
slot_for(struct emailids *e, uint64_t emailid, struct slot **out, struct fault *f)
{
    must(emailid != 0);
    if (e->n * 4 >= e->cap * 3 && grow(e, f) != R_OK)
        return R_FAIL;
    struct slot *s = slot_of(e, emailid);
    e->n += s->emailid == 0;
    s->emailid = emailid;
    *out = s;
    return R_OK;
}

static enum result
put_row(struct emailids *e, const struct message_row *row, struct fault *f)
{
    struct slot *s;
    if (row->emailid == 0)
        return R_OK;
    if (slot_for(e, row->emailid, &s, f) != R_OK)
        return R_FAIL;
    s->threadid = row->threadid;
    s->blob = row->blob;
    s->size = row->size;
    return R_OK;
}

// ---- the account, in its home ----

// R_NONE: that was the last slice. By UID, since rows move while others are served.
static enum result
put_slice(struct emailids *e, struct account *a, uint64_t mailbox, uint32_t *uid,
          struct fault *f)
{
    struct mailbox *m = mailbox_of(a, mailbox);
    if (!m)
        return R_NONE;
    if (mailbox_load(a, m, f) != R_OK)
        return f->kind == FAULT_NONEXISTENT ? R_NONE : R_FAIL;
    const struct mailbox_state *st = m->state;
    uint32_t from = state_row_at(st, *uid + 1), left = st->counts.exists - from;
    for (uint32_t i = from; i < from + (left < SLICE ? left : SLICE); i++) {
        if (put_row(e, &st->rows[i], f) != R_OK)
            return R_FAIL;
        *uid = st->rows[i].uid;
    }
    return left > SLICE ? R_OK : R_NONE;
}

static enum result
put_live(struct emailids *e, struct account *a, uint64_t mailbox, struct fault *f)
{
    uint32_t uid = 0;
    enum result r;
    while ((r = put_slice(e, a, mailbox, &uid, f)) == R_OK)
        task_yield();
    return r == R_NONE ? R_OK : R_FAIL;
}

static enum result
put_tombstones(struct emailids *e, struct account *a, uint64_t mailbox, struct fault *f)
{
    struct store_tombstones page = {.a = arena_new(), .max = PAGE};
    enum result r = R_OK;
    for (bool last = false; r == R_OK && !last;) {
        arena_reset(page.a);
        r = store_tombstones(mail_store(a->mail), account_state(a), mailbox, &page, f);
        for (size_t i = 0; r == R_OK && i < page.n; i++)
            r = put_row(e, &page.list[i].row, f);
        last = r == R_OK && page.n < PAGE;
        task_yield();
    }
    arena_free(&page.a);
    return r;
}

static enum result
put_deleted(struct emailids *e, struct account *a, struct arena *arena, struct fault *f)
{
    struct store_deleted gone = {.a = arena, .max = LIMIT_mailboxes};
    enum result r = store_deleted(mail_store(a->mail), account_state(a), &gone, f);
    for (const struct store_deleted_mailbox *d = gone.first; r == R_OK && d; d = d->next)
        r = put_tombstones(e, a, d->id, f);
    return r;
}

struct load_call {
    struct emailids *e;
    struct account *account;
    struct fault *fault;
    enum result result;
};

// What leaves a mailbox meanwhile is found among the tombstones, which come after.
static void
load_run(void *arg)
{
    struct load_call *c = arg;
    struct account *a = c->account;
    struct arena *arena = arena_new();
    uint32_t n = account_state(a)->mailbox_count;
    uint64_t *ids = arena_array(arena, n + 1, sizeof *ids);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = account_state(a)->mailboxes[i]->id;
    c->result = R_OK;
    for (uint32_t i = 0; c->result == R_OK && i < n; i++)
        c->result = put_live(c->e, a, ids[i], c->fault);
    for (uint32_t i = 0; c->result == R_OK && i < n; i++)
        c->result = put_tombstones(c->e, a, ids[i], c->fault);
    if (c->result == R_OK)
        c->result = put_deleted(c->e, a, arena, c->fault);
    arena_free(&arena);
}

enum result
emailids_load(struct account *a, struct emailids **out, struct fault *f)
{
    struct emailids *e = calloc(1, sizeof *e);
    must(e != NULL);
    e->mail = account_mail(a);
    struct load_call c = {e, a, f, R_FAIL};
    account_run(a, load_run, &c);
    if (c.result != R_OK) {
        emailids_free(&e);
        return R_FAIL;
    }
    *out = e;
    return R_OK;
}

void
emailids_free(struct emailids **e)
{
    if (!*e)
        return;
    free_slots((*e)->slots, (*e)->cap);
    free(*e);
    *e = NULL;
}

// ---- what an id names ----

enum emailid_holder
emailids_find(struct emailids *e, uint64_t emailid, uint64_t size, struct span sha256,
              uint64_t *threadid_out)
{
    struct fault unread;
    struct slot *s = e->cap > 0 ? slot_of(e, emailid) : NULL;
    if (!s || s->emailid == 0)
        return EMAILID_FREE;
    if (s->size != size)
        return EMAILID_OTHER;
    struct message_row row = {.size = s->size, .blob = s->blob};
    if (!s->hashed && message_hash(e->mail, &row, s->hash, &unread) != R_OK)
        return EMAILID_OTHER;
    s->hashed = true;
    if (!span_eq(span_of((const char *)s->hash, MESSAGE_HASH), sha256))
        return EMAILID_OTHER;
    *threadid_out = s->threadid;
    return EMAILID_SAME;
}

enum result
emailids_put(struct emailids *e, uint64_t emailid, uint64_t threadid, uint64_t size,
             struct span sha256, struct fault *f)
{
    struct slot *s;
    if (slot_for(e, emailid, &s, f) != R_OK)
        return R_FAIL;
    must(sha256.n == MESSAGE_HASH);
    s->threadid = threadid;
    s->size = (uint32_t)size;
    s->hashed = true;
    memcpy(s->hash, sha256.p, MESSAGE_HASH);
    return R_OK;
}
