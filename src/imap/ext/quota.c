// RFC 9208: QUOTA. An account has one root, "user/NAME", and so has a domain with limits, "domain/NAME".
#include "mail/quota.h"

#include "base/audit.h"
#include "imap/response.h"
#include "imap/status.h"
#include "mail/tree.h"
#include "wire/quote.h"

enum { UNIT = 1024 };  // octets of STORAGE and ANNOTATION-STORAGE (section 5.1)

static bool
counts_units(enum usage_kind k)
{
    return k == USAGE_STORAGE || k == USAGE_ANNOTATIONS;
}

static uint64_t
shown(enum usage_kind k, uint64_t n)
{
    return counts_units(k) ? n / UNIT + (n % UNIT > 0) : n;
}

// ---- responses ----

static void
send_quota(struct imap_session *s, const struct quota_root *root)
{
    struct buf *b = imap_line(s);
    const char *between = "";
    buf_put_str(b, "* QUOTA ");
    quote_astring(b, root->name, imap_utf8(s));
    buf_put_str(b, " (");
    for (enum usage_kind k = 0; k < USAGE_KINDS; k++) {
        if (root->hidden[k] || root->quota.limits.n[k] > QUOTA_MAX)
            continue;
        buf_printf(b, "%s%s %llu %llu", between, quota_resource(k),
                   (unsigned long long)shown(k, root->quota.used.n[k]),
                   (unsigned long long)shown(k, root->quota.limits.n[k]));
        between = " ";
    }
    buf_put_char(b, ')');
    imap_line_send(s);
}

// ---- roots by name ----

static bool
administers(const struct imap_session *s)
{
    return s->host.ops->administers && s->host.ops->administers(s->host.arg);
}

static enum result
unknown(struct imap_command *c, struct fault *f)
{
    (void)!imap_answer_no(c, f, FAULT_NONEXISTENT, "[NONEXISTENT] No such quota root");
    return R_FAIL;
}

static enum result
own_root(struct imap_command *c, struct span name, struct quota_root *out, struct fault *f)
{
    struct quota_roots own;
    if (quota_roots_own(c->session->user, c->arena, &own, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < own.n; i++)
        if (span_eq(own.root[i].name, name)) {
            *out = own.root[i];
            return R_OK;
        }
    return R_NONE;
}

// Of an account that somebody administers; to be closed.
static enum result
user_of(struct imap_command *c, struct span root, struct mail_user **out, struct fault *f)
{
    struct imap_session *s = c->session;
    struct span name = quota_root_user(root);
    enum result r = name.p ? s->host.ops->users->open(name, out, s->host.arg, f) : R_NONE;
    return r == R_NONE ? unknown(c, f) : r;
}

static enum result
domain_root(struct imap_command *c, struct span name, struct quota_root *out,
            struct fault *f)
{
    struct mail *m = account_mail(mail_user_account(c->session->user));
    enum result r = quota_domain_get(m, quota_root_domain(name), &out->quota, f);
    return r == R_NONE ? unknown(c, f) : r;
}

static enum result
user_root(struct imap_command *c, struct span name, struct quota_root *out, struct fault *f)
{
    struct mail_user *u;
    if (user_of(c, name, &u, f) != R_OK)
        return R_FAIL;
    // "user/ann" stands for "user/ann@example.org" as well
    quota_get(mail_user_account(u), &out->quota);
    mail_user_close(&u);
    return R_OK;
}

static enum result
any_root(struct imap_command *c, struct span name, struct quota_root *out, struct fault *f)
{
    enum result r = own_root(c, name, out, f);
    if (r != R_NONE)
        return r;
    if (!administers(c->session))
        return unknown(c, f);
    *out = (struct quota_root){.name = name};
    return quota_root_domain(name).p ? domain_root(c, name, out, f)
                                     : user_root(c, name, out, f);
}

// ---- GETQUOTA, GETQUOTAROOT ----

static enum result
run_get(struct imap_command *c, struct fault *f)
{
    struct quota_root root;
    parse_sp(&c->parse);
    struct span name = parse_astring(&c->parse);
    if (parse_end(&c->parse, f) != R_OK || any_root(c, name, &root, f) != R_OK)
        return R_FAIL;
    send_quota(c->session, &root);
    return R_OK;
}

static enum result
run_root(struct imap_command *c, struct fault *f)
{
    struct imap_session *s = c->session;
    struct quota_roots roots;
    if (quota_roots_of(s->user, c->name, c->arena, &roots, f) != R_OK)
        return R_FAIL;
    struct buf *b = imap_line(s);
    buf_put_str(b, "* QUOTAROOT ");
    imap_put_mailbox(s, b, c->name);
    for (size_t i = 0; i < roots.n; i++) {
        buf_put_char(b, ' ');
        quote_astring(b, roots.root[i].name, imap_utf8(s));
    }
    imap_line_send(s);
    for (size_t i = 0; i < roots.n; i++)
        send_quota(s, &roots.root[i]);
    return R_OK;
}

// ---- SETQUOTA ----

struct set {
    struct span root;
    struct usage limits;  // what is not named has no limit any more (section 4.1.3)
    bool unknown;
};

static uint64_t
limit_of(enum usage_kind k, uint64_t n)
{
    if (!counts_units(k))
        return n;
    return n > QUOTA_MAX / UNIT ? QUOTA_MAX : n * UNIT;
}

static void
resource_parse(struct parse *p, struct set *set)
{
    enum usage_kind k = quota_resource_from(parse_atom(p));
    parse_sp(p);
    uint64_t n = parse_number64(p);
    if (k == USAGE_KINDS)
        set->unknown = true;
    else if (set->limits.n[k] != QUOTA_NONE)
        parse_fail(p, "a resource twice");
    else
        set->limits.n[k] = limit_of(k, n);
}

static enum result
set_parse(struct imap_command *c, struct set *set, struct fault *f)
{
    struct parse *p = &c->parse;
    for (int k = 0; k < USAGE_KINDS; k++)
        set->limits.n[k] = QUOTA_NONE;
    parse_sp(p);
    set->root = parse_astring(p);
    parse_sp(p);
    parse_list_open(p);
    while (parse_list_next(p))
        resource_parse(p, set);
    return parse_end(p, f);
}

static enum result
set_limits(struct imap_command *c, const struct set *set, struct fault *f)
{
    struct span domain = quota_root_domain(set->root);
    struct mail_user *u;
    if (domain.p)
        return quota_domain_set(account_mail(mail_user_account(c->session->user)), domain,
                                &set->limits, f);
    if (user_of(c, set->root, &u, f) != R_OK)
        return R_FAIL;
    enum result r = quota_set(mail_user_account(u), &set->limits, f);
    mail_user_close(&u);
    return r;
}

static enum result
run_set(struct imap_command *c, struct fault *f)
{
    struct set set = {.unknown = false};
    struct quota_root root;
    if (set_parse(c, &set, f) != R_OK)
        return R_FAIL;
    if (!administers(c->session))
        return fault_set(f, FAULT_NOPERM, "SETQUOTA is for administrators");
    if (set.unknown)
        return fault_set(f, FAULT_CANNOT, "no such resource");
    if (set_limits(c, &set, f) != R_OK)
        return R_FAIL;
    log_audit(QUOTA, "imap", "quota changed",
              field_text("by", ": by=<%>", mail_user_name(c->session->user)),
              field_text("root", "root=<%>", set.root), log_session(c->session->id));
    if (any_root(c, set.root, &root, f) != R_OK)
        return R_FAIL;
    send_quota(c->session, &root);
    return R_OK;
}

// ---- a limit was passed by somebody else (section 4.3.1, soft quota) ----

static enum result
on_select(struct imap_command *c, const struct view_info *v, struct fault *f)
{
    (void)v;
    (void)f;
    c->session->quota_passed = quota_passed(view_account(c->session->view));
    return R_OK;
}

static void
on_sync(struct imap_session *s, struct arena *a)
{
    (void)a;
    unsigned passed = s->view ? quota_passed(view_account(s->view)) : s->quota_passed;
    if (passed == s->quota_passed)
        return;
    s->quota_passed = passed;
    imap_untagged(s, "NO [OVERQUOTA] Quota exceeded");
}

// ---- STATUS ----

static void
deleted_storage(struct buf *b, const struct tree_entry *e)
{
    buf_put_u64(b, e->deleted_storage);
}

static const struct imap_status_item item = {.put = deleted_storage,
                                             .find = tree_deleted_storage};

static const struct imap_word words[] = {
    {SLOT_STATUS, "DELETED-STORAGE", 0, {.status = &item}},
    {0},
};

static const struct imap_verb verbs[] = {
    {"GETQUOTA", ARGS_OWN, IMAP_ANY, VERB_READS, 0, run_get},
    {"GETQUOTAROOT", ARGS_NAME, IMAP_ANY, VERB_READS, 0, run_root},
    {"SETQUOTA", ARGS_OWN, IMAP_ANY, 0, 0, run_set},
    {.name = NULL},
};

const struct imap_ext imap_ext_quota = {
    .name = "quota",
    .rfc = "RFC 9208",
    .capability = "QUOTA QUOTASET QUOTA=RES-STORAGE QUOTA=RES-MESSAGE QUOTA=RES-MAILBOX "
                  "QUOTA=RES-ANNOTATION-STORAGE",
    .verbs = verbs,
    .words = words,
    .on_select = on_select,
    .on_sync = on_sync,
};
