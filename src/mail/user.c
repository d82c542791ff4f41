#include "mail/user.h"

#include "base/limits.h"
#include "mail/acl_fold.h"
#include "mail/mount.h"
#include "mail/name.h"
#include "mail/system.h"
#include "mail/watch_log.h"

static _Thread_local struct mail_user *users;  // of this thread

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
    struct mail_user *u = KEEP_NEW(struct mail_user);
    struct acl_who *who = acl_who_new(account_id(a), name, NULL);
    u->name = who->name;
    u->own = (struct mount){.account = a, .id = account_id(a)};
    atomic_store(&u->who, who);
    u->next = users;
    u->at = &users;
    if (users)
        users->at = &u->next;
    users = u;
    return u;
}

enum result
mail_user_make(struct mail *m, uint64_t account, struct span name, struct span language,
               struct mail_user **u_out, struct fault *f)
{
    struct account *a;
    if (account_make(m, account, name, language, &a, f) != R_OK)
        return R_FAIL;
    *u_out = user_new(a, name);
    return R_OK;
}

enum result
mail_user_open(struct mail *m, uint64_t account, struct span name, struct mail_user **u_out,
               struct fault *f)
{
    return mail_user_make(m, account, name, SPAN_NONE, u_out, f);
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

static void
whos_free(struct mail_user *u)
{
    struct acl_who *who = atomic_load(&u->who);
    acl_who_unref(&who);
    for (size_t i = 0; i < u->former_count; i++)
        acl_who_unref(&u->former[i]);
    keep_free(u->former, u->former_count * sizeof *u->former);
}

void
mail_user_close(struct mail_user **up)
{
    struct mail_user *u = *up;
    if (!u)
        return;
    must(!u->views && !u->watches);
    *u->at = u->next;
    if (u->next)
        u->next->at = u->at;
    for (struct mount *m = &u->own; m; m = m->next)
        account_close(&m->account);
    whos_free(u);
    arena_free(&u->arena);
    KEEP_FREE(u);
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

const struct acl_who *
mail_user_who(const struct mail_user *u)
{
    return atomic_load(&((struct mail_user *)(uintptr_t)u)->who);
}

// ---- who the user is, as auth and the settings say ----

void
mail_user_become(struct mail_user *u, struct acl_who *who)
{
    size_t one = sizeof *u->former;
    u->former = keep_grow(u->former, u->former_count * one, (u->former_count + 1) * one);
    u->former[u->former_count++] = atomic_exchange(&u->who, who);
    u->shares = 0;
    for (struct view *v = u->views; v; v = v->user.next)
        view_become(v, who);
    for (struct mail_watch *w = u->watches; w; w = w->user_next)
        watch_become(w, who);
}

static bool
same_identity(const struct acl_who *who, const struct acl_identity *now)
{
    if (who->admin != now->admin || who->closed != now->closed ||
        who->group_count != now->group_count)
        return false;
    for (size_t i = 0; i < now->group_count; i++)
        if (!span_eq(who->groups[i], now->groups[i]))
            return false;
    return true;
}

void
mail_user_identify(struct mail_user *u, const struct acl_identity *now)
{
    const struct acl_who *was = mail_user_who(u);
    u->roams = true;
    if (same_identity(was, now))
        return;
    struct acl_who *who = acl_who_new(was->account, was->name, now);
    who->granted = was->granted;
    who->granted_account = was->granted_account;
    mail_user_become(u, who);
}

void
mail_user_size_limit(struct mail_user *u, uint64_t octets)
{
    u->size_limit = octets;
}

uint64_t
mail_user_size_max(const struct mail_user *u)
{
    return u->size_limit > 0 ? u->size_limit : UINT64_MAX;
}

void
mail_user_sent_set(struct mail_user *u, enum sent_wish wish)
{
    u->sent = wish;
}

enum sent_wish
mail_user_sent(const struct mail_user *u)
{
    return u->sent;
}

void
mail_users_each(void (*fn)(struct mail_user *u, void *arg), void *arg)
{
    for (struct mail_user *u = users, *next; u; u = next) {
        next = u->next;
        if (u->roams)
            fn(u, arg);
    }
}

struct span
mail_name_canonical(struct arena *a, struct span name)
{
    struct span composed = name_compose(a, name), inside = composed;
    size_t prefix = mount_prefix(composed);
    if (prefix > 0)
        inside = span_skip(composed, prefix + 1);
    if (span_within(composed, TREE_PUBLIC) || !span_istarts(inside, SPAN("INBOX")) ||
        (inside.n > 5 && inside.p[5] != '/') || span_starts(inside, SPAN("INBOX")))
        return composed;
    struct span upper = arena_dup(a, composed);
    memcpy((char *)(uintptr_t)upper.p + (composed.n - inside.n), "INBOX", 5);
    return upper;
}

struct find_call {
    const struct acl_who *who;
    struct mount *mount;
    struct span name;
    uint32_t need, rights;
    uint64_t id;
    struct fault *fault;
    enum result result;
};

static void
find_run(void *arg)
{
    struct find_call *c = arg;
    struct account *a = c->mount->account;
    const struct mailbox_state *m = name_find(a, c->name);
    if (!m || ((m->flags & MAILBOX_NOSELECT) && c->need != 0)) {
        c->result = fault_set(c->fault, FAULT_NONEXISTENT, "no such mailbox");
        return;
    }
    c->id = m->id;
    c->rights = acl_rights(c->who, a, m->id);
    c->result = acl_check(c->rights, c->need, c->fault);
}

enum result
mail_access(struct mail_user *u, struct span name, uint32_t need,
            struct mailbox_ref *ref_out, struct fault *f)
{
    struct find_call c = {.who = mail_user_who(u), .need = need, .fault = f};
    struct arena *arena = arena_new();
    enum result r = mail_name_check(arena, name, &name, f);
    if (r == R_OK)
        r = mount_find(u, name, &c.mount, &c.name, f);
    if (r == R_OK) {
        account_run(c.mount->account, find_run, &c);
        r = c.result;
    }
    arena_free(&arena);
    if (r == R_OK)
        *ref_out = (struct mailbox_ref){u, c.mount->account, c.id, c.rights};
    return r;
}
