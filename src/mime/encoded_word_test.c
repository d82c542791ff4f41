// Encoded words (RFC 2047) and parameters (RFC 2231).

#include "mime/mail_test.h"

#include "mime/encoded_word.h"
#include "mime/header.h"

static void
test_decode(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"plain text", "plain text"},
        {"=?utf-8?Q?a_b=21?=", "a b!"},
        {"=?UTF-8?b?w7w=?=", "\xC3\xBC"},
        {"=?iso-8859-1?q?J=F6rg?= <x>", "J\xC3\xB6rg <x>"},
        {"=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"},
        {"=?utf-8?Q?a?=\r\n =?iso-8859-1?Q?=FC?= c", "a\xC3\xBC c"},
        {"=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c"},
        {"=?utf-8?B?4oI=?= =?utf-8?B?rA==?=", "\xE2\x82\xAC"},
        {"=?utf-8?Q?=E2=82?=", "\xEF\xBF\xBD"},
        {"=?us-ascii*en?Q?x?=", "x"},
        {"=?nowhere?Q?x=41?=", "=?nowhere?Q?x=41?="},
        {"=?utf-8?X?x?=", "=?utf-8?X?x?="},
        {"=?utf-8?Q?open", "=?utf-8?Q?open"},
        {"=?utf-8?Q?why?"
         "?= z",
         "why? z"},
        {"=?utf-8?Q?=zz=4?=", "=zz=4"},
        {"x\xFFy", "x\xEF\xBF\xBDy"},
        {"=?iso-2022-jp?B?GyRCJDMbKEI=?=", "\xE3\x81\x93"},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct buf got;
        buf_init(&got, 4096);
        mime_decode_words(&got, span_str(rows[i].text));
        check_span(buf_span(&got), rows[i].want);
        buf_done(&got);
    }
}

// decode(encode(x)) = x for valid UTF-8, and no 8-bit octet or long word is written.
static void
test_round_trip(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "Gr\xC3\xBC\xC3\x9F"
        "e aus K\xC3\xB6ln",
        "a b \xC3\xA4 c \xC3\xA4 d",
        "\xF0\x9F\x98\x80",
        "\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4"
        "\xC3\xA4",
        "=_?\xC3\xA4?_=",
    };

    for (size_t i = 0; i < ROWS(texts); i++) {
        struct buf coded, got;
        buf_init(&coded, 4096);
        buf_init(&got, 4096);
        mime_encode_words(&coded, span_str(texts[i]));
        struct span rest = buf_span(&coded), word;
        while (span_next_field(&rest, ' ', &word) == R_OK)
            assert_true(word.n <= 75);
        for (size_t at = 0; at < coded.n; at++)
            assert_false(coded.p[at] & 0x80);
        mime_decode_words(&got, buf_span(&coded));
        check_span(buf_span(&got), texts[i]);
        buf_done(&coded);
        buf_done(&got);
    }
}

// decode(encode(x)) = decode(x) beside encoded words.
static void
test_beside_8bit(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "=?utf-8?q?A?= \xC3\xA4",
        "\xC3\xA4  =?utf-8?q?A?=",
        "\xC3\xA4 =?utf-8?q?B?= =?utf-8?q?C?= x \xC3\xB6 y",
        "=?utf-8?q?A?=\xC3\xA4=?iso-8859-1?q?=e4?=",
        "=?utf-8?q?A?= =?nonsense?q?A?= \xC3\xA4",
        "=?utf-8?q?A?= plain \xC3\xA4 plain =?utf-8?q?A?=",
    };

    for (size_t i = 0; i < ROWS(texts); i++) {
        struct buf coded, got, want;
        buf_init(&coded, 4096);
        buf_init(&got, 4096);
        buf_init(&want, 4096);
        mime_encode_words(&coded, span_str(texts[i]));
        for (size_t at = 0; at < coded.n; at++)
            assert_false(coded.p[at] & 0x80);
        mime_decode_words(&got, buf_span(&coded));
        mime_decode_words(&want, span_str(texts[i]));
        buf_put_char(&want, '\0');
        check_span(buf_span(&got), want.p);
        buf_done(&coded);
        buf_done(&got);
        buf_done(&want);
    }
}

// RFC 2047 section 2: 76 octets of a line with an encoded word; what is folded says the same.
static void
test_fold(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"plain", "Subject: plain"},
        {"=?utf-8?Q?=C3=A4?=", "Subject: =?utf-8?Q?=C3=A4?="},
        {"x =?utf-8?Q?=C3=A4?= y", "Subject: x\r\n =?utf-8?Q?=C3=A4?= y"},
        // a word of 75 octets does not fit behind the name
        {"=?utf-8?Q?abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij=C3?= b",
         "Subject: \r\n "
         "=?utf-8?Q?abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij=C3?=\r\n "
         "b"},
        // nor do all words behind an encoded one
        {"=?utf-8?Q?=C3=A4?= aaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbb  cccccccccc d",
         "Subject: =?utf-8?Q?=C3=A4?= aaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbb\r\n"
         "  cccccccccc d"},
        {"=?utf-8?Q?=C3=A4?= ", "Subject: =?utf-8?Q?=C3=A4?= "},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct buf got;
        buf_init(&got, 4096);
        buf_put_str(&got, "Before: x\r\nSubject: ");
        mime_fold_words(&got, span_str(rows[i].text));
        check_span(span_skip(buf_span(&got), 11), rows[i].want);
        buf_done(&got);
    }
}

static void
test_param_find(void **state)
{
    (void)state;
    struct mime_param plain = {SPAN("name"), SPAN("=?utf-8?Q?=C3=A4?=.txt"), NULL};
    struct mime_param star = {SPAN("Name*"), SPAN("iso-8859-1'de'%e4%zz.txt"), &plain};
    struct mime_param bare = {SPAN("name*"), SPAN("no quotes%41"), NULL};
    struct buf got;

    buf_init(&got, 4096);
    assert_int_equal(mime_param_find(&plain, SPAN("name"), &got), R_OK);
    check_span(buf_span(&got), "\xC3\xA4.txt");
    buf_reset(&got);
    assert_int_equal(mime_param_find(&star, SPAN("name"), &got), R_OK);
    check_span(buf_span(&got), "\xC3\xA4%zz.txt");
    buf_reset(&got);
    assert_int_equal(mime_param_find(&bare, SPAN("name"), &got), R_OK);
    check_span(buf_span(&got), "no quotesA");
    assert_int_equal(mime_param_find(&plain, SPAN("other"), &got), R_NONE);
    buf_done(&got);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),      cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_beside_8bit), cmocka_unit_test(test_fold),
        cmocka_unit_test(test_param_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
