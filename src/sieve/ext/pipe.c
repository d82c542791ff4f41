// vnd.dovecot.pipe (Pigeonhole): pipe [:copy] [:try] PROGRAM [ARGUMENTS] gives the message to a program of the administrator.

#include "base/limits.h"
#include "base/utf8.h"
#include "sieve/compile.h"

static bool
has_controls(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return true;
    return false;
}

// A name in the one folder that has programs, never a path.
static bool
is_program(struct span s)
{
    return s.n > 0 && s.n <= LIMIT_pipe_name && s.p[0] != '.' && !has_controls(s) &&
           utf8_valid(s) && span_find_char(s, '/') == s.n;
}

static bool
is_argument(struct span s)
{
    return s.n <= LIMIT_pipe_argument && !has_controls(s) && utf8_valid(s);
}

static enum result
check(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *name = &call->position[0], *rest = &call->position[1];
    if (sieve_is_constant(&name->strings[0]) && !is_program(name->strings[0].text))
        return sieve_wrong(c, name->line, name->column, "\"%.*s\" is no name of a program",
                           SPAN_ARG(span_slice(name->strings[0].text, 0, 60)));
    if (rest->n > LIMIT_pipe_arguments)
        return sieve_wrong(c, rest->line, rest->column,
                           "a program gets %d arguments at most", LIMIT_pipe_arguments);
    for (size_t i = 0; i < rest->n; i++)
        if (sieve_is_constant(&rest->strings[i]) && !is_argument(rest->strings[i].text))
            return sieve_wrong(c, rest->line, rest->column,
                               "\"%.*s\" cannot be an argument of a program",
                               SPAN_ARG(span_slice(rest->strings[i].text, 0, 60)));
    return R_OK;
}

static enum result
take_arguments(struct sieve_run *r, const struct sieve_call *call, struct span **out)
{
    const struct sieve_value *v = &call->position[1];
    size_t all = 0;
    if (v->n > 0 && sieve_texts(r, v, out) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < v->n; i++) {
        all += (*out)[i].n;
        if (!is_argument((*out)[i]))
            return sieve_fail(r, call, "\"%.*s\" cannot be an argument of a program",
                              SPAN_ARG(span_slice((*out)[i], 0, 60)));
    }
    if (all > LIMIT_pipe_argument_octets)
        return sieve_fail(r, call, "the arguments of a program have %d octets at most",
                          LIMIT_pipe_argument_octets);
    return R_OK;
}

static enum result
count(struct sieve_run *r, const struct sieve_call *call)
{
    void **state = sieve_state(r, SIEVE_EXT_pipe);
    unsigned *n = *state;
    if (!n)
        *state = n = ARENA_NEW(sieve_kept(r), unsigned);
    return ++*n > LIMIT_sieve_pipes
               ? sieve_fail(r, call, "the script starts more than %d programs",
                            LIMIT_sieve_pipes)
               : R_OK;
}

static enum result
start(struct sieve_run *r, const struct sieve_call *call)
{
    struct span name, *arguments = NULL;
    struct sieve_action *a;
    if (sieve_one(r, &call->position[0], &name) != R_OK ||
        take_arguments(r, call, &arguments) != R_OK || count(r, call) != R_OK)
        return R_FAIL;
    if (!is_program(name))
        return sieve_fail(r, call, "\"%.*s\" is no name of a program",
                          SPAN_ARG(span_slice(name, 0, 60)));
    if (sieve_tag(call, "copy") == NULL)
        sieve_cancel_keep(r);
    if (sieve_action_new(r, call, SIEVE_PIPE, name, &a) != R_OK)
        return R_FAIL;
    if (sieve_tag(call, "try") && sieve_detail_put(r, a, "try", SPAN_NONE) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < call->position[1].n; i++)
        if (sieve_detail_put(r, a, "argument", arguments[i]) != R_OK)
            return R_FAIL;
    return R_OK;
}

static const struct sieve_command commands[] = {
    {"pipe", SIEVE_ACTION, "s?l", .check = check, .act = start, .tags = {{"try"}}}, {0}};

const struct sieve_ext sieve_ext_pipe = {.capability = "vnd.dovecot.pipe",
                                         .rfc = "Pigeonhole",
                                         .programs = true,
                                         .commands = commands};
