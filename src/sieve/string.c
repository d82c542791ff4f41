#include "base/hex.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "sieve/compile.h"

// Encoded characters (RFC 5228 section 2.4.2.4) and references to variables (RFC 5229 section 3) in one string.

// Takes digits off *s; R_NONE: there are none, or too many.
static enum result
take_hex(struct span *s, size_t digits_max, uint32_t *out)
{
    size_t n = 0;
    uint32_t v = 0;
    for (; n < s->n && hex_digit(s->p[n]) >= 0; n++)
        v = v > 0xFFFFFFF ? UINT32_MAX : v << 4 | (uint32_t)hex_digit(s->p[n]);
    if (n == 0 || n > digits_max)
        return R_NONE;
    *s = span_skip(*s, n);
    *out = v;
    return R_OK;
}

static void
skip_blanks(struct span *s)
{
    while (s->n > 0 && ascii_is_space(*s->p))
        *s = span_skip(*s, 1);
}

static bool
point_good(uint32_t v)
{
    return v <= 0x10FFFF && !(v >= 0xD800 && v <= 0xDFFF);
}

// The numbers behind "${hex:"; R_NONE: it is no such sequence, R_FAIL: no character.
static enum result
take_sequence(struct span *rest, bool unicode, struct buf *b)
{
    struct span s = *rest;
    size_t n = 0;
    bool bad = false;
    uint32_t v;
    for (skip_blanks(&s); s.n > 0 && *s.p != '}'; n++) {
        if (take_hex(&s, unicode ? SIZE_MAX : 2, &v) != R_OK)
            return R_NONE;
        bad |= unicode && !point_good(v);
        if (unicode && point_good(v))
            utf8_put(b, v);
        else if (!unicode)
            buf_put_char(b, (char)v);
        if (s.n > 0 && *s.p != '}' && !ascii_is_space(*s.p))
            return R_NONE;
        skip_blanks(&s);
    }
    if (s.n == 0 || n == 0)
        return R_NONE;
    *rest = span_skip(s, 1);
    return bad ? R_FAIL : R_OK;
}

static enum result
take_encoded(struct span *s, struct buf *b)
{
    bool unicode = span_istarts(*s, SPAN("${unicode:"));
    if (!unicode && !span_istarts(*s, SPAN("${hex:")))
        return R_NONE;
    size_t before = b->n;
    struct span rest = span_skip(*s, unicode ? 10 : 6);
    enum result r = take_sequence(&rest, unicode, b);
    if (r == R_NONE)
        b->n = before;
    else
        *s = rest;
    return r;
}

static enum result
decode(struct sieve_compiler *c, struct span text, unsigned line, unsigned column,
       struct span *out)
{
    struct buf b;
    enum result r = R_OK;
    buf_init(&b, text.n + 1);
    while (text.n > 0 && r != R_FAIL) {
        r = take_encoded(&text, &b);
        if (r == R_NONE) {
            buf_put_char(&b, *text.p);
            text = span_skip(text, 1);
        }
    }
    if (r != R_FAIL)
        *out = arena_dup(c->arena, buf_span(&b));
    buf_done(&b);
    if (r == R_FAIL)
        return sieve_wrong(c, line, column, "${unicode:} names no Unicode character");
    return R_OK;
}

bool
sieve_is_variable_name(struct span name)
{
    if (name.n == 0 || ascii_is_digit(*name.p))
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (!sieve_is_name_char(name.p[i]))
            return false;
    return true;
}

static struct span
lower(struct arena *a, struct span s)
{
    char *p = arena_alloc(a, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        p[i] = ascii_lower(s.p[i]);
    return span_of(p, s.n);
}

static enum result
add_name(struct sieve_compiler *c, struct span name, bool global, unsigned *out)
{
    if (c->n_variables == LIMIT_sieve_variables)
        return sieve_wrong(c, 0, 0, "the script has more than %d variables",
                           LIMIT_sieve_variables);
    c->variables[c->n_variables].name = lower(c->arena, name);
    c->variables[c->n_variables].global = global;
    *out = c->n_variables++;
    return R_OK;
}

static bool
find_name(const struct sieve_compiler *c, struct span name, bool global, unsigned *out)
{
    for (unsigned i = 0; i < c->n_variables; i++)
        if (c->variables[i].global == global && span_ieq(name, c->variables[i].name)) {
            *out = i;
            return true;
        }
    return false;
}

enum result
sieve_variable_number(struct sieve_compiler *c, struct span name, unsigned *out)
{
    if (find_name(c, name, true, out) && c->variables[*out].declared)
        return R_OK;
    return find_name(c, name, false, out) ? R_OK : add_name(c, name, false, out);
}

enum result
sieve_global_number(struct sieve_compiler *c, struct span name, bool declared,
                    unsigned *out)
{
    if (!find_name(c, name, true, out) && add_name(c, name, true, out) != R_OK)
        return R_FAIL;
    c->variables[*out].declared |= declared;
    return R_OK;
}

bool
sieve_has_local(const struct sieve_compiler *c, struct span name)
{
    unsigned i;
    return find_name(c, name, false, &i);
}

// A name in a namespace: words with dots between.
static bool
is_outside_name(struct span name)
{
    struct span word;
    size_t words = 0;
    if (name.n == 0 || ascii_is_digit(*name.p))
        return false;
    while (span_next_field(&name, '.', &word) == R_OK) {
        for (size_t i = 0; i < word.n; i++)
            if (!sieve_is_name_char(word.p[i]))
                return false;
        if (word.n == 0)
            return false;
        words++;
    }
    return words > 1;
}

static enum result
outside_piece(struct sieve_compiler *c, struct span name, struct sieve_piece *piece)
{
    size_t dot = span_find_char(name, '.');
    struct span rest = span_skip(name, dot + 1);
    if (c->enabled[SIEVE_EXT_include] &&
        span_ieq(span_slice(name, 0, dot), SPAN("global")) &&
        sieve_is_variable_name(rest)) {
        piece->kind = PIECE_VARIABLE;
        return sieve_global_number(c, rest, false, &piece->number);
    }
    for (unsigned i = 0; i < SIEVE_EXTS; i++) {
        if (!c->enabled[i] || sieve_exts[i]->space == NULL ||
            !span_ieq(span_slice(name, 0, dot), span_str(sieve_exts[i]->space)))
            continue;
        piece->kind = PIECE_OUTSIDE;
        piece->text = lower(c->arena, rest);
        piece->number = i;
        return R_OK;
    }
    return sieve_wrong(c, 0, 0, "no required extension has ${%.*s}",
                       SPAN_ARG(span_slice(name, 0, 60)));
}

static enum result
match_piece(struct sieve_compiler *c, struct span name, struct sieve_piece *piece)
{
    uint32_t n = 0;
    if (span_to_u32(name, &n) != R_OK || n >= LIMIT_sieve_captures)
        return sieve_wrong(c, 0, 0, "there are no match variables behind ${%d}",
                           LIMIT_sieve_captures - 1);
    piece->kind = PIECE_MATCH;
    piece->number = n;
    return R_OK;
}

static bool
all_digits(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_digit(s.p[i]))
            return false;
    return s.n > 0;
}

// The reference at the front of *s; R_NONE: there is none.
static enum result
take_reference(struct sieve_compiler *c, struct span *s, struct sieve_piece *piece)
{
    if (!span_starts(*s, SPAN("${")))
        return R_NONE;
    struct span inner = span_skip(*s, 2);
    size_t end = 0;
    while (end < inner.n && (sieve_is_name_char(inner.p[end]) || inner.p[end] == '.'))
        end++;
    if (end == inner.n || inner.p[end] != '}')
        return R_NONE;
    struct span name = span_slice(inner, 0, end);
    enum result r = R_NONE;
    if (all_digits(name)) {
        r = match_piece(c, name, piece);
    } else if (sieve_is_variable_name(name)) {
        piece->kind = PIECE_VARIABLE;
        r = sieve_variable_number(c, name, &piece->number);
    } else if (is_outside_name(name)) {
        r = outside_piece(c, name, piece);
    }
    if (r == R_OK)
        *s = span_skip(inner, end + 1);
    return r;
}

static struct sieve_piece **
add_piece(struct sieve_compiler *c, struct sieve_piece **last, struct sieve_piece piece)
{
    *last = ARENA_NEW(c->arena, struct sieve_piece);
    **last = piece;
    return &(*last)->next;
}

static enum result
split(struct sieve_compiler *c, struct sieve_string *out)
{
    struct span rest = out->text, text = span_slice(rest, 0, 0);
    struct sieve_piece *first = NULL, **last = &first;
    bool found = false;
    while (rest.n > 0) {
        struct sieve_piece piece = {.kind = PIECE_TEXT};
        enum result r = take_reference(c, &rest, &piece);
        if (r == R_FAIL)
            return R_FAIL;
        if (r == R_NONE) {
            text.n++;
            rest = span_skip(rest, 1);
            continue;
        }
        if (text.n > 0)
            last =
                add_piece(c, last, (struct sieve_piece){.kind = PIECE_TEXT, .text = text});
        last = add_piece(c, last, piece);
        text = span_slice(rest, 0, 0);
        found = true;
    }
    if (found && text.n > 0)
        add_piece(c, last, (struct sieve_piece){.kind = PIECE_TEXT, .text = text});
    out->pieces = first;
    return R_OK;
}

enum result
sieve_compile_string(struct sieve_compiler *c, struct span text, unsigned line,
                     unsigned column, struct sieve_string *out)
{
    *out = (struct sieve_string){.text = text};
    bool encoded =
        c->enabled[SIEVE_EXT_encoded_character] && span_find(text, SPAN("${")) < text.n;
    if (encoded) {
        if (decode(c, text, line, column, &out->text) != R_OK)
            return R_FAIL;
    } else {
        out->text = text.n ? arena_dup(c->arena, text) : SPAN("");
    }
    if (!c->enabled[SIEVE_EXT_variables])
        return R_OK;
    if (split(c, out) == R_OK)
        return R_OK;
    c->error->line = line;
    c->error->column = column;
    return R_FAIL;
}
