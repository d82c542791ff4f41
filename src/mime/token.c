#include "mime/token.h"

static const unsigned char atext_table[256] = {
    ['!'] = 1,         ['#'] = 1,         ['$'] = 1,         ['%'] = 1, ['&'] = 1,
    ['\''] = 1,        ['*'] = 1,         ['+'] = 1,         ['-'] = 1, ['/'] = 2,
    ['='] = 2,         ['?'] = 2,         ['^'] = 1,         ['_'] = 1, ['`'] = 1,
    ['{'] = 1,         ['|'] = 1,         ['}'] = 1,         ['~'] = 1, ['0' ... '9'] = 1,
    ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, [128 ... 255] = 1,
};

bool
mime_is_atext(char c)
{
    return atext_table[(unsigned char)c] != 0;
}

static bool
is_token(char c)
{
    return atext_table[(unsigned char)c] == 1 || c == '.';
}

static enum lex
rest(const struct mime_lex *l)
{
    return l->p < l->end ? LEX_MORE : LEX_END;
}

static void
put_run(struct buf *out, const char *from, const char *to)
{
    if (out)
        buf_put(out, span_of(from, (size_t)(to - from)));
}

// At '('. Nesting is a counter, so depth costs nothing.
static enum lex
skip_comment(struct mime_lex *l)
{
    size_t level = 0;

    if (l->comment)
        buf_reset(l->comment);
    for (const char *from = l->p + 1; l->p < l->end; l->p++) {
        if (*l->p == '(') {
            level++;
        } else if (*l->p == ')' && --level == 0) {
            put_run(l->comment, from, l->p);
            l->p++;
            return rest(l);
        } else if (*l->p == '\\') {
            put_run(l->comment, from, l->p);
            from = ++l->p;
            if (l->p == l->end)
                break;
        }
    }
    if (l->comment)
        buf_reset(l->comment);
    return LEX_BAD;
}

enum lex
mime_lex_space(struct mime_lex *l)
{
    while (l->p < l->end) {
        if (ascii_is_space(*l->p))
            l->p++;
        else if (*l->p != '(')
            return LEX_MORE;
        else if (skip_comment(l) == LEX_BAD)
            return LEX_BAD;
    }
    return LEX_END;
}

enum lex
mime_lex_token(struct mime_lex *l, struct buf *out)
{
    const char *from = l->p;

    while (l->p < l->end && is_token(*l->p))
        l->p++;
    put_run(out, from, l->p);
    return mime_lex_space(l);
}

static enum lex
atom_run(struct mime_lex *l, struct buf *out, bool dots)
{
    const char *from = l->p;

    while (l->p < l->end && (mime_is_atext(*l->p) || (dots && *l->p == '.')))
        l->p++;
    put_run(out, from, l->p);
    return mime_lex_space(l);
}

enum lex
mime_lex_atom(struct mime_lex *l, struct buf *out)
{
    return mime_is_atext(mime_lex_peek(l)) ? atom_run(l, out, false) : LEX_BAD;
}

enum lex
mime_lex_dot_atom(struct mime_lex *l, struct buf *out)
{
    for (;;) {
        enum lex got = mime_lex_atom(l, out);
        if (got != LEX_MORE || *l->p != '.')
            return got;
        l->p++;
        buf_put_char(out, '.');
        if (mime_lex_space(l) != LEX_MORE)
            return LEX_BAD;
    }
}

enum lex
mime_lex_local_part(struct mime_lex *l, struct buf *out)
{
    enum lex got = LEX_BAD;

    do {
        for (; mime_lex_peek(l) == '.'; l->p++, got = LEX_MORE)
            buf_put_char(out, '.');
        if (l->p == l->end)
            return LEX_END;
        if (*l->p == '@')
            return got;
        got = mime_lex_atom(l, out);
    } while (got == LEX_MORE && *l->p == '.');
    return got;
}

enum lex
mime_lex_quoted(struct mime_lex *l, struct buf *out)
{
    const char *from = ++l->p;

    for (; l->p < l->end; l->p++) {
        if (*l->p == '"') {
            put_run(out, from, l->p++);
            return mime_lex_space(l);
        }
        if (*l->p != '\\')
            continue;
        put_run(out, from, l->p);
        from = ++l->p;
        if (l->p == l->end)
            return LEX_BAD;
    }
    return LEX_BAD;
}

enum lex
mime_lex_phrase(struct mime_lex *l, struct buf *out)
{
    if (l->p == l->end)
        return LEX_END;
    if (*l->p == '.')
        return LEX_BAD;
    for (;;) {
        enum lex got = *l->p == '"' ? mime_lex_quoted(l, out) : atom_run(l, out, true);
        if (got != LEX_MORE)
            return got;
        if (!mime_is_atext(*l->p) && *l->p != '"' && *l->p != '.')
            return LEX_MORE;
        buf_put_char(out, ' ');
    }
}

static enum lex
domain_literal(struct mime_lex *l, struct buf *out)
{
    for (const char *from = l->p; l->p < l->end; l->p++) {
        if (*l->p == ']') {
            put_run(out, from, ++l->p);
            return mime_lex_space(l);
        }
        if (*l->p == '\\' && ++l->p == l->end)
            return LEX_BAD;
    }
    return LEX_BAD;
}

enum lex
mime_lex_domain(struct mime_lex *l, struct buf *out)
{
    l->p++;
    if (mime_lex_space(l) != LEX_MORE)
        return LEX_BAD;
    return *l->p == '[' ? domain_literal(l, out) : mime_lex_dot_atom(l, out);
}
