#include "mail/append_limit.h"

#include "mail/acl_fold.h"
#include "mail/mount.h"
#include "mail/tree_record.h"

static const struct span key = SPAN("appendlimit");

struct limit_call {
    const struct mailbox_ref *ref;
    struct account *account;
    const struct acl_who *who;
    uint64_t octets;
    bool any;
    struct fault *fault;
    enum result result;
};

static void
get_run(void *arg)
{
    struct limit_call *c = arg;
    struct span stored;
    if (state_meta_find(account_state(c->account), c->ref->mailbox, key, &stored) != R_OK)
        return;
    struct unpack u = unpack_of(stored);
    uint64_t octets = unpack_u64(&u);
    if (!u.bad)
        c->octets = octets;
}

uint64_t
append_limit_get(const struct mailbox_ref *ref)
{
    struct limit_call c = {
        .ref = ref, .account = ref->account, .octets = APPEND_LIMIT_NONE};
    account_run(c.account, get_run, &c);
    return c.octets;
}

static enum result
set_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct limit_call *c = arg;
    struct buf value;
    if (!mailbox_of(a, c->ref->mailbox))
        return fault_set(f, FAULT_NONEXISTENT, "no such mailbox");
    buf_init(&value, sizeof c->octets);
    if (c->octets != APPEND_LIMIT_NONE)
        pack_u64(&value, c->octets);
    struct record_meta r = {c->ref->mailbox, change_modseq(a), key, buf_span(&value)};
    tree_put_meta(b, &r);
    buf_done(&value);
    return R_OK;
}

static void
set_run(void *arg)
{
    struct limit_call *c = arg;
    c->result = account_change(c->account, set_change, c, CHANGE_ALONE, NULL, c->fault);
}

enum result
append_limit_set(const struct mailbox_ref *ref, uint64_t octets, struct fault *f)
{
    struct limit_call c = {
        .ref = ref, .account = ref->account, .octets = octets, .fault = f};
    account_run(c.account, set_run, &c);
    return c.result;
}

static void
any_each(uint64_t mailbox, struct span name, struct span value, void *arg)
{
    struct limit_call *c = arg;
    c->any |= mailbox != 0 && value.n > 0 && span_eq(name, key) &&
              acl_rights(c->who, c->account, mailbox) != 0;
}

static void
any_run(void *arg)
{
    struct limit_call *c = arg;
    state_meta_each(account_state(c->account), any_each, c);
}

bool
append_limit_any(struct mail_user *u)
{
    struct limit_call c = {.who = mail_user_who(u)};
    for (struct mount *m = &u->own; m && !c.any; m = m->next) {
        c.account = m->account;
        if (m->account)
            account_run(m->account, any_run, &c);
    }
    return c.any;
}
