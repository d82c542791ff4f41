// The text index: a message that is too large for it, and words of all sizes about the windows.

#include "base/limits.h"
#include "base/utf8.h"
#include "mime/charset.h"
#include "search/text_filter.h"
#include "search/text_inside.h"
#include "store/derived.h"
#include "store/scene.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "search/text_scene.h"

static void
index_text(struct text_builder *b, uint64_t emailid, enum mime_zone zone, const char *text)
{
    struct mime_text_sink sink = text_builder_sink(b);
    struct mime_streams *streams = mime_streams_new(&sink);
    text_builder_begin(b, emailid);
    mime_streams_text_begin(streams, zone);
    mime_streams_text_feed(streams, span_str(text));
    mime_streams_text_end(streams);
    text_builder_end(b, 0);
    mime_streams_free(&streams);
}

// One message of nothing but different words: memory is bounded, and the index does not say NO.
static void
test_large_document(void **state)
{
    (void)state;
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    struct text_index *ti = open_index(s);
    struct text_builder *b = text_builder_new();
    struct mime_text_sink sink = text_builder_sink(b);
    struct text_found *found;
    struct fault f;
    text_builder_begin(b, 1);
    sink.begin(sink.arg, 0, MIME_ZONE_BODY);
    for (unsigned i = 0; i < 1000000; i++) {
        char word[32];
        int n = snprintf(word, sizeof word, "W%uX%u ", i, i * 2654435761u);
        sink.feed(sink.arg, 0, span_of(word, (size_t)n));
    }
    sink.end(sink.arg, 0);
    text_builder_end(b, 0);
    assert_true(text_builder_octets(b) < 8 * (size_t)LIMIT_text_document);
    index_text(b, 2, MIME_ZONE_BODY, "small");
    must_ok(text_index_put(ti, b, &f), &f);
    struct text_lookup l[] = {{SPAN("W999999"), MIME_ZONES, false},
                              {SPAN("SMALL"), MIME_ZONES, false}};
    must_ok(text_index_find(ti, l, 2, &found, &f), &f);
    assert_int_equal(text_found_of(found, 0, 1), TEXT_MAYBE);
    assert_int_equal(text_found_of(found, 1, 2), TEXT_YES);
    assert_int_equal(text_found_of(found, 0, 2), TEXT_NO);
    text_found_free(&found);
    text_builder_free(&b);
    text_index_close(&ti);
    store_close(&s);
}

// Words and gaps of every size about the windows', and every piece of the text that has a border of them: none is missed, and what is
// not there is not found.
static void
check_pieces(struct text_index *ti, struct span text, size_t from)
{
    enum { LOT = 64 };
    struct text_lookup l[LOT];
    struct text_found *found;
    struct fault f;
    size_t n = 0;
    for (size_t end = from + 1; end <= text.n; end++) {
        if (end < text.n && ((unsigned char)text.p[end] & 0xC0) == 0x80)
            continue;
        l[n++] = (struct text_lookup){span_slice(text, from, end), MIME_ZONES, false};
        if (n < LOT && end < text.n)
            continue;
        must_ok(text_index_find(ti, l, n, &found, &f), &f);
        for (size_t i = 0; i < n; i++)
            if (text_found_of(found, i, 1) < TEXT_MAYBE)
                fail_msg("\"%.*s\" of \"%.*s\"", SPAN_ARG(l[i].needle), SPAN_ARG(text));
        text_found_free(&found);
        n = 0;
    }
}

static void
put_run(struct buf *b, const char *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_put_char(b, from[i % strlen(from)]);
}

static void
check_sizes(struct store *s, size_t word, const char *signs, size_t gap)
{
    struct text_index *ti;
    struct text_builder *b = text_builder_new();
    struct buf text;
    struct fault f;
    must_ok(derived_clear(s, ACCOUNT, &f), &f);
    ti = open_index(s);
    buf_init(&text, 1000);
    buf_put(&text, SPAN("XY "));
    put_run(&text, "ABCDEFGHIJKLMNOPQRSTUVW0123456789", word);
    put_run(&text, signs, gap);
    put_run(&text, "9Z8Y7X6W5V4U3T2S1R0Q", word);
    buf_put(&text, SPAN("\xE6\x97\xA5\xE6\x9C\xAC\xE3\x80\x82 Z"));
    buf_put_char(&text, '\0');
    index_text(b, 1, MIME_ZONE_BODY, text.p);
    must_ok(text_index_put(ti, b, &f), &f);
    text.n--;
    for (size_t from = 0; from < text.n; from += 1 + from % 3)
        if (((unsigned char)text.p[from] & 0xC0) != 0x80)
            check_pieces(ti, buf_span(&text), from);
    buf_done(&text);
    text_builder_free(&b);
    text_index_close(&ti);
}

static void
test_sizes(void **state)
{
    (void)state;
    static const char signs[] = "-=+*/.,;:!";
    static const size_t words[] = {1,  2,  3,  14, 15, 16, 17, 18, 31,
                                   32, 33, 47, 48, 49, 50, 64, 65, 80};
    static const size_t gaps[] = {1, 2, 8, 9, 10, 15, 16, 17, 18, 24, 25, 33};
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        check_sizes(s, words[i], i % 2 ? " " : signs, 1);
    for (size_t i = 0; i < sizeof gaps / sizeof gaps[0]; i++)
        check_sizes(s, 4, signs, gaps[i]);
    for (size_t word = PAIR_EDGE - 1; word < PAIR_EDGE + 2; word++)
        check_sizes(s, word, " ", 1);
    store_close(&s);
}

// Two words with a blank between them are found without a look at the message.
static void
test_phrases(void **state)
{
    (void)state;
    static const struct {
        const char *needle;
        enum text_answer answers[4];
    } rows[] = {
        {"OF THE", {TEXT_YES, TEXT_YES, TEXT_NO, TEXT_NO}},
        {"PLEASE CONTACT", {TEXT_YES, TEXT_NO, TEXT_NO, TEXT_NO}},
        {"EASE CONT", {TEXT_YES, TEXT_YES, TEXT_NO, TEXT_NO}},
        {"PLEASE CONTACT US", {TEXT_MAYBE, TEXT_NO, TEXT_NO, TEXT_NO}},
        {"CONTACT OF THE", {TEXT_NO, TEXT_MAYBE, TEXT_NO, TEXT_NO}},
        {"OF, THE", {TEXT_NO, TEXT_NO, TEXT_MAYBE, TEXT_NO}},
        {"OF  THE", {TEXT_NO, TEXT_NO, TEXT_NO, TEXT_MAYBE}},
        {"THE INTERNATIONALLY", {TEXT_NO, TEXT_NO, TEXT_NO, TEXT_YES}},
        {"INTERNATIONALLY INTERNATIONALISED", {TEXT_NO, TEXT_NO, TEXT_NO, TEXT_MAYBE}},
        {" CONTACT", {TEXT_MAYBE, TEXT_MAYBE, TEXT_MAYBE, TEXT_MAYBE}},
        {"CONTACT ", {TEXT_MAYBE, TEXT_MAYBE, TEXT_MAYBE, TEXT_NO}},
    };
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    struct text_index *ti = open_index(s);
    struct text_builder *b = text_builder_new();
    struct text_found *found;
    struct fault f;
    index_text(b, 1, MIME_ZONE_BODY, "of the please contact us");
    index_text(b, 2, MIME_ZONE_BODY, "proof then, disease contact of the");
    index_text(b, 3, MIME_ZONE_BODY, "of, the contact , please");
    index_text(b, 4, MIME_ZONE_BODY,
               "of  the internationally internationalised contacts. contact");
    must_ok(text_index_put(ti, b, &f), &f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct text_lookup l = {span_str(rows[i].needle), MIME_ZONES, false};
        must_ok(text_index_find(ti, &l, 1, &found, &f), &f);
        for (size_t d = 0; d < 4; d++)
            if (text_found_of(found, 0, d + 1) != rows[i].answers[d])
                fail_msg("\"%s\" in document %zu: %d", rows[i].needle, d + 1,
                         text_found_of(found, 0, d + 1));
        text_found_free(&found);
    }
    text_builder_free(&b);
    text_index_close(&ti);
    store_close(&s);
}

// A run of ideographs that is longer than what is looked at at once, up to a blank: its junction has as much of it as any other's.
static void
check_long_run(struct store *s, size_t ideographs)
{
    struct text_builder *b = text_builder_new();
    struct buf text;
    struct fault f;
    must_ok(derived_clear(s, ACCOUNT, &f), &f);
    struct text_index *ti = open_index(s);
    buf_init(&text, 10000);
    for (size_t i = 0; i < ideographs; i++)
        buf_put(&text, i % 3 > 0 ? SPAN("\xE6\x97\xA5") : SPAN("\xE6\x9C\xAC"));
    size_t from = text.n - 21;
    buf_put(&text, SPAN(" ABC"));
    buf_put_char(&text, '\0');
    index_text(b, 1, MIME_ZONE_BODY, text.p);
    must_ok(text_index_put(ti, b, &f), &f);
    text.n--;
    for (; from < text.n - 4; from += 3)
        check_pieces(ti, buf_span(&text), from);
    buf_done(&text);
    text_builder_free(&b);
    text_index_close(&ti);
}

static void
test_long_runs(void **state)
{
    (void)state;
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    for (size_t n = TEXT_ROOM / 3 - 6; n < TEXT_ROOM / 3 + 12; n++)
        check_long_run(s, n);
    store_close(&s);
}

// Words that share any number of octets with the one before are spelled as they were.
static void
test_spelled(void **state)
{
    (void)state;
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    struct text_index *ti = open_index(s);
    struct text_builder *b = text_builder_new();
    struct text_page *page = calloc(1, sizeof *page);
    struct buf text;
    struct fault f;
    must(page != NULL);
    buf_init(&text, 10000);
    for (int n = 1; n <= TERM_MAX; n++)
        buf_printf(&text, "%.*s,%.*sZZ%.*s,", n, letters, n < 31 ? n : 0, letters,
                   n < 31 ? 30 - n : 0, letters + 2);
    buf_put_char(&text, '\0');
    index_text(b, 1, MIME_ZONE_BODY, text.p);
    must_ok(text_index_put(ti, b, &f), &f);
    assert_int_equal(ti->segments[0]->pages[TEXT_WORD], 1);
    must_ok(text_page_load(ti->segments[0], TEXT_WORD, 0, page, &f), &f);
    must_ok(text_page_spell(ti->segments[0], page, &f), &f);
    struct span rest = span_of(text.p, text.n - 1), word, before = SPAN_NONE;
    while (span_next_field(&rest, ',', &word) == R_OK && word.n > 0) {
        char term[TERM_MAX + 2] = {(char)TEXT_DELIMITER};
        memcpy(term + 1, word.p, word.n);
        term[word.n + 1] = (char)TEXT_DELIMITER;
        assert_true(span_find(page->text, span_of(term, word.n + 2)) < page->text.n);
    }
    rest = span_skip(page->text, 1);
    for (; rest.n > 0 && span_next_field(&rest, (char)TEXT_DELIMITER, &word) == R_OK &&
           word.n > 0;
         before = word)
        assert_true(!before.p || text_term_compare(before, word) < 0);
    buf_done(&text);
    free(page);
    text_builder_free(&b);
    text_index_close(&ti);
    store_close(&s);
}

// ---- more pages than one filter is of ----

enum { MANY = 1500000, MANY_DOCUMENTS = 1000 };

static struct span
many_term(char room[64], unsigned i)
{
    int n = snprintf(room, 64, "%08X%08XZ%08X", i, i * 2654435761u, i * 40503u);
    return span_of(room, (size_t)n);
}

static void
write_many(struct store *s)
{
    struct text_writer *w;
    struct text_document documents[MANY_DOCUMENTS];
    struct text_made made = {.documents = documents, .n = MANY_DOCUMENTS};
    struct fault f;
    char room[64];
    for (unsigned i = 0; i < MANY_DOCUMENTS; i++)
        documents[i] = (struct text_document){i + 1, 0, 0};
    must_ok(text_writer_open(s, ACCOUNT, 1, &w, &f), &f);
    for (unsigned i = 0; i < MANY; i++) {
        struct text_posting p = {i % MANY_DOCUMENTS, MIME_ZONE_BODY};
        must_ok(text_writer_term(w, TEXT_WORD, many_term(room, i),
                                 &(struct text_postings){&p, 1, SPAN_NONE}, &f),
                &f);
    }
    must_ok(text_writer_finish(&w, &made, &f), &f);
}

// Each of these is in one term, in pages all over.
static void
test_stripes(void **state)
{
    (void)state;
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    write_many(s);
    struct text_index *ti = open_index(s);
    assert_true(text_segment_pages(ti->segments[0]) > FILTER_PAGES);
    for (unsigned i = 1000; i < MANY; i += (MANY - 2000) / 7) {
        char room[64];
        struct text_lookup l = {many_term(room, i), MIME_ZONES, false};
        struct text_found *found;
        struct fault f;
        l.needle = span_slice(l.needle, 4, 20);
        must_ok(text_index_find(ti, &l, 1, &found, &f), &f);
        for (unsigned d = 1; d <= MANY_DOCUMENTS; d++) {
            bool want = d == i % MANY_DOCUMENTS + 1;
            assert_int_equal(text_found_of(found, 0, d), want ? TEXT_YES : TEXT_NO);
        }
        text_found_free(&found);
    }
    text_index_close(&ti);
    store_close(&s);
}

// What the folded words rest on: the fuzzy fold makes the same of a text and of its folded text; it drops no ideograph of the first plane and makes
// no word of a gap.
static void
check_fold(uint32_t point)
{
    struct buf raw, folded, fuzzy, again;
    size_t octets;
    buf_init(&raw, 8);
    buf_init(&folded, 256);
    buf_init(&fuzzy, 256);
    buf_init(&again, 256);
    utf8_put(&raw, point);
    mime_fold(&folded, buf_span(&raw));
    mime_fold_as(&fuzzy, COLLATION_FUZZY, buf_span(&raw));
    mime_fold_as(&again, COLLATION_FUZZY, buf_span(&folded));
    if (!span_eq(buf_span(&fuzzy), buf_span(&again)))
        fail_msg("U+%04X", point);
    for (struct span rest = buf_span(&folded); rest.n > 0; rest = span_skip(rest, octets)) {
        enum text_class class = text_class_of(rest, &octets);
        buf_reset(&again);
        mime_fold_as(&again, COLLATION_FUZZY, span_slice(rest, 0, octets));
        if ((class == TEXT_IDEOGRAPH && octets < 4 &&
             !span_eq(buf_span(&again), span_slice(rest, 0, octets))) ||
            (class == TEXT_GAP && text_run(buf_span(&again), TEXT_GAP) != again.n))
            fail_msg("U+%04X has U+%.*s", point, (int)octets, rest.p);
    }
    buf_done(&raw);
    buf_done(&folded);
    buf_done(&fuzzy);
    buf_done(&again);
}

static void
test_folds(void **state)
{
    (void)state;
    for (uint32_t point = 1; point < 0x20000; point++)
        if (point < 0xD800 || point > 0xDFFF)
            check_fold(point);
    for (uint32_t point = 0x2F800; point < 0x2FA20; point++)
        check_fold(point);
    for (uint32_t point = 0xE0000; point < 0xE0200; point++)
        check_fold(point);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_begin, scene_end)
    const struct CMUnitTest tests[] = {TEST(test_large_document), TEST(test_sizes),
                                       TEST(test_phrases),        TEST(test_long_runs),
                                       TEST(test_spelled),        TEST(test_stripes),
                                       TEST(test_folds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
