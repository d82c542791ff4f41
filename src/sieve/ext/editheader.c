// RFC 5293: addheader and deleteheader. The header is written anew; the message's body stays.

#include "base/limits.h"
#include "sieve/message.h"

enum { LINE_MAX_OCTETS = 998 };

static enum result
check_name(struct sieve_compiler *c, const struct sieve_value *v)
{
    if (!sieve_is_constant(&v->strings[0]) || sieve_is_field_name(v->strings[0].text))
        return R_OK;
    return sieve_wrong(c, v->line, v->column, "\"%.*s\" is no name of a field",
                       SPAN_ARG(span_slice(v->strings[0].text, 0, 60)));
}

static enum result
check_add(struct sieve_compiler *c, struct sieve_call *call)
{
    return check_name(c, &call->position[0]);
}

static enum result
check_delete(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *index = sieve_tag(call, "index");
    if (sieve_tag(call, "last") && index == NULL)
        return sieve_wrong(c, call->line, call->column, ":last needs :index");
    if (index && index->number == 0)
        return sieve_wrong(c, index->line, index->column, ":index counts from 1");
    return check_name(c, &call->position[0]);
}

static enum result
name_of(struct sieve_run *r, const struct sieve_call *call, struct span *name)
{
    if (sieve_one(r, &call->position[0], name) != R_OK)
        return R_FAIL;
    if (!sieve_is_field_name(*name))
        return sieve_fail(r, call, "\"%.*s\" is no name of a field",
                          SPAN_ARG(span_slice(*name, 0, 60)));
    return R_OK;
}

// Where the empty line at the end of a header begins.
static size_t
end_of(struct span header)
{
    if (span_ends(header, SPAN("\r\n\r\n")) || span_eq(header, SPAN("\r\n")))
        return header.n - 2;
    if (span_ends(header, SPAN("\n\n")) || span_eq(header, SPAN("\n")))
        return header.n - 1;
    return header.n;
}

static enum result
put_field(struct sieve_run *r, const struct sieve_call *call, struct buf *b)
{
    struct span name, value;
    if (name_of(r, call, &name) != R_OK || sieve_one(r, &call->position[1], &value) != R_OK)
        return R_FAIL;
    value = span_trim(value);
    for (size_t i = 0; i < value.n; i++)
        if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 127)
            return sieve_fail(r, call, "a field's value has no line ends and controls");
    size_t from = b->n;
    sieve_put_field(b, name, value);
    if (b->n - from > LINE_MAX_OCTETS + 2)
        return sieve_fail(r, call, "the field is longer than %d octets", LINE_MAX_OCTETS);
    return R_OK;
}

static enum result
set_header(struct sieve_run *r, struct buf *b)
{
    if (b->over) {
        buf_done(b);
        return sieve_fail(r, NULL, "the message's header grows too long");
    }
    if (sieve_room(r, b->n) != R_OK || sieve_work(r, b->n / 16 + 1) != R_OK) {
        buf_done(b);
        return R_FAIL;
    }
    sieve_header_set(r, b->n ? arena_dup(sieve_kept(r), buf_span(b)) : SPAN(""));
    buf_done(b);
    return R_OK;
}

static enum result
addheader(struct sieve_run *r, const struct sieve_call *call)
{
    struct span header = sieve_header(r);
    bool last = sieve_tag(call, "last") != NULL;
    size_t end = last ? end_of(header) : 0;
    struct buf b;
    buf_init(&b, LIMIT_sieve_header);
    buf_put(&b, span_slice(header, 0, end));
    if (end > 0 && header.p[end - 1] != '\n')
        buf_put_str(&b, "\r\n");
    if (put_field(r, call, &b) != R_OK) {
        buf_done(&b);
        return R_FAIL;
    }
    buf_put(&b, span_skip(header, end));
    return set_header(r, &b);
}

static enum result
value_matches(struct sieve_run *r, const struct sieve_call *call, struct span raw,
              bool *yes)
{
    struct sieve_matching m;
    struct span value;
    struct buf b;
    *yes = true;
    if (call->position[1].n == 0)
        return R_OK;
    buf_init(&b, raw.n + 1);
    mime_header_unfold(&b, raw);
    if (sieve_take(r, &b, &value) != R_OK ||
        sieve_decoded(r, span_trim(value), &value) != R_OK ||
        sieve_match_begin(&m, r, call, &call->position[1]) != R_OK ||
        sieve_match_feed(&m, value) != R_OK)
        return R_FAIL;
    return sieve_match_end(&m, yes);
}

static size_t
count(struct span header, struct span name)
{
    struct mime_header_iter it = mime_header_begin(header);
    struct mime_header h;
    size_t n = 0;
    while (mime_header_next(&it, &h) == R_OK)
        n += span_ieq(h.name, name);
    return n;
}

// Which occurrence it is about, from 1; 0: all.
static size_t
chosen(struct sieve_run *r, const struct sieve_call *call, struct span name)
{
    const struct sieve_value *index = sieve_tag(call, "index");
    size_t n = count(sieve_header(r), name);
    if (index == NULL)
        return 0;
    if (index->number > n)
        return SIZE_MAX;
    return sieve_tag(call, "last") ? n + 1 - (size_t)index->number : (size_t)index->number;
}

static enum result
keep_others(struct sieve_run *r, const struct sieve_call *call, struct span name,
            struct buf *out)
{
    struct span header = sieve_header(r);
    struct mime_header_iter it = mime_header_begin(header);
    struct mime_header h;
    size_t which = chosen(r, call, name), n = 0, kept = 0;
    while (mime_header_next(&it, &h) == R_OK) {
        bool gone = false;
        if (!span_ieq(h.name, name) || (++n != which && which > 0))
            continue;
        if (value_matches(r, call, h.value, &gone) != R_OK)
            return R_FAIL;
        size_t at = (size_t)(h.raw.p - header.p);
        if (!gone)
            continue;
        buf_put(out, span_slice(header, kept, at));
        kept = at + h.raw.n;
    }
    buf_put(out, span_skip(header, kept));
    return R_OK;
}

// RFC 5703 section 5.
static bool
is_original(struct span name)
{
    return span_ieq(name, SPAN("Original-Subject")) ||
           span_ieq(name, SPAN("Original-From"));
}

// Section 6: what may not be changed is passed over.
static enum result
deleteheader(struct sieve_run *r, const struct sieve_call *call)
{
    struct span name;
    struct buf b;
    if (name_of(r, call, &name) != R_OK)
        return R_FAIL;
    if (span_ieq(name, SPAN("Received")) || span_ieq(name, SPAN("Auto-Submitted")) ||
        (sieve_message(r)->has_originals && is_original(name)))
        return R_OK;
    if (sieve_work(r, sieve_header(r).n / 8) != R_OK)
        return R_FAIL;
    buf_init(&b, LIMIT_sieve_header);
    if (keep_others(r, call, name, &b) != R_OK) {
        buf_done(&b);
        return R_FAIL;
    }
    return set_header(r, &b);
}

static const struct sieve_command commands[] = {
    {"addheader", SIEVE_ACTION, "ss", .check = check_add, .act = addheader,
     .tags = {{"last", 0}}},
    {"deleteheader", SIEVE_ACTION, "s?l", .matches = true, .keys = 1, .check = check_delete,
     .act = deleteheader, .tags = {{"index", 'n'}, {"last", 0}}},
    {0},
};

const struct sieve_ext sieve_ext_editheader = {
    .capability = "editheader", .rfc = "RFC 5293", .commands = commands};
