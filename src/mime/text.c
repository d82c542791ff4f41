#include "mime/text.h"
#include "base/limits.h"
#include "mime/charset.h"
#include "mime/encoded_word.h"
#include "mime/header.h"
#include "mime/transfer.h"

// One slice of raw octets on its way; folding makes at most 11 octets of one (U+FDFA).
enum { SLICE = 4096, SLICE_DECODED = SLICE * 8 + 256, FOLD_GROWTH = 16 };

struct needle {
    struct span text;  // folded
    bool found;
};

struct mime_text_search {
    struct needle *needles;
    size_t n, missing;
    size_t longest;
    struct buf folded_needles;

    struct mime_decoder decoder;
    struct mime_charset *charset;  // NULL between parts
    struct buf octets, utf8;       // one slice on its way
    struct buf window;  // folded text: what was searched but its end, and what was not
    size_t searched;    // octets of the window that were searched
};

static void
set_needles(struct mime_text_search *s, const struct span *needles, size_t n)
{
    size_t *ends = calloc(n + 1, sizeof(*ends));

    must(ends != NULL);
    for (size_t i = 0; i < n; i++) {
        mime_fold(&s->folded_needles, needles[i]);
        ends[i + 1] = s->folded_needles.n;
    }
    must(!s->folded_needles.over);
    for (size_t i = 0; i < n; i++) {
        s->needles[i].text = span_slice(buf_span(&s->folded_needles), ends[i], ends[i + 1]);
        if (s->needles[i].text.n > s->longest)
            s->longest = s->needles[i].text.n;
    }
    free(ends);
}

struct mime_text_search *
mime_text_search_new(const struct span *needles, size_t n)
{
    struct mime_text_search *s = calloc(1, sizeof(*s));

    must(s != NULL && n <= LIMIT_search_keys);
    s->n = n;
    s->needles = calloc(n + 1, sizeof(*s->needles));
    must(s->needles != NULL);
    buf_init(&s->folded_needles, (size_t)LIMIT_command * FOLD_GROWTH);
    buf_init(&s->octets, SLICE_DECODED);
    buf_init(&s->utf8, (size_t)SLICE_DECODED * 4);
    set_needles(s, needles, n);
    buf_init(&s->window, 2 * s->longest + (size_t)SLICE_DECODED * 4 * FOLD_GROWTH);
    mime_text_reset(s);
    return s;
}

void
mime_text_search_free(struct mime_text_search **s)
{
    if (!*s)
        return;
    mime_charset_free(&(*s)->charset);
    buf_done(&(*s)->folded_needles);
    buf_done(&(*s)->octets);
    buf_done(&(*s)->utf8);
    buf_done(&(*s)->window);
    free((*s)->needles);
    free(*s);
    *s = NULL;
}

void
mime_text_reset(struct mime_text_search *s)
{
    s->missing = s->n;
    for (size_t i = 0; i < s->n; i++) {
        s->needles[i].found = s->needles[i].text.n == 0;
        s->missing -= s->needles[i].found;
    }
}

bool
mime_text_found(const struct mime_text_search *s, size_t needle)
{
    return s->needles[needle].found;
}

bool
mime_text_found_all(const struct mime_text_search *s)
{
    return s->missing == 0;
}

bool
mime_text_searchable(const struct mime_index_part *part)
{
    bool text = span_eq(part->type, SPAN("text")) || span_eq(part->type, SPAN("message"));

    return part->kind == MIME_KIND_LEAF && text;
}

// The window

static void
search_in(struct mime_text_search *s, struct span text)
{
    for (size_t i = 0; i < s->n && s->missing > 0; i++) {
        struct needle *needle = &s->needles[i];
        if (needle->found || needle->text.n > text.n)
            continue;
        if (memmem(text.p, text.n, needle->text.p, needle->text.n)) {
            needle->found = true;
            s->missing--;
        }
    }
}

// Searches when enough has come in that each octet is looked at a bounded number of times.
static void
search_window(struct mime_text_search *s, bool end)
{
    size_t fresh = s->window.n - s->searched;
    size_t enough = s->longest > SLICE ? s->longest : SLICE;

    if (!end && fresh < enough)
        return;
    search_in(s, buf_span(&s->window));
    size_t keep = s->longest > 0 ? s->longest - 1 : 0;
    if (end)
        keep = 0;
    if (s->window.n > keep)
        buf_consume(&s->window, s->window.n - keep);
    s->searched = s->window.n;
}

// Bodies

void
mime_text_begin(struct mime_text_search *s, const struct mime_index_part *part)
{
    s->decoder = mime_decoder_of(part->encoding, true);
    mime_charset_free(&s->charset);
    if (mime_charset_open(part->charset, &s->charset) != R_OK)
        must(mime_charset_open(SPAN("utf-8"), &s->charset) == R_OK);
    buf_reset(&s->window);
    s->searched = 0;
}

static void
pass_on(struct mime_text_search *s, bool end)
{
    mime_charset_feed(s->charset, buf_span(&s->octets), &s->utf8);
    if (end)
        mime_charset_end(s->charset, &s->utf8);
    mime_fold(&s->window, buf_span(&s->utf8));
    buf_reset(&s->octets);
    buf_reset(&s->utf8);
    search_window(s, end);
}

void
mime_text_feed(struct mime_text_search *s, struct span raw)
{
    struct fault f;

    while (raw.n > 0 && s->missing > 0) {
        struct span slice = span_slice(raw, 0, SLICE);
        raw = span_skip(raw, slice.n);
        must(mime_decoder_feed(&s->decoder, slice, &s->octets, &f) == R_OK);
        pass_on(s, false);
    }
}

void
mime_text_end(struct mime_text_search *s)
{
    struct fault f;

    if (s->missing > 0) {
        must(mime_decoder_end(&s->decoder, &s->octets, &f) == R_OK);
        pass_on(s, true);
    }
    mime_charset_free(&s->charset);
    buf_done(&s->window);
}

// Headers

static void
search_field(struct mime_text_search *s, struct span name, struct span raw_value)
{
    struct buf unfolded, decoded, folded;

    buf_init(&unfolded, LIMIT_mime_header);
    buf_init(&decoded, (size_t)LIMIT_mime_header * 4);
    buf_init(&folded, (size_t)LIMIT_mime_header * 4 * FOLD_GROWTH);
    if (name.p) {
        mime_utf8_clean(&decoded, span_slice(name, 0, LIMIT_mime_header));
        buf_put(&decoded, SPAN(": "));
    }
    mime_header_unfold(&unfolded, span_slice(raw_value, 0, LIMIT_mime_header));
    mime_decode_words(&decoded, buf_span(&unfolded));
    mime_fold(&folded, buf_span(&decoded));
    search_in(s, buf_span(&folded));
    buf_done(&unfolded);
    buf_done(&decoded);
    buf_done(&folded);
}

void
mime_text_header(struct mime_text_search *s, struct span block)
{
    struct mime_header_iter it = mime_header_begin(block);
    struct mime_header header;

    while (s->missing > 0 && mime_header_next(&it, &header) == R_OK)
        search_field(s, header.name, header.value);
}

void
mime_text_value(struct mime_text_search *s, struct span raw_value)
{
    if (s->missing > 0)
        search_field(s, SPAN_NONE, raw_value);
}
