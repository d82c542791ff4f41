#include "wire/parse.h"
#include "base/arena_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

// Runs one token reader over each row; want NULL: refused.
struct row {
    struct span in;
    const char *want;
};

static void
check(struct span (*read)(struct parse *p), const struct row *rows, size_t n, bool utf8)
{
    for (size_t i = 0; i < n; i++) {
        struct parse p;
        struct fault f;
        parse_init(&p, rows[i].in, arena, utf8);
        struct span got = read(&p);
        assert_int_equal(parse_end(&p, &f), rows[i].want ? R_OK : R_FAIL);
        if (rows[i].want)
            assert_true(span_eq(got, span_str(rows[i].want)));
    }
}

#define CHECK(read, utf8, ...)                                                             \
    do {                                                                                   \
        static const struct row rows[] = {__VA_ARGS__};                                    \
        check(read, rows, sizeof rows / sizeof *rows, utf8);                               \
    } while (0)

static void
test_tokens(void **unused)
{
    (void)unused;
    CHECK(parse_tag, false, {SPAN("a.1\r\n"), "a.1"}, {SPAN("+\r\n"), NULL},
          {SPAN("a b\r\n"), NULL});
    CHECK(parse_atom, false, {SPAN("abc\r\n"), "abc"}, {SPAN("a]\r\n"), NULL},
          {SPAN("\r\n"), NULL}, {SPAN("a\x80\r\n"), NULL});
    CHECK(parse_astring, false, {SPAN("a]b\r\n"), "a]b"}, {SPAN("\"\"\r\n"), ""},
          {SPAN("\"a \\\"\\\\\"\r\n"), "a \"\\"}, {SPAN("{3}\r\na\r\n\r\n"), "a\r\n"},
          {SPAN("{3+}\r\nabc\r\n"), "abc"}, {SPAN("\"a\r\n"), NULL},
          {SPAN("\"\\a\"\r\n"), NULL}, {SPAN("{9}\r\nabc\r\n"), NULL},
          {SPAN("~{3}\r\nabc\r\n"), NULL}, {SPAN("a(\r\n"), NULL},
          {SPAN("\"\\\r\n"), NULL});
    CHECK(parse_binary, false, {SPAN("~{3+}\r\na\r\n\r\n"), "a\r\n"},
          {SPAN("{1}\r\nx\r\n"), "x"});
    CHECK(parse_flag, false, {SPAN("\\Seen\r\n"), "\\Seen"},
          {SPAN("$MDNSent\r\n"), "$MDNSent"}, {SPAN("\\\r\n"), NULL},
          {SPAN("\\*\r\n"), NULL});
    CHECK(parse_seqset, false, {SPAN("1:*,4\r\n"), "1:*,4"}, {SPAN("$\r\n"), "$"},
          {SPAN("$1\r\n"), NULL}, {SPAN("x\r\n"), NULL});
    CHECK(parse_skip_value, false,
          {SPAN("(a (\"b)\" c) {1}\r\n))\r\n"), "(a (\"b)\" c) {1}\r\n))"},
          {SPAN("12\r\n"), "12"}, {SPAN("((a)\r\n"), NULL}, {SPAN(")\r\n"), NULL});
}

static void
test_mailboxes(void **unused)
{
    (void)unused;
    CHECK(parse_mailbox, false, {SPAN("inbox\r\n"), "INBOX"},
          {SPAN("Inbox/x\r\n"), "INBOX/x"}, {SPAN("inboxes\r\n"), "inboxes"},
          {SPAN("a/\r\n"), "a"}, {SPAN("\"/\"\r\n"), "/"},
          {SPAN("Entw&APw-rfe\r\n"), "Entw\xC3\xBCrfe"}, {SPAN("\"a&\"\r\n"), NULL},
          {SPAN("\"\xC3\xA4\"\r\n"), NULL});
    CHECK(parse_mailbox, true, {SPAN("\"\xC3\xA4&\"\r\n"), "\xC3\xA4&"},
          {SPAN("\"\xC3\"\r\n"), NULL});
    CHECK(parse_list_mailbox, false, {SPAN("a/%*\r\n"), "a/%*"}, {SPAN("\"\"\r\n"), ""},
          {SPAN("&APw-%\r\n"), "\xC3\xBC%"}, {SPAN("&AGE-\r\n"), "\x01"});
}

static struct span
read_section(struct parse *p)
{
    return parse_section(p).text;
}

static void
test_sections(void **unused)
{
    (void)unused;
    CHECK(read_section, false, {SPAN("]\r\n"), ""}, {SPAN("1.2]\r\n"), "1.2"},
          {SPAN("header]\r\n"), "HEADER"}, {SPAN("1.MIME]\r\n"), "1.MIME"},
          {SPAN("TEXT]\r\n"), "TEXT"},
          {SPAN("3.HEADER.FIELDS (To \"a b\")]\r\n"), "3.HEADER.FIELDS (To \"a b\")"},
          {SPAN("HEADER.FIELDS.NOT (X)]\r\n"), "HEADER.FIELDS.NOT (X)"},
          {SPAN("HEADER.FIELDS ({2+}\r\nTo)]\r\n"), "HEADER.FIELDS (To)"},
          {SPAN("MIME]\r\n"), NULL}, {SPAN("1.]\r\n"), NULL}, {SPAN("0]\r\n"), NULL},
          {SPAN("1TEXT]\r\n"), NULL}, {SPAN("1..2]\r\n"), NULL},
          {SPAN("HEADER.FIELDS ()]\r\n"), NULL}, {SPAN("HEADER.FIELDS]\r\n"), NULL},
          {SPAN("4294967296]\r\n"), NULL}, {SPAN("HEADERS]\r\n"), NULL},
          {SPAN("1\r\n"), NULL});
}

static void
test_partials(void **unused)
{
    (void)unused;
    static const struct {
        struct span in;
        enum result want;
        uint64_t offset, count;
    } rows[] = {
        {SPAN("<0.1024>\r\n"), R_OK, 0, 1024},
        {SPAN("<0.4294967295>\r\n"), R_OK, 0, UINT32_MAX},
        {SPAN("<18446744073709551615.1>\r\n"), R_FAIL, 0, 0},
        {SPAN("<0.0>\r\n"), R_FAIL, 0, 0},
        {SPAN("<0>\r\n"), R_FAIL, 0, 0},
        {SPAN("<.1>\r\n"), R_FAIL, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct parse p;
        struct fault f;
        uint64_t offset = 0, count = 0;
        parse_init(&p, rows[i].in, arena, false);
        parse_partial(&p, &offset, &count);
        assert_int_equal(parse_end(&p, &f), rows[i].want);
        assert_int_equal(offset, rows[i].offset);
        assert_int_equal(count, rows[i].count);
    }
}

static size_t
list_length(struct span in, bool *ok)
{
    struct parse p;
    struct fault f;
    size_t n = 0;
    parse_init(&p, in, arena, false);
    parse_list_open(&p);
    while (parse_list_next(&p)) {
        parse_atom(&p);
        n++;
    }
    *ok = parse_end(&p, &f) == R_OK;
    return n;
}

static void
test_lists(void **unused)
{
    (void)unused;
    bool ok;
    assert_int_equal(list_length(SPAN("(a b c)\r\n"), &ok), 3);
    assert_true(ok);
    assert_int_equal(list_length(SPAN("()\r\n"), &ok), 0);
    assert_true(ok);
    list_length(SPAN("(a  b)\r\n"), &ok);
    assert_false(ok);
    list_length(SPAN("( a)\r\n"), &ok);
    assert_false(ok);
    list_length(SPAN("(a b\r\n"), &ok);
    assert_false(ok);
    list_length(SPAN("a\r\n"), &ok);
    assert_false(ok);
}

static void
test_faults_stick(void **unused)
{
    (void)unused;
    struct parse p;
    struct fault f;
    parse_init(&p, SPAN("a X 99999999999 y\r\n"), arena, false);
    parse_tag(&p);
    parse_sp(&p);
    assert_false(parse_try_word(&p, "XY"));
    assert_true(parse_try_word(&p, "x"));
    parse_sp(&p);
    assert_int_equal(parse_number(&p), 0);
    assert_int_equal(parse_peek(&p), 0);
    assert_null(parse_atom(&p).p);
    assert_int_equal(parse_end(&p, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_BAD);
    assert_non_null(strstr(f.why, "number"));
}

static void
test_streams(void **unused)
{
    (void)unused;
    struct parse p;
    parse_init(&p, SPAN("~{12+}\r\n"), arena, false);
    struct command_literal l = parse_stream(&p);
    assert_false(p.bad);
    assert_int_equal(l.size, 12);
    assert_true(l.literal8);
    assert_false(l.sync);
    parse_init(&p, SPAN("{12}\r\nx"), arena, false);
    parse_stream(&p);
    assert_true(p.bad);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),   cmocka_unit_test(test_mailboxes),
        cmocka_unit_test(test_sections), cmocka_unit_test(test_partials),
        cmocka_unit_test(test_lists),    cmocka_unit_test(test_faults_stick),
        cmocka_unit_test(test_streams),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
