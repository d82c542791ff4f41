// The text index: a text and a needle agree with memmem, also folded by COLLATION_FUZZY; a segment that is damaged under right
// checksums, its filter too, gives a fault or something harmless, never a crash.

#include "mime/charset.h"
#include "search/text_pages.h"
#include "store/embedded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store *store;

// Documents first .. end - 1, each with less of the text.
static void
put_segment(struct text_index *ti, struct span text, uint64_t first, uint64_t end)
{
    struct text_builder *b = text_builder_new();
    struct mime_text_sink sink = text_builder_sink(b);
    struct fault f;
    for (uint64_t i = first; i < end; i++) {
        text_builder_begin(b, i);
        sink.begin(sink.arg, 0, MIME_ZONE_BODY);
        sink.feed(sink.arg, 0, span_slice(text, 0, text.n / (size_t)i));
        sink.end(sink.arg, 0);
        text_builder_end(b, 0);
    }
    must(text_index_put(ti, b, &f) == R_OK);
    text_builder_free(&b);
}

static void
put(struct span text)
{
    struct text_index *ti;
    struct fault f;
    must(derived_clear(store, 1, &f) == R_OK && text_index_open(store, 1, &ti, &f) == R_OK);
    put_segment(ti, text, 1, 4);
    put_segment(ti, text, 4, 6);
    text_index_close(&ti);
}

// Without a text to compare with: what is damaged.
static void
find(struct text_index *ti, struct text_lookup l, const struct span *text)
{
    struct text_found *found;
    struct fault f;
    if (text_index_find(ti, &l, 1, &found, &f) != R_OK) {
        must(!text);
        return;
    }
    enum text_answer a = text_found_of(found, 0, 1);
    bool want = text && span_find(*text, l.needle) < text->n;
    must(!text || a == TEXT_MAYBE || a == (want ? TEXT_YES : TEXT_NO));
    text_found_free(&found);
}

// Of two segments, and of what they become.
static void
ask(struct text_lookup l, const struct span *text)
{
    struct text_index *ti;
    struct fault f;
    if (text_index_open(store, 1, &ti, &f) != R_OK) {
        must(!text);
        return;
    }
    find(ti, l, text);
    enum result r = text_index_merge(ti, &(struct text_merge_wish){.all = true}, &f);
    must(!text || r == R_OK);
    if (r == R_OK)
        find(ti, l, text);
    text_index_close(&ti);
}

// Changes octets as the data says, two for the place and one for the octet, and makes the sums right.
static void
damage(const char *name, bool lists, struct span edits)
{
    struct derived *d;
    struct derived_writer *w;
    struct fault f;
    must(derived_open(store, 1, span_str(name), &d, &f) == R_OK);
    size_t n = (size_t)derived_size(d);
    char *p = calloc(1, n + 1);
    must(p != NULL && derived_read(d, 0, p, n, &f) == R_OK);
    derived_close(&d);
    for (; n > 0 && edits.n >= 3; edits = span_skip(edits, 3))
        p[((size_t)(unsigned char)edits.p[0] << 8 | (unsigned char)edits.p[1]) * 3 % n] ^=
            edits.p[2];
    for (size_t page = 0; page < n / TEXT_PAGE; page++) {
        uint64_t sum = text_page_sum(p + page * TEXT_PAGE, text_page_salt(1, lists), page);
        memcpy(p + page * TEXT_PAGE + TEXT_PAGE_DATA, &sum, sizeof sum);
    }
    must(derived_create(store, 1, span_str(name), &w, &f) == R_OK &&
         derived_append(w, span_of(p, n), &f) == R_OK && derived_commit(&w, &f) == R_OK);
    free(p);
}

// Mail and needles are UTF-8 when they are folded.
static void
fold(struct buf *out, struct span octets)
{
    struct buf clean;
    buf_init(&clean, 1 << 24);
    mime_utf8_clean(&clean, octets);
    mime_fold(out, buf_span(&clean));
    buf_done(&clean);
}

static void
ask_fuzzy(struct span needle, struct span text)
{
    struct buf fuzzy_needle, fuzzy_text;
    buf_init(&fuzzy_needle, 1 << 20);
    buf_init(&fuzzy_text, 1 << 24);
    mime_fold_as(&fuzzy_needle, COLLATION_FUZZY, needle);
    mime_fold_as(&fuzzy_text, COLLATION_FUZZY, text);
    struct span all = buf_span(&fuzzy_text);
    if (fuzzy_needle.n > 0)
        ask((struct text_lookup){buf_span(&fuzzy_needle), MIME_ZONES, true}, &all);
    buf_done(&fuzzy_needle);
    buf_done(&fuzzy_text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_options o = {.engine = "mem", .path = "", .codec = "identity"};
    struct fault f;
    struct buf folded, needle;
    if (!store && store_open(&o, &store, &f) != R_OK)
        must(false);
    if (size < 4)
        return 0;
    buf_init(&folded, 1 << 24);
    buf_init(&needle, 1 << 20);
    size_t n = data[0] % 64 < size - 1 ? data[0] % 64 : size - 1;
    fold(&needle, span_of(data + 1, n));
    fold(&folded, span_of(data + 1 + n / 2, size - 1 - n / 2));
    struct span text = buf_span(&folded);
    put(text);
    if (needle.n > 0)
        ask((struct text_lookup){buf_span(&needle), MIME_ZONES, false}, &text);
    ask_fuzzy(buf_span(&needle), text);
    put(SPAN("SOME WORDS AND, OTHER WORDS\r\nAND 12 MORE U\xCC\x88"
             "BER"));
    damage(data[0] & 64 ? "00000001-t" : "00000001-l", !(data[0] & 64),
           span_of(data + 1, size - 1));
    ask((struct text_lookup){data[0] & 128 ? SPAN("WORD") : SPAN("S AN"), MIME_ZONES,
                             data[0] & 32},
        NULL);
    buf_done(&folded);
    buf_done(&needle);
    return 0;
}
