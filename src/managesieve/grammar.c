#include "managesieve/grammar.h"

#include "base/limits.h"
#include "base/utf8.h"

enum { QUOTED_MAX = 1024 };

// ---- where a command ends ----

void
managesieve_reader_init(struct managesieve_reader *r, size_t line_max, size_t held_max)
{
    *r = (struct managesieve_reader){.line_max = line_max, .held_max = held_max};
}

void
managesieve_reader_next(struct managesieve_reader *r)
{
    managesieve_reader_init(r, r->line_max, r->held_max);
}

size_t
managesieve_reader_needs(const struct managesieve_reader *r)
{
    return r->at + (r->is_dropped ? 0 : (size_t)r->left);
}

// Follows "{", digits, "+" and "}" up to the line's end.
static void
see_literal(struct managesieve_reader *r, char c)
{
    if (c == '{') {
        r->brace = 1;
        r->size = 0;
        r->plus = r->closed = false;
    } else if (r->brace > 0 && !r->closed && !r->plus && ascii_is_digit(c)) {
        if (r->size <= UINT32_MAX)  // more is as good as endless
            r->size = r->size * 10 + (unsigned)(c - '0');
        r->brace++;
    } else if (r->brace > 1 && !r->closed && !r->plus && c == '+') {
        r->plus = true;
    } else if (r->brace > 1 && !r->closed && c == '}') {
        r->closed = true;
    } else if (c != '\r' || !r->closed) {
        r->brace = 0;
    }
}

static void
see(struct managesieve_reader *r, char c)
{
    if (r->quoted) {
        bool ends = c == '"' && !r->escaped;
        r->escaped = c == '\\' && !r->escaped;
        r->quoted = !ends;
    } else if (c == '"') {
        r->quoted = true;
        r->brace = 0;
    } else {
        see_literal(r, c);
    }
}

// A line's end: does a literal follow?
static bool
literal_follows(struct managesieve_reader *r)
{
    bool follows = r->brace > 1 && r->closed && !r->quoted;
    r->sync = follows && !r->plus;
    r->left = follows ? r->size : 0;
    r->brace = 0;
    r->quoted = r->escaped = false;
    return follows;
}

// Throws away what is there of the command; the rest of the literal follows.
static enum managesieve_end
drop(struct managesieve_reader *r, struct span input, size_t *size_out)
{
    size_t behind = input.n - r->at;
    size_t n = r->left < behind ? (size_t)r->left : behind;
    r->is_dropped = true;
    r->left -= n;
    *size_out = r->at + n;
    r->dropped += *size_out;
    r->at = 0;
    if (r->dropped > LIMIT_stream_discard)
        return MANAGESIEVE_LONG;
    return *size_out > 0 ? MANAGESIEVE_DROP : MANAGESIEVE_MORE;
}

// Up to the end of the line; true: it is the command's end, or a literal begins.
static bool
see_line(struct managesieve_reader *r, struct span input, bool *literal_out)
{
    while (r->at < input.n && r->line <= r->line_max) {
        char c = input.p[r->at++];
        r->line++;
        if (c == '\n') {
            *literal_out = literal_follows(r);
            return true;
        }
        see(r, c);
    }
    return false;
}

enum managesieve_end
managesieve_reader_feed(struct managesieve_reader *r, struct span input, size_t *size_out)
{
    bool literal;
    for (;;) {
        if (r->left > 0 && (r->is_dropped || r->at + r->left > r->held_max))
            return drop(r, input, size_out);
        if (input.n - r->at < r->left)
            return MANAGESIEVE_MORE;
        r->at += (size_t)r->left;
        r->left = 0;
        if (!see_line(r, input, &literal))
            return r->line > r->line_max ? MANAGESIEVE_LONG : MANAGESIEVE_MORE;
        if (r->sync)
            return MANAGESIEVE_SYNC;
        if (literal)
            continue;
        *size_out = r->at;
        return r->line > r->line_max ? MANAGESIEVE_LONG : MANAGESIEVE_WHOLE;
    }
}

// ---- its words ----

struct managesieve_parse
managesieve_parse_of(struct span command, struct arena *a)
{
    if (span_ends(command, SPAN("\n")))
        command.n--;
    if (span_ends(command, SPAN("\r")))
        command.n--;
    return (struct managesieve_parse){.rest = command, .arena = a};
}

static struct span
fail(struct managesieve_parse *p)
{
    p->bad = true;
    return SPAN_NONE;
}

static bool
is_atom(char c)
{
    return c > ' ' && c < 0x7f && span_find_char(SPAN("(){\"\\"), c) == 5;
}

struct span
managesieve_parse_atom(struct managesieve_parse *p)
{
    size_t n = 0;
    while (n < p->rest.n && is_atom(p->rest.p[n]))
        n++;
    if (n == 0)
        return fail(p);
    struct span atom = span_slice(p->rest, 0, n);
    p->rest = span_skip(p->rest, n);
    return atom;
}

bool
managesieve_parse_more(const struct managesieve_parse *p)
{
    return !p->bad && p->rest.n > 0;
}

static bool
take(struct managesieve_parse *p, char c)
{
    if (p->bad || p->rest.n == 0 || p->rest.p[0] != c) {
        p->bad = true;
        return false;
    }
    p->rest = span_skip(p->rest, 1);
    return true;
}

static bool
take_quoted(struct managesieve_parse *p, struct buf *out)
{
    while (p->rest.n > 0 && p->rest.p[0] != '"') {
        char c = p->rest.p[0];
        p->rest = span_skip(p->rest, 1);
        if (c == '\\') {
            if (p->rest.n == 0 || (p->rest.p[0] != '"' && p->rest.p[0] != '\\'))
                return false;
            c = p->rest.p[0];
            p->rest = span_skip(p->rest, 1);
        } else if (c == '\0' || c == '\r' || c == '\n') {
            return false;
        }
        buf_put_char(out, c);
    }
    return take(p, '"') && utf8_valid(buf_span(out));
}

static struct span
quoted(struct managesieve_parse *p)
{
    struct buf text;
    p->rest = span_skip(p->rest, 1);
    buf_init(&text, p->rest.n);
    struct span s = take_quoted(p, &text) ? arena_dup(p->arena, buf_span(&text)) : fail(p);
    buf_done(&text);
    return s;
}

// RFC 5804: 32 bits, no leading zeros.
static uint32_t
number(struct managesieve_parse *p)
{
    size_t n = 0;
    uint32_t value = 0;
    while (n < p->rest.n && ascii_is_digit(p->rest.p[n]))
        n++;
    struct span digits = span_slice(p->rest, 0, n);
    if ((n > 1 && digits.p[0] == '0') || span_to_u32(digits, &value) != R_OK)
        p->bad = true;
    p->rest = span_skip(p->rest, n);
    return value;
}

static struct span
literal(struct managesieve_parse *p)
{
    p->rest = span_skip(p->rest, 1);
    uint32_t n = number(p);
    if (!take(p, '+') || !take(p, '}'))
        return SPAN_NONE;
    if (span_starts(p->rest, SPAN("\r")))
        p->rest = span_skip(p->rest, 1);
    if (!take(p, '\n') || p->rest.n < n)
        return fail(p);
    struct span s = span_slice(p->rest, 0, n);
    p->rest = span_skip(p->rest, n);
    return s;
}

struct span
managesieve_parse_response(struct managesieve_parse *p)
{
    if (p->bad || p->rest.n == 0)
        return fail(p);
    if (p->rest.p[0] == '"')
        return quoted(p);
    return p->rest.p[0] == '{' ? literal(p) : fail(p);
}

struct span
managesieve_parse_string(struct managesieve_parse *p)
{
    return take(p, ' ') ? managesieve_parse_response(p) : SPAN_NONE;
}

uint32_t
managesieve_parse_number(struct managesieve_parse *p)
{
    return take(p, ' ') ? number(p) : 0;
}

bool
managesieve_parse_end(struct managesieve_parse *p)
{
    p->bad |= p->rest.n > 0;
    return !p->bad;
}

// ---- answers ----

static bool
may_be_quoted(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\0' || s.p[i] == '\r' || s.p[i] == '\n')
            return false;
    return s.n <= QUOTED_MAX && utf8_valid(s);
}

void
managesieve_put_string(struct buf *b, struct span s)
{
    if (!may_be_quoted(s)) {
        buf_printf(b, "{%zu}\r\n", s.n);
        buf_put(b, s);
        return;
    }
    buf_put_char(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            buf_put_char(b, '\\');
        buf_put_char(b, s.p[i]);
    }
    buf_put_char(b, '"');
}

void
managesieve_put_answer(struct buf *b, const char *status, const char *code,
                       struct span text)
{
    buf_put_str(b, status);
    if (code[0] != '\0')
        buf_printf(b, " (%s)", code);
    if (text.n > 0) {
        buf_put_char(b, ' ');
        managesieve_put_string(b, text);
    }
    buf_put_str(b, "\r\n");
}

void
managesieve_put_noop(struct buf *b, struct span tag)
{
    if (!tag.p) {
        managesieve_put_answer(b, "OK", "", SPAN("NOOP completed."));
        return;
    }
    buf_put_str(b, "OK (TAG ");
    managesieve_put_string(b, tag);
    buf_put_str(b, ") \"Done.\"\r\n");
}
