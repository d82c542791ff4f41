// The small grammars: UTF-8, modified UTF-7, base64, dates, quoting.
#include "wire/base64.h"
#include "wire/date.h"
#include "wire/mutf7.h"
#include "wire/quote.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
assert_buf(struct buf *b, const char *want)
{
    buf_put_char(b, '\0');
    assert_string_equal(b->p, want);
    buf_done(b);
}

static void
test_utf8(void **unused)
{
    (void)unused;
    static const struct {
        struct span in;
        bool want;
    } rows[] = {
        {SPAN(""), true},
        {SPAN("a\xC3\xA4"), true},
        {SPAN("\xF0\x9F\x98\x80"), true},
        {SPAN("\xC0\x80"), false},
        {SPAN("\xED\xA0\x80"), false},
        {SPAN("\xF4\x90\x80\x80"), false},
        {SPAN("\xE2\x82"), false},
        {SPAN("\x80"), false},
        {SPAN("\xFF"), false},
        {SPAN("\xE0\x9F\xBF"), false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(utf8_valid(rows[i].in), rows[i].want);
    for (uint32_t c = 1; c <= 0x10FFFF; c += 97) {
        struct buf b;
        buf_init(&b, 8);
        utf8_put(&b, c);
        struct span s = buf_span(&b);
        uint32_t back = 0;
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        assert_int_equal(utf8_next(&s, &back), surrogate ? R_FAIL : R_OK);
        if (!surrogate)
            assert_int_equal(back, c);
        buf_done(&b);
    }
}

static void
test_mutf7(void **unused)
{
    (void)unused;
    static const struct {
        const char *in, *want;  // NULL: refused
    } rows[] = {
        {"INBOX", "INBOX"},
        {"~peter/mail/&U,BTFw-/&ZeVnLIqe-",
         "~peter/mail/\xE5\x8F\xB0\xE5\x8C\x97/\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E"},
        {"a&-b", "a&b"},
        {"&-&-", "&&"},
        {"Entw&APw-rfe", "Entw\xC3\xBCrfe"},
        {"&2D3eAA-", "\xF0\x9F\x98\x80"},
        {"&AOQ-&-", "\xC3\xA4&"},
        {"", ""},
        {"&AGE-", NULL},  // ASCII encoded
        {"&AC8-", NULL},  // "/"
        {"a&", NULL},
        {"&AOQ", NULL},
        {"&AOR-", NULL},       // surplus bits
        {"&AOQA-", NULL},      // a surplus digit
        {"&AOQ-&AOQ-", NULL},  // two runs where one would do
        {"&2D0-", NULL},       // half a surrogate pair
        {"&3gA-", NULL},
        {"&2D0AYQ-", NULL},
        {"&AAA-", NULL},
        {"&*-", NULL},
        {"\xC3\xA4", NULL},
        {"a\x01", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf utf8, back;
        struct fault f;
        buf_init(&utf8, 200);
        buf_init(&back, 200);
        enum result r = mutf7_to_utf8(span_str(rows[i].in), &utf8, &f);
        assert_int_equal(r, rows[i].want ? R_OK : R_FAIL);
        if (rows[i].want) {
            mutf7_from_utf8(buf_span(&utf8), &back);
            assert_buf(&utf8, rows[i].want);
            assert_buf(&back, rows[i].in);
        }
        buf_done(&utf8);
        buf_done(&back);
    }
}

static void
test_mutf7_round_trip(void **unused)
{
    (void)unused;
    uint32_t seed = 7;
    for (int round = 0; round < 2000; round++) {
        struct buf name, wire, back;
        struct fault f;
        buf_init(&name, 200);
        buf_init(&wire, 1000);
        buf_init(&back, 1000);
        for (int i = 0; i < 9; i++) {
            static const uint32_t tops[] = {0x7F, 0xFF, 0xD7FF, 0x10FFFF};
            seed = seed * 1664525 + 1013904223;
            uint32_t c = 1 + (seed >> 3) % tops[seed >> 30];
            if (c < 0xD800 || c > 0xDFFF)
                utf8_put(&name, c);
        }
        mutf7_from_utf8(buf_span(&name), &wire);
        assert_int_equal(mutf7_to_utf8(buf_span(&wire), &back, &f), R_OK);
        assert_true(span_eq(buf_span(&name), buf_span(&back)));
        buf_done(&name);
        buf_done(&wire);
        buf_done(&back);
    }
}

static void
test_base64(void **unused)
{
    (void)unused;
    static const struct {
        const char *in, *want;
    } rows[] = {
        {"", ""},        {"Zg==", "f"},          {"Zm8=", "fo"},
        {"Zm9v", "foo"}, {"Zm9vYmFy", "foobar"}, {"Zg", NULL},
        {"Zg=", NULL},   {"Zh==", NULL},         {"Zm9=", NULL},
        {"Z===", NULL},  {"====", NULL},         {"Zg==Zg==", NULL},
        {"Zm 9", NULL},  {"=\x80%%", NULL},      {"Zm9v\n", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out, back;
        buf_init(&out, 100);
        buf_init(&back, 100);
        assert_int_equal(base64_decode(span_str(rows[i].in), &out),
                         rows[i].want ? R_OK : R_FAIL);
        if (rows[i].want) {
            base64_encode(buf_span(&out), &back);
            assert_buf(&out, rows[i].want);
            assert_buf(&back, rows[i].in);
        }
        buf_done(&out);
        buf_done(&back);
    }
}

static void
test_date_time(void **unused)
{
    (void)unused;
    static const struct {
        const char *in;
        int64_t want_utc;
        int want_zone;
        enum result want;
    } rows[] = {
        {"17-Jul-1996 02:44:25 -0700", 837596665, -420, R_OK},
        {" 7-Feb-1994 21:52:25 -0800", 760686745, -480, R_OK},
        {" 1-Jan-1970 00:00:00 +0000", 0, 0, R_OK},
        {"31-Dec-1969 23:59:59 +0000", -1, 0, R_OK},
        {"29-Feb-2024 23:59:60 +0530", 1709231399, 330, R_OK},
        {"29-Feb-2023 00:00:00 +0000", 0, 0, R_FAIL},
        {"31-Apr-2023 00:00:00 +0000", 0, 0, R_FAIL},
        {" 7-Feb-1994 24:00:00 -0800", 0, 0, R_FAIL},
        {" 7-Feb-1994 21:52:25 -0860", 0, 0, R_FAIL},
        {" 7-Feb-94 21:52:25 -0800", 0, 0, R_FAIL},
        {" 7-Foo-1994 21:52:25 -0800", 0, 0, R_FAIL},
        {" 7-Feb-1994 21:52:25 -0800 ", 0, 0, R_FAIL},
        {"", 0, 0, R_FAIL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct date_time t;
        struct buf b;
        enum result r = date_time_parse(span_str(rows[i].in), &t);
        assert_int_equal(r, rows[i].want);
        if (r != R_OK)
            continue;
        assert_int_equal(t.utc_s, rows[i].want_utc);
        assert_int_equal(t.zone_min, rows[i].want_zone);
        if (strstr(rows[i].in, ":60"))
            continue;
        buf_init(&b, 64);
        date_time_print(&b, t);
        assert_buf(&b, rows[i].in);
    }
}

static void
test_date(void **unused)
{
    (void)unused;
    for (int32_t day = -719528; day < 2932897; day += 131) {
        struct buf b;
        int32_t back;
        buf_init(&b, 64);
        date_print(&b, day);
        assert_int_equal(date_parse(buf_span(&b), &back), R_OK);
        assert_int_equal(back, day);
        buf_done(&b);
    }
    int32_t day;
    assert_int_equal(date_parse(SPAN("01-feb-1994"), &day), R_OK);
    assert_int_equal(day, date_from_civil(1994, 2, 1));
    assert_int_equal(date_parse(SPAN("0-Feb-1994"), &day), R_FAIL);
    assert_int_equal(date_parse(SPAN("1-Feb-1994x"), &day), R_FAIL);
    struct date_time t = {0, -60};
    assert_int_equal(date_local_day(t), -1);
}

static void
test_quote(void **unused)
{
    (void)unused;
    static const struct {
        struct span in;
        bool utf8;
        const char *want_string, *want_astring, *want_mailbox;
    } rows[] = {
        {SPAN("a"), false, "\"a\"", "a", "a"},
        {SPAN(""), false, "\"\"", "\"\"", "\"\""},
        {SPAN("a b"), false, "\"a b\"", "\"a b\"", "\"a b\""},
        {SPAN("a\"\\"), false, "\"a\\\"\\\\\"", "\"a\\\"\\\\\"", "\"a\\\"\\\\\""},
        {SPAN("a\r\nb"), false, "{4}\r\na\r\nb", "{4}\r\na\r\nb", "&AA0ACg-b"},
        {SPAN("nil"), false, "\"nil\"", "\"nil\"", "\"nil\""},
        {SPAN("a]%"), false, "\"a]%\"", "\"a]%\"", "\"a]%\""},
        {SPAN("\xC3\xA4"), false, "{2}\r\n\xC3\xA4", "{2}\r\n\xC3\xA4", "&AOQ-"},
        {SPAN("\xC3\xA4"), true, "\"\xC3\xA4\"", "\"\xC3\xA4\"", "\"\xC3\xA4\""},
        {SPAN("\xC3"), true, "{1}\r\n\xC3", "{1}\r\n\xC3", "{1}\r\n\xC3"},
        {SPAN("a&b"), true, "\"a&b\"", "a&b", "a&b"},
        {SPAN("a&b"), false, "\"a&b\"", "a&b", "a&-b"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b;
        buf_init(&b, 200);
        quote_string(&b, rows[i].in, rows[i].utf8);
        assert_buf(&b, rows[i].want_string);
        quote_astring(&b, rows[i].in, rows[i].utf8);
        assert_buf(&b, rows[i].want_astring);
        if (i == 4)
            continue;
        quote_mailbox(&b, rows[i].in, rows[i].utf8);
        assert_buf(&b, rows[i].want_mailbox);
    }
    struct buf b;
    buf_init(&b, 200);
    quote_nstring(&b, SPAN_NONE, false);
    assert_buf(&b, "NIL");
    quote_string(&b, SPAN("\0"), false);
    assert_buf(&b, "{1}\r\n\x80");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_mutf7),
        cmocka_unit_test(test_mutf7_round_trip),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_date_time),
        cmocka_unit_test(test_date),
        cmocka_unit_test(test_quote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
