#include "sieve/lex.h"

#include <stdarg.h>

#include "base/limits.h"

enum result(sieve_error_at)(struct sieve_error *e, unsigned line, unsigned column,
                            const char *fmt, ...)
{
    va_list args;
    e->line = line;
    e->column = column;
    va_start(args, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, args);
    va_end(args);
    return R_FAIL;
}

static unsigned
column(const struct sieve_lexer *l, size_t at)
{
    return (unsigned)(at - l->line_at) + 1;
}

static char
peek(const struct sieve_lexer *l, size_t ahead)
{
    return l->at + ahead < l->script.n ? l->script.p[l->at + ahead] : '\0';
}

static bool
at_end(const struct sieve_lexer *l)
{
    return l->at >= l->script.n;
}

static void
step(struct sieve_lexer *l)
{
    if (l->script.p[l->at++] == '\n') {
        l->line++;
        l->line_at = l->at;
    }
}

static enum result
skip_comment(struct sieve_lexer *l)
{
    unsigned line = l->line, from = column(l, l->at);
    l->at += 2;
    while (!at_end(l)) {
        if (peek(l, 0) == '*' && peek(l, 1) == '/') {
            l->at += 2;
            return R_OK;
        }
        step(l);
    }
    return sieve_error_at(l->error, line, from, "this comment does not end: */ is missing");
}

static void
skip_line(struct sieve_lexer *l)
{
    while (!at_end(l) && peek(l, 0) != '\n')
        l->at++;
}

static enum result
skip_space(struct sieve_lexer *l)
{
    while (!at_end(l)) {
        char c = peek(l, 0);
        if (ascii_is_space(c)) {
            step(l);
        } else if (c == '#') {
            skip_line(l);
        } else if (c == '/' && peek(l, 1) == '*') {
            if (skip_comment(l) != R_OK)
                return R_FAIL;
        } else {
            break;
        }
    }
    return R_OK;
}

bool
sieve_is_name_char(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '_';
}

static struct span
take_name(struct sieve_lexer *l)
{
    size_t from = l->at;
    while (sieve_is_name_char(peek(l, 0)))
        l->at++;
    return span_slice(l->script, from, l->at);
}

static void
put_line_end(struct sieve_lexer *l, struct buf *b)
{
    if (peek(l, 0) == '\r' && peek(l, 1) == '\n')
        l->at++;
    step(l);
    buf_put(b, SPAN("\r\n"));
}

static bool
at_line_end(const struct sieve_lexer *l)
{
    return peek(l, 0) == '\n' || (peek(l, 0) == '\r' && peek(l, 1) == '\n');
}

// The octet after a backslash stands for itself.
static enum result
take_quoted(struct sieve_lexer *l, struct buf *b)
{
    unsigned line = l->line, from = column(l, l->at);
    l->at++;
    while (!at_end(l) && peek(l, 0) != '"') {
        if (at_line_end(l)) {
            put_line_end(l, b);
            continue;
        }
        if (peek(l, 0) == '\\' && l->at + 1 < l->script.n && peek(l, 1) != '\n' &&
            peek(l, 1) != '\r')
            l->at++;
        buf_put_char(b, peek(l, 0));
        l->at++;
    }
    if (at_end(l))
        return sieve_error_at(l->error, line, from,
                              "this string does not end: \" is missing");
    l->at++;
    return R_OK;
}

// Behind "text:": white space and a comment up to the line's end.
static enum result
skip_to_text(struct sieve_lexer *l)
{
    while (peek(l, 0) == ' ' || peek(l, 0) == '\t')
        l->at++;
    if (peek(l, 0) == '#')
        skip_line(l);
    if (peek(l, 0) == '\r' && peek(l, 1) == '\n')
        l->at++;
    if (at_end(l) || peek(l, 0) != '\n')
        return sieve_error_at(l->error, l->line, column(l, l->at),
                              "a line must end behind text:");
    step(l);
    return R_OK;
}

static bool
at_last_dot(const struct sieve_lexer *l)
{
    return peek(l, 0) == '.' &&
           (peek(l, 1) == '\n' || (peek(l, 1) == '\r' && peek(l, 2) == '\n') ||
            l->at + 1 == l->script.n);
}

static enum result
take_text(struct sieve_lexer *l, struct buf *b)
{
    unsigned line = l->line;
    if (skip_to_text(l) != R_OK)
        return R_FAIL;
    while (!at_end(l) && !at_last_dot(l)) {
        if (peek(l, 0) == '.' && peek(l, 1) == '.')
            l->at++;
        while (!at_end(l) && !at_line_end(l)) {
            buf_put_char(b, peek(l, 0));
            l->at++;
        }
        if (!at_end(l))
            put_line_end(l, b);
    }
    if (at_end(l))
        return sieve_error_at(l->error, line, 1,
                              "this text: does not end: a line with one dot is missing");
    l->at++;
    return R_OK;
}

static enum result
take_string(struct sieve_lexer *l, struct sieve_token *t,
            enum result (*take)(struct sieve_lexer *, struct buf *))
{
    struct buf b;
    buf_init(&b, 2 * LIMIT_sieve_script + 2);
    enum result r = take(l, &b);
    if (r == R_OK && memchr(b.n ? b.p : "", '\0', b.n) != NULL)
        r = sieve_error_at(l->error, t->line, t->column,
                           "a string has a NUL; write ${hex:00}");
    t->kind = TOKEN_STRING;
    if (r == R_OK)
        t->text = b.n ? arena_dup(l->arena, buf_span(&b)) : SPAN("");
    buf_done(&b);
    return r;
}

static enum result
take_number(struct sieve_lexer *l, struct sieve_token *t)
{
    static const char units[] = "KMG";
    size_t from = l->at;
    while (ascii_is_digit(peek(l, 0)))
        l->at++;
    struct span digits = span_slice(l->script, from, l->at);
    const char *unit = peek(l, 0) ? strchr(units, ascii_upper(peek(l, 0))) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    t->kind = TOKEN_NUMBER;
    if (unit)
        l->at++;
    if (span_to_u64(digits, &t->number) != R_OK || t->number > UINT64_MAX >> 1 >> shift)
        return sieve_error_at(l->error, t->line, t->column, "this number is too large");
    t->number <<= shift;
    if (sieve_is_name_char(peek(l, 0)))
        return sieve_error_at(l->error, t->line, t->column,
                              "a number may end with K, M or G only");
    return R_OK;
}

static enum result
take_tag(struct sieve_lexer *l, struct sieve_token *t)
{
    t->kind = TOKEN_TAG;
    l->at++;
    if (ascii_is_digit(peek(l, 0)) || !sieve_is_name_char(peek(l, 0)))
        return sieve_error_at(l->error, t->line, t->column,
                              "a tag must have a name behind its colon");
    t->text = take_name(l);
    return R_OK;
}

static enum result
take_word(struct sieve_lexer *l, struct sieve_token *t)
{
    t->kind = TOKEN_NAME;
    t->text = take_name(l);
    if (peek(l, 0) != ':' || !span_ieq(t->text, SPAN("text")))
        return R_OK;
    l->at++;
    return take_string(l, t, take_text);
}

static enum result
take_sign(struct sieve_lexer *l, struct sieve_token *t)
{
    char c = peek(l, 0);
    t->kind = TOKEN_SIGN;
    t->sign = c;
    if (c == '\0' || strchr(";,(){}[]", c) == NULL)
        return sieve_error_at(l->error, t->line, t->column,
                              c > ' ' && c < 127 ? "'%c' is not expected here"
                                                 : "the octet %d is not expected here",
                              c > ' ' && c < 127 ? c : (int)(unsigned char)c);
    l->at++;
    return R_OK;
}

static enum result
take(struct sieve_lexer *l, struct sieve_token *t)
{
    char c = peek(l, 0);
    if (c == '"')
        return take_string(l, t, take_quoted);
    if (ascii_is_digit(c))
        return take_number(l, t);
    if (c == ':')
        return take_tag(l, t);
    if (sieve_is_name_char(c))
        return take_word(l, t);
    return take_sign(l, t);
}

enum result
sieve_lex(struct sieve_lexer *l, struct sieve_token *out)
{
    if (skip_space(l) != R_OK)
        return R_FAIL;
    *out = (struct sieve_token){.line = l->line, .column = column(l, l->at), .at = l->at};
    if (!at_end(l) && take(l, out) != R_OK)
        return R_FAIL;
    out->end = l->at;
    return R_OK;
}
