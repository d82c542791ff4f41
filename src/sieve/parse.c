#include "base/limits.h"
#include "base/utf8.h"
#include "sieve/tree.h"

struct parser {
    struct sieve_lexer lexer;
    struct sieve_token token;  // the next
    size_t end;                // of the token before it
    unsigned depth;
    size_t nodes, texts, arguments;
};

static enum result parse_commands(struct parser *p, struct sieve_node **out);
static enum result parse_tail(struct parser *p, struct sieve_node *node);

static enum result
advance(struct parser *p)
{
    p->end = p->token.end;
    return sieve_lex(&p->lexer, &p->token);
}

static bool
at_sign(const struct parser *p, char sign)
{
    return p->token.kind == TOKEN_SIGN && p->token.sign == sign;
}

static enum result
wrong(struct parser *p, const char *text)
{
    return sieve_error_at(p->lexer.error, p->token.line, p->token.column, "%s", text);
}

static enum result
expect(struct parser *p, char sign, const char *text)
{
    return at_sign(p, sign) ? advance(p) : wrong(p, text);
}

static enum result
enter(struct parser *p)
{
    if (++p->depth > LIMIT_sieve_depth)
        return wrong(p, "blocks and tests are nested too deep");
    return R_OK;
}

static enum result
add_text(struct parser *p, struct sieve_argument *a, struct sieve_text **last)
{
    if (p->token.kind != TOKEN_STRING)
        return wrong(p, "a string is missing here");
    if (++p->texts > LIMIT_sieve_strings)
        return wrong(p, "the script has too many strings");
    struct sieve_text *t = ARENA_NEW(p->lexer.arena, struct sieve_text);
    t->text = p->token.text;
    if (*last)
        (*last)->next = t;
    else
        a->texts = t;
    *last = t;
    a->n++;
    return advance(p);
}

static enum result
parse_list(struct parser *p, struct sieve_argument *a)
{
    struct sieve_text *last = NULL;
    do {
        if (advance(p) != R_OK || add_text(p, a, &last) != R_OK)
            return R_FAIL;
    } while (at_sign(p, ','));
    return expect(p, ']', "a list needs , between strings and ] at its end");
}

static enum result
parse_argument(struct parser *p, struct sieve_argument *a)
{
    struct sieve_text *last = NULL;
    switch (p->token.kind) {
    case TOKEN_TAG:
        a->kind = ARGUMENT_TAG;
        a->tag = p->token.text;
        return advance(p);
    case TOKEN_NUMBER:
        a->kind = ARGUMENT_NUMBER;
        a->number = p->token.number;
        return advance(p);
    case TOKEN_STRING:
        a->kind = ARGUMENT_STRING;
        return add_text(p, a, &last);
    case TOKEN_SIGN:
        a->kind = ARGUMENT_LIST;
        return parse_list(p, a);
    case TOKEN_NAME:
    case TOKEN_END:
        break;
    }
    return wrong(p, "an argument is missing here");
}

static bool
at_argument(const struct parser *p)
{
    return p->token.kind == TOKEN_TAG || p->token.kind == TOKEN_NUMBER ||
           p->token.kind == TOKEN_STRING || at_sign(p, '[');
}

static enum result
parse_arguments(struct parser *p, struct sieve_argument **last)
{
    while (at_argument(p)) {
        if (++p->arguments > LIMIT_sieve_strings)
            return wrong(p, "the script has too many arguments");
        struct sieve_argument *a = ARENA_NEW(p->lexer.arena, struct sieve_argument);
        a->line = p->token.line;
        a->column = p->token.column;
        if (parse_argument(p, a) != R_OK)
            return R_FAIL;
        *last = a;
        last = &a->next;
    }
    return R_OK;
}

static enum result
new_node(struct parser *p, struct sieve_node **out, const char *missing)
{
    if (p->token.kind != TOKEN_NAME)
        return wrong(p, missing);
    if (++p->nodes > LIMIT_sieve_nodes)
        return wrong(p, "the script has too many commands and tests");
    struct sieve_node *n = ARENA_NEW(p->lexer.arena, struct sieve_node);
    n->name = p->token.text;
    n->line = p->token.line;
    n->column = p->token.column;
    n->source = span_skip(p->lexer.script, p->token.at);
    *out = n;
    return advance(p);
}

static enum result
parse_test(struct parser *p, struct sieve_node **out)
{
    if (enter(p) != R_OK || new_node(p, out, "a test is missing here") != R_OK ||
        parse_tail(p, *out) != R_OK)
        return R_FAIL;
    p->depth--;
    return R_OK;
}

static enum result
parse_tests(struct parser *p, struct sieve_node **last)
{
    do {
        if (advance(p) != R_OK || parse_test(p, last) != R_OK)
            return R_FAIL;
        last = &(*last)->next;
    } while (at_sign(p, ','));
    return expect(p, ')', "a list of tests needs , between them and ) at its end");
}

// Arguments and tests.
static enum result
parse_tail(struct parser *p, struct sieve_node *node)
{
    enum result r = parse_arguments(p, &node->arguments);
    if (r == R_OK && p->token.kind == TOKEN_NAME)
        r = parse_test(p, &node->tests);
    else if (r == R_OK && at_sign(p, '(')) {
        node->test_list = true;
        r = parse_tests(p, &node->tests);
    }
    node->source =
        span_slice(p->lexer.script, (size_t)(node->source.p - p->lexer.script.p), p->end);
    return r;
}

static enum result
parse_block(struct parser *p, struct sieve_node *node)
{
    node->has_block = true;
    if (enter(p) != R_OK || advance(p) != R_OK || parse_commands(p, &node->block) != R_OK)
        return R_FAIL;
    p->depth--;
    return expect(p, '}', "a block needs } at its end");
}

static enum result
parse_command(struct parser *p, struct sieve_node **out)
{
    if (new_node(p, out, "a command is missing here") != R_OK ||
        parse_tail(p, *out) != R_OK)
        return R_FAIL;
    if (at_sign(p, '{'))
        return parse_block(p, *out);
    return expect(p, ';', "a command must end with ; or a block");
}

static enum result
parse_commands(struct parser *p, struct sieve_node **out)
{
    while (p->token.kind != TOKEN_END && !at_sign(p, '}')) {
        if (parse_command(p, out) != R_OK)
            return R_FAIL;
        out = &(*out)->next;
    }
    return R_OK;
}

// Which line is no UTF-8? No character has a line's end in it. 0: none.
static unsigned
bad_line(struct span script)
{
    struct span line;
    unsigned n = 0;
    if (utf8_valid(script))
        return 0;
    do
        n++;
    while (span_next_field(&script, '\n', &line) == R_OK && utf8_valid(line));
    return n;
}

enum result
sieve_parse(struct arena *a, struct span script, struct sieve_node **out,
            struct sieve_error *e)
{
    struct parser p = {.lexer = {a, script, 0, 0, 1, e}};
    *out = NULL;
    if (script.n > LIMIT_sieve_script)
        return sieve_error_at(e, 0, 0, "the script is larger than %d octets",
                              LIMIT_sieve_script);
    unsigned bad = bad_line(script);
    if (bad > 0)
        return sieve_error_at(e, bad, 1, "this line is no UTF-8");
    if (span_starts(script, SPAN("\xEF\xBB\xBF")))
        p.lexer.at = p.lexer.line_at = 3;
    if (advance(&p) != R_OK || parse_commands(&p, out) != R_OK)
        return R_FAIL;
    return p.token.kind == TOKEN_END ? R_OK : wrong(&p, "there is a } too many");
}
