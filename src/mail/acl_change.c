#include "mail/acl_fold.h"

#include "base/limits.h"
#include "base/audit.h"
#include "mail/mount.h"
#include "mail/name.h"
#include "mail/shares.h"
#include "mail/system.h"

struct change_call {
    const struct mailbox_ref *ref;
    struct acl_change *change;
    struct arena *arena;
    struct span identifier;  // "owner" for the owner's name
    struct span name;        // of the mailbox
    struct fault *fault;
    enum result result;
};

// ---- the owner ----

static bool
is_owner(struct span identifier)
{
    return span_eq(identifier, SPAN("owner"));
}

// The owner's name and "owner" are one entry.
static struct span
entry_of(const struct account *a, struct span identifier)
{
    bool negative = span_starts(identifier, SPAN("-"));
    if (account_is_system(a->id) || !span_eq(span_skip(identifier, negative), a->user))
        return identifier;
    return negative ? SPAN("-owner") : SPAN("owner");
}

static struct span
shown(struct arena *arena, const struct account *a, struct span identifier)
{
    if (is_owner(identifier) && !account_is_system(a->id))
        return arena_dup(arena, a->user);
    if (!span_eq(identifier, SPAN("-owner")) || account_is_system(a->id))
        return arena_dup(arena, identifier);
    char *text = arena_alloc(arena, a->user.n + 1);
    text[0] = '-';
    memcpy(text + 1, a->user.p, a->user.n);
    return span_of(text, a->user.n + 1);
}

static const struct acl_entry *
find(const struct acl_list *l, struct span identifier)
{
    for (size_t i = 0; i < l->n; i++)
        if (span_eq(l->p[i].identifier, identifier))
            return &l->p[i];
    return NULL;
}

// ---- the change ----

static uint32_t
outcome(const struct acl_change *c, uint32_t was, bool owner)
{
    const uint32_t always = RIGHT_LOOKUP | RIGHT_ADMIN;
    switch (c->op) {
    case ACL_ADD:
        return was | c->rights;
    case ACL_REMOVE:
        return (was & ~c->rights) | (owner ? always : 0);
    case ACL_SET:
        return c->rights | (owner ? always : 0);
    default:
        return owner ? RIGHTS_ALL : 0;
    }
}

static enum result
room_check(struct account *a, const struct acl_list *l, struct fault *f)
{
    if (l->n >= LIMIT_acl_entries || acl_identifiers(a) >= LIMIT_acl_account)
        return fault_set(f, FAULT_LIMIT, "too many entries of access control lists");
    return R_OK;
}

static enum result
may_grant(const struct change_call *c, struct fault *f)
{
    const struct mail_user *u = c->ref->user;
    bool more = c->change->is & ~c->change->was;
    if (more && acl_is_everybody(c->identifier) && u && mail_user_who(u)->closed)
        return fault_set(f, FAULT_NOPERM, "mailboxes are not opened to everybody here");
    return R_OK;
}

static enum result
change_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct change_call *c = arg;
    const struct mailbox_state *m = state_mailbox(account_state(a), c->ref->mailbox);
    if (acl_check(m ? ref_rights(c->ref) : 0, RIGHT_ADMIN, f) != R_OK || !m)
        return R_FAIL;
    c->identifier = entry_of(a, c->change->identifier);
    c->name = name_full(c->arena, account_state(a), m);
    bool owner = is_owner(c->identifier);
    if (owner && account_is_system(a->id))
        return fault_set(f, FAULT_CANNOT, "nobody owns this tree");
    const struct acl_list *l = acl_list_of(a, m->id);
    const struct acl_entry *e = find(l, c->identifier);
    c->change->was = e ? e->rights : owner ? RIGHTS_ALL : 0;
    c->change->is = outcome(c->change, c->change->was, owner);
    if (c->change->is == c->change->was)
        return R_OK;
    if (may_grant(c, f) != R_OK || (!e && room_check(a, l, f) != R_OK))
        return R_FAIL;
    // what is implicit is not stored
    uint32_t stored = owner && c->change->is == RIGHTS_ALL ? 0 : c->change->is;
    acl_put(a, b, m->id, &(struct acl_entry){c->identifier, stored});
    return R_OK;
}

static void
change_run(void *arg)
{
    struct change_call *c = arg;
    struct change_by by = {.user = c->ref->user};
    c->result =
        account_change(c->ref->account, change_change, c, CHANGE_ALONE, &by, c->fault);
}

// ---- the hint for whom it is granted ----

struct names_call {
    struct account *account;
    struct span identifier;
    bool named;
};

static void
names_run(void *arg)
{
    struct names_call *c = arg;
    c->named = acl_names(c->account, c->identifier);
}

static bool
is_named(struct account *a, struct span identifier)
{
    struct names_call c = {a, identifier, false};
    account_run(a, names_run, &c);
    return c.named;
}

static bool
has_hint(const struct account *a, struct span identifier)
{
    return !account_is_system(a->id) && !span_starts(identifier, SPAN("-")) &&
           !is_owner(entry_of(a, identifier));
}

// Looked at again behind each step: another change of the account may come between.
static enum result
hint_settle(struct account *a, struct span identifier, struct fault *f)
{
    struct mail *m = account_mail(a);
    if (is_named(a, identifier))
        return shares_set(m, a, identifier, true, f);
    if (shares_set(m, a, identifier, false, f) != R_OK)
        return R_FAIL;
    return is_named(a, identifier) ? shares_set(m, a, identifier, true, f) : R_OK;
}

// The change was refused: a hint made for it goes.
static void
hint_undo(struct account *a, struct span identifier)
{
    struct fault f;
    if (hint_settle(a, identifier, &f) != R_OK)
        log_warning("mail", "a hint of rights stays", log_user(a->user), log_fault(&f));
}

// ---- the whole ----

static void
audit(const struct change_call *c)
{
    char was[ACL_TEXT], is[ACL_TEXT];
    rights_to_text(c->change->was, was);
    rights_to_text(c->change->is, is);
    struct span by = c->ref->user ? mail_user_name(c->ref->user) : SPAN("the operator");
    log_audit(RIGHTS, "mail", "rights changed", field_text("by", " by %", by),
              field_text("owner", ", owner=%", c->ref->account->user),
              field_text("mailbox", " mailbox=%", c->name),
              field_text("identifier", " identifier=%", c->change->identifier),
              field_str("was", " was=%", was), field_str("is", " is=%", is));
}

enum result
acl_change(const struct mailbox_ref *ref, struct acl_change *change, struct fault *f)
{
    struct account *a = ref->account;
    struct change_call c = {
        .ref = ref, .change = change, .arena = arena_new(), .fault = f, .result = R_OK};
    bool hint = has_hint(a, change->identifier);
    bool grants = change->op == ACL_SET || change->op == ACL_ADD;
    struct mailbox_ref now = ref_now(ref);
    enum result r = acl_check(now.rights, RIGHT_ADMIN, f);
    bool before = r == R_OK && hint && grants && change->rights != 0;
    if (before)
        r = shares_set(account_mail(a), a, change->identifier, true, f);
    if (r == R_OK) {
        account_run(a, change_run, &c);
        r = c.result;
    }
    if (r == R_OK && change->was != change->is)
        audit(&c);
    if (r == R_OK && hint)
        r = hint_settle(a, change->identifier, f);
    else if (r != R_OK && before)
        hint_undo(a, change->identifier);
    arena_free(&c.arena);
    return r;
}

// ---- reading ----

struct get_call {
    const struct mailbox_ref *ref;
    struct arena *arena;
    struct acl_list *out;
    struct fault *fault;
    enum result result;
};

static void
get_run(void *arg)
{
    struct get_call *c = arg;
    struct account *a = c->ref->account;
    struct acl_list *out = c->out;
    const struct mailbox_state *m = state_mailbox(account_state(a), c->ref->mailbox);
    c->result = acl_check(m ? ref_rights(c->ref) : 0, RIGHT_ADMIN, c->fault);
    if (c->result != R_OK || !m)
        return;
    const struct acl_list *l = acl_list_of(a, m->id);
    const struct acl_entry *owner = find(l, SPAN("owner"));
    out->p = arena_array(c->arena, l->n + 1, sizeof *out->p);
    if (!account_is_system(a->id))
        out->p[out->n++] = (struct acl_entry){arena_dup(c->arena, a->user),
                                              owner ? owner->rights : RIGHTS_ALL};
    for (size_t i = 0; i < l->n; i++)
        if (&l->p[i] != owner)
            out->p[out->n++] =
                (struct acl_entry){shown(c->arena, a, l->p[i].identifier), l->p[i].rights};
}

enum result
acl_get(const struct mailbox_ref *ref, struct arena *a, struct acl_list *out,
        struct fault *f)
{
    *out = (struct acl_list){0};
    struct get_call c = {ref, a, out, f, R_FAIL};
    account_run(ref->account, get_run, &c);
    return c.result;
}

uint32_t
acl_always(const struct mailbox_ref *ref, struct span identifier)
{
    bool owner = is_owner(entry_of(ref->account, identifier)) &&
                 !account_is_system(ref->account->id);
    return owner ? RIGHT_LOOKUP | RIGHT_ADMIN : 0;
}
