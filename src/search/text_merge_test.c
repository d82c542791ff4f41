// Merges of the text index: what they leave out, how large they may be, and how they are stopped.

#include "base/limits.h"
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
    struct text_merge_wish all = {.all = true},
                           dead = {.dead = true, .alive = is_alive, .arg = &l};
    struct text_index *ti = open_index(s);
    assert_int_equal(ti->octets_max, LIMIT_derived_string);
    for (uint64_t i = 0; i < 10; i++)
        put(ti, i * 10 + 1, i * 10 + 11);
    ti->octets_max = 3 * ti->segments[0]->octets;
    assert_int_equal(text_index_merge(ti, NULL, &f), R_NONE);  // eight do not fit
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

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_begin, scene_end)
    const struct CMUnitTest tests[] = {
        TEST(test_dead),
        TEST(test_fits),
        TEST(test_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
