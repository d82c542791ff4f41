// RFC 6609: include, return, global. A script is read and compiled when it is included.

#include "base/utf8.h"
#include "sieve/compile.h"
#include "sieve/run.h"

// What was included so far.
struct included {
    struct span name;
    bool global;
    const struct sieve_program *program;
    struct included *next;
};

// RFC 5804 section 1.6. It is no path: scripts are asked for by their names.
static bool
is_name(struct span name)
{
    return name.n > 0 && name.n <= LIMIT_sieve_name && utf8_is_line(name);
}

static enum result
check(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *v = &call->position[0];
    struct span name = v->strings[0].text;
    if (sieve_is_constant(&v->strings[0]) && is_name(name))
        return R_OK;
    return sieve_wrong(c, v->line, v->column, "\"%.*s\" is no name of a script",
                       SPAN_ARG(span_slice(name, 0, 60)));
}

// The script that all began with, too.
static bool
is_running(const struct sieve_run *r, struct span name, bool global)
{
    if (!global && span_eq(sieve_world(r)->name, name))
        return true;
    for (const struct sieve_frame *f = r->frame; f; f = f->below)
        if (f->name.n > 0 && f->global == global && span_eq(f->name, name))
            return true;
    return false;
}

static struct included *
find(struct sieve_run *r, struct span name, bool global)
{
    struct included *i = *sieve_state(r, SIEVE_EXT_include);
    while (i && (i->global != global || !span_eq(i->name, name)))
        i = i->next;
    return i;
}

static enum result
check_limits(struct sieve_run *r, const struct sieve_call *call)
{
    size_t depth = 0, all = 0;
    for (const struct sieve_frame *f = r->frame; f; f = f->below)
        depth++;
    for (const struct included *i = *sieve_state(r, SIEVE_EXT_include); i; i = i->next)
        all++;
    if (depth > LIMIT_sieve_include_depth)
        return sieve_fail(r, call, "scripts include one another too deep");
    if (all >= LIMIT_sieve_includes)
        return sieve_fail(r, call, "more than %d scripts are included",
                          LIMIT_sieve_includes);
    return R_OK;
}

// R_NONE: there is no such script.
static enum result
load(struct sieve_run *r, const struct sieve_call *call, struct span name, bool global,
     struct included **out)
{
    const struct sieve_world *w = sieve_world(r);
    struct span text;
    struct sieve_error e;
    struct sieve_program *p;
    if (check_limits(r, call) != R_OK)
        return R_FAIL;
    enum result there = w->script ? w->script(w->arg, global, name, &text) : R_NONE;
    if (there != R_OK)
        return there;
    if (sieve_work(r, text.n * 16) != R_OK || sieve_room(r, text.n * 16) != R_OK)
        return R_FAIL;
    if (sieve_compile(sieve_kept(r), global ? SIEVE_ADMINISTRATOR : SIEVE_USER, text, &p,
                      &e) != R_OK)
        return sieve_fail(r, call, "the script %.*s, line %u: %s",
                          SPAN_ARG(span_slice(name, 0, 60)), e.line, e.text);
    void **state = sieve_state(r, SIEVE_EXT_include);
    struct included *i = ARENA_NEW(sieve_kept(r), struct included);
    *i = (struct included){arena_dup(sieve_kept(r), name), global, p, *state};
    *state = i;
    *out = i;
    return R_OK;
}

static enum result
include(struct sieve_run *r, const struct sieve_call *call)
{
    bool global = sieve_tag(call, "global") != NULL, once = sieve_tag(call, "once") != NULL;
    struct span name = call->position[0].strings[0].text;
    struct included *i = find(r, name, global);
    if (once && (i || is_running(r, name, global)))
        return R_OK;
    if (is_running(r, name, global))
        return sieve_fail(r, call, "the script %.*s includes itself",
                          SPAN_ARG(span_slice(name, 0, 60)));
    enum result there = i ? R_OK : load(r, call, name, global, &i);
    if (there == R_NONE && sieve_tag(call, "optional"))
        return R_OK;
    if (there == R_NONE)
        return sieve_fail(r, call, "there is no script %.*s",
                          SPAN_ARG(span_slice(name, 0, 60)));
    if (there == R_FAIL || sieve_push(r, i->program) != R_OK)
        return R_FAIL;
    r->frame->name = i->name;
    r->frame->global = global;
    return R_OK;
}

static enum result
leave(struct sieve_run *r, const struct sieve_call *call)
{
    (void)call;
    sieve_pop(r);
    return R_OK;
}

static enum result
emit_global(struct sieve_compiler *c, const struct sieve_node *node,
            struct sieve_call *call)
{
    const struct sieve_value *v = &call->position[0];
    unsigned number;
    if (node->tests || node->has_block)
        return sieve_wrong(c, call->line, call->column,
                           "global takes no test and no block");
    if (!c->enabled[SIEVE_EXT_variables])
        return sieve_wrong(c, call->line, call->column,
                           "global needs require \"variables\"");
    for (size_t i = 0; i < v->n; i++) {
        struct span name = v->strings[i].text;
        if (!sieve_is_constant(&v->strings[i]) || !sieve_is_variable_name(name))
            return sieve_wrong(c, v->line, v->column, "\"%.*s\" is no name of a variable",
                               SPAN_ARG(span_slice(name, 0, 60)));
        if (sieve_has_local(c, name))
            return sieve_wrong(c, v->line, v->column, "%.*s was used before as a local one",
                               SPAN_ARG(span_slice(name, 0, 60)));
        if (sieve_global_number(c, name, true, &number) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static const struct sieve_command commands[] = {
    {"include", SIEVE_CONTROL, "s", .check = check, .act = include,
     .tags = {{"personal", 0, "location"},
              {"global", 0, "location"},
              {"once", 0},
              {"optional", 0}}},
    {"return", SIEVE_CONTROL, "", .act = leave},
    {"global", SIEVE_CONTROL, "l", .emit = emit_global},
    {0},
};

const struct sieve_ext sieve_ext_include = {
    .capability = "include", .rfc = "RFC 6609", .commands = commands};
