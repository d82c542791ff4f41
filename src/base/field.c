#include "base/field.h"
#include "base/json.h"
#include "base/pack.h"

enum { LIST_MAX = 1 << 20, FIELD_WIDTH = 80 };

static void
put_list(struct buf *b, struct span packed)
{
    struct unpack u = unpack_of(packed);
    for (const char *between = ""; u.rest.n > 0 && !u.bad; between = " ") {
        buf_put_str(b, between);
        buf_put(b, unpack_span(&u));
    }
}

static void
put_value(struct buf *b, const struct field *f)
{
    if (f->kind == FIELD_TEXT)
        buf_put(b, f->text);
    else if (f->kind == FIELD_NUMBER)
        buf_put_u64(b, f->number);
    else if (f->kind == FIELD_ID)
        buf_printf(b, "%016llx", (unsigned long long)f->number);
    else if (f->kind == FIELD_LIST)
        put_list(b, f->text);
}

static bool
is_shown(const struct field *f)
{
    return f->kind != FIELD_ABSENT && f->style.n > 0 &&
           (f->kind != FIELD_FLAG || f->number != 0);
}

// What a style says of the place before its text.
struct place {
    size_t column;
    bool wraps;
};

static size_t
line_of(const struct buf *b, size_t start)
{
    size_t at = b->n;
    while (at > start && b->p[at - 1] != '\n')
        at--;
    return at;
}

static void
put_blanks(struct buf *b, size_t start, size_t column)
{
    do
        buf_put_char(b, ' ');
    while (!b->over && b->n - line_of(b, start) < column);
}

// "@17": blanks up to that column, one at least; "\n@17": the same in a new line; "@17>": and lines are broken.
static struct span
go_to_column(struct buf *b, size_t start, struct span style, struct place *out)
{
    *out = (struct place){0};
    while (style.n > 0 && style.p[0] == '\n') {
        buf_put_char(b, '\n');
        style = span_skip(style, 1);
    }
    if (style.n == 0 || style.p[0] != '@')
        return style;
    style = span_skip(style, 1);
    for (; style.n > 0 && ascii_is_digit(style.p[0]); style = span_skip(style, 1))
        out->column = out->column * 10 + (size_t)(style.p[0] - '0');
    put_blanks(b, start, out->column);
    out->wraps = style.n > 0 && style.p[0] == '>';
    return span_skip(style, out->wraps);
}

// A line that would be longer than FIELD_WIDTH goes on at the column, in a new one.
static void
put_wrapped(struct buf *b, size_t start, size_t column, struct span text)
{
    for (bool first = true; text.n > 0; first = false) {
        struct span word = span_slice(text, 0, span_find_char(text, ' '));
        text = span_skip(text, word.n < text.n ? word.n + 1 : word.n);
        if (!first && b->n - line_of(b, start) + 1 + word.n > FIELD_WIDTH) {
            buf_put_char(b, '\n');
            put_blanks(b, start, column);
        } else if (!first)
            buf_put_char(b, ' ');
        buf_put(b, word);
    }
}

// A value between '<' and '>' cannot end there, nor look like the next "key=", whatever a client sent: filters of log
// lines search for these.
static void
put_enclosed(struct buf *b, struct span value)
{
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] != '\0' && strchr("<>\"=", value.p[i]))
            buf_printf(b, "\\x%02x", (unsigned)value.p[i]);
        else
            buf_put_char(b, value.p[i]);
}

static bool
is_enclosed(const struct field *f, struct span style, size_t at)
{
    return f->kind == FIELD_TEXT && at > 0 && style.p[at - 1] == '<' && at + 1 < style.n &&
           style.p[at + 1] == '>';
}

static void
put_styled(struct buf *b, size_t start, const struct field *f)
{
    struct place place;
    struct span style = go_to_column(b, start, f->style, &place);
    size_t at = span_find_char(style, '%');
    buf_put(b, span_slice(style, 0, at));
    if (at == style.n)
        return;
    if (is_enclosed(f, style, at))
        put_enclosed(b, f->text);
    else if (place.wraps && f->kind == FIELD_TEXT)
        put_wrapped(b, start, place.column, f->text);
    else
        put_value(b, f);
    buf_put(b, span_skip(style, at + 1));
}

void
fields_text(struct buf *b, struct span event, const struct field *fields, size_t n)
{
    size_t start = b->n;
    const char *between = ": ";
    buf_put(b, event);
    for (size_t i = 0; i < n; i++) {
        if (!is_shown(&fields[i]))
            continue;
        if (ascii_is_alpha(fields[i].style.p[0])) {
            buf_put_str(b, b->n > start ? between : "");
            between = ", ";
        }
        put_styled(b, start, &fields[i]);
    }
}

// ---- JSON ----

static void
put_json_list(struct buf *b, struct span packed)
{
    struct unpack u = unpack_of(packed);
    buf_put_char(b, '[');
    for (const char *between = ""; u.rest.n > 0 && !u.bad; between = ",") {
        buf_put_str(b, between);
        json_put_string(b, unpack_span(&u), LIST_MAX);
    }
    buf_put_char(b, ']');
}

static bool
put_json_value(struct buf *b, const struct field *f, size_t max)
{
    if (f->kind == FIELD_TEXT)
        return json_put_string(b, f->text, max);
    if (f->kind == FIELD_NUMBER)
        buf_put_u64(b, f->number);
    else if (f->kind == FIELD_ID)
        buf_printf(b, "\"%016llx\"", (unsigned long long)f->number);
    else if (f->kind == FIELD_FLAG)
        buf_put_str(b, f->number ? "true" : "false");
    else
        put_json_list(b, f->text);
    return true;
}

// False: cut, or left out.
static bool
put_member(struct buf *b, const struct field *f, const struct field_room *room)
{
    struct buf member;
    buf_init(&member, SIZE_MAX);
    buf_put_str(&member, b->n > 0 && b->p[b->n - 1] != '{' ? "," : "");
    json_put_string(&member, f->name, LIST_MAX);
    buf_put_char(&member, ':');
    size_t head = b->n + member.n;
    size_t left = room->all > head ? room->all - head : 0;
    bool whole = put_json_value(&member, f, left < room->value ? left : room->value);
    if (b->n + member.n <= room->all)
        buf_put(b, buf_span(&member));
    else
        whole = false;
    buf_done(&member);
    return whole;
}

bool
fields_json(struct buf *b, const struct field *fields, size_t n,
            const struct field_room *room)
{
    static const struct field_room endless = {SIZE_MAX, SIZE_MAX};
    bool whole = true;
    for (size_t i = 0; i < n; i++)
        if (fields[i].kind != FIELD_ABSENT && fields[i].name.n > 0)
            whole &= put_member(b, &fields[i], room ? room : &endless);
    return whole;
}

// ---- rows on their way ----

void
field_put_row(struct buf *b, struct span type, struct span event,
              const struct field *fields, size_t n)
{
    size_t there = 0;
    for (size_t i = 0; i < n; i++)
        there += fields[i].kind != FIELD_ABSENT;
    must(there <= FIELDS_MAX);
    pack_span(b, type);
    pack_span(b, event);
    pack_u8(b, (uint8_t)there);
    for (size_t i = 0; i < n; i++) {
        if (fields[i].kind == FIELD_ABSENT)
            continue;
        pack_u8(b, (uint8_t)fields[i].kind);
        pack_span(b, fields[i].name);
        pack_span(b, fields[i].style);
        pack_span(b, fields[i].text);
        pack_u64(b, fields[i].number);
    }
}

static struct field
get_field(struct unpack *u)
{
    struct field f = {.kind = unpack_u8(u)};
    f.name = unpack_span(u);
    f.style = unpack_span(u);
    f.text = unpack_span(u);
    f.number = unpack_u64(u);
    u->bad |= f.kind >= FIELD_KINDS;
    return f;
}

enum result
field_get_row(struct span *rest, struct field_row *out)
{
    struct unpack u = unpack_of(*rest);
    out->type = unpack_span(&u);
    out->event = unpack_span(&u);
    out->n = unpack_u8(&u);
    u.bad |= out->n > FIELDS_MAX;
    for (size_t i = 0; !u.bad && i < out->n; i++)
        out->fields[i] = get_field(&u);
    if (u.bad)
        return R_FAIL;
    *rest = u.rest;
    return R_OK;
}
