// What outer user databases let their users keep.
#include "base/log.h"
#include "io/task.h"
#include "mail/quota.h"
#include "main/mail_role.h"

_Static_assert(USER_QUOTA_NONE == QUOTA_NONE && USER_QUOTA_DEFAULT == QUOTA_DEFAULT,
               "limits mean the same on both floors");

struct quota_call {
    struct home *home;
    uint64_t account;
    struct span user;
    const struct user_quota *quota;
    enum result result;
    struct fault fault;
};

static bool
says_nothing(const struct user_quota *q)
{
    return q->storage == USER_QUOTA_DEFAULT && q->messages == USER_QUOTA_DEFAULT;
}

static void
set_run(void *arg)
{
    struct quota_call *c = arg;
    struct usage limits;
    struct account *a;
    for (int k = 0; k < USAGE_KINDS; k++)
        limits.n[k] = QUOTA_DEFAULT;
    limits.n[USAGE_STORAGE] = c->quota->storage;
    limits.n[USAGE_MESSAGES] = c->quota->messages;
    c->result = account_open(c->home->role->mail, c->account, c->user,
                             !says_nothing(c->quota), &a, &c->fault);
    if (c->result != R_OK)
        return;
    c->result = quota_set_outer(a, &limits, &c->fault);
    account_close(&a);
}

void
mail_outer_quota(struct home *h, uint64_t account, struct span user,
                 const struct user_quota *quota)
{
    struct quota_call c = {h, account, user, quota, R_FAIL, {0}};
    task_run_on(mail_home(h->role->mail, account), set_run, &c);
    if (c.result == R_FAIL)
        log_warning("mail", "the quota of a user database is not kept", log_user(user),
                    log_fault(&c.fault));
}
