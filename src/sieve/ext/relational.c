// RFC 5231: :value and :count.

#include "sieve/ext.h"

static const char *const relations[] = {"gt", "ge", "lt", "le", "eq", "ne"};
enum { RELATIONS = 6 };

static size_t
find_relation(struct span s)
{
    size_t i = 0;
    while (i < RELATIONS && !span_ieq(s, span_str(relations[i])))
        i++;
    return i;
}

static enum result
check(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *v = &call->match_value;
    struct span name = v->strings[0].text;
    if (find_relation(name) < RELATIONS)
        return R_OK;
    return sieve_wrong(c, v->line, v->column,
                       "\"%.*s\" is none of gt, ge, lt, le, eq and ne",
                       SPAN_ARG(span_slice(name, 0, 60)));
}

static enum result
test(struct sieve_matching *m, struct span value, size_t key, bool *yes)
{
    int order = sieve_compare(m, value, key);
    bool holds[RELATIONS] = {order > 0,  order >= 0, order < 0,
                             order <= 0, order == 0, order != 0};
    *yes = holds[find_relation(m->call->match_value.strings[0].text)];
    return R_OK;
}

static const struct sieve_match match_types[] = {
    {"value", 's', .check = check, .test = test},
    {"count", 's', .counts = true, .check = check, .test = test},
    {0},
};

const struct sieve_ext sieve_ext_relational = {
    .capability = "relational", .rfc = "RFC 5231", .matches = match_types};
