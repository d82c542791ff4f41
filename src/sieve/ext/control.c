// RFC 5228 section 3: require, if, stop.

#include "sieve/compile.h"

static enum result
check_require(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *v = &call->position[0];
    if (c->commands_seen)
        return sieve_wrong(c, call->line, call->column,
                           "require must come before all other commands");
    for (size_t i = 0; i < v->n; i++)
        if (sieve_require(c, v->strings[i].text) != R_OK)
            return sieve_wrong(c, v->line, v->column, "there is no extension \"%.*s\"",
                               SPAN_ARG(span_slice(v->strings[i].text, 0, 60)));
    c->late = c->enabled[SIEVE_EXT_ihave];
    return R_OK;
}

static enum result
emit_nothing(struct sieve_compiler *c, const struct sieve_node *node,
             struct sieve_call *call)
{
    if (node->tests || node->has_block)
        return sieve_wrong(c, call->line, call->column,
                           "%s takes neither tests nor a block", call->command->name);
    return R_OK;
}

// A branch: its test, and its block with that test as the cause.
static enum result
emit_branch(struct sieve_compiler *c, const struct sieve_node *node, size_t *skip,
            enum sieve_known *known)
{
    if (sieve_compile_test(c, node->tests, known) != R_OK)
        return R_FAIL;
    *skip = sieve_here(c);
    if (sieve_emit(
            c, (struct sieve_instruction){.op = OP_JUMP_FALSE, .line = node->line}) != R_OK)
        return R_FAIL;
    struct sieve_cause *cause = ARENA_NEW(c->arena, struct sieve_cause);
    *cause = (struct sieve_cause){.line = node->tests->line,
                                  .source = arena_dup(c->arena, node->tests->source),
                                  .around = c->cause};
    c->cause = cause;
    // Where the test is false whatever comes, the block may have what is not known (RFC 5463).
    if (!(c->late && *known == KNOWN_FALSE) && sieve_compile_block(c, node->block) != R_OK)
        return R_FAIL;
    c->cause = cause->around;
    return R_OK;
}

static enum result
emit_else(struct sieve_compiler *c, const struct sieve_node *node,
          const struct sieve_node *tests)
{
    must(tests != NULL);  // what else follows
    struct sieve_cause *cause = ARENA_NEW(c->arena, struct sieve_cause);
    *cause = (struct sieve_cause){.line = tests->line,
                                  .source = arena_dup(c->arena, tests->source),
                                  .otherwise = true,
                                  .around = c->cause};
    c->cause = cause;
    if (sieve_compile_block(c, node->block) != R_OK)
        return R_FAIL;
    c->cause = cause->around;
    return R_OK;
}

static bool
is_named(const struct sieve_node *node, struct span name)
{
    return node && span_ieq(node->name, name);
}

const struct sieve_node *
sieve_if_last(const struct sieve_node *node)
{
    while (is_named(node->next, SPAN("elsif")))
        node = node->next;
    return is_named(node->next, SPAN("else")) ? node->next : node;
}

static enum result
check_branch(struct sieve_compiler *c, const struct sieve_node *node, bool test)
{
    if (node->arguments)
        return sieve_wrong(c, node->arguments->line, node->arguments->column,
                           "%.*s takes no arguments but a test", SPAN_ARG(node->name));
    if (test && (node->tests == NULL || node->test_list))
        return sieve_wrong(c, node->line, node->column, "%.*s needs one test",
                           SPAN_ARG(node->name));
    if (!test && node->tests)
        return sieve_wrong(c, node->line, node->column, "else takes no test");
    if (!node->has_block)
        return sieve_wrong(c, node->line, node->column, "%.*s needs a block",
                           SPAN_ARG(node->name));
    return R_OK;
}

// A chain of if, elsif and else, all at once.
static enum result
emit_if(struct sieve_compiler *c, const struct sieve_node *node, struct sieve_call *call)
{
    struct buf ends;
    enum result r = R_OK;
    const struct sieve_node *tests = NULL;
    enum sieve_known known = KNOWN_NOT;
    (void)call;
    buf_init(&ends, LIMIT_sieve_nodes * sizeof(size_t));
    for (const struct sieve_node *n = node; r == R_OK; n = n->next) {
        bool last = is_named(n, SPAN("else"));
        bool more = is_named(n->next, SPAN("elsif")) || is_named(n->next, SPAN("else"));
        size_t skip = 0, end;
        r = check_branch(c, n, !last);
        if (r == R_OK && !(c->late && known == KNOWN_TRUE))
            r = last ? emit_else(c, n, tests) : emit_branch(c, n, &skip, &known);
        tests = n->tests;
        end = sieve_here(c);
        if (r == R_OK && more && !last)
            r = sieve_emit(c, (struct sieve_instruction){.op = OP_JUMP, .line = n->line});
        if (skip > 0 && r == R_OK)
            sieve_land(c, skip);
        if (last || !more || r != R_OK)
            break;
        buf_put(&ends, span_of(&end, sizeof end));
    }
    for (size_t i = 0; r == R_OK && i < ends.n / sizeof(size_t); i++)
        sieve_land(c, ((const size_t *)(const void *)ends.p)[i]);
    buf_done(&ends);
    return r;
}

// Behind an if they are done already; alone they have no meaning.
static enum result
emit_elsif(struct sieve_compiler *c, const struct sieve_node *node, struct sieve_call *call)
{
    (void)node;
    return sieve_wrong(c, call->line, call->column, "%s must follow if or elsif",
                       call->command->name);
}

static enum result
stop(struct sieve_run *r, const struct sieve_call *call)
{
    (void)call;
    sieve_stop(r);
    return R_OK;
}

static const struct sieve_command commands[] = {
    {"require", SIEVE_CONTROL, "l", .check = check_require, .emit = emit_nothing},
    {"if", SIEVE_CONTROL, "", .emit = emit_if},
    {"elsif", SIEVE_CONTROL, "", .emit = emit_elsif},
    {"else", SIEVE_CONTROL, "", .emit = emit_elsif},
    {"stop", SIEVE_CONTROL, "", .act = stop},
    {0},
};

const struct sieve_ext sieve_ext_control = {.rfc = "RFC 5228", .commands = commands};
