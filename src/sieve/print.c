#include "base/quoted.h"
#include "sieve/tree.h"

static void print_commands(struct buf *b, const struct sieve_node *n, unsigned indent);

static void
print_list(struct buf *b, const struct sieve_argument *a)
{
    if (a->kind == ARGUMENT_LIST)
        buf_put_char(b, '[');
    for (const struct sieve_text *t = a->texts; t; t = t->next) {
        quoted_put(b, t->text);
        buf_put_str(b, t->next ? ", " : "");
    }
    if (a->kind == ARGUMENT_LIST)
        buf_put_char(b, ']');
}

static void
print_argument(struct buf *b, const struct sieve_argument *a)
{
    buf_put_char(b, ' ');
    switch (a->kind) {
    case ARGUMENT_TAG:
        buf_put_char(b, ':');
        buf_put(b, a->tag);
        break;
    case ARGUMENT_NUMBER:
        buf_put_u64(b, a->number);
        break;
    case ARGUMENT_STRING:
    case ARGUMENT_LIST:
        print_list(b, a);
        break;
    }
}

static void
print_node(struct buf *b, const struct sieve_node *n)
{
    buf_put(b, n->name);
    for (const struct sieve_argument *a = n->arguments; a; a = a->next)
        print_argument(b, a);
    if (n->tests)
        buf_put_str(b, n->test_list ? " (" : " ");
    for (const struct sieve_node *t = n->tests; t; t = t->next) {
        print_node(b, t);
        buf_put_str(b, t->next ? ", " : "");
    }
    if (n->test_list)
        buf_put_char(b, ')');
}

static void
print_indent(struct buf *b, unsigned indent)
{
    for (unsigned i = 0; i < indent; i++)
        buf_put_str(b, "    ");
}

static void
print_commands(struct buf *b, const struct sieve_node *n, unsigned indent)
{
    for (; n; n = n->next) {
        print_indent(b, indent);
        print_node(b, n);
        buf_put_str(b, n->has_block ? " {\r\n" : ";\r\n");
        if (!n->has_block)
            continue;
        print_commands(b, n->block, indent + 1);
        print_indent(b, indent);
        buf_put_str(b, "}\r\n");
    }
}

enum result
sieve_print(struct span script, struct buf *out, struct sieve_error *e)
{
    struct arena *a = arena_new();
    struct sieve_node *tree;
    enum result r = sieve_parse(a, script, &tree, e);
    if (r == R_OK)
        print_commands(out, tree, 0);
    arena_free(&a);
    return r;
}
