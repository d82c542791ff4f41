// RFC 5463: ihave and error. The test is decided when the script is compiled.

#include "sieve/compile.h"

// Section 4: none is enabled unless all are; what changes the grammar only where it was required.
static enum result
emit(struct sieve_compiler *c, const struct sieve_node *node, struct sieve_call *call)
{
    const struct sieve_value *v = &call->position[0];
    bool all = true;
    if (node->tests)
        return sieve_wrong(c, call->line, call->column, "ihave takes no test");
    for (size_t i = 0; i < v->n; i++) {
        if (!sieve_is_constant(&v->strings[i]))
            return sieve_wrong(c, v->line, v->column, "ihave takes no variables");
        size_t ext = sieve_capability_find(c, v->strings[i].text);
        all &= ext < SIEVE_EXTS && (!sieve_exts[ext]->lexical || c->enabled[ext]);
    }
    for (size_t i = 0; all && i < v->n; i++)
        if (sieve_require(c, v->strings[i].text) != R_OK)
            return sieve_wrong(c, v->line, v->column, "ihave failed");
    return sieve_emit(
        c, (struct sieve_instruction){.op = OP_SET, .line = call->line, .target = all});
}

static enum result
error(struct sieve_run *r, const struct sieve_call *call)
{
    struct span text;
    if (sieve_one(r, &call->position[0], &text) != R_OK)
        return R_FAIL;
    return sieve_fail(r, call, "%.*s", SPAN_ARG(span_slice(text, 0, 200)));
}

static const struct sieve_command commands[] = {
    {"ihave", SIEVE_TEST, "l", .emit = emit},
    {"error", SIEVE_CONTROL, "s", .act = error},
    {0},
};

const struct sieve_ext sieve_ext_ihave = {
    .capability = "ihave", .rfc = "RFC 5463", .commands = commands};
