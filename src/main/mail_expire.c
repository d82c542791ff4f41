#include "main/mail_role.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/load.h"
#include "base/log.h"
#include "ctl/expiry.h"
#include "io/task.h"
#include "mail/account.h"

// Every account has its second in the round, by its number, so that restarts move nothing and the work is spread. The
// timer takes those whose second has come since it looked last; while the process is overloaded it takes none.

enum { LOOKS = 60, LOOK_MAX_S = 60 };

static int64_t
round_s(const struct mail_role *r)
{
    uint64_t test = r->start->config->test_expire_round;
    return test > 0 ? (int64_t)test : LIMIT_expire_round_s;
}

static void
look_later(struct mail_role *r)
{
    int64_t pause = round_s(r) / LOOKS;
    if (pause > LOOK_MAX_S)
        pause = LOOK_MAX_S;
    if (!r->homes[0].draining)
        timer_set(&r->expiring, (uint32_t)(pause > 0 ? pause : 1) * 1000);
}

// Has the account's second come after `from`, and up to `to`?
static bool
is_due(uint64_t account, int64_t from, int64_t to, int64_t round)
{
    int64_t second = (int64_t)((account * 0x9e3779b97f4a7c15u >> 33) % (uint64_t)round);
    return (to + round - second) / round > (from + round - second) / round;
}

static void
log_folder(struct account *account, const struct expire_folder *d)
{
    if (d->messages > 0)
        log_info("mail", "expired", field_text("user", " user=<%>", account_user(account)),
                 field_text("folder", " folder=<%>", d->name),
                 field_number("messages", " messages=%", d->messages),
                 field_number("octets", " octets=%", d->octets),
                 field_number("kept", " kept=%", d->kept));
}

static void
expire_one(struct mail_role *r, uint64_t id, const struct expire_policy *policy)
{
    struct expire_wish wish = {
        .policy = policy, .now_s = clock_wall_s(), .max = LIMIT_expire_visit};
    struct arena *a = arena_new();
    struct account *account = NULL;
    struct expire_folder *folders;
    struct fault f;
    size_t n = 0;
    enum result opened = account_open(r->mail, id, SPAN(""), false, &account, &f);
    if (opened == R_FAIL ||
        (opened == R_OK && expire_account(account, &wish, a, &folders, &n, &f) != R_OK))
        log_error("mail", "expire", field_number("account", " account=%", id),
                  log_fault(&f));
    for (size_t i = 0; i < n; i++)
        log_folder(account, &folders[i]);
    account_close(&account);
    arena_free(&a);
}

// Those that are due up to `to`. False: it had to stop before the last.
static bool
expire_due(struct mail_role *r, struct arena *a, int64_t to)
{
    struct expire_policy policy;
    struct fault f;
    uint64_t *ids;
    size_t n;
    expiry_policy(r->host.config, a, &policy);
    if (policy.rule_count == 0)
        return true;
    if (store_accounts(r->store, a, &ids, &n, &f) != R_OK) {
        log_error("mail", "expire", log_fault(&f));
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_due(ids[i], r->expired_s, to, round_s(r)))
            continue;
        if (load_is_high() || r->homes[0].draining)
            return false;
        expire_one(r, ids[i], &policy);
    }
    return true;
}

static void
look(void *arg)
{
    struct mail_role *r = arg;
    struct arena *a = arena_new();
    int64_t now = clock_wall_s();
    if (now < r->expired_s)  // the clock went back
        r->expired_s = now;
    if (!load_is_high() && expire_due(r, a, now))
        r->expired_s = now;
    arena_free(&a);
    look_later(r);
}

static void
on_expiring(void *arg)
{
    task_start(look, arg);
}

void
mail_expire_start(struct mail_role *r)
{
    r->expired_s = clock_wall_s();
    timer_init(&r->expiring, on_expiring, r);
    look_later(r);
}

void
mail_expire_stop(struct mail_role *r)
{
    timer_clear(&r->expiring);
}
