#include "base/hash.h"
#include "base/limits.h"
#define HASH_FUNCTION(key, size, value)                                                    \
    ((value) = (unsigned)hash_keyed(span_of((key), (size))))
#include "mail/shares.h"

#include "mail/mail_inside.h"
#include "mail/system.h"
#include "mail/tree_record.h"
#include "mail/watch_log.h"

enum { PREFIX_N = 6, HEX_N = 16 };  // "share/"

// The hints of one identifier.
struct share_list {
    UT_hash_handle hh;
    struct share *p;
    size_t n, room;
    size_t name_n;
    char name[];
};

struct shares {
    struct share_list *all;
};

uint64_t
shares_generation(struct mail *m)
{
    return atomic_load(&m->shares);
}

static void
stale_each(struct mail_user *u, void *arg)
{
    (void)arg;
    for (struct mail_watch *w = u->watches; w; w = w->user_next)
        watch_stale(w);
}

static void
stale_run(void *arg)
{
    (void)arg;
    mail_users_each(stale_each, NULL);
}

void
shares_changed(struct mail *m)
{
    atomic_fetch_add(&m->shares, 1);
    for (unsigned i = 0; i < m->options.home_count; i++)
        loop_post(m->homes[i].loop, stale_run, NULL);
}

// ---- in memory ----

static enum result
key_parse(struct span key, struct span *identifier_out, uint64_t *account_out)
{
    if (!span_starts(key, SPAN("share/")) || key.n < PREFIX_N + 2 + HEX_N ||
        key.p[key.n - HEX_N - 1] != '/')
        return R_FAIL;
    uint64_t n = 0;
    for (size_t i = key.n - HEX_N; i < key.n; i++) {
        const char *digits = "0123456789abcdef", *at = strchr(digits, key.p[i]);
        if (!at || !key.p[i])
            return R_FAIL;
        n = n << 4 | (uint64_t)(at - digits);
    }
    *identifier_out = span_slice(key, PREFIX_N, key.n - HEX_N - 1);
    *account_out = n;
    return R_OK;
}

static struct share_list *
list_find(const struct shares *x, struct span identifier)
{
    struct share_list *l;
    HASH_FIND(hh, x->all, identifier.p, identifier.n, l);
    return l;
}

static struct share_list *
list_make(struct shares *x, struct span identifier)
{
    struct share_list *l = calloc(1, sizeof *l + identifier.n);
    must(l != NULL);
    memcpy(l->name, identifier.p, identifier.n);
    l->name_n = identifier.n;
    HASH_ADD_KEYPTR(hh, x->all, l->name, l->name_n, l);
    return l;
}

static void
list_free(struct shares *x, struct share_list *l)
{
    HASH_DEL(x->all, l);
    for (size_t i = 0; i < l->n; i++)
        free((char *)(uintptr_t)l->p[i].owner.p);
    free(l->p);
    free(l);
}

static void
list_add(struct share_list *l, uint64_t account, struct span owner)
{
    if (l->n == l->room) {
        l->room = l->room ? l->room * 2 : 4;
        l->p = reallocarray(l->p, l->room, sizeof *l->p);
        must(l->p != NULL);
    }
    char *name = calloc(1, owner.n + 1);
    must(name != NULL);
    memcpy(name, owner.p, owner.n);
    l->p[l->n++] = (struct share){account, span_of(name, owner.n)};
}

static void
list_drop(struct shares *x, struct share_list *l, uint64_t account)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->p[i].account == account) {
            free((char *)(uintptr_t)l->p[i].owner.p);
            l->p[i] = l->p[--l->n];
            break;
        }
    if (l->n == 0)
        list_free(x, l);
}

static bool
list_has(const struct share_list *l, uint64_t account)
{
    for (size_t i = 0; l && i < l->n; i++)
        if (l->p[i].account == account)
            return true;
    return false;
}

static void
fold(struct shares *x, struct span key, struct span value)
{
    struct span identifier;
    uint64_t account;
    if (key_parse(key, &identifier, &account) != R_OK)
        return;
    struct share_list *l = list_find(x, identifier);
    if (value.n > 0 && !list_has(l, account))
        list_add(l ? l : list_make(x, identifier), account, value);
    if (value.n == 0 && l)
        list_drop(x, l, account);
}

static void
fold_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    if (mailbox == 0)
        fold(arg, key, value);
}

static struct shares *
shares_of(struct account *a)
{
    if (!a->rights.shares) {
        a->rights.shares = calloc(1, sizeof *a->rights.shares);
        must(a->rights.shares != NULL);
        state_meta_each(account_state(a), fold_each, a->rights.shares);
    }
    return a->rights.shares;
}

void
shares_free(struct account *a)
{
    struct share_list *l, *next;
    if (!a->rights.shares)
        return;
    HASH_ITER(hh, a->rights.shares->all, l, next)
    list_free(a->rights.shares, l);
    free(a->rights.shares);
    a->rights.shares = NULL;
}

void
shares_applied(struct account *a, struct span key, struct span value)
{
    if (!span_starts(key, SPAN("share/")))
        return;
    if (a->rights.shares)
        fold(a->rights.shares, key, value);
    shares_changed(a->mail);
}

// ---- finding ----

struct find_call {
    struct account *directory;
    const struct acl_who *who;
    struct arena *arena;
    struct share *found;
    size_t n, room;
};

static void
take(struct find_call *c, struct span identifier)
{
    const struct share_list *l = list_find(shares_of(c->directory), identifier);
    for (size_t i = 0; l && i < l->n && c->n < c->room; i++) {
        bool have = l->p[i].account == c->who->account;
        for (size_t k = 0; k < c->n && !have; k++)
            have = c->found[k].account == l->p[i].account;
        if (!have)
            c->found[c->n++] =
                (struct share){l->p[i].account, arena_dup(c->arena, l->p[i].owner)};
    }
}

static void
find_run(void *arg)
{
    struct find_call *c = arg;
    c->room = LIMIT_shared_trees;
    c->found = arena_array(c->arena, c->room, sizeof *c->found);
    take(c, c->who->name);
    for (size_t i = 0; i < c->who->group_count; i++) {
        struct span group = c->who->groups[i];
        char *name = arena_alloc(c->arena, group.n + 1);
        name[0] = '$';
        memcpy(name + 1, group.p, group.n);
        take(c, span_of(name, group.n + 1));
    }
    take(c, SPAN("authenticated"));
    take(c, SPAN("anyone"));
}

static int
share_order(const void *a, const void *b)
{
    const struct share *x = a, *y = b;
    int order = span_cmp(x->owner, y->owner);
    return order != 0 ? order : (x->account > y->account) - (x->account < y->account);
}

// Without a directory nothing is run.
static enum result
in_directory(struct mail *m, struct account **directory, void (*run)(void *), void *call,
             struct fault *f)
{
    enum result r = account_open(m, ACCOUNT_DIRECTORY, SPAN_NONE, false, directory, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    account_run(*directory, run, call);
    account_close(directory);
    return R_OK;
}

enum result
shares_find(struct mail *m, const struct acl_who *who, struct arena *a, struct share **out,
            size_t *n_out, struct fault *f)
{
    struct find_call c = {.who = who, .arena = a};
    *n_out = 0;
    if (in_directory(m, &c.directory, find_run, &c, f) != R_OK)
        return R_FAIL;
    if (c.n > 0)
        qsort(c.found, c.n, sizeof *c.found, share_order);
    *out = c.found;
    *n_out = c.n;
    return R_OK;
}

struct list_call {
    struct account *directory;
    struct arena *arena;
    struct span name;  // identifier or owner
    uint64_t account;
    uint64_t *accounts;
    struct span *identifiers;
    size_t n;
};

static void
to_run(void *arg)
{
    struct list_call *c = arg;
    const struct share_list *l = list_find(shares_of(c->directory), c->name);
    c->accounts = arena_array(c->arena, l ? l->n : 0, sizeof *c->accounts);
    for (; l && c->n < l->n; c->n++)
        c->accounts[c->n] = l->p[c->n].account;
}

// Each account once.
static void
owned_run(void *arg)
{
    struct list_call *c = arg;
    const struct shares *all = shares_of(c->directory);
    size_t room = 0;
    for (const struct share_list *l = all->all; l; l = l->hh.next)
        room += l->n;
    c->accounts = arena_array(c->arena, room, sizeof *c->accounts);
    for (const struct share_list *l = all->all; l; l = l->hh.next)
        for (size_t i = 0; i < l->n; i++) {
            size_t k = 0;
            while (k < c->n && c->accounts[k] != l->p[i].account)
                k++;
            if (k == c->n && span_eq(l->p[i].owner, c->name))
                c->accounts[c->n++] = l->p[i].account;
        }
}

static void
from_run(void *arg)
{
    struct list_call *c = arg;
    const struct shares *all = shares_of(c->directory);
    c->identifiers = arena_array(c->arena, HASH_COUNT(all->all), sizeof *c->identifiers);
    for (const struct share_list *l = all->all; l; l = l->hh.next)
        if (list_has(l, c->account))
            c->identifiers[c->n++] = arena_dup(c->arena, span_of(l->name, l->name_n));
}

static enum result
list_accounts(struct mail *m, struct list_call *c, void (*run)(void *), uint64_t **out,
              size_t *n_out, struct fault *f)
{
    enum result r = in_directory(m, &c->directory, run, c, f);
    *out = c->accounts;
    *n_out = c->n;
    return r;
}

enum result
shares_to(struct mail *m, struct span identifier, struct arena *a, uint64_t **out,
          size_t *n_out, struct fault *f)
{
    struct list_call c = {.arena = a, .name = identifier};
    return list_accounts(m, &c, to_run, out, n_out, f);
}

enum result
shares_owned(struct mail *m, struct span owner, struct arena *a, uint64_t **out,
             size_t *n_out, struct fault *f)
{
    struct list_call c = {.arena = a, .name = owner};
    return list_accounts(m, &c, owned_run, out, n_out, f);
}

enum result
shares_from(struct mail *m, uint64_t account, struct arena *a, struct span **out,
            size_t *n_out, struct fault *f)
{
    struct list_call c = {.arena = a, .account = account};
    enum result r = in_directory(m, &c.directory, from_run, &c, f);
    *out = c.identifiers;
    *n_out = c.n;
    return r;
}

// ---- changing ----

struct set_call {
    struct account *directory, *from;
    struct span identifier;
    bool on;
    struct fault *fault;
    enum result result;
};

static enum result
set_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct set_call *c = arg;
    struct buf key;
    (void)f;
    buf_init(&key, LIMIT_meta_key);
    buf_printf(&key, "share/%.*s/%016llx", SPAN_ARG(c->identifier),
               (unsigned long long)c->from->id);
    struct record_meta r = {0, change_modseq(a), buf_span(&key),
                            c->on ? c->from->user : SPAN_NONE};
    tree_put_meta(b, &r);
    buf_done(&key);
    return R_OK;
}

static void
set_run(void *arg)
{
    struct set_call *c = arg;
    const struct share_list *l = list_find(shares_of(c->directory), c->identifier);
    c->result = R_OK;
    if (list_has(l, c->from->id) != c->on)
        c->result = account_change(c->directory, set_change, c, 0, NULL, c->fault);
}

enum result
shares_set(struct mail *m, struct account *from, struct span identifier, bool on,
           struct fault *f)
{
    struct set_call c = {.from = from, .identifier = identifier, .on = on, .fault = f};
    enum result r = account_open(m, ACCOUNT_DIRECTORY, SPAN_NONE, on, &c.directory, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    account_run(c.directory, set_run, &c);
    account_close(&c.directory);
    return c.result;
}
