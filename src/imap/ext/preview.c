// RFC 8970: PREVIEW, and its names before it was an RFC (PREVIEW (FUZZY), SNIPPET), which are answered in their own form.
#include "imap/preview.h"

#include "imap/fetch.h"

#include "base/clock.h"
#include "base/limits.h"
#include "mime/preview.h"
#include "wire/quote.h"

#include <stdatomic.h>

enum preview_form { PREVIEW_LAZY = 1, PREVIEW_FUZZY = 2, PREVIEW_SNIPPET = 4 };
enum { PREVIEW_ROOM = 4096 };

static atomic_bool always_late;

void
imap_preview_late(bool late)
{
    always_late = late;
}

static const struct {
    const char *word;
    uint32_t forms;
} modifiers[] = {
    {"LAZY", PREVIEW_LAZY},
    {"FUZZY", PREVIEW_FUZZY},
    {"LAZY=FUZZY", PREVIEW_LAZY | PREVIEW_FUZZY},
};

// 0 when it is none.
static uint32_t
modifier(struct span word)
{
    for (size_t i = 0; i < sizeof modifiers / sizeof modifiers[0]; i++)
        if (span_ieq(word, span_str(modifiers[i].word)))
            return modifiers[i].forms;
    return 0;
}

// " (LAZY)", and not the modifiers of FETCH itself.
static bool
has_modifiers(const struct parse *p)
{
    struct span rest = span_skip(p->in, p->at);
    if (!span_starts(rest, SPAN(" (")))
        return false;
    rest = span_skip(rest, 2);
    size_t end = span_find_char(rest, ')'), space = span_find_char(rest, ' ');
    return modifier(span_slice(rest, 0, end < space ? end : space)) != 0;
}

static void
parse_preview(struct parse *p, struct imap_fetch_want *w)
{
    if (p->bad || !has_modifiers(p))
        return;
    parse_sp(p);
    parse_list_open(p);
    while (parse_list_next(p)) {
        uint32_t forms = modifier(parse_atom(p));
        if (forms == 0)
            parse_fail(p, "unknown modifier of PREVIEW");
        w->value |= forms;
    }
}

static enum result
put_part(struct imap_fetch_run *run, const struct mime_index_part *part, uint64_t *left,
         struct buf *out, struct fault *f)
{
    size_t n = part->body.size < *left ? (size_t)part->body.size : (size_t)*left;
    if (n == 0)
        return R_OK;
    char *raw = arena_alloc(run->scratch, n);
    *left -= n;
    if (message_read(run->mail, &run->message->row, part->body.at, n, raw, f) != R_OK)
        return R_FAIL;
    mime_preview_put(out, part, span_of(raw, n));
    return R_OK;
}

typedef bool wanted_fn(const struct mime_index_part *part);

// The first part of this kind that has something to show; messages inside the message apart.
static enum result
put_first(struct imap_fetch_run *run, wanted_fn *wanted, uint64_t *left, struct buf *out,
          struct fault *f)
{
    struct mime_index_iter it;
    struct mime_index_part part;
    uint32_t nested = UINT32_MAX;  // the depth of a message inside
    enum result r = mime_index_begin(&it, run->cache.index, f);
    while (r == R_OK && out->n == 0 && (r = mime_index_next(&it, &part, f)) == R_OK) {
        if (part.depth > nested)
            continue;
        nested = part.kind == MIME_KIND_MESSAGE ? part.depth : UINT32_MAX;
        if (wanted(&part))
            r = put_part(run, &part, left, out, f);
    }
    return r == R_FAIL ? R_FAIL : R_OK;
}

static enum result
make(struct imap_fetch_run *run, struct buf *out, struct fault *f)
{
    uint64_t left = LIMIT_preview_octets, began = clock_mono_ms();
    enum result r = put_first(run, mime_preview_plain, &left, out, f);
    if (r == R_OK && out->n == 0)
        r = put_first(run, mime_preview_html, &left, out, f);
    run->preview_ms += clock_mono_ms() - began;
    return r;
}

// LAZY: NIL when previews have taken their time (section 4.1).
static enum result
put_preview(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    struct buf out;
    bool lazy = w->value & PREVIEW_LAZY, old = w->value & (PREVIEW_FUZZY | PREVIEW_SNIPPET);
    bool late = lazy && (always_late || run->preview_ms > LIMIT_preview_lazy_ms);
    buf_init(&out, PREVIEW_ROOM);
    if (!late && make(run, &out, f) != R_OK) {
        buf_done(&out);
        return R_FAIL;
    }
    buf_put_str(run->line, w->value & PREVIEW_SNIPPET ? "SNIPPET " : "PREVIEW ");
    buf_put_str(run->line, old ? "(FUZZY " : "");
    quote_nstring(run->line, late ? SPAN_NONE : span_of(out.n > 0 ? out.p : "", out.n),
                  imap_utf8(run->session));
    buf_put_str(run->line, old ? ")" : "");
    buf_done(&out);
    return R_OK;
}

static const struct imap_fetch_item preview = {FETCH_CACHE | FETCH_BODY, parse_preview,
                                               put_preview};

static const struct imap_word words[] = {
    {SLOT_FETCH, "PREVIEW", 0, {.fetch = &preview}},
    {SLOT_FETCH, "SNIPPET", PREVIEW_SNIPPET, {.fetch = &preview}},
    {0},
};

const struct imap_ext imap_ext_preview = {
    .name = "preview",
    .rfc = "RFC 8970",
    .capability = "PREVIEW",
    .words = words,
};
