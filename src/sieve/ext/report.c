// vnd.dovecot.report (Pigeonhole): report [:headers_only] TYPE MESSAGE ADDRESS sends a feedback report (RFC 5965). The message
// goes its way.

#include "base/limits.h"
#include "sieve/compile.h"

// RFC 5965 section 7.3: a token.
static bool
is_type(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alpha(s.p[i]) && !ascii_is_digit(s.p[i]) && s.p[i] != '-')
            return false;
    return s.n > 0 && s.n <= LIMIT_keyword;
}

static enum result
check(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *type = &call->position[0], *to = &call->position[2];
    struct span address;
    if (sieve_is_constant(&type->strings[0]) && !is_type(type->strings[0].text))
        return sieve_wrong(c, type->line, type->column, "\"%.*s\" is no kind of report",
                           SPAN_ARG(span_slice(type->strings[0].text, 0, 60)));
    if (sieve_is_constant(&to->strings[0]) &&
        !sieve_address_valid(c->arena, to->strings[0].text, &address))
        return sieve_wrong(c, to->line, to->column, "\"%.*s\" is no address",
                           SPAN_ARG(span_slice(to->strings[0].text, 0, 60)));
    return R_OK;
}

static enum result
report(struct sieve_run *r, const struct sieve_call *call)
{
    struct span type, text, to, address;
    struct sieve_action *a;
    if (sieve_one(r, &call->position[0], &type) != R_OK ||
        sieve_one(r, &call->position[1], &text) != R_OK ||
        sieve_one(r, &call->position[2], &to) != R_OK)
        return R_FAIL;
    if (!is_type(type))
        return sieve_fail(r, call, "\"%.*s\" is no kind of report",
                          SPAN_ARG(span_slice(type, 0, 60)));
    if (!sieve_address_valid(sieve_scratch(r), to, &address))
        return sieve_fail(r, call, "\"%.*s\" is no address",
                          SPAN_ARG(span_slice(to, 0, 60)));
    if (sieve_action_new(r, call, SIEVE_REPORT, address, &a) != R_OK ||
        sieve_detail_put(r, a, "type", type) != R_OK)
        return R_FAIL;
    if (sieve_tag(call, "headers_only") &&
        sieve_detail_put(r, a, "headers_only", SPAN_NONE) != R_OK)
        return R_FAIL;
    return sieve_detail_put(r, a, "text", text);
}

static const struct sieve_command commands[] = {{"report", SIEVE_ACTION, "sss",
                                                 .check = check, .act = report,
                                                 .tags = {{"headers_only"}}},
                                                {0}};

const struct sieve_ext sieve_ext_report = {
    .capability = "vnd.dovecot.report", .rfc = "Pigeonhole", .commands = commands};
