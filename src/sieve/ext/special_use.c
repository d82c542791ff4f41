// RFC 8579: specialuse_exists and :specialuse.

#include "sieve/ext.h"

static enum result
specialuse_exists(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    const struct sieve_world *w = sieve_world(r);
    struct span mailbox = SPAN_NONE, *uses;
    if (sieve_texts(r, &call->position[1], &uses) != R_OK ||
        (call->position[0].n > 0 && sieve_one(r, &call->position[0], &mailbox) != R_OK))
        return R_FAIL;
    for (size_t i = 0; i < call->position[1].n; i++) {
        enum result there =
            w->mailbox_with_use ? w->mailbox_with_use(w->arg, mailbox, uses[i]) : R_NONE;
        if (there == R_FAIL || sieve_work(r, 100) != R_OK)
            return R_FAIL;
        if (there == R_NONE)
            return R_OK;
    }
    *yes = true;
    return R_OK;
}

static bool
is_use(struct span s)
{
    if (s.n < 2 || *s.p != '\\')
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("(){%*\"\\]", s.p[i]))
            return false;
    return true;
}

static enum result
check(struct sieve_compiler *c, struct sieve_call *call, const struct sieve_value *value)
{
    struct span use = value->strings[0].text;
    if (sieve_filing_check(c, call, value) != R_OK)
        return R_FAIL;
    if (!sieve_is_constant(&value->strings[0]) || is_use(use))
        return R_OK;
    return sieve_wrong(c, value->line, value->column, "\"%.*s\" is no special use",
                       SPAN_ARG(span_slice(use, 0, 60)));
}

static enum result
apply(struct sieve_run *r, const struct sieve_call *call, const struct sieve_value *value,
      struct sieve_action *action)
{
    struct span use;
    if (sieve_one(r, value, &use) != R_OK)
        return R_FAIL;
    if (!is_use(use))
        return sieve_fail(r, call, "\"%.*s\" is no special use",
                          SPAN_ARG(span_slice(use, 0, 60)));
    return sieve_detail_put(r, action, "specialuse", use);
}

static const struct sieve_tag tags[] = {{"specialuse", 's', "place",
                                         .command = "fileinto vacation notify",
                                         .check = check, .apply = apply},
                                        {0}};
static const struct sieve_command commands[] = {
    {"specialuse_exists", SIEVE_TEST, "?sl", .test = specialuse_exists}, {0}};

const struct sieve_ext sieve_ext_special_use = {
    .capability = "special-use", .rfc = "RFC 8579", .commands = commands, .tags = tags};
