// RFC 5703 section 4: :mime and :anychild of header, address and exists. Which fields they look at is in fields.c.

#include "base/limits.h"
#include "sieve/parts.h"
#include "mime/encoded_word.h"

bool
sieve_mime_option(const struct sieve_call *call)
{
    return sieve_tag(call, "type") || sieve_tag(call, "subtype") ||
           sieve_tag(call, "contenttype") || sieve_tag(call, "param");
}

// The field as the scanner reads it: a message of its own.
static const struct mime_part *
read_field(struct arena *a, struct span name, struct span value)
{
    struct mime_scan *scan = mime_scan_new(a);
    mime_scan_feed(scan, SPAN("MIME-Version: 1.0\r\n"));
    mime_scan_feed(scan, name);
    mime_scan_feed(scan, SPAN(": "));
    mime_scan_feed(scan, value);
    mime_scan_feed(scan, SPAN("\r\n\r\n"));
    return mime_scan_end(scan);
}

static enum result
feed_params(struct sieve_matching *m, const struct sieve_value *names,
            const struct mime_param *params)
{
    struct span *texts, value;
    if (sieve_texts(m->run, names, &texts) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < names->n && !m->found; i++) {
        struct buf b;
        buf_init(&b, LIMIT_sieve_variable);
        if (mime_param_find(params, texts[i], &b) != R_OK) {
            buf_done(&b);
            continue;
        }
        if (sieve_take(m->run, &b, &value) != R_OK || sieve_match_feed(m, value) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
feed_type(struct sieve_matching *m, const struct mime_part *part)
{
    struct span text;
    struct buf b;
    bool type = sieve_tag(m->call, "subtype") == NULL;
    bool subtype = sieve_tag(m->call, "type") == NULL;
    if (m->call->match->counts && part->type.p == NULL)
        return R_OK;
    buf_init(&b, part->type.n + part->subtype.n + 1);
    buf_put(&b, type ? part->type : SPAN(""));
    buf_put_str(&b, type && subtype && part->type.n ? "/" : "");
    buf_put(&b, subtype ? part->subtype : SPAN(""));
    return sieve_take(m->run, &b, &text) == R_OK ? sieve_match_feed(m, text) : R_FAIL;
}

enum result
sieve_mime_feed(struct sieve_matching *m, struct span name, struct span value)
{
    const struct sieve_value *params = sieve_tag(m->call, "param");
    bool type = span_ieq(name, SPAN("Content-Type"));
    bool disposition = span_ieq(name, SPAN("Content-Disposition"));
    if (sieve_room(m->run, value.n * 8 + 16384) != R_OK ||
        sieve_work(m->run, value.n + 64) != R_OK)
        return R_FAIL;
    const struct mime_part *part =
        read_field(sieve_scratch(m->run),
                   type ? SPAN("Content-Type") : SPAN("Content-Disposition"), value);
    if (params)
        return feed_params(m, params, type ? part->params : part->disposition_params);
    if (type)
        return feed_type(m, part);
    if (!disposition || sieve_tag(m->call, "subtype"))
        return m->call->match->counts ? R_OK : sieve_match_feed(m, SPAN(""));
    return sieve_match_feed(m, part->disposition);
}

static enum result
check_mime(struct sieve_compiler *c, struct sieve_call *call,
           const struct sieve_value *value)
{
    (void)value;
    if (sieve_tag(call, "mime"))
        return R_OK;
    return sieve_wrong(c, call->line, call->column, "these tags need :mime");
}

static const struct sieve_tag tags[] = {
    {"mime", .command = "header address exists"},
    {"anychild", .command = "header address exists", .check = check_mime},
    {"type", 0, "option", .command = "header", .check = check_mime},
    {"subtype", 0, "option", .command = "header", .check = check_mime},
    {"contenttype", 0, "option", .command = "header", .check = check_mime},
    {"param", 'l', "option", .command = "header", .check = check_mime},
    {0},
};

const struct sieve_ext sieve_ext_mime = {
    .capability = "mime", .rfc = "RFC 5703", .tags = tags};
