// RFC 5235: spamtest, spamtestplus (:percent), virustest.

#include "sieve/ext.h"

static enum result
test(struct sieve_run *r, const struct sieve_call *call, bool virus, bool *yes)
{
    const struct sieve_world *w = sieve_world(r);
    struct sieve_matching m;
    unsigned value = 0, percent = 0;
    char digits[16];
    if (sieve_match_begin(&m, r, call, &call->position[0]) != R_OK)
        return R_FAIL;
    enum result known = w->verdict ? w->verdict(w->arg, virus, &value, &percent) : R_NONE;
    if (known == R_FAIL)
        return R_FAIL;
    if (known == R_NONE)
        value = percent = 0;
    if (sieve_tag(call, "percent"))
        value = percent;
    int n = snprintf(digits, sizeof digits, "%u", value);
    // Section 3.1: the count says whether there was a test.
    if (!(call->match->counts && known == R_NONE) &&
        sieve_match_feed(&m, span_of(digits, (size_t)n)) != R_OK)
        return R_FAIL;
    return sieve_match_end(&m, yes);
}

static enum result
spamtest(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    return test(r, call, false, yes);
}

static enum result
virustest(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    return test(r, call, true, yes);
}

static const struct sieve_command spam_commands[] = {
    {"spamtest", SIEVE_TEST, "s", .matches = true, .test = spamtest}, {0}};
static const struct sieve_command virus_commands[] = {
    {"virustest", SIEVE_TEST, "s", .matches = true, .test = virustest}, {0}};
static const struct sieve_tag tags[] = {{"percent", .command = "spamtest"}, {0}};

const struct sieve_ext sieve_ext_spamtest = {
    .capability = "spamtest", .rfc = "RFC 5235", .commands = spam_commands};
const struct sieve_ext sieve_ext_spamtestplus = {
    .capability = "spamtestplus", .rfc = "RFC 5235", .tags = tags, .implies = "spamtest"};
const struct sieve_ext sieve_ext_virustest = {
    .capability = "virustest", .rfc = "RFC 5235", .commands = virus_commands};
