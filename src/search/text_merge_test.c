// Merges of the text index: what they leave out, how large they may be, and how they are stopped.

#include "base/limits.h"
#include "base/seeded.h"
#include "search/text_inside.h"
#include "store/scene.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "search/text_scene.h"

enum { DOCUMENTS = 100 };

// Which documents are alive, and how often a merge may go on.
struct life {
    bool dead[DOCUMENTS + 1];
    unsigned asked, go_on;
};

static bool
is_alive(void *arg, uint64_t emailid)
{
    const struct life *l = arg;
    return !l->dead[emailid];
}

static bool
goes_on(void *arg)
{
    struct life *l = arg;
    return l->asked++ < l->go_on;
}

static struct span
word_of(char room[32], uint64_t emailid)
{
    int n = snprintf(room, 32, "SECRET%llu.", (unsigned long long)emailid);
    return span_of(room, (size_t)n);
}

// Documents first .. end - 1; each has words of its own and words that all have.
static void
put(struct text_index *ti, uint64_t first, uint64_t end)
{
    struct text_builder *b = text_builder_new();
    struct mime_text_sink sink = text_builder_sink(b);
    struct fault f;
    char room[32];
    for (uint64_t id = first; id < end; id++) {
        text_builder_begin(b, id);
        sink.begin(sink.arg, 0, MIME_ZONE_BODY);
        sink.feed(sink.arg, 0, SPAN("WHAT ALL OF THEM HAVE, AND "));
        sink.feed(sink.arg, 0, word_of(room, id));
        sink.end(sink.arg, 0);
        text_builder_end(b, 0);
    }
    must_ok(text_index_put(ti, b, &f), &f);
    text_builder_free(&b);
}

static void
check_document(struct text_index *ti, uint64_t id, bool dead)
{
    char room[32];
    struct text_found *found;
    struct fault f;
    struct text_lookup lookups[] = {{.needle = word_of(room, id), .zones = MIME_ZONES},
                                    {.needle = SPAN("ALL OF THEM"), .zones = MIME_ZONES},
                                    {.needle = SPAN("ZZZZ"), .zones = MIME_ZONES}};
    assert_int_equal(text_index_has(ti, id), !dead);
    must_ok(text_index_find(ti, lookups, 3, &found, &f), &f);
    if (dead) {
        assert_int_equal(text_found_of(found, 0, id), TEXT_NOT_INDEXED);
    } else {
        assert_in_range(text_found_of(found, 0, id), TEXT_MAYBE, TEXT_YES);
        assert_in_range(text_found_of(found, 1, id), TEXT_MAYBE, TEXT_YES);
        assert_int_equal(text_found_of(found, 2, id), TEXT_NO);
    }
    text_found_free(&found);
}

static void
check(struct text_index *ti, const struct life *l, uint64_t end)
{
    for (uint64_t id = 1; id < end; id++)
        check_document(ti, id, l->dead[id]);
}

static bool
is_in(struct text_segment *s, enum text_kind kind, struct span text)
{
    struct text_page *page = calloc(1, sizeof *page);
    struct fault f;
    bool found = false;
    must(page != NULL);
    for (uint32_t i = 0; i < s->pages[kind] && !found; i++) {
        must_ok(text_page_load(s, kind, i, page, &f), &f);
        must_ok(text_page_spell(s, page, &f), &f);
        found = span_find(page->text, text) < page->text.n;
    }
    free(page);
    return found;
}

// Is it in a term of the index, anywhere? There are no strings but those of the segments.
static bool
is_kept(struct store *s, const struct text_index *ti, struct span text)
{
    struct derived_list list = {.a = arena_new()};
    struct fault f;
    bool kept = false;
    must_ok(derived_list(s, ACCOUNT, &list, &f), &f);
    assert_int_equal(list.n, 2 * ti->count);
    arena_free(&list.a);
    for (size_t i = 0; i < ti->count; i++)
        for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++)
            kept = kept || is_in(ti->segments[i], kind, text);
    return kept;
}

// Only segments with documents of the dead are written again, and nothing is left of those.
static void
test_dead(void **state)
{
    (void)state;
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    struct fault f;
    struct life l = {0};
    struct text_merge_wish wish = {.dead = true, .alive = is_alive, .arg = &l};
    struct text_index *ti = open_index(s);
    for (uint64_t i = 0; i < 4; i++)
        put(ti, i * 10 + 1, i * 10 + 11);
    assert_int_equal(text_index_merge(ti, &wish, &f), R_NONE);
    assert_true(is_kept(s, ti, SPAN("SECRET12")));
    l.dead[12] = l.dead[31] = true;
    must_ok(text_index_merge(ti, &wish, &f), &f);
    assert_int_equal(ti->count, 3);
    assert_false(is_kept(s, ti, SPAN("SECRET12")));
    assert_false(is_kept(s, ti, SPAN("SECRET31")));
    assert_true(is_kept(s, ti, SPAN("SECRET13")));
    assert_int_equal(text_index_merge(ti, &wish, &f), R_NONE);
    check(ti, &l, 41);
    memset(l.dead, true, sizeof l.dead);
    must_ok(text_index_merge(ti, &wish, &f), &f);
    check(ti, &l, 41);
    assert_false(is_kept(s, ti, SPAN("SECRET")));
    assert_int_equal(text_index_merge(ti, &wish, &f), R_NONE);
    text_index_close(&ti);
    ti = open_index(s);  // of no documents
    text_index_close(&ti);
    store_close(&s);
}

// What is merged fits into one string; a segment that does not is written again alone.
static void
test_fits(void **state)
{
    (void)state;
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    struct fault f;
    struct life l = {0};
    struct text_merge_wish all = {.all = true}, soon = {.soon = true},
                           dead = {.dead = true, .alive = is_alive, .arg = &l};
    struct text_index *ti = open_index(s);
    assert_int_equal(ti->octets_max, LIMIT_derived_string);
    for (uint64_t i = 0; i < 10; i++)
        put(ti, i * 10 + 1, i * 10 + 11);
    ti->octets_max = 3 * ti->segments[0]->octets;
    assert_int_equal(text_index_merge(ti, &soon, &f), R_NONE);  // eight do not fit
    must_ok(text_index_merge(ti, &all, &f), &f);
    assert_int_equal(ti->count, 8);
    for (size_t i = 0; i < ti->count; i++)
        assert_true(ti->segments[i]->octets <= ti->octets_max);
    ti->octets_max = 1;
    assert_int_equal(text_index_merge(ti, &all, &f), R_NONE);
    l.dead[55] = true;
    must_ok(text_index_merge(ti, &dead, &f), &f);
    assert_int_equal(ti->count, 8);
    check(ti, &l, DOCUMENTS + 1);
    ti->octets_max = LIMIT_derived_string;
    must_ok(text_index_merge(ti, &all, &f), &f);
    assert_int_equal(ti->count, 1);
    check(ti, &l, DOCUMENTS + 1);
    text_index_close(&ti);
    store_close(&s);
}

// A merge that is stopped, wherever it is, leaves everything as it was.
static void
test_stopped(void **state)
{
    (void)state;
    struct store_options o = scene_options("embedded", "identity");
    struct store *s = scene_open(&o);
    struct derived_list list = {.a = arena_new()};
    struct fault f;
    struct life l = {0};
    struct text_merge_wish wish = {.all = true, .go_on = goes_on, .arg = &l};
    struct text_index *ti = open_index(s);
    enum result r;
    put(ti, 1, 31);
    put(ti, 31, 61);
    while ((r = text_index_merge(ti, &wish, &f)) == R_FAIL) {
        assert_int_equal(f.kind, FAULT_CLOSED);
        assert_int_equal(ti->count, 2);
        l.asked = 0;
        l.go_on++;
    }
    must_ok(r, &f);
    assert_true(l.go_on >= 4);  // a page of each kind of each segment
    assert_int_equal(ti->count, 1);
    check(ti, &l, 61);
    text_index_close(&ti);
    must_ok(derived_list(s, ACCOUNT, &list, &f), &f);
    assert_int_equal(list.n, 2);
    arena_free(&list.a);
    store_close(&s);
}

// Until there are many segments only one that is often asked has them merged.
static void
test_due(void **state)
{
    (void)state;
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    struct fault f;
    struct life l = {0};
    struct text_merge_wish soon = {.soon = true};
    struct text_index *ti = open_index(s);
    for (uint64_t i = 0; i < 24; i++)
        put(ti, i * 4 + 1, i * 4 + 5);
    assert_int_equal(text_index_merge(ti, NULL, &f), R_NONE);
    assert_int_equal(ti->count, 24);
    put(ti, 97, DOCUMENTS + 1);
    must_ok(text_index_merge(ti, NULL, &f), &f);
    assert_int_equal(ti->count, 18);
    assert_int_equal(text_index_merge(ti, NULL, &f), R_NONE);
    must_ok(text_index_merge(ti, &soon, &f), &f);
    assert_int_equal(ti->count, 11);
    while (text_index_merge(ti, &soon, &f) == R_OK)
        ;
    assert_true(ti->count < 8);
    check(ti, &l, DOCUMENTS + 1);
    text_index_close(&ti);
    store_close(&s);
}

// ---- postings ----

enum { SPREAD = 900, PARTS = 3, TERMS = 60 };

static uint64_t seed;

static size_t
below(size_t n)
{
    return seeded_below(&seed, n);
}

static void
feed(struct mime_text_sink *sink, enum mime_zone zone, const struct buf *text)
{
    sink->begin(sink->arg, 0, zone);
    sink->feed(sink->arg, 0, buf_span(text));
    sink->end(sink->arg, 0);
}

// Term k is in one of k + 1 documents, in either zone.
static void
put_spread(struct text_index *ti, uint64_t first, uint64_t step)
{
    struct text_builder *b = text_builder_new();
    struct mime_text_sink sink = text_builder_sink(b);
    struct fault f;
    struct buf texts[2];
    for (size_t z = 0; z < 2; z++)
        buf_init(&texts[z], 1 << 16);
    for (uint64_t id = first; id < first + step * (SPREAD / PARTS); id += step) {
        for (size_t k = 0; k < TERMS; k++)
            if (below(k + 1) == 0)
                buf_printf(&texts[below(8) == 0], "T%zuX A%zu, ", k, k);
        text_builder_begin(b, id);
        feed(&sink, MIME_ZONE_BODY, &texts[0]);
        feed(&sink, MIME_ZONE_HEADER, &texts[1]);
        text_builder_end(b, 0);
        buf_reset(&texts[0]);
        buf_reset(&texts[1]);
    }
    must_ok(text_index_put(ti, b, &f), &f);
    buf_done(&texts[0]);
    buf_done(&texts[1]);
    text_builder_free(&b);
}

// What the index says of each term, zone and document.
static void
ask_spread(struct text_index *ti, unsigned char out[2][TERMS][SPREAD])
{
    char room[16];
    for (size_t k = 0; k < TERMS; k++)
        for (size_t z = 0; z < 2; z++) {
            struct text_found *found;
            struct fault f;
            int n = snprintf(room, sizeof room, k % 2 ? "T%zuX" : "X A%zu,", k);
            struct text_lookup l = {.needle = span_of(room, (size_t)n),
                                    .zones = z ? MIME_ZONE_HEADER : MIME_ZONE_BODY};
            must_ok(text_index_find(ti, &l, 1, &found, &f), &f);
            for (uint64_t id = 1; id <= SPREAD; id++)
                out[z][k][id - 1] = (unsigned char)text_found_of(found, 0, id);
            text_found_free(&found);
        }
}

// One of several says what they said, whether their documents stand behind each other or between each other.
static void
check_postings(uint64_t stride, uint64_t step)
{
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    struct text_merge_wish all = {.all = true};
    struct text_index *ti = open_index(s);
    struct fault f;
    unsigned char(*answers)[2][TERMS][SPREAD] = calloc(2, sizeof *answers);
    must(answers != NULL);
    for (uint64_t part = PARTS; part > 0; part--)
        put_spread(ti, (part - 1) * stride + 1, step);
    ask_spread(ti, answers[0]);
    must_ok(text_index_merge(ti, &all, &f), &f);
    assert_int_equal(ti->count, 1);
    ask_spread(ti, answers[1]);
    assert_memory_equal(answers[0], answers[1], sizeof answers[0]);
    assert_non_null(memchr(answers[0][1][4], TEXT_MAYBE, SPREAD));
    assert_non_null(memchr(answers[0][0][TERMS - 1], TEXT_YES, SPREAD));
    assert_non_null(memchr(answers[0][0][TERMS - 1], TEXT_NO, SPREAD));
    free(answers);
    text_index_close(&ti);
    store_close(&s);
}

static void
test_postings(void **state)
{
    (void)state;
    seed = 3;
    check_postings(SPREAD / PARTS, 1);
    check_postings(1, PARTS);
}

// Passing over a list counts what reading it finds, and no document that is not there.
static void
test_pass(void **state)
{
    (void)state;
    for (seed = 1; seed < 400; seed++) {
        unsigned char octets[100 * TEXT_POSTING_MAX];
        struct text_coder c = text_coder_of(), end;
        uint64_t round = seed;
        size_t n = 1 + below(100), used = 0, passed;
        for (size_t i = 0; i < n; i++) {
            uint32_t more = (uint32_t)(below(4) ? below(8) : below(20000));
            uint16_t zones = below(9) ? c.zones : MIME_ZONE_HEADER;
            used += text_posting_put(&c, (struct text_posting){c.next + more, zones},
                                     octets + used);
        }
        struct span list = span_of((const char *)octets, used);
        end = text_coder_of();
        assert_int_equal(text_postings_pass(&end, list, c.next, &passed), R_OK);
        assert_int_equal(passed, n);
        assert_int_equal(end.next, c.next);
        assert_int_equal(end.zones, c.zones);
        end = text_coder_of();
        assert_int_equal(text_postings_pass(&end, list, c.next - 1, &passed), R_FAIL);
        octets[used - 1] |= 0x80;
        end = text_coder_of();
        assert_int_equal(text_postings_pass(&end, list, c.next, &passed), R_FAIL);
        seed = round;
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_begin, scene_end)
    const struct CMUnitTest tests[] = {
        TEST(test_dead), TEST(test_fits),     TEST(test_stopped),
        TEST(test_due),  TEST(test_postings), TEST(test_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
