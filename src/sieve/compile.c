#include "base/limits.h"
#include "sieve/compile.h"

#include <stdarg.h>

const struct sieve_ext *const sieve_exts[SIEVE_EXTS] = {
#define EXT(name) &sieve_ext_##name,
#include "sieve/ext.def"
#undef EXT
};

enum result(sieve_wrong)(struct sieve_compiler *c, unsigned line, unsigned column,
                         const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(c->error->text, sizeof c->error->text, fmt, args);
    va_end(args);
    c->error->line = line;
    c->error->column = column;
    return R_FAIL;
}

struct arena *
sieve_compiler_arena(struct sieve_compiler *c)
{
    return c->arena;
}

static enum sieve_author pipe_for = SIEVE_NOBODY;

void
sieve_offer_pipe(enum sieve_author who)
{
    pipe_for = who;
}

static bool
is_offered(const struct sieve_ext *e, enum sieve_author author)
{
    return !e->programs || author <= pipe_for;
}

void
sieve_capabilities(void (*tell)(void *arg, const char *capability, const char *rfc),
                   void *arg)
{
    for (size_t i = 0; i < SIEVE_EXTS; i++)
        if (sieve_exts[i]->capability && is_offered(sieve_exts[i], SIEVE_USER))
            tell(arg, sieve_exts[i]->capability, sieve_exts[i]->rfc);
}

size_t
sieve_here(const struct sieve_compiler *c)
{
    return c->code.n / sizeof(struct sieve_instruction);
}

enum result
sieve_emit(struct sieve_compiler *c, struct sieve_instruction i)
{
    buf_put(&c->code, span_of(&i, sizeof i));
    if (c->code.over)
        return sieve_wrong(c, i.line, 1, "the script is too long a program");
    return R_OK;
}

void
sieve_land(struct sieve_compiler *c, size_t jump)
{
    ((struct sieve_instruction *)(void *)c->code.p)[jump].target = sieve_here(c);
}

size_t
sieve_capability_find(const struct sieve_compiler *c, struct span capability)
{
    for (size_t i = 0; i < SIEVE_EXTS; i++)
        if (sieve_exts[i]->capability && is_offered(sieve_exts[i], c->author) &&
            span_eq(capability, span_str(sieve_exts[i]->capability)))
            return i;
    return SIEVE_EXTS;
}

enum result
sieve_require(struct sieve_compiler *c, struct span capability)
{
    size_t i = sieve_capability_find(c, capability);
    if (i == SIEVE_EXTS)
        return R_FAIL;
    c->enabled[i] = true;
    struct span rest = span_str(sieve_exts[i]->implies), one;
    while (span_next_field(&rest, ' ', &one) == R_OK)
        if (!c->enabled[sieve_capability_find(c, one)] && sieve_require(c, one) != R_OK)
            return R_FAIL;
    return R_OK;
}

static const struct sieve_command *
find_among(const struct sieve_command *row, struct span name, bool test)
{
    for (; row && row->name; row++)
        if ((row->kind == SIEVE_TEST) == test && span_ieq(name, span_str(row->name)))
            return row;
    return NULL;
}

// The row of a command or test, of extensions that are not required last.
static const struct sieve_command *
find_command(const struct sieve_compiler *c, struct span name, bool test,
             const char **needs_out)
{
    const struct sieve_command *other = NULL;
    *needs_out = NULL;
    for (size_t i = 0; i < SIEVE_EXTS; i++) {
        const struct sieve_command *row = find_among(sieve_exts[i]->commands, name, test);
        if (row == NULL)
            continue;
        if (sieve_exts[i]->capability == NULL || c->enabled[i]) {
            *needs_out = NULL;
            return row;
        }
        other = row;
        *needs_out = sieve_exts[i]->capability;
    }
    return other;
}

// With ihave, what is not known is an error where it would be run only.
static enum result
unknown(struct sieve_compiler *c, const struct sieve_node *node)
{
    if (!c->late || !c->missing)
        return R_FAIL;
    c->missing = false;
    struct span text = arena_dup(c->arena, span_str(c->error->text));
    return sieve_emit(c, (struct sieve_instruction){.op = OP_ERROR,
                                                    .line = node->line,
                                                    .text = arena_cstr(c->arena, text)});
}

static enum result
resolve(struct sieve_compiler *c, const struct sieve_node *node, bool test,
        const struct sieve_command **out)
{
    const char *needs, *other;
    *out = find_command(c, node->name, test, &needs);
    c->missing = *out == NULL || needs != NULL;
    if (*out == NULL && find_command(c, node->name, !test, &other) != NULL)
        return sieve_wrong(c, node->line, node->column,
                           test ? "%.*s is a command, and a test is needed here"
                                : "%.*s is a test, and a command is needed here",
                           SPAN_ARG(span_slice(node->name, 0, 60)));
    if (*out == NULL)
        return sieve_wrong(c, node->line, node->column, "there is no %s %.*s",
                           test ? "test" : "command",
                           SPAN_ARG(span_slice(node->name, 0, 60)));
    if (needs)
        return sieve_wrong(c, node->line, node->column, "%s needs require \"%s\"",
                           (*out)->name, needs);
    return R_OK;
}

static enum result
check_shape(struct sieve_compiler *c, const struct sieve_node *node,
            const struct sieve_command *row)
{
    if (row->emit)
        return R_OK;
    if (node->tests)
        return sieve_wrong(c, node->tests->line, node->tests->column, "%s takes no test",
                           row->name);
    if (node->has_block)
        return sieve_wrong(c, node->line, node->column, "%s takes no block", row->name);
    return R_OK;
}

static enum result
compile_call(struct sieve_compiler *c, const struct sieve_node *node,
             const struct sieve_command *row)
{
    struct sieve_call *call = ARENA_NEW(c->arena, struct sieve_call);
    *call = (struct sieve_call){.command = row,
                                .line = node->line,
                                .column = node->column,
                                .source = arena_dup(c->arena, node->source),
                                .cause = c->cause};
    if (check_shape(c, node, row) != R_OK || sieve_check_call(c, node, call) != R_OK)
        return R_FAIL;
    if (row->emit)
        return row->emit(c, node, call);
    enum sieve_op op = row->kind == SIEVE_TEST ? OP_TEST : OP_DO;
    return sieve_emit(
        c, (struct sieve_instruction){.op = op, .line = node->line, .call = call});
}

enum result
sieve_compile_block(struct sieve_compiler *c, const struct sieve_node *node)
{
    for (; node; node = node->next) {
        const struct sieve_command *row;
        size_t from = c->code.n;
        if (resolve(c, node, false, &row) == R_OK) {
            if (!span_ieq(node->name, SPAN("require")))
                c->commands_seen = true;
            if (compile_call(c, node, row) == R_OK) {
                node = span_ieq(node->name, SPAN("if")) ? sieve_if_last(node) : node;
                continue;
            }
        }
        c->code.n = from;
        if (unknown(c, node) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

enum result
sieve_compile_test(struct sieve_compiler *c, const struct sieve_node *node,
                   enum sieve_known *known)
{
    const struct sieve_command *row;
    size_t from = c->code.n;
    *known = KNOWN_NOT;
    if (resolve(c, node, true, &row) == R_OK && compile_call(c, node, row) == R_OK) {
        const struct sieve_instruction *last =
            (const void *)(c->code.p + c->code.n - sizeof *last);
        if (c->code.n == from + sizeof *last && last->op == OP_SET)
            *known = last->target ? KNOWN_TRUE : KNOWN_FALSE;
        return R_OK;
    }
    c->code.n = from;
    return unknown(c, node);
}

static struct sieve_program *
finish(struct sieve_compiler *c)
{
    struct sieve_program *p = ARENA_NEW(c->arena, struct sieve_program);
    bool *enabled = arena_array(c->arena, SIEVE_EXTS, sizeof(bool));
    memcpy(enabled, c->enabled, sizeof c->enabled);
    p->code = (const void *)arena_dup(c->arena, buf_span(&c->code)).p;
    p->variables = c->n_variables;
    struct sieve_name *names = arena_array(c->arena, c->n_variables + 1, sizeof *names);
    memcpy(names, c->variables, c->n_variables * sizeof *names);
    p->author = c->author;
    p->variable_names = names;
    p->enabled = enabled;
    p->has_variables = c->enabled[SIEVE_EXT_variables];
    return p;
}

enum result
sieve_compile(struct arena *a, enum sieve_author author, struct span script,
              struct sieve_program **out, struct sieve_error *e)
{
    struct sieve_node *tree;
    struct arena *grammar = arena_new();
    struct sieve_compiler *c = ARENA_NEW(grammar, struct sieve_compiler);
    *c = (struct sieve_compiler){.arena = a, .author = author, .error = e};
    buf_init(&c->code, LIMIT_sieve_code * sizeof(struct sieve_instruction));
    enum result r = sieve_parse(grammar, script, &tree, e);
    if (r == R_OK)
        r = sieve_compile_block(c, tree);
    if (r == R_OK)
        r = sieve_emit(c, (struct sieve_instruction){.op = OP_END});
    if (r == R_OK)
        *out = finish(c);
    buf_done(&c->code);
    arena_free(&grammar);
    return r;
}
