#include "mail/undelete_inside.h"

// Retention runs over accounts that may not be in memory; the forgetting itself is a change in each home.

struct forget_call {
    struct account *account;
    struct record_forgotten record;
    struct fault fault;
    enum result result;
};

// Does a view still have an expunged message of the mailbox, or the mailbox, which was deleted? Somebody may be reading it, or
// copying it into another account.
static bool
is_shown(struct account *a, uint64_t mailbox)
{
    const struct mailbox *m = mailbox_of(a, mailbox);
    if (m)
        return m->ghost_count > 0;
    for (m = a->use.gone; m && m->id != mailbox;)
        m = m->next_gone;
    return m != NULL;
}

// Not while it is shown: the tombstones keep the bodies.
static enum result
forget_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct forget_call *c = arg;
    struct buf meta;
    (void)f;
    if (is_shown(a, c->record.mailbox))
        return R_OK;
    buf_init(&meta, 64);
    record_forgotten_put(&meta, &c->record);
    store_batch_add(b, RECORD_FORGOTTEN, buf_span(&meta), NULL);
    buf_done(&meta);
    if (!mailbox_of(a, c->record.mailbox))
        undelete_forget(a, b, c->record.mailbox, c->record.up_to_modseq);
    return R_OK;
}

static void
forget_run(void *arg)
{
    struct forget_call *c = arg;
    c->result = account_change(c->account, forget_change, c, 0, NULL, &c->fault);
}

static enum result
forget(uint64_t account, uint64_t mailbox, uint64_t up_to_modseq, void *arg)
{
    struct mail *m = arg;
    struct forget_call c = {.record = {mailbox, up_to_modseq}};
    if (account_open(m, account, SPAN(""), false, &c.account, &c.fault) != R_OK)
        return R_FAIL;
    account_run(c.account, forget_run, &c);
    account_close(&c.account);
    return c.result;
}

// ---- flags of users who were deleted (mail/private.h) ----

struct private_call {
    struct account *account;
    struct record_privates_gone record;
    struct fault *fault;
    enum result result;
};

static enum result
private_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct private_call *c = arg;
    struct buf meta;
    (void)a, (void)f;
    buf_init(&meta, 64);
    record_privates_gone_put(&meta, &c->record);
    store_batch_add(b, RECORD_PRIVATES_GONE, buf_span(&meta), NULL);
    buf_done(&meta);
    return R_OK;
}

static void
private_run(void *arg)
{
    struct private_call *c = arg;
    c->result =
        account_change(c->account, private_change, c, CHANGE_OF_MODE, NULL, c->fault);
}

static enum result
drop_private(struct mail *m, uint64_t account, const struct store_private_user *u,
             struct fault *f)
{
    struct private_call c = {.record = {u->mailbox, u->user}, .fault = f};
    enum result r = account_open(m, account, SPAN(""), false, &c.account, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    account_run(c.account, private_run, &c);
    account_close(&c.account);
    return c.result;
}

static bool
is_account(const uint64_t *ids, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

// One that was made since the accounts were listed.
static bool
is_there(struct mail *m, uint64_t id)
{
    struct account *a;
    struct fault f;
    enum result r = account_open(m, id, SPAN_NONE, false, &a, &f);
    if (r == R_OK)
        account_close(&a);
    return r != R_NONE;
}

static enum result
drop_privates(struct mail *m, struct arena *a, struct fault *f)
{
    struct store *s = mail_store(m);
    uint64_t *ids;
    size_t n;
    if (store_accounts(s, a, &ids, &n, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n; i++) {
        struct state of = {.account = ids[i], .applied = UINT64_MAX};
        struct store_private_users users = {.a = a};
        if (store_private_users(s, &of, &users, f) != R_OK)
            return R_FAIL;
        for (size_t k = 0; k < users.n; k++)
            if (!is_account(ids, n, users.list[k].user) &&
                !is_there(m, users.list[k].user) &&
                drop_private(m, ids[i], &users.list[k], f) != R_OK)
                return R_FAIL;
        task_yield();
    }
    return R_OK;
}

enum result
mail_compact(struct mail *m, int64_t now_s, uint64_t *freed_out, struct fault *f)
{
    struct store_compaction how = {.now_s = now_s, .forget = forget, .arg = m};
    struct arena *a = arena_new();
    enum result r = drop_privates(m, a, f);
    arena_free(&a);
    return r == R_OK ? store_compact(mail_store(m), &how, freed_out, f) : R_FAIL;
}
