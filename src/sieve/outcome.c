#include "sieve/run.h"
#include "base/quoted.h"

static const char *const names[] = {
#define ACTION(id, name) name,
#include "sieve/actions.def"
#undef ACTION
};

const char *
sieve_action_name(enum sieve_action_kind kind)
{
    return names[kind];
}

static const struct sieve_detail *
find_detail(const struct sieve_action *a, const char *name)
{
    for (const struct sieve_detail *d = a->details; d; d = d->next)
        if (span_eq(span_str(d->name), span_str(name)))
            return d;
    return NULL;
}

struct span
sieve_detail(const struct sieve_action *a, const char *name)
{
    const struct sieve_detail *d = find_detail(a, name);
    return d ? d->value : SPAN_NONE;
}

bool
sieve_has_detail(const struct sieve_action *a, const char *name)
{
    return find_detail(a, name) != NULL;
}

void
sieve_action_print(struct buf *b, const struct sieve_action *a)
{
    buf_put_str(b, sieve_action_name(a->kind));
    for (const struct sieve_detail *d = a->details; d; d = d->next) {
        buf_printf(b, " :%s", d->name);
        if (d->value.p) {
            buf_put_char(b, ' ');
            quoted_put(b, d->value);
        }
    }
    if (a->target.n > 0) {
        buf_put_char(b, ' ');
        quoted_put(b, a->target);
    }
    if (a->implicit)
        buf_put_str(b, " (implicit)");
}

enum result
sieve_detail_put(struct sieve_run *r, struct sieve_action *a, const char *name,
                 struct span value)
{
    struct sieve_detail **last = &a->details;
    if (sieve_room(r, value.n + sizeof **last) != R_OK)
        return R_FAIL;
    while (*last)
        last = &(*last)->next;
    *last = ARENA_NEW(r->arena, struct sieve_detail);
    (*last)->name = name;
    (*last)->value = value.n ? arena_dup(r->arena, value) : value;
    return R_OK;
}

void
sieve_cancel_keep(struct sieve_run *r)
{
    r->keep_cancelled = true;
}

bool
sieve_has_action(const struct sieve_run *r, enum sieve_action_kind kind)
{
    for (const struct sieve_action *a = r->out->actions; a; a = a->next)
        if (a->kind == kind)
            return true;
    return false;
}

static struct span
because(struct sieve_run *r, const struct sieve_cause *cause)
{
    struct buf b;
    if (cause == NULL)
        return SPAN_NONE;
    buf_init(&b, LIMIT_sieve_because);
    struct span s = cause->source;
    buf_printf(&b, "line %u: %s", cause->line, cause->otherwise ? "not " : "");
    bool whole = s.n <= LIMIT_sieve_because - b.n;
    buf_put(&b, span_slice(s, 0, whole ? s.n : LIMIT_sieve_because - b.n));
    struct span text = arena_dup(r->arena, buf_span(&b));
    buf_done(&b);
    return text;
}

struct span
sieve_place(const struct sieve_action *a)
{
    struct span id = sieve_detail(a, "mailboxid");
    return id.p ? id : sieve_detail(a, "specialuse");
}

// What sieve_place will be.
static enum result
place_of(struct sieve_run *r, const struct sieve_call *call, struct span *out)
{
    const struct sieve_value *v = sieve_tag(call, "mailboxid");
    if (v == NULL)
        v = sieve_tag(call, "specialuse");
    *out = SPAN_NONE;
    return v ? sieve_one(r, v, out) : R_OK;
}

// The same mail to the same place: once (RFC 5228 section 2.10.3).
static struct sieve_action *
find_same(const struct sieve_run *r, enum sieve_action_kind kind, struct span target,
          struct span place)
{
    if (kind != SIEVE_KEEP && kind != SIEVE_FILEINTO && kind != SIEVE_REDIRECT &&
        kind != SIEVE_DISCARD)
        return NULL;
    for (struct sieve_action *a = r->out->actions; a; a = a->next)
        if (a->kind == kind && span_eq(a->target, target) && span_eq(sieve_place(a), place))
            return a;
    return NULL;
}

static enum result
count_action(struct sieve_run *r, const struct sieve_call *call,
             enum sieve_action_kind kind)
{
    unsigned most = r->world->redirects_max, notify = most ? most : LIMIT_sieve_redirects;
    if (++r->actions > LIMIT_sieve_actions)
        return sieve_fail(r, call, "the script wants more than %d actions",
                          LIMIT_sieve_actions);
    if (kind == SIEVE_REDIRECT && ++r->redirects > most)
        return sieve_fail(r, call, "the script redirects to more than %u addresses", most);
    if ((kind == SIEVE_NOTIFY || kind == SIEVE_REPORT) &&
        ++r->notifications > notify)  // each with as many recipients
        return sieve_fail(r, call, "the script notifies more than %u times", notify);
    return R_OK;
}

static bool
refuses(enum sieve_action_kind kind)
{
    return kind == SIEVE_REJECT || kind == SIEVE_EREJECT;
}

static bool
goes_with_reject(enum sieve_action_kind kind)
{
    return kind == SIEVE_DISCARD || kind == SIEVE_NOTIFY || kind == SIEVE_REPORT;
}

// RFC 5429 section 2.4: a message is not both refused and delivered, answered or sent on.
static enum result
check_conflict(struct sieve_run *r, const struct sieve_call *call,
               enum sieve_action_kind kind)
{
    for (const struct sieve_action *a = r->out->actions; a; a = a->next)
        if ((refuses(kind) && !goes_with_reject(a->kind)) ||
            (refuses(a->kind) && !goes_with_reject(kind)))
            return sieve_fail(r, call, "%s does not go with the %s of line %u",
                              sieve_action_name(kind), sieve_action_name(a->kind), a->line);
    return R_OK;
}

// What the tags and the extensions say of it.
static enum result
apply_tags(struct sieve_run *r, const struct sieve_call *call, struct sieve_action *a)
{
    for (const struct sieve_tagged *t = call ? call->tags : NULL; t; t = t->next)
        if (t->tag->apply && t->tag->apply(r, call, &t->value, a) != R_OK)
            return R_FAIL;
    for (unsigned i = 0; i < SIEVE_EXTS; i++)
        if (sieve_exts[i]->finish && sieve_exts[i]->finish(r, a) != R_OK)
            return R_FAIL;
    return R_OK;
}

static struct sieve_action *
put_action(struct sieve_run *r, enum sieve_action_kind kind, struct span target)
{
    struct sieve_action *a = ARENA_NEW(r->arena, struct sieve_action);
    a->kind = kind;
    a->target = target.n ? arena_dup(r->arena, target) : SPAN("");
    const struct sieve_message *m =
        kind == SIEVE_REDIRECT && r->enclosed ? &r->before_enclosed : &r->message;
    a->header = m->edited ? m->header : SPAN_NONE;
    a->body = m->body;
    *r->last = a;
    r->last = &a->next;
    return a;
}

// The details of a later action that is the same count (RFC 5232 section 4: the last flags).
static enum result
again(struct sieve_run *r, const struct sieve_call *call, struct sieve_action *a)
{
    a->details = NULL;
    return apply_tags(r, call, a);
}

enum result
sieve_action_new(struct sieve_run *r, const struct sieve_call *call,
                 enum sieve_action_kind kind, struct span target, struct sieve_action **out)
{
    struct span place;
    *out = NULL;
    if (place_of(r, call, &place) != R_OK)
        return R_FAIL;
    struct sieve_action *same = find_same(r, kind, target, place);
    if (same)
        return again(r, call, same);
    if (count_action(r, call, kind) != R_OK || check_conflict(r, call, kind) != R_OK ||
        sieve_room(r, target.n + sizeof(struct sieve_action)) != R_OK)
        return R_FAIL;
    struct sieve_action *a = put_action(r, kind, target);
    a->line = call->line;
    a->because = because(r, call->cause);
    *out = a;
    if (apply_tags(r, call, a) != R_OK)
        return R_FAIL;
    sieve_note(r, call->line, "%s %.*s", sieve_action_name(kind),
               SPAN_ARG(span_slice(target, 0, 200)));
    return R_OK;
}

static struct sieve_action *
implicit_keep(struct sieve_run *r)
{
    struct sieve_action *a = put_action(r, SIEVE_KEEP, SPAN_NONE);
    a->implicit = true;
    return a;
}

void
sieve_finish(struct sieve_run *r)
{
    if (r->keep_cancelled || sieve_has_action(r, SIEVE_KEEP))
        return;
    sieve_note(r, 0, "implicit keep");
    if (apply_tags(r, NULL, implicit_keep(r)) != R_OK)
        sieve_fail_finish(r);
}

// RFC 5228 section 2.10.6: nothing was done yet, so nothing is but the keep, of the message as it came.
void
sieve_fail_finish(struct sieve_run *r)
{
    r->out->actions = NULL;
    r->last = &r->out->actions;
    r->message.edited = false;
    r->message.body = SPAN_NONE;
    implicit_keep(r);
    sieve_note(r, r->out->error.line, "error: %s; implicit keep", r->out->error.text);
}
