#include "mail/acl_fold.h"

#include "base/budget.h"
#include "base/limits.h"
#include "mail/mount.h"
#include "mail/name.h"
#include "mail/shares.h"
#include "mail/system.h"
#include "mail/tree_record.h"
#include "mail/watch_log.h"

struct acl_mailbox {
    UT_hash_handle hh;
    uint64_t mailbox;
    struct acl_list list;
    size_t room;
};

struct acls {
    struct acl_mailbox *all;
    size_t entries;
};

enum { KEY_N = 4 };  // "acl/"
static const struct acl_list no_list;

// ---- the lists ----

static size_t
entry_size(struct span identifier)
{
    return sizeof(struct acl_entry) + identifier.n;
}

static size_t
list_find(const struct acl_list *l, struct span identifier, bool *there_out)
{
    size_t low = 0, high = l->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (span_cmp(l->p[mid].identifier, identifier) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *there_out = low < l->n && span_eq(l->p[low].identifier, identifier);
    return low;
}

static void
entry_drop(struct acls *x, struct acl_mailbox *m, size_t at)
{
    struct acl_list *l = &m->list;
    budget_give(BUDGET_TABLES, entry_size(l->p[at].identifier));
    free((char *)(uintptr_t)l->p[at].identifier.p);
    l->n--;
    x->entries--;
    memmove(l->p + at, l->p + at + 1, (l->n - at) * sizeof *l->p);
}

static void
entry_add(struct acls *x, struct acl_mailbox *m, size_t at, const struct acl_entry *e)
{
    struct acl_list *l = &m->list;
    if (l->n == m->room) {
        m->room = m->room ? m->room * 2 : 4;
        l->p = reallocarray(l->p, m->room, sizeof *l->p);
        must(l->p != NULL);
    }
    char *text = calloc(1, e->identifier.n + 1);
    must(text != NULL);
    memcpy(text, e->identifier.p, e->identifier.n);
    memmove(l->p + at + 1, l->p + at, (l->n - at) * sizeof *l->p);
    l->p[at] = (struct acl_entry){span_of(text, e->identifier.n), e->rights};
    l->n++;
    x->entries++;
    budget_force(BUDGET_TABLES, entry_size(e->identifier));
}

static void
mailbox_drop(struct acls *x, struct acl_mailbox *m)
{
    while (m->list.n > 0)
        entry_drop(x, m, m->list.n - 1);
    HASH_DEL(x->all, m);
    free(m->list.p);
    free(m);
}

static struct acl_mailbox *
mailbox_find(const struct acls *x, uint64_t mailbox)
{
    struct acl_mailbox *m;
    HASH_FIND(hh, x->all, &mailbox, sizeof mailbox, m);
    return m;
}

static void
put(struct acls *x, uint64_t mailbox, const struct acl_entry *e)
{
    bool there;
    struct acl_mailbox *m = mailbox_find(x, mailbox);
    if (!m) {
        m = calloc(1, sizeof *m);
        must(m != NULL);
        m->mailbox = mailbox;
        HASH_ADD(hh, x->all, mailbox, sizeof m->mailbox, m);
    }
    size_t at = list_find(&m->list, e->identifier, &there);
    if (there && e->rights != 0)
        m->list.p[at].rights = e->rights;
    else if (there)
        entry_drop(x, m, at);
    else if (e->rights != 0)
        entry_add(x, m, at, e);
    if (m->list.n == 0)
        mailbox_drop(x, m);
}

// Letters that a later version knows are passed over.
static uint32_t
stored_rights(struct span value)
{
    uint32_t rights = 0, one;
    for (size_t i = 0; i < value.n; i++)
        if (rights_from_text(span_slice(value, i, i + 1), &one) == R_OK)
            rights |= one;
    return rights;
}

static bool
is_acl(uint64_t mailbox, struct span key)
{
    return mailbox != 0 && key.n > KEY_N && span_starts(key, SPAN("acl/"));
}

static void
fold_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    if (is_acl(mailbox, key))
        put(arg, mailbox, &(struct acl_entry){span_skip(key, KEY_N), stored_rights(value)});
}

static struct acls *
acls_of(struct account *a)
{
    if (!a->rights.acls) {
        a->rights.acls = KEEP_NEW(struct acls);
        state_meta_each(account_state(a), fold_each, a->rights.acls);
    }
    return a->rights.acls;
}

void
acls_free(struct account *a)
{
    struct acl_mailbox *m, *next;
    if (!a->rights.acls)
        return;
    HASH_ITER(hh, a->rights.acls->all, m, next)
    mailbox_drop(a->rights.acls, m);
    KEEP_FREE(a->rights.acls);
    a->rights.acls = NULL;
}

const struct acl_list *
acl_list_of(struct account *a, uint64_t mailbox)
{
    const struct acl_mailbox *m = mailbox_find(acls_of(a), mailbox);
    return m ? &m->list : &no_list;
}

bool
acl_names(struct account *a, struct span identifier)
{
    bool there = false;
    for (const struct acl_mailbox *m = acls_of(a)->all; m && !there; m = m->hh.next)
        (void)list_find(&m->list, identifier, &there);
    return there;
}

void
acl_each(struct account *a, acl_each_fn *fn, void *arg)
{
    for (const struct acl_mailbox *m = acls_of(a)->all; m; m = m->hh.next)
        for (size_t i = 0; i < m->list.n; i++)
            if (!fn(m->mailbox, &m->list.p[i], arg))
                return;
}

size_t
acl_identifiers(struct account *a)
{
    return acls_of(a)->entries;
}

static struct span
acl_key(struct arena *arena, struct span identifier)
{
    char *key = arena_alloc(arena, KEY_N + identifier.n);
    memcpy(key, "acl/", KEY_N);
    memcpy(key + KEY_N, identifier.p, identifier.n);
    return span_of(key, KEY_N + identifier.n);
}

// ---- the rights ----

uint32_t
acl_rights(const struct acl_who *who, struct account *a, uint64_t mailbox)
{
    bool owner = who->account == a->id;
    const struct acls *x = acls_of(a);
    if (owner && !x->all)
        return RIGHTS_ALL;
    const struct acl_mailbox *m = mailbox_find(x, mailbox);
    struct acl_where where = {
        .owner = owner,
        .common = a->id == ACCOUNT_PUBLIC,
        .granted = who->granted && who->granted_account == a->id ? who->granted : 0};
    return acl_decide(who, &where, m ? &m->list : &no_list);
}

uint32_t
ref_rights(const struct mailbox_ref *ref)
{
    if (!ref->user)
        return ref->rights;
    return ref->rights & acl_rights(mail_user_who(ref->user), ref->account, ref->mailbox);
}

static void
now_run(void *arg)
{
    struct mailbox_ref *ref = arg;
    ref->rights = ref_rights(ref);
}

struct mailbox_ref
ref_now(const struct mailbox_ref *ref)
{
    struct mailbox_ref now = *ref;
    if (ref->user)
        account_run(ref->account, now_run, &now);
    return now;
}

uint16_t
acl_flags(uint32_t rights)
{
    uint16_t may = 0;
    if (rights & RIGHT_SEEN)
        may |= FLAG_SEEN;
    if (rights & RIGHT_DELETED)
        may |= FLAG_DELETED;
    if (rights & RIGHT_WRITE)
        may |= FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DRAFT;
    return may;
}

enum result
acl_check(uint32_t rights, uint32_t need, struct fault *f)
{
    if (!(rights & RIGHT_LOOKUP))
        return fault_set(f, FAULT_NONEXISTENT, "no such mailbox");
    if ((rights & need) != need)
        return fault_set(f, FAULT_NOPERM, "right missing");
    return R_OK;
}

bool
acl_makes_roots(const struct acl_who *who, const struct account *a)
{
    if (who->granted && who->granted_account == a->id)
        return (who->granted & RIGHT_LOOKUP) && (who->granted & RIGHT_CREATE);
    return who->admin && a->id == ACCOUNT_PUBLIC;
}

bool
acl_sees_below(const struct acl_who *who, struct account *a, uint64_t mailbox)
{
    if (who->account == a->id)
        return name_has_children(account_state(a), mailbox);
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++) {
        const struct mailbox_state *m = account_state(a)->mailboxes[i];
        uint64_t id = m->id;
        if (id == mailbox || acl_rights(who, a, id) == 0)
            continue;
        for (unsigned d = 0; m && m->parent && d < LIMIT_mailbox_depth; d++) {
            if (m->parent == mailbox)
                return true;
            m = state_mailbox(account_state(a), m->parent);
        }
    }
    return false;
}

struct all_call {
    const struct acl_who *who;
    struct account *account;
    bool all;
};

static void
all_run(void *arg)
{
    const uint32_t reads = RIGHT_LOOKUP | RIGHT_READ;
    struct all_call *c = arg;
    const struct state *s = account_state(c->account);
    c->all = true;
    for (uint32_t i = 0; i < s->mailbox_count && c->all; i++) {
        const struct mailbox_state *m = s->mailboxes[i];
        c->all = m->counts.exists == 0 ||
                 (acl_rights(c->who, c->account, m->id) & reads) == reads;
    }
}

bool
acl_reads_all(const struct mail_user *u, struct account *a)
{
    struct all_call c = {mail_user_who(u), a, false};
    account_run(a, all_run, &c);
    return c.all;
}

// ---- changes ----

void
view_rights_settle(struct view *v)
{
    const uint32_t sees = RIGHT_LOOKUP | RIGHT_READ;
    if (!v->user.who || !v->mailbox || !v->mailbox->state || v->gone)
        return;
    uint32_t was = atomic_load(&v->rights);
    uint32_t now = acl_rights(v->user.who, v->account, v->mailbox_id);
    if (now == was)
        return;
    atomic_store(&v->rights, now);
    v->user.told = false;
    if ((was & sees) == sees && (now & sees) != sees)
        v->gone = true;
    view_poke(v);
}

enum result
view_may(const struct view *v, uint32_t need, struct fault *f)
{
    if (v->gone)
        return fault_set(f, FAULT_NONEXISTENT, "mailbox was deleted");
    if ((v->rights & need) != need)
        return fault_set(f, FAULT_NOPERM, "right missing");
    return R_OK;
}

static void
list_changed(struct account *a, const struct record_meta *r)
{
    const struct mailbox_state *s = state_mailbox(account_state(a), r->mailbox);
    struct acl_entry e = {span_skip(r->key, KEY_N), stored_rights(r->value)};
    if (!s)
        return;
    if (a->watched)
        watch_rights_before(a, r->mailbox);
    if (a->rights.acls)
        put(a->rights.acls, r->mailbox, &e);
    if (a->watched)
        watch_rights_after(a, r->mailbox);
    const struct mailbox *m = s->mail;
    for (struct view *v = m ? m->views : NULL; v; v = v->next)
        view_rights_settle(v);
}

static void
mailbox_gone(struct account *a, uint64_t mailbox)
{
    struct acl_mailbox *m = a->rights.acls ? mailbox_find(a->rights.acls, mailbox) : NULL;
    if (m)
        mailbox_drop(a->rights.acls, m);
}

void
acl_applied(struct account *a, enum record_type type, struct span meta)
{
    struct record_meta r;
    struct unpack u = unpack_of(meta);
    if (type == RECORD_ACCOUNT_GONE)
        acls_free(a);
    if (type == RECORD_MAILBOX_GONE)
        mailbox_gone(a, unpack_var(&u));
    if (type != RECORD_META || record_meta_get(meta, &r) != R_OK)
        return;
    if (is_acl(r.mailbox, r.key))
        list_changed(a, &r);
    if (a->id == ACCOUNT_DIRECTORY)
        shares_applied(a, r.key, r.value);
}

void
acl_put(struct account *a, struct store_batch *b, uint64_t mailbox,
        const struct acl_entry *e)
{
    char text[12];
    rights_to_text(e->rights, text);
    struct record_meta r = {mailbox, change_modseq(a),
                            acl_key(a->batch_arena, e->identifier), span_str(text)};
    tree_put_meta(b, &r);
}

void
acl_put_copy(struct account *a, struct store_batch *b, uint64_t from, uint64_t to)
{
    const struct acl_list *l = acl_list_of(a, from);
    for (size_t i = 0; i < l->n; i++)
        acl_put(a, b, to, &l->p[i]);
}

void
acl_put_instead(struct account *a, struct store_batch *b, uint64_t parent, uint64_t from,
                uint64_t to)
{
    const struct acl_list *inherited = acl_list_of(a, parent);
    for (size_t i = 0; i < inherited->n; i++)
        acl_put(a, b, to, &(struct acl_entry){inherited->p[i].identifier, 0});
    acl_put_copy(a, b, from, to);
}
