#include "base/clock.h"
#include "base/limits.h"
#include "ctl/expiry.h"
#include "ctl/verbs.h"
#include "mail/account.h"

// expire: the arguments are USER and "dry-run", empty where they were not given.

enum { ARG_WHO, ARG_DRY };

struct expire_run {
    struct verb_call *call;
    struct expire_wish wish;
    struct expire_policy policy;
    uint64_t accounts, folders, messages, octets, kept, failed;
};

static void
tell_folder(struct expire_run *x, struct span user, const struct expire_folder *d)
{
    const char *done = x->wish.dry_run ? " would be expunged" : " expunged";
    verb_row(x->call, "expired",
             FIELDS(field_text("user", "%", user), field_text("folder", "\t%", d->name),
                    field_number("messages", "\t%", d->messages),
                    field_number("octets", d->messages > 0 ? " (% octets)" : "", d->octets),
                    field_str(NULL, done, ""),
                    field_number("kept", d->kept > 0 ? "; % kept" : "", d->kept)));
    x->folders += d->messages > 0;
    x->messages += d->messages;
    x->octets += d->octets;
    x->kept += d->kept;
}

static void
tell_failed(struct expire_run *x, struct span user, const struct fault *f)
{
    verb_row(
        x->call, "failed",
        FIELDS(field_text("user", "%", user), field_str("error", "\tfailed: %", f->why)));
    x->failed++;
}

static void
expire_opened(struct expire_run *x, struct account *account)
{
    struct arena *a = arena_new();
    struct expire_folder *folders;
    struct fault f;
    size_t n;
    if (expire_account(account, &x->wish, a, &folders, &n, &f) != R_OK)
        tell_failed(x, account_user(account), &f);
    else
        for (size_t i = 0; i < n; i++)
            tell_folder(x, account_user(account), &folders[i]);
    arena_free(&a);
    x->accounts++;
}

// One that has no mail yet is not made.
static enum result
expire_one(struct expire_run *x, uint64_t id, struct fault *f)
{
    struct account *account;
    enum result r =
        account_open(verb_host(x->call)->mail, id, SPAN(""), false, &account, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    expire_opened(x, account);
    account_close(&account);
    return R_OK;
}

static enum result
expire_user(struct expire_run *x, struct span name, struct fault *f)
{
    uint64_t id;
    struct buf canonical;
    buf_init(&canonical, LIMIT_user_name);
    enum result r = verb_find_user(x->call, name, &id, &canonical, f);
    buf_done(&canonical);
    return r == R_OK ? expire_one(x, id, f) : r;
}

static enum result
expire_all(struct expire_run *x, struct fault *f)
{
    struct arena *a = arena_new();
    uint64_t *ids;
    size_t n;
    enum result r = store_accounts(mail_store(verb_host(x->call)->mail), a, &ids, &n, f);
    for (size_t i = 0; r == R_OK && i < n; i++)
        r = expire_one(x, ids[i], f);
    arena_free(&a);
    return r;
}

static enum result
tell_total(struct expire_run *x, struct fault *f)
{
    const char *done = x->wish.dry_run ? " would be expunged" : " were expunged";
    verb_row(x->call, "total",
             FIELDS(field_number("messages", "% messages", x->messages),
                    field_number("octets", " (% octets)", x->octets),
                    field_number("folders", " in % folders", x->folders),
                    field_number("accounts", " of % accounts", x->accounts),
                    field_str(NULL, done, ""), field_number("kept", "; % kept", x->kept),
                    field_flag("dry_run", "", x->wish.dry_run)));
    if (x->failed == 0)
        return R_OK;
    return fault_set(f, FAULT_CANNOT, "%lu accounts failed", (unsigned long)x->failed);
}

enum result
verb_expire(struct verb_call *c, struct fault *f)
{
    const struct config *config = verb_host(c)->config;
    struct arena *a = arena_new();
    struct expire_run x = {.call = c,
                           .wish = {.policy = &x.policy,
                                    .now_s = clock_wall_s(),
                                    .dry_run = verb_arg(c, ARG_DRY).n > 0}};
    expiry_policy(config, a, &x.policy);
    enum result r;
    if (x.policy.rule_count == 0)
        r = fault_set(f, FAULT_CANNOT,
                      "nothing expires: the setting `expire` is empty; write expire = { "
                      "\"Trash 30d\" }");
    else if (verb_arg(c, ARG_WHO).n > 0)
        r = expire_user(&x, verb_arg(c, ARG_WHO), f);
    else
        r = expire_all(&x, f);
    if (r == R_OK)
        r = tell_total(&x, f);
    arena_free(&a);
    return r;
}
