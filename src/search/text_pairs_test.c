// Pairs of words: many pages of them, asked for by whole words and by pieces, before and after merges that leave some out.

#include "search/text_inside.h"

#include "base/seeded.h"
#include "store/scene.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "search/text_scene.h"

enum { DOCUMENTS = 700, WORDS = 120, VOCABULARY = 240, TEXT = WORDS * 8, ASKED = 300 };

struct scene {
    char texts[DOCUMENTS + 1][TEXT];
    size_t n[DOCUMENTS + 1];
    bool dead[DOCUMENTS + 1];
    uint64_t seed;
};

static size_t
below(struct scene *c, size_t n)
{
    return seeded_below(&c->seed, n);
}

// Many share their beginnings, their ends or both.
static size_t
put_word(char *out, size_t word)
{
    static const char *const heads[] = {"",     "A", "AB", "IN", "THE", "RE",
                                        "CON",  "B", "Q7", "TH", "OVE", "ABA",
                                        "INTE", "T", "W",  "WE"};
    static const char *const tails[] = {"A",  "AB", "OF",  "THE", "S",  "ED", "ING", "NG",
                                        "7Q", "E",  "TED", "ION", "IA", "B",  "T"};
    int n = snprintf(out, 8, "%s%s", heads[word % 16], tails[word / 16 % 15]);
    must(n > 0 && n < 8);
    return (size_t)n;
}

// Blanks as a rule; commas and two blanks now and then.
static void
make_texts(struct scene *c)
{
    for (size_t d = 1; d <= DOCUMENTS; d++) {
        char *to = c->texts[d];
        for (size_t i = 0; i < WORDS; i++) {
            size_t gap = i > 0 ? below(c, 20) : 20;
            to += put_word(to, below(c, VOCABULARY));
            if (i + 1 == WORDS || to - c->texts[d] > TEXT - 20)
                break;
            *to++ = gap == 0 ? ',' : ' ';
            if (gap < 2)
                *to++ = ' ';
        }
        c->n[d] = (size_t)(to - c->texts[d]);
    }
    for (size_t d = 3; d <= DOCUMENTS; d += 7)  // words of its own, at both sides of a pair
        c->n[d] = (size_t)snprintf(c->texts[d], TEXT, "OWN%zu THE OF MINE%zu AB", d, d);
}

static void
put(struct scene *c, struct text_index *ti, size_t first, size_t end)
{
    struct text_builder *b = text_builder_new();
    struct mime_text_sink sink = text_builder_sink(b);
    struct fault f;
    for (size_t d = first; d < end; d++) {
        text_builder_begin(b, d);
        sink.begin(sink.arg, 0, MIME_ZONE_BODY);
        sink.feed(sink.arg, 0, span_of(c->texts[d], c->n[d]));
        sink.end(sink.arg, 0);
        text_builder_end(b, 0);
    }
    must_ok(text_index_put(ti, b, &f), &f);
    text_builder_free(&b);
}

// A piece of a document's text with one blank in it, so that its answer is certain.
static struct span
draw(struct scene *c)
{
    for (;;) {
        size_t d = 1 + below(c, DOCUMENTS), n = 3 + below(c, 10), blanks = 0, gaps = 0;
        if (c->n[d] <= n)
            continue;
        struct span s = span_of(c->texts[d] + below(c, c->n[d] - n), n);
        for (size_t i = 0; i < n; i++) {
            blanks += s.p[i] == ' ';
            gaps += s.p[i] == ' ' || s.p[i] == ',';
        }
        if (blanks == 1 && gaps == 1 && s.p[0] != ' ' && s.p[n - 1] != ' ')
            return s;
    }
}

static void
ask(struct scene *c, struct text_index *ti)
{
    struct fault f;
    for (size_t i = 0; i < ASKED; i++) {
        struct text_found *found;
        struct span needle = draw(c);
        struct text_lookup l = {needle, MIME_ZONES_TEXT, false};
        must_ok(text_index_find(ti, &l, 1, &found, &f), &f);
        for (size_t d = 1; d <= DOCUMENTS; d++) {
            struct span text = span_of(c->texts[d], c->n[d]);
            enum text_answer want = c->dead[d]                         ? TEXT_NOT_INDEXED
                                    : span_find(text, needle) < text.n ? TEXT_YES
                                                                       : TEXT_NO;
            if (text_found_of(found, 0, d) != want)
                fail_msg("%.*s in %.*s", SPAN_ARG(needle), SPAN_ARG(text));
        }
        text_found_free(&found);
    }
}

static bool
is_alive(void *arg, uint64_t emailid)
{
    const struct scene *c = arg;
    return !c->dead[emailid];
}

static bool
has_word(struct text_segment *s, enum text_kind kind, const char *word)
{
    struct text_page *page = calloc(1, sizeof *page);
    struct fault f;
    bool found = false;
    must(page != NULL);
    for (uint32_t i = 0; i < s->pages[kind] && !found; i++) {
        must_ok(text_page_load(s, kind, i, page, &f), &f);
        must_ok(text_page_spell(s, page, &f), &f);
        found = span_find(page->text, span_str(word)) < page->text.n;
    }
    free(page);
    return found;
}

static void
test_pairs(void **state)
{
    (void)state;
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    struct scene *c = calloc(1, sizeof *c);
    struct text_index *ti = open_index(s);
    struct fault f;
    must(c != NULL);
    make_texts(c);
    put(c, ti, 101, DOCUMENTS + 1);
    put(c, ti, 1, 101);
    assert_true(ti->segments[0]->pair_pages > 2);
    assert_true(ti->segments[0]->pages[TEXT_TURNED] > 0);
    ask(c, ti);
    assert_true(has_word(ti->segments[1], TEXT_TURNED, "01NWO"));
    c->dead[10] = true;  // its words are in no other
    for (size_t d = 2; d <= DOCUMENTS; d += 3)
        c->dead[d] = true;
    struct text_merge_wish wish = {.all = true, .alive = is_alive, .arg = c};
    must_ok(text_index_merge(ti, &wish, &f), &f);
    assert_int_equal(ti->count, 1);
    ask(c, ti);
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++) {
        assert_false(has_word(ti->segments[0], kind, "OWN10\xFF"));
        assert_false(has_word(ti->segments[0], kind,
                              "\xFF"
                              "01NWO"));
        assert_false(has_word(ti->segments[0], kind,
                              "\xFF"
                              "01ENIM"));
    }
    assert_true(has_word(ti->segments[0], TEXT_TURNED,
                         "\xFF"
                         "3NWO"));
    text_index_close(&ti);
    ti = open_index(s);
    ask(c, ti);
    text_index_close(&ti);
    free(c);
    store_close(&s);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_begin, scene_end)
    const struct CMUnitTest tests[] = {TEST(test_pairs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
