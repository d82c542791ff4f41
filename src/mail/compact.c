#include "mail/undelete_inside.h"

// Retention runs over accounts that may not be in memory; the forgetting itself is a change in each home.

struct forget_call {
    struct account *account;
    struct record_forgotten record;
    struct fault fault;
    enum result result;
};

// Not while a view still shows an expunged message of the mailbox: its tombstone keeps the body.
static enum result
forget_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct forget_call *c = arg;
    struct mailbox *m = mailbox_of(a, c->record.mailbox);
    struct buf meta;
    (void)f;
    if (m && m->ghost_count > 0)
        return R_OK;
    buf_init(&meta, 64);
    record_forgotten_put(&meta, &c->record);
    store_batch_add(b, RECORD_FORGOTTEN, buf_span(&meta), NULL);
    buf_done(&meta);
    if (!m)
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

enum result
mail_compact(struct mail *m, int64_t now_s, uint64_t *freed_out, struct fault *f)
{
    struct store_compaction how = {.now_s = now_s, .forget = forget, .arg = m};
    return store_compact(mail_store(m), &how, freed_out, f);
}
