#include "main/auth_inside.h"
#include "auth/resolve.h"
#include "auth/user_key.h"
#include "base/limits.h"
#include "base/log.h"

// Answers grow with the table, which the administrator fills; they are bounded by LIMIT_address_steps.
struct answering {
    struct auth_role *role;
    struct lookup_rules rules;
    struct arena *arena;
    struct span address;
    struct buf *out;
};

struct lookup_rules
auth_rules(const struct auth_role *role)
{
    return (struct lookup_rules){.domains = buf_span(&role->domains),
                                 .delimiters = buf_span(&role->settings.delimiters)};
}

static enum result
resolve(struct answering *a, enum resolve_wish wish, struct resolve_target **out,
        size_t *n_out, struct fault *f)
{
    struct resolve how = {
        .db = a->role->db, .rules = &a->rules, .arena = a->arena, .wish = wish};
    return resolve_address(&how, a->address, out, n_out, f);
}

// Of one who is from an outer database, as far as it is known.
static struct user_quota
quota_of(const struct answering *a, const struct resolve_target *t, bool *known)
{
    struct user_quota quota = USER_QUOTA_UNSAID;
    struct user user;
    struct fault ignored;
    *known = a->role->bases.outer != NULL && t->account != 0 &&
             userdb_find(a->role->db, t->name, &user, &ignored) == R_OK &&
             outer_quota(a->role, &user, &quota);
    return quota;
}

static void
put_target(const struct answering *a, const struct resolve_target *t,
           const struct user_keys *k)
{
    struct buf *out = a->out;
    bool known;
    struct user_quota quota = quota_of(a, t, &known);
    pack_u64(out, t->account);
    pack_span(out, t->name);
    pack_span(out, t->detail);
    pack_u64(out, k->size_limit);
    pack_span(out, span_str(k->folder_language));
    pack_u8(out, known);
    pack_u64(out, quota.storage);
    pack_u64(out, quota.messages);
}

// Those who take no mail by LMTP are not there for it. R_NONE: it is one of them.
static enum result
takes_mail(const struct answering *a, const struct resolve_target *t,
           struct user_keys *keys, struct fault *f)
{
    memset(keys, 0, sizeof *keys);
    if (t->account != 0 && user_keys_get(a->role->db, t->account, keys, f) != R_OK)
        return R_FAIL;
    return user_keys_allow(keys, SPAN("lmtp")) ? R_OK : R_NONE;
}

static enum result
mail_of(struct answering *a, enum resolve_wish wish, struct fault *f)
{
    struct resolve_target *t;
    size_t n = 0, some = 0;
    enum result r = resolve(a, wish, &t, &n, f);
    for (size_t i = 0; r != R_FAIL && i < n; i++) {
        struct user_keys keys;
        r = takes_mail(a, &t[i], &keys, f);
        if (r == R_OK) {
            put_target(a, &t[i], &keys);
            some++;
        }
    }
    if (r == R_FAIL)
        return R_FAIL;
    return some > 0 ? R_OK : R_NONE;
}

static enum result
all_mail(struct answering *a, struct fault *f)
{
    return mail_of(a, RESOLVE_ALL, f);
}

static enum result
own_mail(struct answering *a, struct fault *f)
{
    return mail_of(a, RESOLVE_HERE, f);
}

// ---- what the transfer agent puts in the place of an address ----

static enum result
leads_to(struct answering *a, struct span address, uint64_t account, struct fault *f)
{
    struct lookup_found found;
    if (lookup_address(a->role->db, &a->rules, address, &found, f) != R_OK)
        return R_FAIL;
    return found.kind == LOOKUP_USER && found.user.account == account ? R_OK : R_NONE;
}

static struct span
compose(struct answering *a, const struct resolve_target *t, struct span domain)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    buf_put(&b, address_local(t->name));
    if (t->detail.n > 0) {
        buf_put(&b, span_slice(a->rules.delimiters, 0, 1));
        buf_put(&b, t->detail);
    }
    if (domain.n > 0) {
        buf_put_char(&b, '@');
        buf_put(&b, domain);
    }
    struct span s = arena_dup(a->arena, buf_span(&b));
    buf_done(&b);
    return s;
}

// A user without a domain has an address in each of ours, where nothing else is called so: in the asked one, if it can be.
static enum result
address_of_user(struct answering *a, const struct resolve_target *t, struct span *out,
                struct fault *f)
{
    struct span own = address_domain(t->name), asked = address_domain(a->address);
    struct span rest = a->rules.domains, domain = asked;
    enum result r = R_NONE;
    if (own.p) {
        *out = compose(a, t, own);
        return R_OK;
    }
    do {
        if (domain.n == 0)
            continue;
        *out = compose(a, t, domain);
        r = leads_to(a, *out, t->account, f);
    } while (r == R_NONE && span_next_field(&rest, ' ', &domain) == R_OK);
    if (r == R_NONE)
        *out = compose(a, t, SPAN_NONE);
    return r == R_FAIL ? R_FAIL : R_OK;
}

static bool
is_itself(const struct answering *a, struct span address)
{
    struct name asked, got;
    struct fault f;
    return name_of(a->address, &asked, &f) == R_OK && name_of(address, &got, &f) == R_OK &&
           span_eq(name_span(&asked), name_span(&got));
}

static void
pack_printed(struct buf *out, struct span address)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    address_print(address, &b);
    pack_span(out, buf_span(&b));
    buf_done(&b);
}

// What is left of the targets.
static enum result
keep_who_take_mail(const struct answering *a, struct resolve_target *t, size_t *n,
                   struct fault *f)
{
    size_t some = 0;
    for (size_t i = 0; i < *n; i++) {
        struct user_keys keys;
        enum result r = takes_mail(a, &t[i], &keys, f);
        if (r == R_FAIL)
            return R_FAIL;
        if (r == R_OK)
            t[some++] = t[i];
    }
    *n = some;
    return some > 0 ? R_OK : R_NONE;
}

// Nothing for a user's own address: it stays as it is.
static enum result
aliases(struct answering *a, struct fault *f)
{
    struct resolve_target *t;
    size_t n = 0;
    bool itself = false;
    enum result r = resolve(a, RESOLVE_ALL, &t, &n, f);
    if (r == R_OK)
        r = keep_who_take_mail(a, t, &n, f);
    for (size_t i = 0; r == R_OK && i < n; i++) {
        struct span address = t[i].name;
        if (t[i].account != 0)
            r = address_of_user(a, &t[i], &address, f);
        itself |= n == 1 && (is_itself(a, address) ||
                             leads_to(a, a->address, t[i].account, f) == R_OK);
        if (r == R_OK)
            pack_printed(a->out, address);
    }
    return r == R_OK && itself ? R_NONE : r;
}

static enum result
senders(struct answering *a, struct fault *f)
{
    struct resolve_target *t;
    size_t n = 0;
    enum result r = resolve(a, RESOLVE_SENDERS, &t, &n, f);
    for (size_t i = 0; r == R_OK && i < n; i++)
        pack_span(a->out, t[i].name);
    return r;
}

static enum result
domain(struct answering *a, struct fault *f)
{
    return lookup_domain(a->role->db, &a->rules, a->address, f);
}

static enum result (*const questions[])(struct answering *a, struct fault *f) = {
    [RESOLVE_Q_MAIL] = all_mail, [RESOLVE_Q_DELIVERY] = own_mail,
    [RESOLVE_Q_ALIAS] = aliases, [RESOLVE_Q_SENDERS] = senders,
    [RESOLVE_Q_DOMAIN] = domain,
};

void
auth_resolve(struct auth_channel *at, const struct resolve_request *m,
             const struct lookup_rules *rules, const struct ask *ask)
{
    struct buf out;
    struct fault f;
    struct answering a = {.role = at->role,
                          .rules = *rules,
                          .arena = arena_new(),
                          .address = m->address,
                          .out = &out};
    buf_init(&out, SIZE_MAX);
    pack_u8(&out, 1);
    enum result r = questions[m->question](&a, &f);
    if (ask->waiting) {
        ;  // it is asked again
    } else if (r == R_FAIL) {
        log_warning("auth", "an address cannot be resolved",
                    field_text("address", "address=<%>", m->address), log_fault(&f));
        auth_send_fault(at, m->request, &f);
    } else {
        struct span none = span_of("", 1);
        auth_send_text(at, m->request, r == R_OK ? buf_span(&out) : none, false);
    }
    buf_done(&out);
    arena_free(&a.arena);
}
