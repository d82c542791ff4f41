// RFC 5228 section 4: keep, discard, redirect.

#include "sieve/ext.h"

static enum result
keep(struct sieve_run *r, const struct sieve_call *call)
{
    struct sieve_action *a;
    return sieve_action_new(r, call, SIEVE_KEEP, SPAN_NONE, &a);
}

static enum result
discard(struct sieve_run *r, const struct sieve_call *call)
{
    struct sieve_action *a;
    sieve_cancel_keep(r);
    return sieve_action_new(r, call, SIEVE_DISCARD, SPAN_NONE, &a);
}

static enum result
check_redirect(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *v = &call->position[0];
    struct span address;
    if (sieve_tag(call, "list"))
        return R_OK;
    if (sieve_is_constant(&v->strings[0]) &&
        !sieve_address_valid(sieve_compiler_arena(c), v->strings[0].text, &address))
        return sieve_wrong(c, v->line, v->column, "\"%.*s\" is no address to redirect to",
                           SPAN_ARG(span_slice(v->strings[0].text, 0, 60)));
    return R_OK;
}

static enum result
redirect_to(struct sieve_run *r, const struct sieve_call *call, struct span text)
{
    struct span address;
    struct sieve_action *a;
    if (!sieve_address_valid(sieve_scratch(r), text, &address))
        return sieve_fail(r, call, "\"%.*s\" is no address to redirect to",
                          SPAN_ARG(span_slice(text, 0, 60)));
    return sieve_action_new(r, call, SIEVE_REDIRECT, address, &a);
}

// RFC 6134 section 2.3: to each member.
static enum result
redirect_list(struct sieve_run *r, const struct sieve_call *call, struct span list)
{
    struct span members, one;
    bool any = false;
    if (sieve_list_members(r, call, list, &members) != R_OK)
        return R_FAIL;
    while (span_next_field(&members, '\n', &one) == R_OK) {
        one = span_trim(one);
        if (one.n > 0 && redirect_to(r, call, one) != R_OK)
            return R_FAIL;
        any |= one.n > 0;
    }
    if (any)
        return R_OK;
    return sieve_fail(r, call, "the list \"%.*s\" has no addresses",
                      SPAN_ARG(span_slice(list, 0, 60)));
}

static enum result
redirect(struct sieve_run *r, const struct sieve_call *call)
{
    struct span text;
    if (sieve_one(r, &call->position[0], &text) != R_OK)
        return R_FAIL;
    if (sieve_tag(call, "copy") == NULL)
        sieve_cancel_keep(r);
    return sieve_tag(call, "list") ? redirect_list(r, call, text)
                                   : redirect_to(r, call, text);
}

static const struct sieve_command commands[] = {
    {"keep", SIEVE_ACTION, "", .act = keep},
    {"discard", SIEVE_ACTION, "", .act = discard},
    {"redirect", SIEVE_ACTION, "s", .check = check_redirect, .act = redirect},
    {0},
};

const struct sieve_ext sieve_ext_actions = {.rfc = "RFC 5228", .commands = commands};
