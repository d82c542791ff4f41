#include "mail/acl_fold.h"

#include "base/log.h"
#include "mail/shares.h"
#include "mail/system.h"

// Names come back: after `user delete bob` somebody else may be called bob. Entries are of names, so they go with the name.

enum { AT_ONCE = 1000 };  // entries of one change

struct forget_call {
    struct account *account;
    struct span identifier;  // SPAN_NONE: all but the owner's
    struct store_batch *batch;
    size_t n, total;
    struct fault *fault;
    enum result result;
};

static bool
is_meant(const struct forget_call *c, struct span identifier)
{
    struct span name = span_skip(identifier, span_starts(identifier, SPAN("-")));
    return c->identifier.p ? span_eq(name, c->identifier) : !span_eq(name, SPAN("owner"));
}

static bool
forget_each(uint64_t mailbox, const struct acl_entry *e, void *arg)
{
    struct forget_call *c = arg;
    if (is_meant(c, e->identifier)) {
        acl_put(c->account, c->batch, mailbox, &(struct acl_entry){e->identifier, 0});
        c->n++;
    }
    return c->n < AT_ONCE;
}

static enum result
forget_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct forget_call *c = arg;
    (void)f;
    c->batch = b;
    c->n = 0;
    acl_each(a, forget_each, c);
    return R_OK;
}

static void
forget_run(void *arg)
{
    struct forget_call *c = arg;
    do {
        c->result =
            account_change(c->account, forget_change, c, CHANGE_ALONE, NULL, c->fault);
        c->total += c->result == R_OK ? c->n : 0;
    } while (c->result == R_OK && c->n == AT_ONCE);
}

static enum result
forget_in(struct account *a, struct span identifier, struct fault *f)
{
    struct forget_call c = {.account = a, .identifier = identifier, .fault = f};
    account_run(a, forget_run, &c);
    if (c.total > 0)
        log_info("mail", "rights of a name that is gone were taken away", log_user(a->user),
                 field_number("entries", ", entries=%", c.total));
    return c.result;
}

// Entries of the identifier in one account, then the hint of them.
static enum result
forget_granted(struct mail *m, uint64_t id, struct span identifier, struct fault *f)
{
    struct account *a;
    enum result r = account_open(m, id, SPAN_NONE, false, &a, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    r = forget_in(a, identifier, f);
    if (r == R_OK && !account_is_system(id))
        r = shares_set(m, a, identifier, false, f);
    account_close(&a);
    return r;
}

// What the account granted, and its hints: its tree is under nobody's name.
static enum result
forget_own(struct mail *m, uint64_t id, struct arena *arena, struct fault *f)
{
    struct account *a;
    struct span *identifiers;
    size_t n;
    enum result r = account_open(m, id, SPAN_NONE, false, &a, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    r = forget_in(a, SPAN_NONE, f);
    if (r == R_OK)
        r = shares_from(m, id, arena, &identifiers, &n, f);
    for (size_t i = 0; r == R_OK && i < n; i++)
        r = shares_set(m, a, identifiers[i], false, f);
    account_close(&a);
    return r;
}

// No user or group has these names: who deletes one by mistake means nobody.
static bool
is_no_name(struct span identifier)
{
    return acl_is_everybody(identifier) || span_eq(identifier, SPAN("owner"));
}

enum result
acl_forget(struct mail *m, struct span identifier, struct fault *f)
{
    if (is_no_name(identifier))
        return R_OK;
    struct arena *arena = arena_new();
    uint64_t *granting, *owned;
    size_t n, own;
    enum result r = shares_to(m, identifier, arena, &granting, &n, f);
    for (size_t i = 0; r == R_OK && i < n; i++)
        r = forget_granted(m, granting[i], identifier, f);
    if (r == R_OK)  // of which there are no hints
        r = forget_granted(m, ACCOUNT_PUBLIC, identifier, f);
    if (r == R_OK)
        r = shares_owned(m, identifier, arena, &owned, &own, f);
    for (size_t i = 0; r == R_OK && i < own; i++)
        r = forget_own(m, owned[i], arena, f);
    arena_free(&arena);
    return r;
}
