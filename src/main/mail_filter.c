// The rules of filters (mail/filter.h), from the settings and the administrator's scripts.
#include "main/mail_role.h"
#include "base/limits.h"
#include "base/log.h"
#include "mail/filter.h"
#include "relay/envelope.h"

// The scripts of one kind, as they are taken out of the pack.
struct kind {
    struct span when;
    struct filter_script *list;
    size_t n;
};

static bool
take_script(struct kind *kinds, size_t n_kinds, struct span when,
            const struct filter_script *script)
{
    for (size_t i = 0; i < n_kinds; i++)
        if (span_eq(kinds[i].when, when) && kinds[i].n < LIMIT_sieve_includable) {
            kinds[i].list[kinds[i].n++] = *script;
            return true;
        }
    return false;
}

static void
unpack_scripts(struct arena *a, struct span packed, struct filter_settings *s)
{
    struct kind kinds[] = {{.when = SPAN("before")},
                           {.when = SPAN("after")},
                           {.when = SPAN("global")},
                           {.when = SPAN("imap")}};
    enum { KINDS = sizeof kinds / sizeof kinds[0] };
    struct unpack u = unpack_of(packed);
    size_t left = 0;
    for (size_t i = 0; i < KINDS; i++)
        kinds[i].list = arena_array(a, LIMIT_sieve_includable, sizeof *kinds[i].list);
    while (u.rest.n > 0 && !u.bad) {
        struct span when = unpack_span(&u);
        struct filter_script script = {.name = unpack_span(&u)};
        script.text = unpack_span(&u);
        left += !u.bad && !take_script(kinds, KINDS, when, &script);
    }
    if (u.bad || left > 0)
        log_error("sieve", "some of the administrator's scripts are left out",
                  field_number("count", "count=%", left));
    s->before = (struct filter_scripts){kinds[0].list, kinds[0].n};
    s->after = (struct filter_scripts){kinds[1].list, kinds[1].n};
    s->global = (struct filter_scripts){kinds[2].list, kinds[2].n};
    s->imap = (struct filter_scripts){kinds[3].list, kinds[3].n};
}

// Rows of a name, a blank and the value.
static struct filter_scripts
environment_of(struct arena *a, const struct config_list *rows)
{
    struct filter_script *list = arena_array(a, rows->n, sizeof *list);
    for (size_t i = 0; i < rows->n; i++) {
        struct span row = span_str(rows->items[i]);
        size_t blank = span_find_char(row, ' ');
        list[i] = (struct filter_script){span_slice(row, 0, blank),
                                         span_trim(span_skip(row, blank))};
    }
    return (struct filter_scripts){list, rows->n};
}

static struct filter_rules *
make_rules(struct mail_role *r, const struct config *c)
{
    struct arena *a = arena_new_small();
    struct span packed = buf_span(&r->filters.scripts);
    struct filter_settings s = {
        .hostname = span_str(c->hostname),
        .domain = c->local_domains.n ? span_str(c->local_domains.items[0]) : SPAN(""),
        .delimiters = span_str(c->recipient_delimiter),
        .spam_header = span_str(c->sieve_spam_header),
        .virus_header = span_str(c->sieve_virus_header),
        .spam_most = c->sieve_spam_score * 1000,
        .environment = environment_of(a, &c->sieve_environment),
        .expunge = c->imapsieve_expunge,
        .redirects = (unsigned)c->sieve_redirects,
    };
    unpack_scripts(a, packed, &s);
    struct filter_rules *rules = filter_rules_new(&s);
    arena_free(&a);
    return rules;
}

static enum result
identify(void *arg, struct mail_user *u, struct fault *f)
{
    return mail_identify(arg, u, f);
}

static enum result
may_send(void *arg, struct span user, struct span address, struct fault *f)
{
    const struct lmtp_host *l = &((struct home *)arg)->lmtp;
    return l->may_send(l->arg, user, address, f);
}

// ---- letters to the relay ----

bool
mail_can_send(void *arg)
{
    (void)arg;
    return relay_is_set();
}

// When the sender is told; where success is told of already nobody behind is asked to (RFC 3461 section 5.2.7.3).
static uint8_t
notify_of(const struct filter_letter *l)
{
    uint8_t bits = 0;
    if (relay_notify_read(l->notify, &bits) != R_OK || !l->success_is_told)
        return bits;
    bits &= (uint8_t)~RELAY_NOTIFY_SUCCESS;
    return bits ? bits : RELAY_NOTIFY_NEVER;
}

static void
fill_envelope(struct arena *a, const struct filter_letter *l, struct relay_envelope *e)
{
    struct relay_recipient *to = arena_array(a, l->n, sizeof *to);
    uint8_t notify = notify_of(l), ret;
    for (size_t i = 0; i < l->n; i++)
        to[i] = (struct relay_recipient){.address = l->to[i],
                                         .notify = notify,
                                         .orcpt = l->orcpt.p ? l->orcpt : SPAN("")};
    *e = (struct relay_envelope){
        .from = l->from,
        .to = to,
        .to_count = l->n,
        .envid = l->envid.p ? l->envid : SPAN(""),
        .body = RELAY_BODY_8BITMIME,
        .smtputf8 = l->utf8,
        .why = l->why,
        .owner = l->owner,
        .returning = l->is_report,
    };
    if (relay_ret_read(l->ret, &ret) == R_OK)
        e->ret = ret;
    if (l->by_s == 0)
        return;
    e->by_s = l->by_s;
    e->by_trace = l->by_trace;
    e->by_mode = span_ieq(l->by_mode, SPAN("notify"))
                     ? RELAY_BY_NOTIFY
                     : RELAY_BY_RETURN;  // RFC 6009 section 7
}

enum result
mail_send_letter(void *arg, const struct filter_letter *l, struct fault *f)
{
    struct relay_envelope e;
    struct arena *a = arena_new();
    const struct mail_outgoing m = {l->head, l->text, l->body,
                                    l->body ? intake_root(l->body)->header.size : 0};
    (void)arg;
    fill_envelope(a, l, &e);
    enum result r = mail_outgoing_send(&e, &m, NULL, f);
    arena_free(&a);
    return r;
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
    filter_rules_use(h->rules, &(struct filter_home){mail_can_send, mail_send_letter,
                                                     identify, may_send, h->home});
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
