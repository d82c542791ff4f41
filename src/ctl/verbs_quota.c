// quota show, set, list: of a user, or of a domain ("@example.org").
#include "base/limits.h"
#include "ctl/account.h"
#include "ctl/quota_words.h"
#include "ctl/setting.h"
#include "ctl/verbs.h"
#include "mail/quota.h"
#include "mail/system.h"

static const struct {
    const char *name, *limit;
} words[USAGE_KINDS] = {
    [USAGE_STORAGE] = {"storage", "storage_limit"},
    [USAGE_MESSAGES] = {"messages", "messages_limit"},
    [USAGE_MAILBOXES] = {"mailboxes", "mailboxes_limit"},
    [USAGE_ANNOTATIONS] = {"annotations", "annotations_limit"},
};

// ---- rows ----

static void
say(struct verb_call *c, struct span name, const struct quota *q)
{
    struct field fields[1 + USAGE_KINDS * 3];
    size_t n = 0;
    fields[n++] = field_text("name", "%", name);
    for (int k = 0; k < USAGE_KINDS; k++) {
        bool has = q->limits.n[k] <= QUOTA_MAX;
        fields[n++] = field_number(words[k].name, "\t%", q->used.n[k]);
        fields[n++] = field_str(NULL, has ? "" : "/-", "");
        fields[n++] = field_if(has, field_number(words[k].limit, "/%", q->limits.n[k]));
    }
    verb_row(c, "quota", fields, n);
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
    struct usage limits = {{QUOTA_KEEP, QUOTA_KEEP, QUOTA_KEEP, QUOTA_KEEP}};
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

static enum result
list_account(struct verb_call *c, uint64_t id, struct span domain, struct fault *f)
{
    struct mail *m = verb_host(c)->mail;
    struct account *a;
    struct quota q;
    enum result r = account_open(m, id, SPAN(""), false, &a, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    if (!domain.p || span_eq(quota_domain_of(m, account_user(a)), domain)) {
        quota_get(a, &q);
        say(c, account_user(a), &q);
    }
    account_close(&a);
    return R_OK;
}

static enum result
list_all(struct verb_call *c, struct arena *a, struct fault *f)
{
    struct span domain = domain_of(verb_arg(c, 0));
    uint64_t *ids;
    size_t n;
    enum result r = R_OK;
    if (verb_arg_count(c) > 0 && !domain.p)
        return fault_set(f, FAULT_BAD, "a domain is written like @example.org");
    if (!domain.p && list_domains(c, a, f) != R_OK)
        return R_FAIL;
    if (store_accounts(mail_store(verb_host(c)->mail), a, &ids, &n, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n && r == R_OK; i++)
        if (!account_is_system(ids[i]))
            r = list_account(c, ids[i], domain, f);
    return r;
}

enum result
verb_quota_list(struct verb_call *c, struct fault *f)
{
    struct arena *a = arena_new();
    enum result r = list_all(c, a, f);
    arena_free(&a);
    return r;
}
