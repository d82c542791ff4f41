// The scripts of a delivery, one after the other.
#include "mail/filter_inside.h"

#include "base/log.h"

#include <stdarg.h>

static void
append(struct filter_run *r, struct sieve_action *a)
{
    a->next = NULL;
    *r->last = a;
    r->last = &a->next;
}

// The same mail to the same place: once, as within one script; what the later one says of it counts.
static struct sieve_action *
find_same(const struct filter_run *r, const struct sieve_action *a)
{
    bool once = a->kind == SIEVE_FILEINTO || a->kind == SIEVE_REDIRECT;
    for (struct sieve_action *b = r->actions; once && b; b = b->next)
        if (b->kind == a->kind && span_eq(b->target, a->target) &&
            span_eq(sieve_place(b), sieve_place(a)))
            return b;
    return NULL;
}

static bool
refuses(const struct sieve_action *a)
{
    return a->kind == SIEVE_REJECT || a->kind == SIEVE_EREJECT;
}

// What an earlier script does is not taken back by a later one (RFC 5429 section 2.4).
static bool
conflicts(const struct filter_run *r, const struct sieve_outcome *out)
{
    bool refused = false;
    for (const struct sieve_action *a = out->actions; a; a = a->next)
        refused |= refuses(a);
    for (const struct sieve_action *a = r->actions; refused && a; a = a->next)
        if (a->kind != SIEVE_NOTIFY && a->kind != SIEVE_REPORT)
            return true;
    return false;
}

static bool
answers_twice(const struct filter_run *r, const struct sieve_action *a)
{
    for (const struct sieve_action *b = r->actions; b; b = b->next)
        if (a->kind == SIEVE_VACATION && b->kind == SIEVE_VACATION)
            return true;
    return false;
}

// What earlier scripts made of the message is what this one had.
static void
inherit(const struct filter_run *r, struct sieve_action *a)
{
    if (!a->header.p)
        a->header = r->changed.header;
    if (!a->body.p)
        a->body = r->changed.body;
}

// The next script has the message as this keep has it.
static void
go_on_with(struct filter_run *r, const struct sieve_action *keep)
{
    bool same_body = keep->body.p == r->changed.body.p;
    struct span flags = sieve_detail(keep, "flags");
    if (r->stored && flags.p)
        r->world.flags = flags;
    r->changed.header = keep->header;
    r->changed.body = keep->body;
    if (keep->header.p)
        r->world.header = keep->header;
    if (same_body)
        return;
    struct sieve_world whole;
    char *text = arena_alloc(r->arena, r->world.header.n + keep->body.n + 1);
    memcpy(text, r->world.header.p, r->world.header.n);
    memcpy(text + r->world.header.n, keep->body.p, keep->body.n);
    sieve_world_of(r->arena, span_of(text, r->world.header.n + keep->body.n), &whole);
    r->world.header = whole.header;
    r->world.size = whole.size;
    r->world.root = whole.root;
    r->world.read = whole.read;
    r->world.read_arg = whole.read_arg;
}

// The script's actions join those of the scripts before; its keep leads to the next script.
static void
join(struct filter_run *r, struct sieve_outcome *out)
{
    struct sieve_action *next;
    r->keeps = false;
    for (struct sieve_action *a = out->actions; a; a = next) {
        next = a->next;
        bool plain = a->implicit && !a->details && !a->header.p && !a->body.p;
        inherit(r, a);
        struct sieve_action *same = find_same(r, a);
        if (a->kind == SIEVE_KEEP) {
            r->keeps = true;
            if (!r->keep || !plain)
                r->keep = a;
        } else if (same) {
            same->details = a->details;
        } else if (!answers_twice(r, a)) {
            append(r, a);
        }
    }
    if (r->keeps)
        go_on_with(r, r->keep);
}

static void
note_failure(struct filter_run *r, const struct filter_step *s, const struct sieve_error *e)
{
    log_warning("sieve", "a script failed", log_user(r->account->user),
                field_text("script", "script=%", s->name),
                field_number("line", "line=%", e->line),
                field_number("column", "column=%", e->column), log_why(e->text));
    if (r->failure.there && (r->failure.own || !s->own))
        return;
    r->failure.there = true;
    r->failure.own = s->own;
    r->failure.name = s->name;
    r->failure.text = s->text;
    r->failure.error = *e;
}

// What failed has done nothing: the message goes on as it came to it.
static void
run_step(struct filter_run *r, const struct filter_step *s)
{
    struct filter_program *p = filter_program_get(s->text, filter_author(s));
    struct sieve_outcome out;
    size_t marks = r->marks.n;
    r->world.name = s->own ? s->name : SPAN_NONE;
    if (s->own) {
        r->own.name = s->name;
        r->own.text = s->text;
    }
    if (!p->program) {
        note_failure(r, s, &p->error);
        filter_program_put(&p);
        return;
    }
    sieve_run(r->arena, p->program, &r->world, &out);
    r->work += out.work;
    filter_program_put(&p);
    if (!out.failed && conflicts(r, &out)) {
        out.failed = true;
        snprintf(out.error.text, sizeof out.error.text,
                 "it refuses what another script has filed or sent on");
    }
    if (out.failed) {
        r->marks.n = marks;
        note_failure(r, s, &out.error);
        return;
    }
    join(r, &out);
}

void
filter_note_failure(struct filter_run *r, unsigned line, const char *fmt, ...)
{
    struct filter_failure *failure = &r->failure;
    va_list args;
    if (failure->there)
        return;
    failure->there = true;
    failure->own = r->own.name.p != NULL;
    failure->name = r->own.name;
    failure->text = r->own.text;
    failure->error.line = line;
    va_start(args, fmt);
    vsnprintf(failure->error.text, sizeof failure->error.text, fmt, args);
    va_end(args);
}

static void
run_list(struct filter_run *r, const struct filter_scripts *list)
{
    for (size_t i = 0; i < list->n && r->keeps; i++)
        run_step(r, &(struct filter_step){list->p[i].name, list->p[i].text, false});
}

// The next script runs only where the one before left the message in INBOX.
void
filter_run_scripts(struct filter_run *r)
{
    struct filter_step own = {.own = true};
    r->actions = r->keep = NULL;
    r->last = &r->actions;
    r->keeps = true;
    if (r->stored && !r->stored->as_delivered) {
        for (size_t i = 0; i < r->stored->n && r->keeps; i++)
            run_step(r, &r->stored->steps[i]);
        return;
    }
    run_list(r, &r->rules->is.before);
    if (r->keeps && filter_own_active(r, &own.text, &own.name) == R_OK)
        run_step(r, &own);
    run_list(r, &r->rules->is.after);
}
