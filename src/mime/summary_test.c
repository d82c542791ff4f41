// What the summary says of a header's fields beside what a search of that header sees: rows, and headers made at random of all
// that makes the two differ.

#include "mime/mail_test.h"

#include "base/limits.h"
#include "base/seeded.h"
#include "mime/header.h"
#include "mime/streams.h"
#include "mime/summary.h"

static const char *const names[] = {"Message-ID", "In-Reply-To", "References", "Subject",
                                    "From",       "Sender",      "Reply-To",   "To",
                                    "Cc",         "Bcc"};
enum { NAMES = sizeof names / sizeof names[0] };

// ---- what a search sees ----

struct seen {
    struct buf text;  // of the last such field
    size_t n;
};

static void
on_begin(void *arg, unsigned lane, enum mime_zone zone)
{
    struct seen *seen = arg;
    (void)lane;
    (void)zone;
    buf_reset(&seen->text);
    seen->n++;
}

static void
on_feed(void *arg, unsigned lane, struct span text)
{
    (void)lane;
    buf_put(&((struct seen *)arg)->text, text);
}

static void
on_end(void *arg, unsigned lane)
{
    (void)arg;
    (void)lane;
}

static void
see(struct seen *seen, struct span block, struct span name)
{
    const struct mime_text_sink sink = {on_begin, on_feed, on_end, seen};
    struct mime_header_iter it = mime_header_begin(block);
    struct mime_streams *s = mime_streams_new(&sink);
    struct mime_header h;
    mime_streams_compare(s, COLLATION_OCTET);
    while (mime_header_next(&it, &h) == R_OK)
        if (span_ieq(h.name, name))
            mime_streams_field(s, MIME_ZONE_HEADER, SPAN_NONE, h.value);
    mime_streams_free(&s);
}

// ---- what the summary says ----

static struct buf packed;

static struct mime_summary
summary_of(struct span message, size_t cut, uint64_t *header_out)
{
    struct arena *a = arena_new();
    struct mime_summary s;
    struct fault f;
    const struct mime_part *root = scan_in_cuts(a, message, cut);
    buf_reset(&packed);
    mime_summary_put(&packed, root);
    *header_out = root->header.size;
    arena_free(&a);
    assert_int_equal(mime_summary_get(buf_span(&packed), &s, &f), R_OK);
    return s;
}

// Returns how many of the fields the summary knows.
static unsigned
check_message(struct span message, size_t cut)
{
    uint64_t header;
    struct mime_summary s = summary_of(message, cut, &header);
    unsigned known = 0;
    for (size_t i = 0; i < NAMES; i++) {
        struct seen seen = {.n = 0};
        struct buf told;
        buf_init(&seen.text, 1 << 24);
        buf_init(&told, 1 << 24);
        see(&seen, span_slice(message, 0, (size_t)header), span_str(names[i]));
        enum mime_summary_answer said =
            mime_summary_header(&s, mime_summary_row(span_str(names[i])), &told);
        known += said != MIME_SUMMARY_UNSURE;
        if (said == MIME_SUMMARY_ABSENT)
            assert_int_equal(seen.n, 0);
        if (said == MIME_SUMMARY_TEXT) {
            assert_int_equal(seen.n, 1);
            assert_true(span_eq(buf_span(&told), buf_span(&seen.text)));
        }
        buf_done(&seen.text);
        buf_done(&told);
    }
    return known;
}

// ---- rows ----

static const struct {
    const char *header, *name;
    const char *want;  // NULL: unsure; "": absent
} rows[] = {
    {"Message-ID: <a@b>\r\n", "message-id", "<a@b>"},
    {"message-id:<a@b>\r\n", "Message-ID", "<a@b>"},
    {"Message-ID:\r\n <a@b>\r\n", "Message-ID", "<a@b>"},
    {"Message-ID: <a@b> \r\n", "Message-ID", "<a@b>"},
    {"Message-ID: a@b\r\n", "Message-ID", NULL},
    {"Message-ID: <a@b> (comment)\r\n", "Message-ID", NULL},
    {"Message-ID: <a @b>\r\n", "Message-ID", NULL},
    {"Message-ID: <a@b>\r\n\t\r\n", "Message-ID", "<a@b>"},
    {"Message-ID: <a@b>\r\nMessage-Id: <a@b>\r\n", "Message-ID", NULL},
    {"Message-ID: =?utf-8?Q?<a@b>?=\r\n", "Message-ID", "<a@b>"},
    {"Message-ID: =?utf-8?Q?=3Ca@b>?=\r\n", "Message-ID", NULL},
    {"Message-ID: <\xC3\xA4@b>\r\n", "Message-ID", "<\xC3\xA4@b>"},
    {"Message-ID: <\xE4@b>\r\n", "Message-ID", NULL},
    {"Message-ID:\r\n", "Message-ID", NULL},
    {"Message-ID \t: <a@b>\r\n", "Message-ID", "<a@b>"},
    {" Message-ID: <a@b>\r\n", "Message-ID", NULL},
    {" Other: <a@b>\r\n", "Message-ID", NULL},
    {"Other: <a@b>\r\n Message-ID: <c@d>\r\n", "Message-ID", ""},
    {"", "Message-ID", ""},
    {"Message-ID: <a\r@b>\r\n", "Message-ID", NULL},
    {"References: <a@b> <c@d>\r\n", "References", "<a@b> <c@d>"},
    {"References: <a@b>\r\n <c@d>\r\n", "References", "<a@b> <c@d>"},
    {"References: <a@b>\r\n\t<c@d>\r\n", "References", NULL},
    {"References: <a@b>  <c@d>\r\n", "References", NULL},
    {"References: <a@b><c@d>\r\n", "References", NULL},
    {"In-Reply-To: <a@b>\r\n", "In-Reply-To", "<a@b>"},
    {"In-Reply-To: Your mail <a@b>\r\n", "In-Reply-To", NULL},
    {"In-Reply-To: <a@b> <c@d>\r\n", "In-Reply-To", NULL},
    {"Subject: =?utf-8?Q?J=C3=B6rg?= x\r\n", "Subject", "J\xC3\xB6rg x"},
    {"Subject: a\r\n b\r\n", "Subject", "a b"},
    {"Subject: a  b\r\n", "Subject", NULL},
    {"Subject: a\tb\r\n", "Subject", NULL},
    {"Subject: =?utf-8?Q?_a?=\r\n", "Subject", NULL},
    {"From: a@b\r\nTo: c@d\r\n", "From", "a@b"},
    {"From: a@b\r\nTo: c@d\r\n", "Cc", ""},
    {"From: a@b\r\nSender: x\r\nSender: y\r\n", "From", NULL},
    {"To: a@b,\r\n  c@d\r\n", "To", "a@b,  c@d"},
    {"X-Other: y\r\n", "X-Other", NULL},
    {"Date: 1\r\n", "Date", NULL},
};

static void
test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf message, told;
        uint64_t header;
        buf_init(&message, 4096);
        buf_init(&told, 4096);
        buf_printf(&message, "%s\r\nbody\r\n", rows[i].header);
        struct mime_summary s = summary_of(buf_span(&message), 4096, &header);
        enum mime_summary_answer said =
            mime_summary_header(&s, mime_summary_row(span_str(rows[i].name)), &told);
        enum mime_summary_answer want = !rows[i].want   ? MIME_SUMMARY_UNSURE
                                        : *rows[i].want ? MIME_SUMMARY_TEXT
                                                        : MIME_SUMMARY_ABSENT;
        if (said != want ||
            !span_eq(buf_span(&told),
                     span_str(want == MIME_SUMMARY_UNSURE ? "" : rows[i].want)))
            fail_msg("%s of %s: %d, %.*s", rows[i].name, rows[i].header, (int)said,
                     (int)told.n, told.p ? told.p : "");
        check_message(buf_span(&message), 4096);
        buf_done(&message);
        buf_done(&told);
    }
}

// ---- at random ----

static uint64_t state = 88172645463325252u;

static size_t
below(size_t n)
{
    return seeded_below(&state, n);
}

static void
put_name(struct buf *b)
{
    static const char *const before[] = {"", "", "", "", "", "", "", "", " ", "\r", "\t"};
    static const char *const behind[] = {"", "", "", "", "", "", " ", "\t", " \r", "\r "};
    const char *name = below(8) == 0 ? "X-Other" : names[below(NAMES)];
    buf_put_str(b, before[below(sizeof before / sizeof before[0])]);
    for (; *name; name++)
        buf_put_char(b, below(9) == 0 ? ascii_upper(*name) : *name);
    buf_put_str(b, behind[below(sizeof behind / sizeof behind[0])]);
    for (size_t i = 0; i < 3000 && below(300) == 0; i++)
        buf_put(b, SPAN("                                                       "));
    if (below(40) > 0)
        buf_put_char(b, ':');
}

static void
put_value(struct buf *b, size_t pieces)
{
    static const char *const all[] = {
        "<a@b>",   "<c@d>", "<e>",         " ",
        " ",       "\t",    "x",           "\"q\" <f@g>",
        ", ",      "(c)",   "\r\n ",       "\n\t",
        "\r\n \t", "\r",    "Re: ",        "=?utf-8?Q?J=C3=B6?=",
        "\xE4",    "\xC3",  "\xA4",        "<",
        ">",       "\\",    "\"",          "=?utf-8?B?w7Y=?=",
        "=?",      ":",     "a b",         ";",
        "Group: ", "  \r",  "\xEF\xBF\xBD"};
    for (size_t i = 0; i < pieces; i++) {
        if (below(200) == 0)
            buf_put_char(b, '\0');
        else
            buf_put_str(b, all[below(sizeof all / sizeof all[0])]);
    }
}

static void
put_message(struct buf *b)
{
    static const char *const ends[] = {"\r\n", "\r\n", "\r\n", "\n", "\r\r\n"};
    size_t fields = below(7);
    buf_reset(b);
    for (size_t i = 0; i < fields; i++) {
        put_name(b);
        if (below(3) > 0)
            buf_put_char(b, ' ');
        put_value(b, below(2) == 0 ? 1 : below(5));
        buf_put_str(b, ends[below(sizeof ends / sizeof ends[0])]);
    }
    if (below(8) > 0)
        buf_put_str(b, "\r\nbody\r\n");
}

static void
test_at_random(void **state_)
{
    enum { ROUNDS = 60000 };
    unsigned known = 0;
    struct buf message;
    (void)state_;
    buf_init(&message, 1 << 20);
    for (size_t i = 0; i < ROUNDS; i++) {
        put_message(&message);
        known += check_message(buf_span(&message), below(2) == 0 ? 4096 : 1 + below(40));
    }
    assert_true(known > ROUNDS);  // most are not just given up
    buf_done(&message);
}

// Values that are longer than what is read of a field, and more fields than are kept.
static void
test_limits(void **state_)
{
    struct buf message;
    (void)state_;
    buf_init(&message, 1 << 24);
    for (size_t lines = LIMIT_mime_header / 4; lines < LIMIT_mime_header; lines *= 2) {
        buf_reset(&message);
        buf_put_str(&message, "Message-ID:");
        for (size_t i = 0; i < lines; i++)
            buf_put_str(&message, "\r\n ");
        buf_put_str(&message, "<a@b>\r\n\r\nbody\r\n");
        check_message(buf_span(&message), 65536);
    }
    buf_reset(&message);
    for (size_t i = 0; i < LIMIT_mime_headers / 200000; i++) {
        buf_put_str(&message, "To:");
        for (size_t n = 0; n < 20000; n++)
            buf_put_str(&message, " abcdefghi");
        buf_put_str(&message, "\r\n");
    }
    buf_put_str(&message, "Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n\r\nbody\r\n");
    check_message(buf_span(&message), 65536);
    buf_done(&message);
}

static void
check_mail(const char *name, struct span message)
{
    (void)name;
    check_message(message, 65536);
}

static void
test_mail(void **state_)
{
    (void)state_;
    assert_true(each_mail(MAIL_DIR, check_mail) > 20);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_at_random),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_mail),
    };
    buf_init(&packed, 1 << 24);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&packed);
    return failed;
}
