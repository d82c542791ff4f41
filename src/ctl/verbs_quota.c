// quota show, set, list: of a user, or of a domain ("@example.org").
#include "base/limits.h"
#include "ctl/account.h"
#include "ctl/quota_words.h"
#include "ctl/setting.h"
#include "ctl/verbs.h"
#include "mail/quota.h"
#include "mail/system.h"

#include "base/hash.h"
// Names are users' own.
#define HASH_FUNCTION(key, size, value)                                                    \
    ((value) = (unsigned)hash_keyed(span_of((key), (size))))
#include "base/table.h"

static const struct {
    const char *name, *limit;
} words[USAGE_KINDS] = {
    [USAGE_STORAGE] = {"storage", "storage_limit"},
    [USAGE_MESSAGES] = {"messages", "messages_limit"},
    [USAGE_MAILBOXES] = {"mailboxes", "mailboxes_limit"},
    [USAGE_ANNOTATIONS] = {"annotations", "annotations_limit"},
};

// ---- rows ----

static size_t
put_fields(struct field *fields, struct span name, const struct quota *q)
{
    size_t n = 0;
    fields[n++] = field_text("name", "%", name);
    for (int k = 0; k < USAGE_KINDS; k++) {
        bool has = q->limits.n[k] <= QUOTA_MAX;
        fields[n++] = field_number(words[k].name, "\t%", q->used.n[k]);
        fields[n++] = field_str(NULL, has ? "" : "/-", "");
        fields[n++] = field_if(has, field_number(words[k].limit, "/%", q->limits.n[k]));
    }
    return n;
}

enum { FIELDS_OF_QUOTA = 1 + USAGE_KINDS * 3 };

static void
say(struct verb_call *c, struct span name, const struct quota *q)
{
    struct field fields[FIELDS_OF_QUOTA];
    verb_row(c, "quota", fields, put_fields(fields, name, q));
}

// Of "@example.org".
static struct span
domain_of(struct span name)
{
    return name.n > 1 && name.p[0] == '@' ? span_skip(name, 1) : SPAN_NONE;
}

static enum result
show_domain(struct verb_call *c, struct span name, struct fault *f)
{
    struct quota q;
    enum result r = quota_domain_get(verb_host(c)->mail, domain_of(name), &q, f);
    if (r == R_NONE)
        return fault_set(f, FAULT_NONEXISTENT, "the domain has no limit, so nobody counts");
    if (r == R_OK)
        say(c, name, &q);
    return r;
}

static void
show_user(struct verb_call *c, struct mail_user *u)
{
    struct quota q;
    quota_get(mail_user_account(u), &q);
    say(c, account_user(mail_user_account(u)), &q);
}

enum result
verb_quota_show(struct verb_call *c, struct fault *f)
{
    struct span name = verb_arg(c, 0);
    struct mail_user *u;
    if (domain_of(name).p)
        return show_domain(c, name, f);
    if (account_of(c, name, &u, f) != R_OK)
        return R_FAIL;
    show_user(c, u);
    mail_user_close(&u);
    return R_OK;
}

enum result
quota_words_show(struct verb_call *c, uint64_t account, struct span user, struct fault *f)
{
    struct account *a;
    enum result r = account_open(verb_host(c)->mail, account, user, false, &a, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    struct quota q;
    quota_get(a, &q);
    say(c, user, &q);
    account_close(&a);
    return R_OK;
}

// ---- set ----

static enum result
limit_value(int kind, struct span text, uint64_t *out, struct fault *f)
{
    bool octets = kind == USAGE_STORAGE || kind == USAGE_ANNOTATIONS;
    if (span_ieq(text, SPAN("none")))
        *out = QUOTA_NONE;
    else if (span_ieq(text, SPAN("default")))
        *out = QUOTA_DEFAULT;
    else if ((octets ? setting_size(text, out) : span_to_u64(text, out)) != R_OK ||
             *out > QUOTA_MAX)
        return fault_set(f, FAULT_BAD, "'%.*s' is no limit; write %s, none or default",
                         SPAN_ARG(span_slice(text, 0, 60)), octets ? "500M" : "10000");
    return R_OK;
}

// "storage=1G"
static enum result
limit_read(struct span word, struct usage *limits, struct fault *f)
{
    size_t at = span_find_char(word, '=');
    for (int k = 0; k < USAGE_KINDS && at < word.n; k++)
        if (span_ieq(span_slice(word, 0, at), span_str(words[k].name)))
            return limit_value(k, span_skip(word, at + 1), &limits->n[k], f);
    return fault_set(f, FAULT_BAD,
                     "'%.*s' is not understood; write storage=1G, messages=N, mailboxes=N "
                     "or annotations=1M",
                     SPAN_ARG(span_slice(word, 0, 60)));
}

const char *
quota_word(int usage_kind)
{
    return words[usage_kind].name;
}

static const struct usage kept = {{QUOTA_KEEP, QUOTA_KEEP, QUOTA_KEEP, QUOTA_KEEP}};

enum result
quota_word_read(struct span word, struct usage *limits_out, struct fault *f)
{
    *limits_out = kept;
    return limit_read(word, limits_out, f);
}

bool
quota_word_is(struct span word)
{
    struct span name = span_slice(word, 0, span_find_char(word, '='));
    for (int k = 0; k < USAGE_KINDS; k++)
        if (span_ieq(name, span_str(words[k].name)))
            return true;
    return false;
}

enum result
quota_words_check(const struct span *list, size_t n, struct fault *f)
{
    struct usage limits;
    for (size_t i = 0; i < n; i++)
        if (limit_read(list[i], &limits, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

enum result
quota_words_set(struct verb_call *c, struct span name, const struct span *list, size_t n,
                struct fault *f)
{
    struct usage limits = kept;
    struct mail_user *u;
    for (size_t i = 0; i < n; i++)
        if (limit_read(list[i], &limits, f) != R_OK)
            return R_FAIL;
    if (domain_of(name).p)
        return quota_domain_set(verb_host(c)->mail, domain_of(name), &limits, f) == R_OK
                   ? show_domain(c, name, f)
                   : R_FAIL;
    if (account_of(c, name, &u, f) != R_OK)
        return R_FAIL;
    enum result r = quota_set(mail_user_account(u), &limits, f);
    if (r == R_OK)
        show_user(c, u);
    mail_user_close(&u);
    return r;
}

enum result
verb_quota_set(struct verb_call *c, struct fault *f)
{
    struct span list[USAGE_KINDS];
    size_t n = 0;
    while (n < USAGE_KINDS && n + 1 < verb_arg_count(c)) {
        list[n] = verb_arg(c, n + 1);
        n++;
    }
    return quota_words_set(c, verb_arg(c, 0), list, n, f);
}

// ---- list ----

static enum result
list_domains(struct verb_call *c, struct arena *a, struct fault *f)
{
    struct span *names;
    size_t n;
    if (quota_domains(verb_host(c)->mail, a, &names, &n, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n; i++) {
        struct buf name;
        buf_init(&name, LIMIT_user_name + 1);
        buf_put_char(&name, '@');
        buf_put(&name, names[i]);
        enum result r = show_domain(c, buf_span(&name), f);
        buf_done(&name);
        if (r != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

// One whose account has been told of.
struct told {
    UT_hash_handle hh;
    struct span name;
};

struct listing {
    struct verb_call *call;
    struct arena *arena;
    struct span domain;  // SPAN_NONE: all
    struct told *told;
};

static bool
is_asked(const struct listing *l, struct span user)
{
    struct mail *m = verb_host(l->call)->mail;
    return !l->domain.p || span_eq(quota_domain_of(m, user), l->domain);
}

static void
list_account(struct listing *l, struct account *a)
{
    struct quota q;
    struct told *t = ARENA_NEW(l->arena, struct told);
    if (!is_asked(l, account_user(a)))
        return;
    quota_get(a, &q);
    say(l->call, account_user(a), &q);
    t->name = arena_dup(l->arena, account_user(a));
    HASH_ADD_KEYPTR(hh, l->told, t->name.p, t->name.n, t);
}

static enum result
list_accounts(struct listing *l, struct fault *f)
{
    struct mail *m = verb_host(l->call)->mail;
    uint64_t *ids;
    size_t n;
    enum result r = store_accounts(mail_store(m), l->arena, &ids, &n, f);
    for (size_t i = 0; r != R_FAIL && i < n; i++) {
        struct account *a;
        if (account_is_system(ids[i]))
            continue;
        r = account_open(m, ids[i], SPAN(""), false, &a, f);
        if (r != R_OK)
            continue;
        list_account(l, a);
        account_close(&a);
    }
    return r == R_FAIL ? R_FAIL : R_OK;
}

// Of whom nothing is kept: what they may is what the settings say.
static void
list_newcomer(struct listing *l, struct span user)
{
    struct field fields[FIELDS_OF_QUOTA + 1];
    struct quota q = {.used = {{0}}};
    struct told *t;
    HASH_FIND(hh, l->told, user.p, user.n, t);
    if (t != NULL || !is_asked(l, user))
        return;
    mail_quota_limits(verb_host(l->call)->mail, &q.limits);
    size_t n = put_fields(fields, user, &q);
    fields[n++] = field_flag("new", "\tnever here", true);
    verb_row(l->call, "quota", fields, n);
}

// Users that auth lists, of outer databases, too, who have no account yet.
static enum result
list_newcomers(struct listing *l, struct fault *f)
{
    const struct verb_host *h = verb_host(l->call);
    struct buf rows;
    struct field_row row;
    buf_init(&rows, SIZE_MAX);
    enum result r = h->users(h->arg, SPAN("user list"), NULL, 0, &rows, f);
    struct span rest = buf_span(&rows);
    while (r == R_OK && rest.n > 0) {
        r = field_get_row(&rest, &row);
        if (r != R_OK)
            r = fault_set(f, FAULT_SERVERBUG, "the list of users is malformed");
        else if (span_eq(row.type, SPAN("user")) && row.n > 0)
            list_newcomer(l, row.fields[0].text);
    }
    buf_done(&rows);
    return r;
}

static enum result
list_all(struct listing *l, struct fault *f)
{
    if (verb_arg_count(l->call) > 0 && !l->domain.p)
        return fault_set(f, FAULT_BAD, "a domain is written like @example.org");
    if (!l->domain.p && list_domains(l->call, l->arena, f) != R_OK)
        return R_FAIL;
    return list_accounts(l, f) == R_OK ? list_newcomers(l, f) : R_FAIL;
}

enum result
verb_quota_list(struct verb_call *c, struct fault *f)
{
    struct listing l = {
        .call = c, .arena = arena_new(), .domain = domain_of(verb_arg(c, 0))};
    enum result r = list_all(&l, f);
    HASH_CLEAR(hh, l.told);
    arena_free(&l.arena);
    return r;
}
