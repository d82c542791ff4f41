// The rules of filters (mail/filter.h), from the settings and the administrator's scripts.
#include "main/mail_role.h"
#include "base/limits.h"
#include "base/log.h"
#include "mail/filter.h"

static struct filter_scripts
unpack_scripts(struct arena *a, struct span packed, struct span when)
{
    struct filter_script *list = arena_array(a, LIMIT_sieve_includable, sizeof *list);
    struct unpack u = unpack_of(packed);
    size_t n = 0, left = 0;
    while (u.rest.n > 0 && !u.bad) {
        struct span kind = unpack_span(&u), name = unpack_span(&u), text = unpack_span(&u);
        if (u.bad || !span_eq(kind, when))
            continue;
        if (n < LIMIT_sieve_includable)
            list[n++] = (struct filter_script){name, text};
        else
            left++;
    }
    if (u.bad || left > 0)
        log_error("sieve", "some of the administrator's scripts are left out",
                  field_number("count", "count=%", left));
    return (struct filter_scripts){list, n};
}

static struct filter_rules *
make_rules(struct mail_role *r, const struct config *c)
{
    struct arena *a = arena_new_small();
    struct span packed = buf_span(&r->filters.scripts);
    struct filter_settings s = {
        .before = unpack_scripts(a, packed, SPAN("before")),
        .after = unpack_scripts(a, packed, SPAN("after")),
        .global = unpack_scripts(a, packed, SPAN("global")),
        .hostname = span_str(c->hostname),
        .domain = c->local_domains.n ? span_str(c->local_domains.items[0]) : SPAN(""),
        .delimiters = span_str(c->recipient_delimiter),
        .spam_header = span_str(c->sieve_spam_header),
        .virus_header = span_str(c->sieve_virus_header),
        .spam_most = c->sieve_spam_score * 1000,
        .redirects = (unsigned)c->sieve_redirects,
    };
    struct filter_rules *rules = filter_rules_new(&s);
    arena_free(&a);
    return rules;
}

static enum result
identify(void *arg, struct mail_user *u, struct fault *f)
{
    return mail_identify(arg, u, f);
}

// Rules on their way to a home.
struct handing {
    struct home *home;
    struct filter_rules *rules;
};

static void
take(void *arg)
{
    struct handing *h = arg;
    filter_rules_use(h->rules, &(struct filter_home){identify, h->home});
    filter_rules_unref(&h->rules);
    free(h);
}

void
mail_filter_set(struct mail_role *r, const struct config *c)
{
    if (!r->filters.there)
        return;  // its scripts are still to come
    struct filter_rules *rules = make_rules(r, c);
    filter_rules_check(rules);
    for (unsigned i = 0; i < r->home_count; i++) {
        struct handing *h = calloc(1, sizeof *h);
        must(h != NULL);
        *h = (struct handing){&r->homes[i], filter_rules_ref(rules)};
        if (i == 0)
            take(h);
        else
            loop_post(r->homes[i].loop, take, h);
    }
    filter_rules_unref(&rules);
}

void
mail_filter_scripts(struct mail_role *r, struct span packed)
{
    r->filters.there = true;
    buf_done(&r->filters.scripts);
    buf_init(&r->filters.scripts, LIMIT_config_packed);
    buf_put(&r->filters.scripts, packed);
    mail_filter_set(r, r->host.config ? r->host.config : r->start->config);
}

void
mail_filter_close(void)
{
    filter_rules_use(NULL, NULL);
}
