#include "main/mail_role.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/audit.h"
#include "ctl/expiry.h"
#include "mail/account.h"

static void
log_folder(struct account *account, const struct expire_folder *d)
{
    if (d->messages > 0)
        log_audit(EXPIRED, "mail", "expired",
                  field_text("user", " user=<%>", account_user(account)),
                  field_text("folder", " folder=<%>", d->name),
                  field_number("messages", " messages=%", d->messages),
                  field_number("octets", " octets=%", d->octets),
                  field_number("kept", " kept=%", d->kept));
}

static bool
expire_one(struct mail_role *r, uint64_t id)
{
    struct expire_policy policy;
    struct arena *a = arena_new();
    struct account *account = NULL;
    struct expire_folder *folders;
    struct fault f;
    size_t n = 0;
    expiry_policy(r->host.config, a, &policy);
    struct expire_wish wish = {
        .policy = &policy, .now_s = clock_wall_s(), .max = LIMIT_expire_visit};
    enum result opened = account_open(r->mail, id, SPAN(""), false, &account, &f);
    if (opened == R_FAIL ||
        (opened == R_OK && expire_account(account, &wish, a, &folders, &n, &f) != R_OK))
        log_error("mail", "expire", field_number("account", " account=%", id),
                  log_fault(&f));
    for (size_t i = 0; i < n; i++)
        log_folder(account, &folders[i]);
    account_close(&account);
    arena_free(&a);
    return true;
}

static bool
has_rules(struct mail_role *r)
{
    return r->host.config->expire.n > 0;
}

void
mail_expire_start(struct mail_role *r)
{
    static const struct mail_round_ops ops = {"expire", has_rules, expire_one};
    uint64_t test = r->start->config->test_expire_round;
    mail_round_start(&r->expiring, r, test > 0 ? (int64_t)test : LIMIT_expire_round_s,
                     &ops);
}
