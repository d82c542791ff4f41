#include "mail/mount.h"

#include "base/log.h"
#include "mail/home.h"
#include "mail/name.h"
#include "mail/shares.h"
#include "mail/system.h"

// ---- names ----

size_t
mount_prefix(struct span name)
{
    if (span_within(name, TREE_PUBLIC))
        return TREE_PUBLIC.n;
    if (!span_within(name, TREE_SHARED))
        return 0;
    struct span below = span_skip(name, TREE_SHARED.n + 1);
    return TREE_SHARED.n + (below.n > 0 ? 1 + span_find_char(below, '/') : 0);
}

struct span
mount_name(struct arena *a, const struct mount *m, struct span inside)
{
    if (!m->prefix.p)
        return inside;
    char *p = arena_alloc(a, m->prefix.n + 1 + inside.n);
    memcpy(p, m->prefix.p, m->prefix.n);
    p[m->prefix.n] = '/';
    memcpy(p + m->prefix.n + 1, inside.p, inside.n);
    return span_of(p, m->prefix.n + 1 + inside.n);
}

// ---- the trees ----

static struct arena *
arena_of(struct mail_user *u)
{
    if (!u->arena)
        u->arena = arena_new_small();
    return u->arena;
}

static struct mount *
mount_add(struct mail_user *u, struct span prefix, uint64_t account)
{
    struct mount *m = ARENA_NEW(arena_of(u), struct mount);
    *m = (struct mount){.prefix = prefix, .id = account, .next = u->own.next};
    u->own.next = m;
    return m;
}

static bool
has_mount(const struct mail_user *u, uint64_t account)
{
    for (const struct mount *m = u->own.next; m; m = m->next)
        if (m->id == account)
            return true;
    return false;
}

// Trees stay until the session ends: without a right nothing of them is seen.
static enum result
refresh(struct mail_user *u, struct fault *f)
{
    const struct mount above = {.prefix = TREE_SHARED};
    struct mail *mail = account_mail(u->own.account);
    const struct acl_who *who = mail_user_who(u);
    uint64_t now = shares_generation(mail);
    struct share *shares;
    size_t n;
    if (!u->roams || u->shares == now)
        return R_OK;
    struct arena *a = arena_new();
    enum result r = shares_find(mail, who, a, &shares, &n, f);
    for (size_t i = 0; r == R_OK && i < n; i++)
        if (!has_mount(u, shares[i].account))
            mount_add(u, mount_name(arena_of(u), &above, shares[i].owner),
                      shares[i].account);
    if (r == R_OK && !has_mount(u, ACCOUNT_PUBLIC))
        mount_add(u, TREE_PUBLIC, ACCOUNT_PUBLIC);
    if (r == R_OK && who == mail_user_who(u))  // it may have become another meanwhile
        u->shares = now;
    arena_free(&a);
    return r;
}

// R_NONE: nobody has made it yet.
static enum result
mount_open(struct mail_user *u, struct mount *m, struct fault *f)
{
    struct mail *mail = account_mail(u->own.account);
    uint64_t now = shares_generation(mail);
    struct account *a;
    if (m->account)
        return R_OK;
    if (m->missed == now)
        return R_NONE;
    enum result r = account_open(mail, m->id, SPAN_NONE, false, &a, f);
    if (r == R_NONE)
        m->missed = now;
    if (r != R_OK)
        return r;
    if (m->account)  // by another task meanwhile
        account_close(&a);
    else
        m->account = a;
    account_shared(m->account);
    return R_OK;
}

// What is damaged hides no tree but itself.
static bool
is_damage(const struct mail_user *u, const struct fault *f)
{
    if (f->kind != FAULT_CORRUPTION && f->kind != FAULT_DISK)
        return false;
    log_warning("mail", "a tree cannot be looked into", log_user(u->name), log_fault(f));
    return true;
}

enum result
mounts_open(struct mail_user *u, struct fault *f)
{
    if (refresh(u, f) != R_OK && !is_damage(u, f))
        return R_FAIL;
    for (struct mount *m = u->own.next; m; m = m->next)
        if (mount_open(u, m, f) == R_FAIL && !is_damage(u, f))
            return R_FAIL;
    return R_OK;
}

struct own_call {
    struct account *account;
    struct span name;
    bool there;
};

static void
own_run(void *arg)
{
    struct own_call *c = arg;
    c->there = name_find(c->account, c->name) != NULL;
}

// A mailbox of the user's own that had such a name before there were shared trees.
static bool
is_own(struct mail_user *u, struct span name)
{
    struct own_call c = {u->own.account, name, false};
    account_run(c.account, own_run, &c);
    return c.there;
}

enum result
mount_find(struct mail_user *u, struct span name, struct mount **out,
           struct span *inside_out, struct fault *f)
{
    *out = &u->own;
    *inside_out = name;
    if (mount_prefix(name) == 0 || is_own(u, name))
        return R_OK;
    if (refresh(u, f) != R_OK)
        return R_FAIL;
    for (struct mount *m = u->own.next; m; m = m->next) {
        if (!span_within(name, m->prefix))
            continue;
        enum result r = mount_open(u, m, f);
        if (r == R_NONE)  // one of an earlier owner of that name
            continue;
        *out = m;
        *inside_out = span_skip(name, m->prefix.n + 1);
        return r;
    }
    return fault_set(f, FAULT_NONEXISTENT, "no such mailbox");
}

enum result
mount_begin(struct mail_user *u, struct span name, struct fault *f)
{
    struct account *a;
    if (!mail_user_who(u)->admin || !span_within(name, TREE_PUBLIC))
        return R_OK;
    if (account_open(account_mail(u->own.account), ACCOUNT_PUBLIC, SPAN("public"), true, &a,
                     f) != R_OK)
        return R_FAIL;
    account_close(&a);
    return R_OK;
}

enum result
mail_user_mount(struct mail_user *u, struct span prefix, uint64_t account,
                struct span owner, uint32_t rights, struct fault *f)
{
    struct account *a;
    const struct acl_who *was = mail_user_who(u);
    if (account_open(account_mail(u->own.account), account, owner, true, &a, f) != R_OK)
        return R_FAIL;
    account_shared(a);
    mount_add(u, arena_dup(arena_of(u), prefix), account)->account = a;
    struct acl_identity same = {was->groups, was->group_count, was->admin, was->closed};
    struct acl_who *who = acl_who_new(was->account, was->name, &same);
    who->granted = rights;
    who->granted_account = account;
    mail_user_become(u, who);
    return R_OK;
}
