// RFC 6134: the match type :list and valid_ext_list. Lists are known outside.

#include "sieve/ext.h"

static enum result
test(struct sieve_matching *m, struct span value, size_t key, bool *yes)
{
    const struct sieve_world *w = sieve_world(m->run);
    if (sieve_work(m->run, 100) != R_OK)
        return R_FAIL;
    enum result found = w->list_has ? w->list_has(w->arg, m->keys[key], value) : R_FAIL;
    if (found == R_FAIL)
        return sieve_fail(m->run, m->call, "there is no list \"%.*s\"",
                          SPAN_ARG(span_slice(m->keys[key], 0, 60)));
    *yes = found == R_OK;
    return *yes ? sieve_captures_set(m->run, &value, 1) : R_OK;
}

// R_NONE of a value that is in none: the list is there.
static enum result
valid_ext_list(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    const struct sieve_world *w = sieve_world(r);
    struct span *names;
    if (sieve_texts(r, &call->position[0], &names) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < call->position[0].n; i++)
        if (w->list_has == NULL || w->list_has(w->arg, names[i], SPAN("")) == R_FAIL)
            return R_OK;
    *yes = true;
    return R_OK;
}

static const struct sieve_match match_types[] = {{"list", .test = test}, {0}};
static const struct sieve_command commands[] = {
    {"valid_ext_list", SIEVE_TEST, "l", .test = valid_ext_list}, {0}};

const struct sieve_ext sieve_ext_extlists = {.capability = "extlists",
                                             .rfc = "RFC 6134",
                                             .commands = commands,
                                             .matches = match_types};
