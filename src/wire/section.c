#include "wire/parse.h"

#include "wire/quote.h"

#include "base/limits.h"

static void
push_part(struct parse *p, struct section *s, uint32_t part)
{
    if ((s->part_count & (s->part_count - 1)) == 0) {
        uint32_t room = s->part_count ? s->part_count * 2 : 1;
        uint32_t *more = arena_array(p->arena, room, sizeof *more);
        if (s->part_count)
            memcpy(more, s->parts, s->part_count * sizeof *more);
        s->parts = more;
    }
    s->parts[s->part_count++] = part;
}

static void
push_field(struct parse *p, struct section *s, struct span field)
{
    if ((s->field_count & (s->field_count - 1)) == 0) {
        uint32_t room = s->field_count ? s->field_count * 2 : 1;
        struct span *more = arena_array(p->arena, room, sizeof *more);
        if (s->field_count)
            memcpy(more, s->fields, s->field_count * sizeof *more);
        s->fields = more;
    }
    s->fields[s->field_count++] = field;
}

static void
parts(struct parse *p, struct section *s)
{
    while (ascii_is_digit(parse_peek(p))) {
        push_part(p, s, parse_nz_number(p));
        if (parse_peek(p) == ']' || !parse_try(p, '.'))
            return;
        if (!ascii_is_digit(parse_peek(p)) && !ascii_is_alpha(parse_peek(p)))
            parse_fail(p, "wrong section");
    }
}

static void
fields(struct parse *p, struct section *s)
{
    parse_sp(p);
    parse_list_open(p);
    while (parse_list_next(p))
        push_field(p, s, parse_astring(p));
    if (s->field_count == 0)
        parse_fail(p, "no header fields");
}

static const struct {
    const char *word;
    enum section_kind kind;
} kinds[] = {
    {"HEADER.FIELDS.NOT", SECTION_FIELDS_NOT},
    {"HEADER.FIELDS", SECTION_FIELDS},
    {"HEADER", SECTION_HEADER},
    {"TEXT", SECTION_TEXT},
    {"MIME", SECTION_MIME},
};

static const char *
kind_word(enum section_kind kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].kind == kind)
            return kinds[i].word;
    return "";
}

static void
section_text(struct parse *p, struct section *s)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!parse_try_word(p, kinds[i].word))
            continue;
        s->kind = kinds[i].kind;
        if (s->kind == SECTION_MIME && s->part_count == 0)
            parse_fail(p, "MIME without a part");
        if (s->kind == SECTION_FIELDS || s->kind == SECTION_FIELDS_NOT)
            fields(p, s);
        return;
    }
    parse_fail(p, "wrong section");
}

// The section as the answer shows it; names that came as literals are quoted where they can be.
static struct span
print(struct parse *p, const struct section *s)
{
    struct buf b;
    buf_init(&b, LIMIT_command * 4);
    for (uint32_t i = 0; i < s->part_count; i++) {
        if (i > 0)
            buf_put_char(&b, '.');
        buf_put_u64(&b, s->parts[i]);
    }
    if (s->part_count > 0 && s->kind != SECTION_ALL)
        buf_put_char(&b, '.');
    buf_put_str(&b, kind_word(s->kind));
    for (uint32_t i = 0; i < s->field_count; i++) {
        buf_put_str(&b, i == 0 ? " (" : " ");
        quote_astring(&b, s->fields[i], false);
    }
    if (s->field_count > 0)
        buf_put_char(&b, ')');
    struct span text = arena_dup(p->arena, buf_span(&b));
    buf_done(&b);
    return text;
}

struct section
parse_section(struct parse *p)
{
    struct section s = {.kind = SECTION_ALL};
    parts(p, &s);
    bool text_may_follow = s.part_count == 0 || p->in.p[p->at - 1] == '.';
    if (text_may_follow && parse_peek(p) != ']')
        section_text(p, &s);
    parse_char(p, ']');
    s.text = p->bad ? SPAN_NONE : print(p, &s);
    return s;
}

struct section
parse_section_binary(struct parse *p)
{
    struct section s = {.kind = SECTION_ALL};
    parts(p, &s);
    parse_char(p, ']');
    s.text = p->bad ? SPAN_NONE : print(p, &s);
    return s;
}

bool
parse_partial(struct parse *p, uint64_t *offset_out, uint64_t *count_out)
{
    if (!parse_try(p, '<'))
        return false;
    uint64_t offset = parse_number64(p);
    parse_char(p, '.');
    uint64_t count = parse_number64(p);
    if (count == 0)
        parse_fail(p, "partial of nothing");
    parse_char(p, '>');
    if (p->bad)
        return false;
    *offset_out = offset;
    *count_out = count;
    return true;
}
