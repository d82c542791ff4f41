// RFC 5229: set and string. How ${names} are put into strings is in string.c and run.c.

#include "sieve/compile.h"
#include "base/percent.h"
#include "base/utf8.h"

enum { PRECEDENCES = 5 };

struct target {
    unsigned number;
};

static enum result
check_set(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *v = &call->position[0];
    struct target *t = ARENA_NEW(c->arena, struct target);
    call->own = t;
    struct span name = v->strings[0].text, shared = span_skip(name, 7);
    if (c->enabled[SIEVE_EXT_include] && span_istarts(name, SPAN("global.")) &&
        sieve_is_variable_name(shared))
        return sieve_global_number(c, shared, false, &t->number);
    if (!sieve_is_constant(&v->strings[0]) || !sieve_is_variable_name(name))
        return sieve_wrong(c, v->line, v->column, "\"%.*s\" is no name of a variable",
                           SPAN_ARG(span_slice(v->strings[0].text, 0, 60)));
    return sieve_variable_number(c, v->strings[0].text, &t->number);
}

static void
put_case(struct buf *b, struct span s, bool upper, size_t n)
{
    for (size_t i = 0; i < s.n; i++)
        buf_put_char(b, i >= n  ? s.p[i]
                        : upper ? ascii_upper(s.p[i])
                                : ascii_lower(s.p[i]));
}

static void
put_escaped(struct buf *b, struct span s, const char *special)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\0' && strchr(special, s.p[i]))
            buf_put_char(b, '\\');
        buf_put_char(b, s.p[i]);
    }
}

static void
put_length(struct buf *b, struct span s)
{
    uint64_t n = 0;
    uint32_t point;
    for (; s.n > 0; n++)
        if (utf8_next(&s, &point) != R_OK)
            s = span_skip(s, 1);
    buf_put_u64(b, n);
}

static void
modify(struct buf *b, const char *name, struct span s)
{
    struct span n = span_str(name);
    if (span_eq(n, SPAN("lower")) || span_eq(n, SPAN("upper")))
        put_case(b, s, *name == 'u', s.n);
    else if (span_eq(n, SPAN("lowerfirst")) || span_eq(n, SPAN("upperfirst")))
        put_case(b, s, *name == 'u', 1);
    else if (span_eq(n, SPAN("quotewildcard")))
        put_escaped(b, s, "*?\\");
    else if (span_eq(n, SPAN("quoteregex")))
        put_escaped(b, s, ".^$*+?()[]{}|\\");
    else if (span_eq(n, SPAN("encodeurl")))
        percent_encode(b, s);  // RFC 5435 section 6
    else if (span_eq(n, SPAN("length")))
        put_length(b, s);
    else
        buf_put(b, s);
}

// In the order of section 4.1.
enum result
sieve_modify(struct sieve_run *r, const struct sieve_call *call, struct span *value)
{
    static const char *const order[PRECEDENCES] = {"case", "first", "quote", "url",
                                                   "length"};
    for (size_t i = 0; i < PRECEDENCES; i++)
        for (const struct sieve_tagged *t = call->tags; t; t = t->next) {
            if (t->tag->value || !t->tag->group ||
                !span_eq(span_str(t->tag->group), span_str(order[i])))
                continue;
            struct buf b;
            buf_init(&b, 3 * value->n + 24);
            modify(&b, t->tag->name, *value);
            if (sieve_work(r, value->n / 4) != R_OK || sieve_take(r, &b, value) != R_OK) {
                buf_done(&b);
                return R_FAIL;
            }
        }
    return R_OK;
}

static enum result
set(struct sieve_run *r, const struct sieve_call *call)
{
    const struct target *t = call->own;
    struct span value;
    if (sieve_one(r, &call->position[1], &value) != R_OK ||
        sieve_modify(r, call, &value) != R_OK)
        return R_FAIL;
    return sieve_variable_set(r, t->number, value);
}

static enum result
string(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct sieve_matching m;
    const struct sieve_value *sources = &call->position[0];
    struct span text;
    if (sieve_match_begin(&m, r, call, &call->position[1]) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < sources->n && !m.found; i++) {
        if (sieve_text(r, &sources->strings[i], &text) != R_OK)
            return R_FAIL;
        if (text.n == 0 && call->match->counts)
            continue;  // section 5
        if (sieve_match_feed(&m, text) != R_OK)
            return R_FAIL;
    }
    return sieve_match_end(&m, yes);
}

static const struct sieve_command commands[] = {
    {"set", SIEVE_ACTION, "ss", .check = check_set, .act = set,
     .tags = {{"lower", 0, "case"},
              {"upper", 0, "case"},
              {"lowerfirst", 0, "first"},
              {"upperfirst", 0, "first"},
              {"quotewildcard", 0, "quote"},
              {"length", 0, "length"}}},
    {"string", SIEVE_TEST, "ll", .matches = true, .keys = 1, .test = string},
    {0},
};

const struct sieve_ext sieve_ext_variables = {
    .capability = "variables", .rfc = "RFC 5229", .commands = commands, .lexical = true};
