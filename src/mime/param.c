#include "mime/param.h"
#include "base/limits.h"

struct piece {
    struct span name, value;  // name without "*0*"
    uint32_t index, order;
    bool extended, numbered;
};

struct pieces {
    struct piece at[LIMIT_mime_params];
    size_t n;
};

// Neither quoted nor a token: as it is written up to ';', or, of what names no file, up to white space. A comment behind it goes.
static void
read_odd(struct mime_lex *l, struct buf *value, bool is_name)
{
    struct span rest = span_of(l->p, (size_t)(l->end - l->p));
    struct span text = span_trim(span_slice(rest, 0, span_find_char(rest, ';')));
    struct mime_lex words = mime_lex_of(text);
    const char *to = NULL;

    for (enum lex got = LEX_MORE; got == LEX_MORE;) {
        to = ++words.p;
        if (to == words.end)
            break;
        if (ascii_is_space(*to))
            got = is_name ? mime_lex_space(&words) : LEX_END;
        if (got == LEX_BAD)
            to = words.end;  // no comment
    }
    buf_put(value, span_of(text.p, (size_t)(to - text.p)));
    l->p += text.n;
}

static enum lex
read_bare(struct mime_lex *l, struct buf *value, struct span name)
{
    struct mime_lex from = *l;
    enum lex got = mime_lex_token(l, value);
    // what is more than a token is no charset anyone knows
    bool cut = value->n > 0 && span_ieq(name, SPAN("charset"));

    if (got == LEX_MORE && *l->p != ';' && !cut) {
        *l = from;
        buf_reset(value);
        read_odd(l, value,
                 span_ieq(name, SPAN("name")) || span_ieq(name, SPAN("filename")));
    }
    return got == LEX_BAD ? LEX_BAD : LEX_MORE;
}

// One `; name=value`, LEX_END at the end of the value, LEX_BAD at something else (which the
// caller skips).
static enum lex
read_param(struct mime_lex *l, struct buf *name, struct buf *value)
{
    if (l->p == l->end)
        return LEX_END;
    if (*l->p != ';')
        return LEX_BAD;
    l->p++;
    if (mime_lex_space(l) != LEX_MORE || mime_lex_token(l, name) != LEX_MORE ||
        *l->p != '=')
        return LEX_BAD;
    l->p++;

    enum lex got = mime_lex_space(l);
    if (got != LEX_MORE)
        return got == LEX_END ? LEX_MORE : LEX_BAD;
    if (*l->p == '"')
        return mime_lex_quoted(l, value) == LEX_BAD ? LEX_BAD : LEX_MORE;
    return read_bare(l, value, buf_span(name));
}

// Splits name, name*, name*3 and name*3*; anything else keeps its stars and stays alone.
static void
split_name(struct piece *piece)
{
    struct span name = piece->name;
    size_t star = span_find_char(name, '*');
    size_t at = star + 1;

    if (star == name.n)
        return;
    while (at < name.n && ascii_is_digit(name.p[at]))
        at++;
    bool numbered = at > star + 1;
    bool extended = at == name.n ? !numbered : name.p[at] == '*';
    if (at + (numbered && extended) != name.n)
        return;
    if (numbered && span_to_u32(span_slice(name, star + 1, at), &piece->index) != R_OK)
        return;
    piece->numbered = true;
    piece->extended = extended;
    piece->name = span_slice(name, 0, star);
}

static void
collect(struct arena *a, struct mime_lex *l, struct pieces *out)
{
    struct buf name, value;

    buf_init(&name, LIMIT_mime_header);
    buf_init(&value, LIMIT_mime_header);
    while (out->n < LIMIT_mime_params) {
        buf_reset(&name);
        buf_reset(&value);
        enum lex got = read_param(l, &name, &value);
        if (got == LEX_MORE) {
            struct piece *piece = &out->at[out->n++];
            *piece = (struct piece){.name = arena_dup(a, buf_span(&name)),
                                    .value = arena_dup(a, buf_span(&value)),
                                    .order = (uint32_t)out->n};
            split_name(piece);
        } else if (l->p == l->end) {
            break;
        } else {
            l->p++;
        }
    }
    buf_done(&name);
    buf_done(&value);
}

static int
by_name_and_index(const void *left, const void *right)
{
    const struct piece *a = left, *b = right;

    if (a->numbered != b->numbered)
        return a->numbered ? 1 : -1;
    if (!a->numbered)
        return a->order < b->order ? -1 : 1;
    int diff = span_icmp(a->name, b->name);
    if (diff != 0)
        return diff;
    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

static struct mime_param **
add(struct arena *a, struct mime_param **tail, struct span name, struct span value)
{
    struct mime_param *param = ARENA_NEW(a, struct mime_param);

    param->name = arena_dup(a, name);
    param->value = arena_dup(a, value);
    *tail = param;
    return &param->next;
}

static void
put_plain_piece(struct buf *out, struct span value)
{
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '%')
            buf_put_str(out, "%25");
        else
            buf_put_char(out, value.p[i]);
    }
}

// Pieces with a hole in their numbers are shown as they were written.
static struct mime_param **
add_apart(struct arena *a, struct mime_param **tail, const struct piece *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct buf name;
        buf_init(&name, LIMIT_mime_header);
        buf_put(&name, at[i].name);
        buf_printf(&name, "*%u%s", at[i].index, at[i].extended ? "*" : "");
        tail = add(a, tail, buf_span(&name), at[i].value);
        buf_done(&name);
    }
    return tail;
}

static struct mime_param **
add_joined(struct arena *a, struct mime_param **tail, const struct piece *at, size_t n)
{
    bool extended = false, complete = true;
    struct buf name, value;

    for (size_t i = 0; i < n; i++) {
        extended |= at[i].extended;
        complete &= at[i].index == i;
    }
    if (!complete)
        return add_apart(a, tail, at, n);

    buf_init(&name, LIMIT_mime_header);
    buf_init(&value, LIMIT_mime_header);
    buf_put(&name, at[0].name);
    if (extended)
        buf_put_char(&name, '*');
    if (extended && !at[0].extended)
        buf_put_str(&value, "''");
    for (size_t i = 0; i < n; i++) {
        if (extended && !at[i].extended)
            put_plain_piece(&value, at[i].value);
        else
            buf_put(&value, at[i].value);
    }
    tail = add(a, tail, buf_span(&name), buf_span(&value));
    buf_done(&name);
    buf_done(&value);
    return tail;
}

struct mime_param *
mime_param_parse(struct arena *a, struct mime_lex *l)
{
    struct pieces got;
    struct mime_param *first = NULL, **tail = &first;

    got.n = 0;
    collect(a, l, &got);
    qsort(got.at, got.n, sizeof(got.at[0]), by_name_and_index);
    for (size_t i = 0, n = 0; i < got.n; i += n) {
        n = 1;
        if (!got.at[i].numbered) {
            tail = add(a, tail, got.at[i].name, got.at[i].value);
            continue;
        }
        while (i + n < got.n && span_ieq(got.at[i].name, got.at[i + n].name))
            n++;
        tail = add_joined(a, tail, &got.at[i], n);
    }
    return first;
}
