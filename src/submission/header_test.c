#include "submission/header.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct submission_header_made made = {
    {"ann@example.test", 16}, "mail.example.test", 1, 1000000000};

// Where the header ends: at the empty line, or before the first line that is none of a field. In any cuts.
static void
test_end(void **state)
{
    static const struct {
        const char *text;
        size_t want_at, want_gap;
    } rows[] = {
        {"A: b\r\n\r\nbody", 6, 2},
        {"A: b\r\n c\r\n\r\n", 10, 2},
        {"\r\nbody\r\n", 0, 2},
        {"body\r\n", 0, 0},
        {" A: b\r\n", 0, 0},
        {"A: b\r\nbody: \r\nfrom me\r\nFrom: x@y\r\n", 14, 0},
        {"A b: c\r\n", 0, 0},
        {"A : c\r\n\r\n", 7, 2},
        {": c\r\n", 0, 0},
        {"From ann Mon Jan 1\r\nA: b\r\n", 0, 0},
        {"A: b", 4, 0},
        {"A: b\r\n", 6, 0},
        {"", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span text = span_str(rows[i].text);
        struct submission_header_end at_once = {0}, pieces = {0};
        submission_header_scan(&at_once, text, true);
        for (size_t n = 0; n <= text.n && !pieces.found; n++)
            submission_header_scan(&pieces, span_slice(text, 0, n), false);
        submission_header_scan(&pieces, text, true);
        if (!at_once.found || at_once.at != rows[i].want_at ||
            at_once.gap != rows[i].want_gap || pieces.at != at_once.at ||
            pieces.gap != at_once.gap)
            fail_msg("%s: %zu %zu, %zu %zu", rows[i].text, at_once.at, at_once.gap,
                     pieces.at, pieces.gap);
    }
}

static void
test_authors(void **state)
{
    static const struct {
        const char *block, *want;  // NULL: refused
    } rows[] = {
        {"From: ann@example.test\r\n", "ann@example.test "},
        {"From: Ann <ann@example.test>\r\nSender: bob@example.test\r\n",
         "ann@example.test bob@example.test "},
        {"from : \"a@b\" <ann@example.test>\r\n", "ann@example.test "},
        {"From: a@x.org, b@y.org\r\n", "a@x.org b@y.org "},
        {"From:\r\n (x) ann@example.test\r\n", "ann@example.test "},
        {"Subject: x\r\n", ""},
        {"From: a@x.org\r\nFrom: b@y.org\r\n", NULL},
        {"From: a@x.org\r\nFROM: b@y.org\r\n", NULL},
        {"Sender: a@x.org\r\nSender: b@y.org\r\n", NULL},
        {"Sender: a@x.org, b@y.org\r\n", NULL},
        {"From: ann\r\n", "ann@MISSING_DOMAIN "},  // nobody's
        {"From: \r\n", NULL},
        {"From: group: a@x.org;\r\n", NULL},
        {"From: <@a,@b:c@d.org>\r\n", NULL},
        {"From: <a@x.org> <b@y.org>\r\n", NULL},
        {"From: a@x.org b@y.org\r\n", NULL},
        {"From: b@y.org <a@x.org>\r\n", NULL},
        {"From: b @ y.org <a@x.org>\r\n", NULL},
        {"From: A@x.org <a@x.org>\r\n", "A@x.org "},
        {"From: \"b@y.org <a@x.org>\r\n", NULL},
        {"From: (b@y.org) a@x.org (b@y.org (b@y.org))\r\n", "a@x.org "},
        {"From: \"\\\"b@y.org\" <a@x.org>\r\n", "a@x.org "},
        {"From: \"a b\"@x.org\r\n", "a b@x.org "},
        {"From: a@x.org\r\nSender: b@y.org <a@x.org>\r\n", NULL},
        {"From: a@x.org,a@x.org,a@x.org,a@x.org,a@x.org,a@x.org,a@x.org,a@x.org,a@x.org,"
         "a@x.org,a@x.org,a@x.org,a@x.org,a@x.org,a@x.org,a@x.org,a@x.org,a@x.org,a@x.org,"
         "a@x.org,a@x.org\r\n",
         NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena *a = arena_new();
        struct submission_header h;
        struct fault f;
        struct buf b;
        buf_init(&b, 4096);
        enum result r = submission_header_read(span_str(rows[i].block), a, &h, &f);
        if ((r == R_OK) != (rows[i].want != NULL))
            fail_msg("%s: %d", rows[i].block, r);
        for (size_t n = 0; r == R_OK && n < h.author_count; n++)
            buf_printf(&b, "%.*s ", SPAN_ARG(h.authors[n]));
        if (r == R_OK && !span_eq(buf_span(&b), span_str(rows[i].want)))
            fail_msg("%s: %.*s", rows[i].block, SPAN_ARG(buf_span(&b)));
        buf_done(&b);
        arena_free(&a);
    }
}

static void
test_hops(void **state)
{
    struct arena *a = arena_new();
    struct submission_header h;
    struct fault f;
    struct buf b;
    (void)state;
    buf_init(&b, 65536);
    for (int i = 0; i < LIMIT_submission_hops; i++)
        buf_put_str(&b, "Received: x\r\n");
    assert_int_equal(submission_header_read(buf_span(&b), a, &h, &f), R_OK);
    buf_put_str(&b, "Received: x\r\n");
    assert_int_equal(submission_header_read(buf_span(&b), a, &h, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_CANNOT);
    buf_done(&b);
    arena_free(&a);
}

// RFC 6409 section 8. Parts that are looked for, and such that may not be there ("!").
static void
test_put(void **state)
{
    static const struct {
        const char *block;
        bool outgoing;
        const char *want[4];
    } rows[] = {
        {"Subject: x\r\n",
         true,
         {"Subject: x\r\nFrom: <ann@example.test>\r\nDate: ",
          "Message-ID: <0000000000000001.", "@mail.example.test>\r\n\r\n", "!Sender"}},
        {"From: a@x.org\r\nBcc: b@y.org,\r\n c@z.org\r\nresent-bcc: d@z.org\r\n"
         "Return-Path: <e@z.org>\r\nDate: now\r\nMessage-ID: <1@2>\r\nTo: f@x.org\r\n",
         true,
         {"From: a@x.org\r\nDate: now\r\nMessage-ID: <1@2>\r\nTo: f@x.org\r\n\r\n"}},
        {"From: a@x.org\r\nBcc: b@y.org,\r\n c@z.org\r\n",
         false,
         {"Bcc: b@y.org,\r\n c@z.org\r\n"}},
        {"From: a@x.org, b@x.org\r\n", true, {"Sender: <ann@example.test>\r\n"}},
        {"From: a@x.org, b@x.org\r\nSender: a@x.org\r\n", true, {"!ann@example.test"}},
        {"From: a@x.org", true, {"From: a@x.org\r\nDate: "}},
        {"Message-ID:\r\nFrom: a@x.org\r\nDate: now\r\n",
         false,
         {"From: a@x.org\r\nDate: now\r\nMessage-ID: <0000000000000001."}},
        {"message-id: none\r\nFrom: a@x.org\r\nDate: now\r\n", true, {"!none"}},
        {"Message-ID:\r\n <1@2>\r\nFrom: a@x.org\r\n", true, {"!000000001."}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena *a = arena_new();
        struct submission_header h;
        struct fault f;
        struct buf b;
        buf_init(&b, 65536);
        assert_int_equal(submission_header_read(span_str(rows[i].block), a, &h, &f), R_OK);
        submission_header_put(&b, &h, &made, rows[i].outgoing);
        for (size_t n = 0; n < 4 && rows[i].want[n]; n++) {
            bool absent = rows[i].want[n][0] == '!';
            struct span part = span_str(rows[i].want[n] + absent);
            if ((span_find(buf_span(&b), part) < b.n) == absent)
                fail_msg("%.*s: %.*s", SPAN_ARG(buf_span(&b)), SPAN_ARG(part));
        }
        buf_done(&b);
        arena_free(&a);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end), cmocka_unit_test(test_authors),
        cmocka_unit_test(test_hops), cmocka_unit_test(test_put)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
