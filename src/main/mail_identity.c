// Who a user is beside the name: groups, as auth says, and administrators, as the settings say.
#include "base/limits.h"
#include "base/log.h"
#include "io/task.h"
#include "mail/acl.h"
#include "main/mail_role.h"

enum { AGAIN_MS = 1000, SOME = 64 };

// Of this thread's open users: who is to be asked for again.
struct due {
    bool all;
    size_t n;
    uint64_t accounts[SOME];
};
static _Thread_local struct {
    struct due due;
    bool asking;
} identities;

static void
due_add(struct due *d, uint64_t account)
{
    d->all |= d->n == SOME;
    if (!d->all)
        d->accounts[d->n++] = account;
}

static bool
due_has(const struct due *d, uint64_t account)
{
    size_t i = 0;
    while (i < d->n && d->accounts[i] != account)
        i++;
    return d->all || i < d->n;
}

static void
unpack_groups(struct arena *a, struct span packed, struct acl_identity *out)
{
    struct unpack u = unpack_of(packed);
    struct span *groups = arena_array(a, LIMIT_groups_of_user, sizeof *groups);
    out->groups = groups;
    while (u.rest.n > 0 && out->group_count < LIMIT_groups_of_user) {
        struct span group = unpack_span(&u);
        if (u.bad)
            return;
        groups[out->group_count++] = group;
    }
}

// What auth says of this user now. One who is gone meanwhile is in no group.
struct asked {
    uint64_t account;
    struct acl_identity identity;
    uint64_t size_limit;
    enum sent_wish sent;
    bool quota_known;
    struct user_quota quota;
};

// The setting acl_anyone.
static bool
is_closed(const struct config *c, struct span name)
{
    if (strcmp(c->acl_anyone, "list") == 0)
        return !config_list_has(&c->acl_anyone_users, name);
    return strcmp(c->acl_anyone, "deny") == 0;
}

static void
tell(struct mail_user *u, const struct asked *asked)
{
    mail_user_identify(u, &asked->identity);
    mail_user_size_limit(u, asked->size_limit);
    mail_user_sent_set(u, asked->sent);
}

static enum result
ask(struct home *h, struct arena *a, struct span name, struct asked *out, struct fault *f)
{
    struct buf groups;
    struct mail_identity said = {.groups = &groups};
    buf_init(&groups, LIMIT_channel_message);
    enum result r = mail_ask_identity(h, name, &said, f);
    bool same = r == R_OK && said.account == out->account;
    if (same) {
        out->size_limit = said.size_limit;
        out->sent = (enum sent_wish)said.sent_copy;
        out->quota_known = said.quota_known;
        out->quota = said.quota;
        unpack_groups(a, arena_dup(a, buf_span(&groups)), &out->identity);
    }
    out->identity.admin = same && config_list_has(&h->config->admin_users, name);
    out->identity.closed = !out->identity.admin && is_closed(h->config, name);
    buf_done(&groups);
    return r == R_FAIL ? R_FAIL : R_OK;
}

enum result
mail_identify(struct home *h, struct mail_user *u, struct fault *f)
{
    struct arena *a = arena_new_small();
    struct asked asked = {.account = account_id(mail_user_account(u))};
    enum result r = ask(h, a, mail_user_name(u), &asked, f);
    if (r == R_OK)
        tell(u, &asked);
    if (r == R_OK && asked.quota_known)
        mail_outer_quota(h, asked.account, mail_user_name(u), &asked.quota);
    arena_free(&a);
    return r;
}

// ---- all that are open, when the users have changed ----

// Of a user, who may be open more than once.
struct open_user {
    uint64_t account;
    struct span name;
};
struct open_users {
    const struct due *due;
    struct arena *arena;
    struct open_user *list;  // by account, each once
    size_t n, room;
};

static void
count_each(struct mail_user *u, void *arg)
{
    (void)u;
    ((struct open_users *)arg)->room++;
}

static void
take_each(struct mail_user *u, void *arg)
{
    struct open_users *o = arg;
    uint64_t account = account_id(mail_user_account(u));
    if (due_has(o->due, account))
        o->list[o->n++] =
            (struct open_user){account, arena_dup(o->arena, mail_user_name(u))};
}

// Of what begins with an account's id.
static int
by_account(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void
find_open(struct open_users *o)
{
    size_t n = 0;
    mail_users_each(count_each, o);
    o->list = arena_array(o->arena, o->room, sizeof *o->list);
    mail_users_each(take_each, o);
    qsort(o->list, o->n, sizeof *o->list, by_account);
    for (size_t i = 0; i < o->n; i++)
        if (n == 0 || o->list[i].account != o->list[n - 1].account)
            o->list[n++] = o->list[i];
    o->n = n;
}

// Some answers, which are told together: all open users are walked through for that.
struct answers {
    struct asked list[SOME];  // by account
    size_t n;
};

static void
tell_each(struct mail_user *u, void *arg)
{
    const struct answers *all = arg;
    uint64_t account = account_id(mail_user_account(u));
    const struct asked *asked =
        bsearch(&account, all->list, all->n, sizeof *all->list, by_account);
    if (asked != NULL)
        tell(u, asked);
}

static enum result
ask_some(struct home *h, const struct open_user *list, size_t n, struct fault *f)
{
    struct arena *a = arena_new();
    struct answers *all = ARENA_NEW(a, struct answers);
    enum result r = R_OK;
    while (all->n < n && r == R_OK) {
        struct asked *asked = &all->list[all->n];
        asked->account = list[all->n].account;
        r = ask(h, a, list[all->n].name, asked, f);
        all->n += r == R_OK;
    }
    mail_users_each(tell_each, all);
    for (size_t i = 0; i < all->n; i++)
        if (all->list[i].quota_known)
            mail_outer_quota(h, all->list[i].account, list[i].name, &all->list[i].quota);
    arena_free(&a);
    return r;
}

static enum result
ask_for(struct home *h, const struct due *due, struct fault *f)
{
    struct open_users o = {.due = due, .arena = arena_new()};
    enum result r = R_OK;
    find_open(&o);
    for (size_t i = 0; i < o.n && r == R_OK; i += SOME)
        r = ask_some(h, o.list + i, o.n - i < SOME ? o.n - i : SOME, f);
    arena_free(&o.arena);
    return r;
}

// Until it was asked after the last change.
static void
refresh(void *arg)
{
    struct home *h = arg;
    struct fault f;
    while ((identities.due.all || identities.due.n > 0) && !h->draining) {
        struct due now = identities.due;
        identities.due = (struct due){0};
        if (ask_for(h, &now, &f) == R_OK)
            continue;
        identities.due.all |= now.all;
        for (size_t i = 0; i < now.n; i++)
            due_add(&identities.due, now.accounts[i]);
        log_warning("mail", "groups of users are not known yet", log_fault(&f));
        task_sleep(AGAIN_MS);
    }
    identities.asking = false;
}

static void
refresh_begin(struct home *h)
{
    if (identities.asking || h->draining)
        return;
    identities.asking = true;
    task_start(refresh, h);
}

static void
refresh_run(void *arg)
{
    identities.due.all = true;
    refresh_begin(arg);
}

void
mail_identity_changed(struct home *h, uint64_t account)
{
    due_add(&identities.due, account);
    refresh_begin(h);
}

void
mail_identities_changed(struct mail_role *r)
{
    for (unsigned i = 0; i < r->home_count; i++)
        loop_post(r->homes[i].loop, refresh_run, &r->homes[i]);
}
