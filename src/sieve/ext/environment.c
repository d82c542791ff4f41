// RFC 5183: environment.

#include "sieve/ext.h"

enum result
sieve_environment(struct sieve_run *r, struct span name, struct span *out)
{
    const struct sieve_world *w = sieve_world(r);
    if (span_ieq(name, SPAN("name")))
        *out = SPAN("Posthorn");
    else if (span_ieq(name, SPAN("version")))
        *out = SPAN(POSTHORN_VERSION);
    else
        return w->environment ? w->environment(w->arg, name, out) : R_NONE;
    return R_OK;
}

static enum result
environment(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct sieve_matching m;
    struct span name, value;
    if (sieve_match_begin(&m, r, call, &call->position[1]) != R_OK ||
        sieve_one(r, &call->position[0], &name) != R_OK)
        return R_FAIL;
    enum result result = sieve_environment(r, name, &value);
    if (result == R_FAIL)
        return R_FAIL;
    if (result == R_NONE)
        return R_OK;
    if (!(call->match->counts && value.n == 0) && sieve_match_feed(&m, value) != R_OK)
        return R_FAIL;
    return sieve_match_end(&m, yes);
}

static const struct sieve_command commands[] = {
    {"environment", SIEVE_TEST, "sl", .matches = true, .keys = 1, .test = environment},
    {0}};

const struct sieve_ext sieve_ext_environment = {
    .capability = "environment", .rfc = "RFC 5183", .commands = commands};
