// Texts that are searched where they lie beside the same texts folded whole: random pieces of several scripts, needles cut from
// them, all collations, parts fed in any cuts.

#include "mime/encoded_word.h"

#include "base/seeded.h"
#include "mime/header.h"
#include "mime/needle.h"
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
    return seeded_below(&state, n);
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

// A header of fields that are folded, coded, broken.
static void
put_header(struct buf *b, size_t fields)
{
    static const char *const pieces[] = {
        "th",
        "The ",
        "e",
        "\t",
        "\r\n ",
        "=?utf-8?q?th=C3=A9?=",
        "=?utf-8?b?dGhl?=",
        ":",
        "a: ",
        "?=",
        "=?",
        "\xC3\xA9",
        "\xE2\x84\xAA",
        "=?utf-8?q?t?=",
        "\n\r\n ",
        "\r",
        " ",
        "x-th",
        "h",
        "=?utf-8?q?h?=",
        "\x7F",
    };
    for (size_t i = 0; i < fields; i++) {
        buf_put_str(b, below(4) > 0 ? "The-x: " : below(2) > 0 ? "th : " : "no");
        for (size_t n = below(12); n > 0; n--)
            buf_put_str(b, pieces[below(sizeof pieces / sizeof pieces[0])]);
        buf_put_str(b, below(8) > 0 ? "\r\n" : "\n");
    }
}

static bool
is_in_fields(struct span block, struct span needle, enum collation collation)
{
    struct mime_header_iter it = mime_header_begin(block);
    struct mime_header header;
    struct buf value, text;
    bool found = false;
    buf_init(&value, TEXT_MAX);
    buf_init(&text, (size_t)TEXT_MAX * 4);
    while (!found && mime_header_next(&it, &header) == R_OK) {
        buf_reset(&value);
        buf_reset(&text);
        mime_utf8_clean(&text, header.name);
        buf_put_str(&text, ": ");
        mime_header_unfold(&value, header.value);
        mime_decode_words(&text, buf_span(&value));
        found = is_in_key(buf_span(&text), needle, collation);
    }
    buf_done(&value);
    buf_done(&text);
    return found;
}

static void
test_header_like_folded(void **unused)
{
    size_t hits = 0;
    struct buf block, other;
    (void)unused;
    buf_init(&block, TEXT_MAX);
    buf_init(&other, TEXT_MAX);
    for (size_t i = 0; i < ROUNDS; i++) {
        enum collation collation = (enum collation)below(4);
        buf_reset(&block);
        buf_reset(&other);
        put_header(&block, 1 + below(6));
        put_header(&other, 2);
        struct span needles[2] = {take_needle(buf_span(&block)),
                                  take_needle(buf_span(&other))};
        struct mime_text_search *s = mime_text_search_new(needles, 2, collation);
        mime_text_header(s, buf_span(&block));
        for (size_t n = 0; n < 2; n++) {
            bool found = mime_text_found(s, n);
            hits += found;
            if (needles[n].n > 0 &&
                found != is_in_fields(buf_span(&block), needles[n], collation))
                fail_msg("round %zu, needle %zu, collation %d: %d", i, n, (int)collation,
                         found);
        }
        mime_text_search_free(&s);
    }
    assert_true(hits > ROUNDS / 4 && hits < (size_t)2 * ROUNDS - 1000);
    buf_done(&block);
    buf_done(&other);
}

static void
test_needle_like_folded(void **unused)
{
    size_t hits = 0;
    struct buf text, other, folded;
    (void)unused;
    buf_init(&text, TEXT_MAX);
    buf_init(&other, TEXT_MAX);
    buf_init(&folded, (size_t)TEXT_MAX * 16);
    for (size_t i = 0; i < ROUNDS; i++) {
        enum collation collation = (enum collation)below(4);
        buf_reset(&text);
        buf_reset(&other);
        buf_reset(&folded);
        put_text(&text, 1 + below(40));
        put_text(&other, 40);
        struct span needle = take_needle(buf_span(below(2) > 0 ? &text : &other));
        mime_fold_as(&folded, collation, needle);
        const struct mime_needle n = mime_needle_of(buf_span(&folded), collation);
        bool found = mime_needle_in(&n, buf_span(&text));
        hits += found;
        if (folded.n > 0 && found != is_in_key(buf_span(&text), needle, collation))
            fail_msg("round %zu, collation %d: %d", i, (int)collation, found);
    }
    assert_true(hits > ROUNDS / 4 && hits < ROUNDS - 1000);
    buf_done(&text);
    buf_done(&other);
    buf_done(&folded);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_folded),
        cmocka_unit_test(test_header_like_folded),
        cmocka_unit_test(test_needle_like_folded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
