#include "mime/mail_test.h"

#include "mime/index.h"
#include "mime/summary.h"

// The example of RFC 9051 section 6.4.5, with the text of each section in it.
static const char example[] =
    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=a\r\nX: root\r\n\r\n"
    "--a\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\none\r\n"
    "--a\r\nContent-Type: application/octet-stream; name=n.bin\r\n"
    "Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\ndHdv\r\n"
    "--a\r\nContent-Type: message/rfc822\r\n\r\n"
    "Subject: three\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
    "--c\r\n\r\nthree-one\r\n--c\r\nX: y\r\n\r\nthree-two\r\n--c--\r\n"
    "--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: four\r\n\r\nfour-one\r\n"
    "--a--\r\n";

static struct buf
index_of(struct span message)
{
    struct arena *a = arena_new();
    struct buf b;

    buf_init(&b, 1 << 20);
    mime_index_put(&b, scan_in_cuts(a, message, 4096));
    arena_free(&a);
    return b;
}

struct row {
    uint32_t numbers[4];
    size_t n;
    enum mime_section section;
    const char *want;  // NULL: no such section; a prefix when it ends with "*"
};

static void
check_rows(const char *message, const struct row *rows, size_t n)
{
    struct buf index = index_of(span_str(message));
    struct fault f;

    for (size_t i = 0; i < n; i++) {
        struct mime_index_part part;
        struct mime_range range = {0};
        enum result got =
            mime_index_find(buf_span(&index), rows[i].numbers, rows[i].n, &part, &f);
        if (got == R_OK)
            got = mime_index_section(&part, rows[i].section, &range);
        assert_int_equal(got, rows[i].want ? R_OK : R_NONE);
        if (got != R_OK)
            continue;
        struct span text = span_of(message + range.at, range.size);
        struct span want = span_str(rows[i].want);
        if (span_ends(want, SPAN("*"))) {
            want.n--;
            text = span_slice(text, 0, want.n);
        }
        if (!span_eq(text, want))
            fail_msg("row %zu: got %.*s", i, SPAN_ARG(text));
    }
    buf_done(&index);
}

static void
test_index_sections(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {{0}, 0, MIME_SECTION_ALL, "MIME-Version*"},
        {{0},
         0,
         MIME_SECTION_HEADER,
         "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=a\r\nX: "
         "root\r\n\r\n"},
        {{0}, 0, MIME_SECTION_TEXT, "--a\r\n*"},
        {{0}, 0, MIME_SECTION_MIME, NULL},
        {{1}, 1, MIME_SECTION_ALL, "one"},
        {{1}, 1, MIME_SECTION_MIME, "Content-Type: text/plain; charset=UTF-8\r\n\r\n"},
        {{1}, 1, MIME_SECTION_HEADER, NULL},
        {{1}, 1, MIME_SECTION_TEXT, NULL},
        {{1, 1}, 2, MIME_SECTION_ALL, NULL},
        {{2}, 1, MIME_SECTION_ALL, "dHdv"},
        {{3}, 1, MIME_SECTION_ALL, "Subject: three*"},
        {{3}, 1, MIME_SECTION_MIME, "Content-Type: message/rfc822\r\n\r\n"},
        {{3},
         1,
         MIME_SECTION_HEADER,
         "Subject: three\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"},
        {{3}, 1, MIME_SECTION_TEXT, "--c\r\n\r\nthree-one*"},
        {{3, 1}, 2, MIME_SECTION_ALL, "three-one"},
        {{3, 2}, 2, MIME_SECTION_ALL, "three-two"},
        {{3, 2}, 2, MIME_SECTION_MIME, "X: y\r\n\r\n"},
        {{3, 3}, 2, MIME_SECTION_ALL, NULL},
        {{4}, 1, MIME_SECTION_HEADER, "Subject: four\r\n\r\n"},
        {{4, 1}, 2, MIME_SECTION_ALL, "four-one"},
        {{4, 1}, 2, MIME_SECTION_MIME, "Subject: four\r\n\r\n"},
        {{4, 2}, 2, MIME_SECTION_ALL, NULL},
        {{4, 1, 1}, 3, MIME_SECTION_ALL, NULL},
        {{5}, 1, MIME_SECTION_ALL, NULL},
        {{4294967295}, 1, MIME_SECTION_ALL, NULL},
        {{0}, 1, MIME_SECTION_ALL, NULL},
    };

    check_rows(example, rows, sizeof(rows) / sizeof(rows[0]));
}

// A message that is not a multipart has one part; a message/rfc822 message is its own part 1.
static void
test_index_single_parts(void **state)
{
    (void)state;
    static const struct row plain[] = {
        {{1}, 1, MIME_SECTION_ALL, "text"}, {{1}, 1, MIME_SECTION_MIME, "A: b\r\n\r\n"},
        {{1}, 1, MIME_SECTION_TEXT, NULL},  {{1, 1}, 2, MIME_SECTION_ALL, NULL},
        {{2}, 1, MIME_SECTION_ALL, NULL},
    };
    static const struct row message[] = {
        {{0}, 0, MIME_SECTION_HEADER, "Content-Type: message/rfc822\r\n\r\n"},
        {{0}, 0, MIME_SECTION_TEXT, "Subject: in\r\n\r\ninner"},
        {{1}, 1, MIME_SECTION_ALL, "Subject: in\r\n\r\ninner"},
        {{1}, 1, MIME_SECTION_HEADER, "Subject: in\r\n\r\n"},
        {{1}, 1, MIME_SECTION_TEXT, "inner"},
        {{1, 1}, 2, MIME_SECTION_ALL, "inner"},
        {{1, 1, 1}, 3, MIME_SECTION_ALL, NULL},
    };

    static const struct row empty[] = {
        {{1}, 1, MIME_SECTION_ALL, ""},
        {{1}, 1, MIME_SECTION_MIME, ""},
        {{2}, 1, MIME_SECTION_ALL, NULL},
        {{1, 1}, 2, MIME_SECTION_ALL, NULL},
    };

    check_rows("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n", empty, 4);
    check_rows("A: b\r\n\r\ntext", plain, 5);
    check_rows("Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninner", message, 7);
}

static void
test_index_walks_all_parts(void **state)
{
    (void)state;
    static const struct {
        const char *want_type, *want_charset, *want_name;
        uint32_t want_depth;
        enum mime_encoding want_encoding;
        bool want_message, want_root, want_attachment;
    } rows[] = {
        {"multipart", "", "", 0, MIME_ENC_IDENTITY, false, true, false},
        {"text", "UTF-8", "", 1, MIME_ENC_IDENTITY, false, false, false},
        {"application", "", "n.bin", 1, MIME_ENC_BASE64, false, false, true},
        {"message", "", "", 1, MIME_ENC_IDENTITY, true, false, false},
        {"multipart", "", "", 2, MIME_ENC_IDENTITY, false, true, false},
        {"text", "", "", 3, MIME_ENC_IDENTITY, false, false, false},
        {"text", "", "", 3, MIME_ENC_IDENTITY, false, false, false},
        {"message", "", "", 1, MIME_ENC_IDENTITY, true, false, false},
        {"text", "", "", 2, MIME_ENC_IDENTITY, false, true, false},
    };
    struct buf index = index_of(span_str(example));
    struct mime_index_iter it;
    struct mime_index_part part;
    struct fault f;

    assert_int_equal(mime_index_begin(&it, buf_span(&index), &f), R_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(mime_index_next(&it, &part, &f), R_OK);
        assert_true(span_eq(part.type, span_str(rows[i].want_type)));
        assert_true(span_eq(part.charset, span_str(rows[i].want_charset)));
        assert_true(span_eq(part.name, span_str(rows[i].want_name)));
        assert_int_equal(part.depth, rows[i].want_depth);
        assert_int_equal(part.encoding, rows[i].want_encoding);
        assert_int_equal(part.message, rows[i].want_message);
        assert_int_equal(part.root, rows[i].want_root);
        assert_int_equal(part.attachment, rows[i].want_attachment);
    }
    assert_int_equal(mime_index_next(&it, &part, &f), R_NONE);
    buf_done(&index);
}

// Every octet damaged, every length: a fault or an answer, never more.
static void
test_index_survives_damage(void **state)
{
    (void)state;
    struct buf index = index_of(span_str(example));
    uint32_t numbers[] = {3, 2};
    struct mime_index_part part;
    struct mime_index_iter it;
    struct fault f;

    for (size_t i = 0; i < index.n; i++) {
        char kept = index.p[i];
        for (int value = 0; value < 256; value += 5) {
            index.p[i] = (char)value;
            (void)!mime_index_find(buf_span(&index), numbers, 2, &part, &f);
            if (mime_index_begin(&it, buf_span(&index), &f) == R_OK)
                while (mime_index_next(&it, &part, &f) == R_OK)
                    assert_true(part.depth <= 100);
        }
        index.p[i] = kept;
        (void)!mime_index_find(span_slice(buf_span(&index), 0, i), numbers, 2, &part, &f);
        assert_int_equal(mime_index_find(SPAN(""), numbers, 2, &part, &f), R_FAIL);
    }
    buf_done(&index);
}

static void
test_summary_fields(void **state)
{
    (void)state;
    static const char message[] =
        "From: =?utf-8?Q?J=C3=B6rg?= <j@x>\r\nTo: Team: a@b, c@d;\r\nCc: \"q\" <q@w>\r\n"
        "Subject: Re: [list]  =?utf-8?Q?Gr=C3=BC=C3=9Fe?= (fwd)\r\n"
        "Date: Thu, 1 Jan 1970 23:30:00 -0200\r\nMessage-ID: < \"m\"@x >\r\n"
        "In-Reply-To: Your message <i@x>\r\nReferences: <1@x> junk <2@x>\r\n <i@x>\r\n\r\n";
    struct arena *a = arena_new();
    struct mime_summary s;
    struct fault f;
    struct buf b;

    buf_init(&b, 1 << 16);
    mime_summary_put(&b, scan_in_cuts(a, span_str(message), 4096));
    assert_int_equal(mime_summary_get(buf_span(&b), &s, &f), R_OK);
    assert_true(span_eq(s.subject, SPAN("Re: [list] Gr\xC3\xBC\xC3\x9F"
                                        "e (fwd)")));
    assert_true(span_eq(s.base_subject, SPAN("Gr\xC3\xBC\xC3\x9F"
                                             "e")));
    assert_true(s.reply_or_forward);
    assert_true(span_eq(s.from, SPAN("J\xC3\xB6rg <j@x>")));
    assert_true(span_eq(s.sort_from, SPAN("j")));
    assert_true(span_eq(s.display_from, SPAN("J\xC3\xB6rg")));
    assert_true(span_eq(s.sort_to, SPAN("Team")));
    assert_true(span_eq(s.display_to, SPAN("Team")));
    assert_true(span_eq(s.cc, SPAN("\"q\" <q@w>")));
    assert_true(span_eq(s.message_id, SPAN("m@x")));
    assert_true(span_eq(s.in_reply_to, SPAN("i@x")));
    assert_true(span_eq(s.references, span_of("1@x\0"
                                              "2@x\0"
                                              "i@x",
                                              11)));
    assert_true(s.has_date && s.date.utc_s == 86400 + 5400 && s.date.local_day == 0);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(mime_summary_get(span_of(b.p, n), &s, &f), R_FAIL);
    buf_done(&b);
    arena_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_sections),
        cmocka_unit_test(test_index_single_parts),
        cmocka_unit_test(test_index_walks_all_parts),
        cmocka_unit_test(test_index_survives_damage),
        cmocka_unit_test(test_summary_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
