#include "mail/recipient.h"

#include "io/task.h"

struct room_call {
    struct mail *mail;
    const struct recipient *recipient;
    uint64_t octets;
    struct fault *fault;
    enum result result;
};

static void
room_run(void *arg)
{
    struct room_call *c = arg;
    struct account *a;
    c->result = account_open(c->mail, c->recipient->account, c->recipient->user, false, &a,
                             c->fault);
    if (c->result != R_OK)
        return;
    c->result = quota_fits(a, c->octets > 0 ? c->octets : 1, true, c->fault);
    account_close(&a);
}

enum result
recipient_has_room(struct mail *m, const struct recipient *r, uint64_t octets,
                   struct fault *f)
{
    struct room_call c = {m, r, octets, f, R_FAIL};
    task_run_on(mail_home(m, r->account), room_run, &c);
    return c.result == R_FAIL ? R_FAIL : R_OK;  // R_NONE: an account that is yet to be made
}
