// RFC 5260 section 6: :index and :last. What they do is in fields.c.

#include "sieve/ext.h"

static enum result
check_index(struct sieve_compiler *c, struct sieve_call *call,
            const struct sieve_value *value)
{
    (void)call;
    if (value->number > 0)
        return R_OK;
    return sieve_wrong(c, value->line, value->column, ":index counts from 1");
}

static enum result
check_last(struct sieve_compiler *c, struct sieve_call *call,
           const struct sieve_value *value)
{
    (void)value;
    if (sieve_tag(call, "index"))
        return R_OK;
    return sieve_wrong(c, call->line, call->column, ":last needs :index");
}

static const struct sieve_tag tags[] = {
    {"index", 'n', .command = "header address date", .check = check_index},
    {"last", 0, .command = "header address date", .check = check_last},
    {0},
};

const struct sieve_ext sieve_ext_index = {
    .capability = "index", .rfc = "RFC 5260", .tags = tags};
