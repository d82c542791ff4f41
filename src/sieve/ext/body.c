// RFC 5173: body. The default is :text: what text parts say, HTML without its marks.

#include "sieve/run.h"
#include "sieve/message.h"
#include "sieve/parts.h"
#include "mime/html.h"

static bool
is_type(const struct mime_part *part, struct span type, struct span subtype)
{
    struct span t = part->type.p ? part->type : SPAN("text");
    struct span s = part->type.p ? part->subtype : SPAN("plain");
    return span_ieq(t, type) && (subtype.p == NULL || span_ieq(s, subtype));
}

// "text/html", "text", or "" for all.
static bool
is_wanted(const struct mime_part *part, const struct span *types, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t slash = span_find_char(types[i], '/');
        struct span rest = span_skip(types[i], slash + 1);
        bool whole = slash < types[i].n;
        if (types[i].n == 0)
            return true;
        if (whole && (slash == 0 || rest.n == 0 || span_find_char(rest, '/') < rest.n))
            continue;
        if (is_type(part, span_slice(types[i], 0, slash), whole ? rest : SPAN_NONE))
            return true;
    }
    return false;
}

static struct span
without_last_line(struct span s)
{
    if (s.n > 0 && s.p[s.n - 1] == '\n')
        s.n--;
    return span_slice(s, 0, span_behind_last(s, '\n'));
}

static struct span
without_line(struct span s)
{
    return span_skip(s, span_find_char(s, '\n') + 1);
}

// What is before the first delimiter and behind the last.
static enum result
feed_multipart(struct sieve_run *r, const struct mime_part *part, struct sieve_matching *m)
{
    struct span text;
    uint64_t end = part->body.at + part->body.size;
    uint64_t first = part->child ? part->child->header.at : end;
    if (sieve_read(r, part->body.at, first - part->body.at, &text) != R_OK ||
        sieve_match_feed(m, part->child ? without_last_line(text) : text) != R_OK)
        return R_FAIL;
    if (part->child == NULL || m->found)
        return R_OK;
    uint64_t last = part->last->body.at + part->last->body.size;
    if (sieve_read(r, last, end - last, &text) != R_OK)
        return R_FAIL;
    return sieve_match_feed(m, without_line(without_line(text)));
}

static enum result
feed_part(struct sieve_run *r, const struct mime_part *part, struct sieve_matching *m)
{
    struct span text;
    if (part->kind == MIME_KIND_MULTIPART)
        return feed_multipart(r, part, m);
    if (part->kind == MIME_KIND_MESSAGE && part->child) {
        if (sieve_read(r, part->child->header.at, part->child->header.size, &text) != R_OK)
            return R_FAIL;
    } else if (sieve_part_decoded(r, part, &text) != R_OK) {
        return R_FAIL;
    }
    return sieve_match_feed(m, text);
}

static enum result
feed_text(struct sieve_run *r, const struct mime_part *part, struct sieve_matching *m)
{
    struct span text;
    struct buf b;
    if (part->kind != MIME_KIND_LEAF || !is_type(part, SPAN("text"), SPAN_NONE))
        return R_OK;
    if (sieve_part_decoded(r, part, &text) != R_OK)
        return R_FAIL;
    if (is_type(part, SPAN("text"), SPAN("html"))) {
        buf_init(&b, text.n * 2 + 1024);
        mime_html_text(&b, text);
        if (sieve_work(r, text.n / 4) != R_OK || sieve_take(r, &b, &text) != R_OK) {
            buf_done(&b);
            return R_FAIL;
        }
    }
    return sieve_match_feed(m, text);
}

static bool
has_body(struct sieve_run *r)
{
    const struct sieve_message *m = sieve_message(r);
    struct span h = m->header;
    return sieve_part_root(r) != m->root || m->size > m->root->header.size ||
           span_ends(h, SPAN("\n\n")) || span_ends(h, SPAN("\n\r\n")) ||
           span_eq(h, SPAN("\n")) || span_eq(h, SPAN("\r\n"));
}

static enum result
feed_raw(struct sieve_run *r, struct sieve_matching *m)
{
    const struct sieve_message *now = sieve_message(r);
    const struct mime_part *root = sieve_part_root(r);
    bool whole = root == now->root;
    uint64_t at = whole ? root->header.size : root->body.at;
    struct span text;
    if (sieve_read(r, at, whole ? now->size - at : root->body.size, &text) != R_OK)
        return R_FAIL;
    return sieve_match_feed(m, text);
}

static enum result
body(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct sieve_matching m;
    struct span *types = NULL;
    const struct sieve_value *content = sieve_tag(call, "content");
    const struct mime_part *root = sieve_part_root(r);
    if (sieve_match_begin(&m, r, call, &call->position[0]) != R_OK ||
        (content && sieve_texts(r, content, &types) != R_OK))
        return R_FAIL;
    m.is_silent = true;
    if (!has_body(r))
        return sieve_match_end(&m, yes);
    if (sieve_tag(call, "raw"))
        return feed_raw(r, &m) == R_OK ? sieve_match_end(&m, yes) : R_FAIL;
    enum result result = R_OK;
    for (const struct mime_part *p = root; result == R_OK && p && !m.found;
         p = sieve_part_after(p, root)) {
        struct arena *before = sieve_scratch_begin(r);  // one text at a time
        result = sieve_work(r, 4);
        if (result == R_OK && content && is_wanted(p, types, content->n))
            result = feed_part(r, p, &m);
        else if (result == R_OK && !content)
            result = feed_text(r, p, &m);
        sieve_scratch_end(r, before);
    }
    return result == R_OK ? sieve_match_end(&m, yes) : R_FAIL;
}

static const struct sieve_command commands[] = {
    {"body", SIEVE_TEST, "l", .matches = true, .test = body,
     .tags = {{"raw", 0, "transform"},
              {"text", 0, "transform"},
              {"content", 'l', "transform"}}},
    {0},
};

const struct sieve_ext sieve_ext_body = {
    .capability = "body", .rfc = "RFC 5173", .commands = commands};
