// Texts that are looked for, tabs between them, and, behind the first line feed, where: each is found exactly where all of that,
// folded, has it (of HTML the source, or what it shows), in whatever pieces it comes. The first octet chooses the collation, and
// whether it is a text, HTML or a header. What HTML may not show is not in what it shows.
#include "base/limits.h"
#include "mime/encoded_word.h"
#include "mime/header.h"
#include "mime/html.h"
#include "mime/shown.h"
#include "mime/text.h"
#include "mime/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NEEDLE_MAX = 600, NEEDLES = 12 };

static bool
is_in(struct span text, struct span needle, enum collation collation)
{
    struct buf all, part;
    buf_init(&all, SIZE_MAX);
    buf_init(&part, SIZE_MAX);
    mime_fold_as(&all, collation, text);
    mime_fold_as(&part, collation, needle);
    bool found = part.n == 0 || span_find(buf_span(&all), buf_span(&part)) < all.n;
    buf_done(&all);
    buf_done(&part);
    return found;
}

// What is looked for: several, with tabs between them.
struct wanted {
    struct span needles[NEEDLES];
    size_t n;
    enum collation collation;
};

static void
feed(struct mime_text_search *s, const char *subtype, struct span text, size_t step)
{
    const struct mime_index_part part = {
        .type = SPAN("text"), .subtype = span_str(subtype), .charset = SPAN("utf-8")};
    mime_text_begin(s, &part);
    for (; text.n > 0; text = span_skip(text, step))
        mime_text_feed(s, span_slice(text, 0, step));
    mime_text_end(s);
}

static void
part(const char *subtype, struct span text, struct span shown, const struct wanted *w)
{
    struct mime_text_search *s = mime_text_search_new(w->needles, w->n, w->collation);
    const size_t steps[] = {text.n + 1, 1, 1 + text.n % 601};
    mime_text_keep(s, true);
    for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
        mime_text_reset(s);
        feed(s, subtype, text, steps[k]);
        for (size_t i = 0; i < w->n; i++)
            must(mime_text_found(s, i) == (is_in(text, w->needles[i], w->collation) ||
                                           is_in(shown, w->needles[i], w->collation)));
    }
    mime_text_keep(s, false);
    mime_text_search_free(&s);
}

static void
html(struct span page, const struct wanted *w)
{
    struct span needle = w->needles[0];
    enum collation collation = w->collation;
    struct mime_shown m;
    struct buf folded, shown, pieces;
    struct mime_html *h = mime_html_new();
    buf_init(&folded, SIZE_MAX);
    buf_init(&shown, SIZE_MAX);
    buf_init(&pieces, SIZE_MAX);
    mime_html_text(&shown, page);
    for (size_t i = 0; i < page.n; i++)
        mime_html_feed(h, span_slice(page, i, i + 1), &pieces);
    mime_html_end(h, &pieces);
    must(span_eq(buf_span(&shown), buf_span(&pieces)));
    must(mime_utf8_valid(buf_span(&shown)));
    mime_fold_as(&folded, collation, needle);
    mime_shown_init(&m, buf_span(&folded), collation);
    mime_shown_begin(&m);
    bool may = mime_shown_feed(&m, page);
    must(may || !is_in(buf_span(&shown), needle, collation));
    mime_shown_done(&m);
    part("html", page, buf_span(&shown), w);
    mime_html_free(&h);
    buf_done(&folded);
    buf_done(&shown);
    buf_done(&pieces);
}

static bool
is_in_field(struct span name, struct span raw, struct span needle, enum collation c)
{
    struct buf value, text;
    buf_init(&value, SIZE_MAX);
    buf_init(&text, SIZE_MAX);
    if (name.p) {
        mime_utf8_clean(&text, name);
        buf_put_str(&text, ": ");
    }
    mime_header_unfold(&value, raw);
    mime_decode_words(&text, buf_span(&value));
    bool found = is_in(buf_span(&text), needle, c);
    buf_done(&value);
    buf_done(&text);
    return found;
}

static bool
is_in_fields(struct span block, struct span needle, enum collation collation)
{
    struct mime_header_iter it = mime_header_begin(block);
    struct mime_header header;
    bool found = needle.n == 0;
    while (!found && mime_header_next(&it, &header) == R_OK)
        found = is_in_field(header.name, header.value, needle, collation);
    return found;
}

static void
header(struct span block, const struct wanted *w)
{
    struct mime_text_search *s = mime_text_search_new(w->needles, w->n, w->collation);
    bool may = mime_text_may_have(s, block), any = false;
    mime_text_header(s, block);
    for (size_t i = 0; i < w->n; i++) {
        bool want = is_in_fields(block, w->needles[i], w->collation);
        must(mime_text_found(s, i) == want);
        any |= want && w->needles[i].n > 0;
    }
    must(may || !any);
    mime_text_reset(s);
    mime_text_value(s, block);
    for (size_t i = 0; i < w->n; i++)
        must(mime_text_found(s, i) ==
             is_in_field(SPAN_NONE, block, w->needles[i], w->collation));
    mime_text_search_free(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size), rest = span_skip(in, 1), words;
    size_t end = span_find_char(rest, '\n');
    struct wanted w = {.collation = size > 0 ? (enum collation)(data[0] & 3) : 0};
    unsigned what = size > 0 ? data[0] >> 2 : 0;
    struct buf needles, text;
    buf_init(&needles, (size_t)4 * NEEDLE_MAX);
    buf_init(&text, SIZE_MAX);
    mime_utf8_clean(&needles, span_slice(rest, 0, end < NEEDLE_MAX ? end : NEEDLE_MAX));
    mime_utf8_clean(&text, span_skip(rest, end + 1));
    words = needles.n > 0 ? buf_span(&needles) : SPAN("");
    while (w.n < NEEDLES && span_next_field(&words, '\t', &w.needles[w.n]) == R_OK)
        w.n++;
    if (what % 3 == 0)
        part("plain", buf_span(&text), buf_span(&text), &w);
    else if (what % 3 == 1)
        html(buf_span(&text), &w);
    else
        header(span_skip(rest, end + 1), &w);
    buf_done(&needles);
    buf_done(&text);
    return 0;
}
