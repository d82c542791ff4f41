// RFC 5703 section 7: extracttext.

#include "base/utf8.h"
#include "sieve/compile.h"
#include "sieve/parts.h"
#include "mime/encoded_word.h"

struct target {
    unsigned number;
};

static enum result
check(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *v = &call->position[0];
    struct target *t = ARENA_NEW(c->arena, struct target);
    call->own = t;
    if (c->loop == NULL)
        return sieve_wrong(c, call->line, call->column,
                           "extracttext stands in foreverypart only");
    if (!c->enabled[SIEVE_EXT_variables])
        return sieve_wrong(c, call->line, call->column,
                           "extracttext needs require \"variables\"");
    if (!sieve_is_constant(&v->strings[0]) || !sieve_is_variable_name(v->strings[0].text))
        return sieve_wrong(c, v->line, v->column, "\"%.*s\" is no name of a variable",
                           SPAN_ARG(span_slice(v->strings[0].text, 0, 60)));
    return sieve_variable_number(c, v->strings[0].text, &t->number);
}

static struct span
first_of(struct span text, uint64_t characters)
{
    struct span rest = text;
    uint32_t point;
    while (characters-- > 0 && rest.n > 0)
        if (utf8_next(&rest, &point) != R_OK)
            rest = span_skip(rest, 1);
    return span_slice(text, 0, text.n - rest.n);
}

// A text whose encoding or charset nobody knows is empty.
static bool
is_readable(const struct mime_part *part)
{
    struct buf charset;
    buf_init(&charset, 200);
    bool known = part->encoding != MIME_ENC_UNKNOWN &&
                 (mime_param_find(part->params, SPAN("charset"), &charset) != R_OK ||
                  mime_charset_known(buf_span(&charset)));
    buf_done(&charset);
    return known;
}

static enum result
extracttext(struct sieve_run *r, const struct sieve_call *call)
{
    const struct target *t = call->own;
    const struct mime_part *part = sieve_part_now(r);
    const struct sieve_value *first = sieve_tag(call, "first");
    struct span text = SPAN("");
    bool is_text = part && part->kind == MIME_KIND_LEAF &&
                   (part->type.p == NULL || span_ieq(part->type, SPAN("text")));
    if (is_text && is_readable(part) && sieve_part_decoded(r, part, &text) != R_OK)
        return R_FAIL;
    if (first)
        text = first_of(text, first->number);
    if (sieve_modify(r, call, &text) != R_OK)
        return R_FAIL;
    return sieve_variable_set(r, t->number, text);
}

static const struct sieve_command commands[] = {
    {"extracttext", SIEVE_ACTION, "s", .check = check, .act = extracttext,
     .tags = {{"first", 'n'},
              {"lower", 0, "case"},
              {"upper", 0, "case"},
              {"lowerfirst", 0, "first"},
              {"upperfirst", 0, "first"},
              {"quotewildcard", 0, "quote"},
              {"length", 0, "length"}}},
    {0},
};

const struct sieve_ext sieve_ext_extracttext = {
    .capability = "extracttext", .rfc = "RFC 5703", .commands = commands};
