// Texts that are searched where they lie beside the same texts folded whole: random pieces of several scripts, needles cut from
// them, all collations, parts fed in any cuts.

#include "mime/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ROUNDS = 20000, TEXT_MAX = 1 << 16 };

static uint64_t state = 88172645463325252u;

static size_t
below(size_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state % n);
}

// One script most of the time: Latin with accents, Cyrillic, Greek, ideographs with their marks, Korean, what folds to ASCII.
static void
put_text(struct buf *b, size_t pieces)
{
    static const char *const scripts[][6] = {
        {"the ", "a", "Th", "E", "x ", "\r\n"},
        {"\xC3\xA9", "\xC3\x9F", "e", "Ss", "\xC2\xAA", "a"},
        {"\xD0\xB9", "\xD0\x96", "\xD1\x80 ", "the", " ", "t"},
        {"\xCE\xB1", "\xCE\x84", "\xCD\xBE", ";", "h", "\xCE\xA9"},
        {"\xE4\xBC\x9A", "\xE3\x80\x80", "\xE3\x80\x82", "\xE3\x81\x8C", "he",
         "\xE3\x82\x9B"},
        {"\xED\x95\x9C", "\xEA\xB0\x80", "t", "h", "e", " "},
        {"\xE2\x84\xAA", "K", "\xEF\xBD\x94", "t", "\xEF\xAC\x81", "fi"},
        {"\xF0\x9F\x98\x80", "\xC2\xAD", "a", "b", "\xCC\x81", "\xE2\x80\x8B"},
    };
    size_t script = below(sizeof scripts / sizeof scripts[0]);
    for (size_t i = 0; i < pieces; i++) {
        if (below(60) == 0)
            script = below(sizeof scripts / sizeof scripts[0]);
        buf_put_str(b, scripts[script][below(6)]);
    }
}

// Whole characters from a place of the text; half of the needles are ASCII or near it.
static struct span
take_needle(struct span text)
{
    size_t from = below(text.n), n = 1 + below(below(4) == 0 ? 700 : 5);
    struct span needle = span_slice(text, from, from + n);
    while (needle.n > 0 && ((unsigned char)*needle.p & 0xC0) == 0x80)
        needle = span_skip(needle, 1);
    while (needle.n < text.n - (size_t)(needle.p - text.p) &&
           ((unsigned char)needle.p[needle.n] & 0xC0) == 0x80)
        needle.n++;
    return needle;
}

static bool
is_in_key(struct span text, struct span needle, enum collation collation)
{
    struct buf all, part;
    buf_init(&all, (size_t)TEXT_MAX * 16);
    buf_init(&part, (size_t)TEXT_MAX * 16);
    mime_fold_as(&all, collation, text);
    mime_fold_as(&part, collation, needle);
    bool found = part.n == 0 || span_find(buf_span(&all), buf_span(&part)) < all.n;
    buf_done(&all);
    buf_done(&part);
    return found;
}

static void
feed(struct mime_text_search *s, struct span text)
{
    const struct mime_index_part part = {
        .type = SPAN("text"), .subtype = SPAN("plain"), .charset = SPAN("utf-8")};
    size_t cut = below(3) == 0 ? 1 + below(30) : 1 + below(9000);
    mime_text_begin(s, &part);
    for (; text.n > 0; text = span_skip(text, cut))
        mime_text_feed(s, span_slice(text, 0, cut));
    mime_text_end(s);
}

static void
test_like_folded(void **unused)
{
    size_t hits = 0;
    struct buf text, other;
    (void)unused;
    buf_init(&text, TEXT_MAX);
    buf_init(&other, TEXT_MAX);
    for (size_t i = 0; i < ROUNDS; i++) {
        enum collation collation = (enum collation)below(4);
        buf_reset(&text);
        buf_reset(&other);
        put_text(&text, 1 + below(below(5) == 0 ? 6000 : 400));
        put_text(&other, 40);
        struct span needles[2] = {take_needle(buf_span(&text)),
                                  take_needle(buf_span(&other))};
        struct mime_text_search *s = mime_text_search_new(needles, 2, collation);
        feed(s, buf_span(&text));
        for (size_t n = 0; n < 2; n++) {
            bool found = mime_text_found(s, n);
            hits += found;
            if (found != is_in_key(buf_span(&text), needles[n], collation))
                fail_msg("round %zu, needle %zu, collation %d: %d", i, n, (int)collation,
                         found);
        }
        mime_text_search_free(&s);
    }
    assert_true(hits > ROUNDS && hits < (size_t)2 * ROUNDS - 1000);
    buf_done(&text);
    buf_done(&other);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_folded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
