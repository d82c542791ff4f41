#include "mail/retention.h"

#include "mail/home.h"
#include "mail/tree_record.h"

struct retention_call {
    struct account *account;
    uint64_t seconds;
    bool own;
    struct fault *fault;
    enum result result;
};

static void
get_run(void *arg)
{
    struct retention_call *c = arg;
    struct span own = SPAN_NONE;
    c->own =
        state_meta_find(account_state(c->account), 0, store_retention_key, &own) == R_OK &&
        own.n > 0;
    c->seconds = store_retention_of(mail_store(c->account->mail), own);
}

bool
retention_get(struct account *a, uint64_t *seconds_out)
{
    struct retention_call c = {.account = a};
    account_run(a, get_run, &c);
    *seconds_out = c.seconds;
    return c.own;
}

static enum result
set_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct retention_call *c = arg;
    struct buf value;
    (void)f;
    buf_init(&value, sizeof c->seconds);
    if (c->seconds != RETENTION_DEFAULT)
        pack_u64(&value, c->seconds);
    struct record_meta r = {0, change_modseq(a), store_retention_key, buf_span(&value)};
    tree_put_meta(b, &r);
    buf_done(&value);
    return R_OK;
}

static void
set_run(void *arg)
{
    struct retention_call *c = arg;
    c->result = account_change(c->account, set_change, c, CHANGE_ALONE, NULL, c->fault);
}

enum result
retention_set(struct account *a, uint64_t seconds, struct fault *f)
{
    struct retention_call c = {.account = a, .seconds = seconds, .fault = f};
    account_run(a, set_run, &c);
    return c.result;
}
