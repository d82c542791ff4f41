// The text index against a naive oracle: random texts, random needles, never a false NO and never a false YES, in one segment, in
// several, merged, opened again; damage is found and never believed.

#include "base/limits.h"
#include "base/seeded.h"
#include "mime/charset.h"
#include "search/text_filter.h"
#include "search/text_inside.h"
#include "store/scene.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "search/text_scene.h"

enum { STREAMS = 3, NEEDLE_MAX = 80 };

static uint64_t seed;

static size_t
below(size_t n)
{
    return seeded_below(&seed, n);
}

// ---- texts ----

struct text {
    struct document {
        uint64_t emailid;
        unsigned open;
        bool dropped;
        enum mime_zone zones[STREAMS];
        struct buf streams[STREAMS];
        struct buf fuzzy[STREAMS];  // as COLLATION_FUZZY folds them
    } * documents;
    size_t n;
};

static const enum mime_zone zones[] = {MIME_ZONE_SUBJECT, MIME_ZONE_HEADER, MIME_ZONE_BODY,
                                       MIME_ZONE_FILE};

static void
put_word(struct buf *b)
{
    static const char *const letters[] = {"A", "B", "C", "1", "E\xCC\x81", "\xD0\x94", "S"};
    // what the fuzzy fold makes another letter (small ones are what the fold made of U+FB01), or a gap, or drops
    static const char *const odd[] = {"\xC3\x9F", "\xC3\x98",         "O\xCC\x88",
                                      "\xCA\xBC", "\xF3\xA0\x84\x80", "fi"};
    static const char *const wide[] = {"\xE6\x97\xA5", "\xE6\x9C\xAC", "\xE3\x81\x8B",
                                       "\xE3\x82\x99", "\xF0\xA0\x80\x80"};
    size_t kind = below(20), n = kind == 0   ? 20 + below(60)
                                 : kind == 1 ? below(9000)
                                             : 1 + below(5);
    bool ideographs = below(6) == 0;
    n = kind == 1 && below(10) > 0 ? 3 : n;  // few are that long
    for (size_t i = 0; i < n; i++)
        buf_put_str(b, ideographs       ? wide[below(5)]
                       : below(16) == 0 ? odd[below(6)]
                                        : letters[below(7)]);
}

static void
put_gap(struct buf *b)
{
    static const char *const gaps[] = {
        " ", "-", ". ", "\r\n", "", "\xE2\x80\x93", "\xE3\x80\x82", "\xC2\xAD"};
    size_t kind = below(40), n = kind == 0   ? 5 + below(40)
                                 : kind == 1 ? below(9000)
                                             : 1 + below(2);
    n = kind == 1 && below(10) > 0 ? 3 : n;
    for (size_t i = 0; i < n; i++)
        buf_put_str(b, gaps[below(6) == 0 ? 7 : below(7)]);
}

static void
make_document(struct document *d, uint64_t emailid)
{
    *d = (struct document){.emailid = emailid};
    for (size_t i = 0; i < STREAMS; i++) {
        buf_init(&d->streams[i], 1 << 20);
        d->zones[i] = zones[below(4)];
        for (size_t words = below(40); words > 0; words--) {
            if (below(8) > 0)
                put_gap(&d->streams[i]);
            put_word(&d->streams[i]);
        }
        buf_init(&d->fuzzy[i], 1 << 20);
        mime_fold_as(&d->fuzzy[i], COLLATION_FUZZY, buf_span(&d->streams[i]));
    }
}

static void
make_text(struct text *t, size_t n)
{
    t->n = n;
    t->documents = calloc(n, sizeof *t->documents);
    must(t->documents != NULL);
    for (size_t i = 0; i < n; i++)
        make_document(&t->documents[i], (i * 7919 % n + 1) * 1000);  // in no order
}

static void
end_text(struct text *t)
{
    for (size_t i = 0; i < t->n; i++)
        for (size_t k = 0; k < STREAMS; k++) {
            buf_done(&t->documents[i].streams[k]);
            buf_done(&t->documents[i].fuzzy[k]);
        }
    free(t->documents);
}

// A whole character's worth of octets at least.
static size_t
cut_at(struct span s, size_t n)
{
    while (n < s.n && ((unsigned char)s.p[n] & 0xC0) == 0x80)
        n++;
    return n < s.n ? n : s.n;
}

static void
index_document(struct text_builder *b, const struct document *d)
{
    struct mime_text_sink sink = text_builder_sink(b);
    text_builder_begin(b, d->emailid);
    for (size_t i = 0; i < STREAMS; i++) {
        struct span rest = buf_span(&d->streams[i]);
        sink.begin(sink.arg, i % MIME_LANES, d->zones[i]);
        while (rest.n > 0) {
            size_t n = cut_at(rest, 1 + below(5000));
            sink.feed(sink.arg, i % MIME_LANES, span_slice(rest, 0, n));
            rest = span_skip(rest, n);
        }
        sink.end(sink.arg, i % MIME_LANES);
    }
    if (d->dropped)
        text_builder_drop(b);
    else
        text_builder_end(b, d->open);
}

static void
put(struct text_index *ti, const struct text *t, size_t from, size_t to)
{
    struct text_builder *b = text_builder_new();
    struct fault f;
    for (size_t i = from; i < to; i++)
        index_document(b, &t->documents[i]);
    assert_int_equal(text_builder_documents(b), to - from);
    must_ok(text_index_put(ti, b, &f), &f);
    assert_int_equal(text_builder_documents(b), 0);
    text_builder_free(&b);
}

// ---- the oracle ----

static bool
occurs(const struct document *d, const struct text_lookup *l)
{
    const struct buf *texts = l->fuzzy ? d->fuzzy : d->streams;
    for (size_t i = 0; i < STREAMS; i++)
        if ((d->zones[i] & l->zones) &&
            memmem(texts[i].p ? texts[i].p : "", texts[i].n, l->needle.p, l->needle.n))
            return true;
    return false;
}

// A piece of a text, sometimes with a change.
static void
make_needle(const struct text *t, struct buf *out)
{
    const struct document *d = &t->documents[below(t->n)];
    struct span s = buf_span(&d->streams[below(STREAMS)]);
    buf_reset(out);
    size_t from = s.n > 0 ? cut_at(s, below(s.n)) : 0;
    size_t n = below(3) == 0 ? 1 + below(NEEDLE_MAX) : 1 + below(10);
    buf_put(out, span_slice(s, from, cut_at(s, from + n < s.n ? from + n : s.n)));
    if (below(4) == 0)
        put_word(out);
    if (out->n > 200)
        out->n = cut_at(buf_span(out), 200);
    if (below(6) == 0)
        put_gap(out);
    if (out->n == 0)
        buf_put(out, SPAN("AB"));
}

// The same, as the fuzzy fold has it; false: nothing is left.
static bool
make_fuzzy(struct buf *needle)
{
    struct buf folded;
    buf_init(&folded, 1 << 16);
    mime_fold_as(&folded, COLLATION_FUZZY, buf_span(needle));
    bool some = folded.n > 0;
    if (some) {
        buf_reset(needle);
        buf_put(needle, buf_span(&folded));
    }
    buf_done(&folded);
    return some;
}

struct tally {
    size_t matches, candidates, sure;
    size_t fuzzy_sure, fuzzy_no;
};

static void
check_answer(const struct document *d, const struct text_lookup *l, enum text_answer got,
             struct tally *tally)
{
    bool want = occurs(d, l);
    bool open = d->open & l->zones;
    bool good = d->dropped          ? got == TEXT_NOT_INDEXED
                : got == TEXT_MAYBE ? true
                : got == TEXT_YES   ? want
                : got == TEXT_NO    ? !want && !open
                                    : false;
    if (!good)
        fail_msg("document %zu: \"%.*s\" (%zu octets) in %u: %d, want %d",
                 (size_t)d->emailid, (int)l->needle.n, l->needle.p, l->needle.n, l->zones,
                 got, want);
    tally->fuzzy_sure += l->fuzzy && got == TEXT_YES;
    tally->fuzzy_no += l->fuzzy && got == TEXT_NO;
    if (l->fuzzy)
        return;
    tally->matches += want;
    tally->candidates += got >= TEXT_MAYBE && !open;
    tally->sure += got == TEXT_YES;
}

static void
check(struct text_index *ti, const struct text *t, size_t rounds, struct tally *tally)
{
    struct buf needles[4];
    for (size_t i = 0; i < 4; i++)
        buf_init(&needles[i], 1 << 16);
    while (rounds-- > 0) {
        struct text_lookup lookups[4];
        struct text_found *found;
        struct fault f;
        for (size_t i = 0; i < 4; i++) {
            make_needle(t, &needles[i]);
            bool fuzzy = i == 3 && make_fuzzy(&needles[i]);
            lookups[i] = (struct text_lookup){
                buf_span(&needles[i]), below(2) ? MIME_ZONES : zones[below(4)], fuzzy};
        }
        must_ok(text_index_find(ti, lookups, 4, &found, &f), &f);
        for (size_t i = 0; i < t->n; i++)
            for (size_t slot = 0; slot < 4; slot++)
                check_answer(&t->documents[i], &lookups[slot],
                             text_found_of(found, slot, t->documents[i].emailid), tally);
        assert_int_equal(text_found_of(found, 0, 999999999), TEXT_NOT_INDEXED);
        text_found_free(&found);
    }
    for (size_t i = 0; i < 4; i++)
        buf_done(&needles[i]);
}

static void
test_oracle(void **state)
{
    (void)state;
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    for (seed = 1; seed < 8; seed++) {
        uint64_t round = seed;
        struct text t;
        struct tally tally = {0};
        struct fault f;
        make_text(&t, 60);
        struct text_index *ti = open_index(s);
        put(ti, &t, 0, 60);
        check(ti, &t, 150, &tally);
        // most needles are found for certain, and what is to be verified is there as a rule
        assert_true(tally.sure > tally.matches / 4);
        assert_true(tally.candidates < 2 * tally.matches);
        assert_true(tally.fuzzy_sure > 0 && tally.fuzzy_no > 0);
        text_index_close(&ti);
        must_ok(derived_clear(s, ACCOUNT, &f), &f);
        end_text(&t);
        seed = round;
    }
    store_close(&s);
}

static bool
is_alive(void *arg, uint64_t emailid)
{
    const struct text *t = arg;
    size_t i = 0;
    while (t->documents[i].emailid != emailid)
        i++;
    return !t->documents[i].dropped;
}

static void
check_has(const struct text_index *ti, const struct text *t)
{
    for (size_t i = 0; i < t->n; i++)
        assert_int_equal(text_index_has(ti, t->documents[i].emailid),
                         !t->documents[i].dropped);
}

// Segments, merged by tiers and all together, without the dropped; opened again in between.
static void
run_merges(const char *engine)
{
    struct store_options o = scene_options(engine, "identity");
    struct store *s = scene_open(&o);
    struct text t;
    struct tally tally = {0};
    struct text_stats stats;
    struct fault f;
    seed = 77;
    make_text(&t, 100);
    t.documents[3].dropped = true;
    t.documents[5].open = MIME_ZONE_BODY;
    struct text_index *ti = open_index(s);
    assert_int_equal(text_index_merge(ti, &(struct text_merge_wish){.soon = true}, &f),
                     R_NONE);
    for (size_t i = 0; i < 10; i++)
        put(ti, &t, i * 10, i * 10 + 10);
    check_has(ti, &t);
    check(ti, &t, 20, &tally);
    put(ti, &t, 50, 60);  // the same again: no harm
    must_ok(
        text_index_merge(
            ti, &(struct text_merge_wish){.soon = true, .alive = is_alive, .arg = &t}, &f),
        &f);
    text_index_stats(ti, &stats);
    assert_true(stats.segments < 11);
    check(ti, &t, 20, &tally);
    text_index_close(&ti);
    ti = open_index(s);
    check_has(ti, &t);
    t.documents[8].dropped = true;
    must_ok(
        text_index_merge(
            ti, &(struct text_merge_wish){.all = true, .alive = is_alive, .arg = &t}, &f),
        &f);
    text_index_stats(ti, &stats);
    assert_int_equal(stats.segments, 1);
    assert_int_equal(stats.documents, 98);
    assert_true(text_index_memory(ti) > 98 * sizeof(struct text_document));
    check(ti, &t, 20, &tally);
    text_index_close(&ti);
    struct derived_list list = {.a = arena_new()};
    must_ok(derived_list(s, ACCOUNT, &list, &f), &f);
    assert_int_equal(list.n, 2);
    arena_free(&list.a);
    end_text(&t);
    store_close(&s);
}

static void
test_merges(void **state)
{
    (void)state;
    run_merges("mem");
    run_merges("embedded");
}

// ---- a string of the index, as octets ----

static struct span
take_string(struct store *s, struct span name, struct arena *a)
{
    struct derived *d;
    struct fault f;
    must_ok(derived_open(s, ACCOUNT, name, &d, &f), &f);
    size_t n = (size_t)derived_size(d);
    char *p = arena_alloc(a, n + 1);
    must_ok(derived_read(d, 0, p, n, &f), &f);
    derived_close(&d);
    return span_of(p, n);
}

static void
put_string(struct store *s, struct span name, struct span octets)
{
    struct derived_writer *w;
    struct fault f;
    must_ok(derived_create(s, ACCOUNT, name, &w, &f), &f);
    must_ok(derived_append(w, octets, &f), &f);
    must_ok(derived_commit(&w, &f), &f);
}

// Reads each page of the filters.
static bool
rows_are_good(const struct text_index *ti)
{
    struct text_row_reader *r = calloc(1, sizeof *r);
    bool good = true;
    must(r != NULL);
    for (size_t i = 0; i < ti->count && good; i++) {
        struct text_segment *s = ti->segments[i];
        uint32_t pages = text_segment_pages(s), step = TEXT_PAGE_DATA / ((pages + 7) / 8);
        struct span row;
        struct fault f;
        text_row_reader_init(r, s);
        for (uint32_t at = 0; at < FILTER_ROWS_ALL && good; at += step)
            good = text_row_read(r, 0, at, &row, &f) == R_OK;
        assert_true(good || f.kind == FAULT_CORRUPTION);
    }
    free(r);
    return good;
}

// Opens, merges and finds in what is damaged. What is not refused must be right.
static bool
is_refused(struct store *s, const struct text *t)
{
    struct text_index *ti;
    struct text_found *found;
    struct fault f;
    bool refused = false;
    struct text_lookup lookups[] = {{SPAN("A"), MIME_ZONES, false},
                                    {SPAN("AB 1"), MIME_ZONES, false},
                                    {SPAN(" "), MIME_ZONES, false},
                                    {SPAN("B1"), MIME_ZONE_HEADER, false}};
    struct tally tally = {0};
    if (text_index_open(s, ACCOUNT, &ti, &f) != R_OK) {
        assert_int_equal(f.kind, FAULT_CORRUPTION);
        return true;
    }
    if (text_index_find(ti, lookups, 4, &found, &f) != R_OK) {
        assert_int_equal(f.kind, FAULT_CORRUPTION);
        refused = true;
    } else {
        for (size_t i = 0; i < t->n; i++)
            for (size_t slot = 0; slot < 4; slot++)
                check_answer(&t->documents[i], &lookups[slot],
                             text_found_of(found, slot, t->documents[i].emailid), &tally);
        text_found_free(&found);
    }
    refused = !rows_are_good(ti) || refused;
    if (text_index_merge(ti, &(struct text_merge_wish){.all = true}, &f) != R_OK) {
        assert_int_equal(f.kind, FAULT_CORRUPTION);
        refused = true;
    }
    text_index_close(&ti);
    return refused;
}

// Every octet of every page, or every STEP-th: pages that are not read by these lookups are read by the merge.
static void
flip_all(struct store *s, const struct text *t, size_t step)
{
    static const char *const names[] = {"00000001-t", "00000001-l"};
    struct arena *a = arena_new();
    struct fault f;
    struct span strings[2];
    size_t refused = 0, tried = 0;
    for (size_t i = 0; i < 2; i++)
        strings[i] = take_string(s, span_str(names[i]), a);
    for (size_t i = 0; i < 2; i++) {
        char *p = arena_alloc(a, strings[i].n + 1);
        for (size_t at = below(step); at < strings[i].n; at += 1 + below(2 * step - 1)) {
            memcpy(p, strings[i].p, strings[i].n);
            p[at] = (char)(p[at] ^ (1 << below(8)));
            must_ok(derived_clear(s, ACCOUNT, &f), &f);
            put_string(s, span_str(names[1 - i]), strings[1 - i]);
            put_string(s, span_str(names[i]), span_of(p, strings[i].n));
            refused += is_refused(s, t);
            tried++;
        }
        // cut short, and gone
        must_ok(derived_clear(s, ACCOUNT, &f), &f);
        put_string(s, span_str(names[1 - i]), strings[1 - i]);
        put_string(s, span_str(names[i]), span_slice(strings[i], 0, strings[i].n - 1));
        assert_true(is_refused(s, t));
    }
    assert_int_equal(refused, tried);
    arena_free(&a);
}

static void
test_flipped(void **state)
{
    (void)state;
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    struct text t;
    seed = 5;
    make_text(&t, 12);
    struct text_index *ti = open_index(s);
    put(ti, &t, 0, 12);
    text_index_close(&ti);
    const char *long_form = getenv("POSTHORN_LONG");  // the short form is ""
    flip_all(s, &t, long_form && long_form[0] != '\0' ? 1 : 97);
    end_text(&t);
    store_close(&s);
}

// ---- a crash between a merge and the end of what it replaces; lists without terms ----

static void
test_crash(void **state)
{
    (void)state;
    struct store_options o = scene_options("mem", "identity");
    struct store *s = scene_open(&o);
    struct arena *a = arena_new();
    struct text t;
    struct text_stats stats;
    struct fault f;
    seed = 9;
    make_text(&t, 20);
    struct text_index *ti = open_index(s);
    put(ti, &t, 0, 10);
    put(ti, &t, 10, 20);
    struct span terms = take_string(s, SPAN("00000001-t"), a);
    struct span lists = take_string(s, SPAN("00000001-l"), a);
    must_ok(text_index_merge(ti, &(struct text_merge_wish){.all = true}, &f), &f);
    text_index_close(&ti);
    put_string(s, SPAN("00000001-l"), lists);
    put_string(s, SPAN("00000001-t"), terms);
    put_string(s, SPAN("00000009-l"), lists);
    ti = open_index(s);
    text_index_stats(ti, &stats);
    assert_int_equal(stats.segments, 1);
    assert_int_equal(stats.documents, 20);
    struct tally tally = {0};
    check(ti, &t, 20, &tally);
    put(ti, &t, 0, 1);
    text_index_close(&ti);
    struct derived_list list = {.a = a};
    must_ok(derived_list(s, ACCOUNT, &list, &f), &f);
    assert_int_equal(list.n, 4);
    assert_true(
        span_eq(list.entries[2].name, SPAN("0000000a-l")));  // no number comes twice
    arena_free(&a);
    end_text(&t);
    store_close(&s);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_begin, scene_end)
    const struct CMUnitTest tests[] = {
        TEST(test_oracle),
        TEST(test_merges),
        TEST(test_flipped),
        TEST(test_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
