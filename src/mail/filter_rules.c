#include "mail/filter_inside.h"

#include "base/log.h"

static _Thread_local struct {
    struct filter_rules *rules;
    struct filter_home home;
} here;

static struct filter_scripts
copy_scripts(struct arena *a, const struct filter_scripts *from)
{
    struct filter_script *p = arena_array(a, from->n, sizeof *p);
    for (size_t i = 0; i < from->n; i++)
        p[i] = (struct filter_script){arena_dup(a, from->p[i].name),
                                      arena_dup(a, from->p[i].text)};
    return (struct filter_scripts){p, from->n};
}

struct filter_rules *
filter_rules_new(const struct filter_settings *s)
{
    struct arena *a = arena_new();
    struct filter_rules *r = ARENA_NEW(a, struct filter_rules);
    r->arena = a;
    r->refs = 1;
    r->is = *s;
    r->is.before = copy_scripts(a, &s->before);
    r->is.after = copy_scripts(a, &s->after);
    r->is.global = copy_scripts(a, &s->global);
    r->is.imap = copy_scripts(a, &s->imap);
    r->is.environment = copy_scripts(a, &s->environment);
    r->is.hostname = arena_dup(a, s->hostname);
    r->is.domain = arena_dup(a, s->domain);
    r->is.delimiters = arena_dup(a, s->delimiters);
    r->is.spam_header = arena_dup(a, s->spam_header);
    r->is.virus_header = arena_dup(a, s->virus_header);
    return r;
}

struct filter_rules *
filter_rules_ref(struct filter_rules *r)
{
    atomic_fetch_add(&r->refs, 1);
    return r;
}

void
filter_rules_unref(struct filter_rules **r)
{
    struct filter_rules *was = *r;
    *r = NULL;
    if (!was || atomic_fetch_sub(&was->refs, 1) > 1)
        return;
    struct arena *a = was->arena;
    arena_free(&a);
}

void
filter_rules_use(struct filter_rules *r, const struct filter_home *home)
{
    if (!r)
        filter_programs_drop();
    filter_rules_unref(&here.rules);
    here.rules = r ? filter_rules_ref(r) : NULL;
    here.home = home ? *home : (struct filter_home){0};
}

struct filter_rules *
filter_rules_now(void)
{
    return here.rules ? filter_rules_ref(here.rules) : NULL;
}

bool
filter_rules_there(void)
{
    return here.rules != NULL;
}

bool
filter_rules_run(void)
{
    return here.rules && here.rules->is.before.n + here.rules->is.after.n > 0;
}

const struct filter_home *
filter_home_now(void)
{
    return &here.home;
}

static void
check(const struct filter_scripts *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct filter_program *p = filter_program_get(s->p[i].text, SIEVE_ADMINISTRATOR);
        if (!p->program)
            log_error("sieve", "a script does not compile",
                      field_text("script", "script=%", s->p[i].name),
                      field_number("line", "line=%", p->error.line),
                      field_number("column", "column=%", p->error.column),
                      log_why(p->error.text));
        filter_program_put(&p);
    }
}

void
filter_rules_check(const struct filter_rules *r)
{
    check(&r->is.before);
    check(&r->is.after);
    check(&r->is.global);
    check(&r->is.imap);
}
