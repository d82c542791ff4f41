#include "mail/user.h"

#include "base/limits.h"
#include "mail/home.h"
#include "mail/mount.h"
#include "mail/name.h"

static const char letters[] = "lrswipkxtea";

enum result
rights_from_text(struct span text, uint32_t *rights_out)
{
    uint32_t rights = 0;
    for (size_t i = 0; i < text.n; i++) {
        const char *at = text.p[i] ? strchr(letters, text.p[i]) : NULL;
        if (!at)
            return R_FAIL;
        rights |= 1u << (at - letters);
    }
    *rights_out = rights;
    return R_OK;
}

void
rights_to_text(uint32_t rights, char out[12])
{
    for (size_t i = 0; letters[i]; i++)
        if (rights & (1u << i))
            *out++ = letters[i];
    *out = '\0';
}

static struct mail_user *
user_new(struct account *a, struct span name)
{
    struct mail_user *u = calloc(1, sizeof *u);
    must(u != NULL);
    u->arena = arena_new_small();
    u->name = arena_dup(u->arena, name);
    u->own = (struct mount){SPAN_NONE, a, RIGHTS_ALL, NULL};
    return u;
}

enum result
mail_user_open(struct mail *m, uint64_t account, struct span name, struct mail_user **u_out,
               struct fault *f)
{
    struct account *a;
    if (account_open(m, account, name, true, &a, f) != R_OK)
        return R_FAIL;
    *u_out = user_new(a, name);
    return R_OK;
}

enum result
mail_user_find(struct mail *m, uint64_t account, struct span name, struct mail_user **u_out,
               struct fault *f)
{
    struct account *a;
    enum result r = account_open(m, account, name, false, &a, f);
    if (r == R_OK)
        *u_out = user_new(a, name);
    return r;
}

void
mail_user_close(struct mail_user **up)
{
    struct mail_user *u = *up;
    if (!u)
        return;
    for (struct mount *m = &u->own; m; m = m->next)
        account_close(&m->account);
    arena_free(&u->arena);
    free(u);
    *up = NULL;
}

struct account *
mail_user_account(struct mail_user *u)
{
    return u->own.account;
}

struct span
mail_user_name(const struct mail_user *u)
{
    return u->name;
}

enum result
mail_user_mount(struct mail_user *u, struct span prefix, uint64_t account,
                struct span owner, uint32_t rights, struct fault *f)
{
    struct account *a;
    if (account_open(account_mail(u->own.account), account, owner, true, &a, f) != R_OK)
        return R_FAIL;
    account_shared(a);
    struct mount *m = ARENA_NEW(u->arena, struct mount);
    *m = (struct mount){arena_dup(u->arena, prefix), a, rights, u->own.next};
    u->own.next = m;
    return R_OK;
}

size_t
mail_user_mounts(const struct mail_user *u)
{
    size_t n = 0;
    for (const struct mount *m = u->own.next; m; m = m->next)
        n++;
    return n;
}

struct span
mail_user_mount_prefix(const struct mail_user *u, size_t i)
{
    const struct mount *m = u->own.next;
    while (i-- > 0)
        m = m->next;
    return span_slice(m->prefix, 0, span_behind_last(m->prefix, '/'));
}

struct mount *
mount_find(struct mail_user *u, struct span name, struct span *inside_out)
{
    for (struct mount *m = u->own.next; m; m = m->next) {
        if (!span_within(name, m->prefix))
            continue;
        *inside_out = span_skip(name, m->prefix.n + 1);
        return m;
    }
    *inside_out = name;
    return &u->own;
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

struct span
mail_name_canonical(struct mail_user *u, struct arena *a, struct span name)
{
    struct span inside, composed = name_compose(a, name);
    mount_find(u, composed, &inside);
    if (!span_istarts(inside, SPAN("INBOX")) || (inside.n > 5 && inside.p[5] != '/') ||
        span_starts(inside, SPAN("INBOX")))
        return composed;
    struct span upper = arena_dup(a, composed);
    memcpy((char *)(uintptr_t)upper.p + (composed.n - inside.n), "INBOX", 5);
    return upper;
}

struct find_call {
    struct mount *mount;
    struct span name;
    uint64_t id;
    bool noselect;
};

static void
find_run(void *arg)
{
    struct find_call *c = arg;
    struct mailbox_state *m = name_find(c->mount->account, c->name);
    c->id = m ? m->id : 0;
    c->noselect = m && (m->flags & MAILBOX_NOSELECT);
}

enum result
access_check(const struct mount *m, uint32_t need, struct fault *f)
{
    if (!(m->rights & RIGHT_LOOKUP))
        return fault_set(f, FAULT_NONEXISTENT, "no such mailbox");
    if ((m->rights & need) != need)
        return fault_set(f, FAULT_NOPERM, "right missing");
    return R_OK;
}

enum result
mail_access(struct mail_user *u, struct span name, uint32_t need,
            struct mailbox_ref *ref_out, struct fault *f)
{
    struct find_call c = {0};
    struct arena *arena = arena_new();
    enum result r = R_FAIL;
    if (mail_name_check(arena, name, &name, f) == R_OK) {
        c.mount = mount_find(u, name, &c.name);
        account_run(c.mount->account, find_run, &c);
        if (c.id == 0 || (c.noselect && need != 0))
            fault_set(f, FAULT_NONEXISTENT, "no such mailbox");
        else
            r = access_check(c.mount, need, f);
    }
    arena_free(&arena);
    if (r == R_OK)
        *ref_out = (struct mailbox_ref){u, c.mount->account, c.id, c.mount->rights};
    return r;
}
