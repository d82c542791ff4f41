// draft-ietf-sieve-regex: the match type :regex, and :quoteregex of set.

#include "sieve/compile.h"
#include "sieve/regex.h"

// Expressions that are constant are compiled once; NULL: put together when they are used.
static enum result
check(struct sieve_compiler *c, struct sieve_call *call)
{
    struct arena *a = sieve_compiler_arena(c);
    const struct sieve_value *v = &call->position[call->command->keys];
    call->regexes = arena_array(a, v->n + 1, sizeof *call->regexes);
    for (size_t i = 0; i < v->n; i++) {
        const char *why = NULL;
        if (!sieve_is_constant(&v->strings[i]))
            continue;
        call->regexes[i] =
            sieve_regex_compile(a, v->strings[i].text, call->comparator->collation, &why);
        if (call->regexes[i] == NULL)
            return sieve_wrong(c, v->line, v->column,
                               "\"%.*s\" is no regular expression: %s",
                               SPAN_ARG(span_slice(v->strings[i].text, 0, 60)), why);
        c->regex_effort += sieve_regex_effort(call->regexes[i]);
        if (c->regex_effort > LIMIT_sieve_regexes)
            return sieve_wrong(c, v->line, v->column,
                               "the script has too many regular expressions");
    }
    return R_OK;
}

static enum result
regex_of(struct sieve_matching *m, size_t key, const struct sieve_regex **out)
{
    const char *why;
    *out = m->regexes ? m->regexes[key] : NULL;
    if (*out)
        return R_OK;
    if (sieve_room(m->run, LIMIT_sieve_regex * 20) != R_OK ||
        sieve_work(m->run, LIMIT_sieve_regex * 4) != R_OK)
        return R_FAIL;
    *out = sieve_regex_compile(sieve_scratch(m->run), m->keys[key],
                               m->call->comparator->collation, &why);
    if (*out)
        return R_OK;
    return sieve_fail(m->run, m->call, "\"%.*s\" is no regular expression: %s",
                      SPAN_ARG(span_slice(m->keys[key], 0, 60)), why);
}

static enum result
test(struct sieve_matching *m, struct span value, size_t key, bool *yes)
{
    const struct sieve_regex *x;
    if (regex_of(m, key, &x) != R_OK || sieve_room(m->run, sieve_regex_octets(x)) != R_OK ||
        sieve_work(m->run, sieve_regex_octets(x) / 64) != R_OK)
        return R_FAIL;
    size_t n = sieve_regex_groups(x);
    struct span *taken = arena_array(sieve_scratch(m->run), n, sizeof *taken);
    struct sieve_steps steps = sieve_steps_begin(m->run);
    struct arena *own = arena_new();
    enum result found = sieve_regex_find(x, own, value, taken, &steps);
    arena_free(&own);
    if (sieve_steps_end(m->run, &steps, found != R_FAIL) != R_OK)
        return R_FAIL;
    *yes = found == R_OK;
    return *yes ? sieve_captures_set(m, taken, n) : R_OK;
}

static const struct sieve_match match_types[] = {
    {"regex", .substring = true, .check = check, .test = test}, {0}};
static const struct sieve_tag tags[] = {
    {"quoteregex", 0, "quote", .command = "set extracttext"}, {0}};

const struct sieve_ext sieve_ext_regex = {.capability = "regex",
                                          .rfc = "draft-ietf-sieve-regex",
                                          .matches = match_types,
                                          .tags = tags};
