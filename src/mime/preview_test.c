#include "mime/preview.h"

#include "base/limits.h"
#include "mime/charset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct row {
    const char *subtype, *charset, *raw, *want;
    enum mime_encoding encoding;
};

static const struct row rows[] = {
    {"plain", "utf-8", "", "", MIME_ENC_IDENTITY},
    {"plain", "utf-8", " \r\n\t hello \r\n\r\n  world \xc2\xa0\r\n", "hello world",
     MIME_ENC_IDENTITY},
    {"plain", "utf-8", "On Monday A wrote:\r\n> old\r\n>> older\r\nnew\r\n-- \r\nA\r\n",
     "On Monday A wrote: new", MIME_ENC_IDENTITY},
    {"plain", "utf-8", "> only\r\n> > quoted\r\n", "only quoted", MIME_ENC_IDENTITY},
    {"plain", "utf-8", "-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA\r\n", "",
     MIME_ENC_IDENTITY},
    {"plain", "iso-8859-1", "gr=FC=DFe=\r\n!",
     "gr\xc3\xbc\xc3\x9f"
     "e!",
     MIME_ENC_QP},
    {"plain", "utf-8", "aGVsbG8=", "hello", MIME_ENC_BASE64},
    {"plain", "no-such-charset", "a\xff", "a\xef\xbf\xbd", MIME_ENC_IDENTITY},
    {"plain", "utf-8", "a\xe2\x82", "a\xef\xbf\xbd", MIME_ENC_IDENTITY},
    {"plain", "utf-8", "x", "", MIME_ENC_UNKNOWN},
    {"html", "utf-8",
     "<html><head><title>t</title><style>p{}</style></head><body><p>Hello<br>w<b>or</b>ld "
     "&amp; &eacute;</p>"
     "<script>alert(1)</script><p>end",
     "Hello world & \xc3\xa9 end", MIME_ENC_IDENTITY},
    {"html", "utf-8", "no markup at all", "no markup at all", MIME_ENC_IDENTITY},
    {"html", "utf-8", "<!-- c --><div>a</div><div>b</div>", "a b", MIME_ENC_IDENTITY},
    {"html", "utf-8", "<div>&zwnj;&nbsp;&#847;\xe2\x80\x8b</div>seen", "seen",
     MIME_ENC_IDENTITY},
    {"html", "utf-8", "Daten&shy;schutz&#8203;\xef\xbb\xbf!", "Datenschutz!",
     MIME_ENC_IDENTITY},
    // joiners stay in a word and in a picture made of two, and go beside white space
    {"plain", "utf-8",
     "\xe2\x80\x8c\xd9\x85\xe2\x80\x8c\xd8\xae \xe2\x80\x8d\r\n\xe2\x80\x8d\xe2\x80\x8b"
     "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb\xe2\x80\x8d",
     "\xd9\x85\xe2\x80\x8c\xd8\xae \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb",
     MIME_ENC_IDENTITY},
    {"html", "utf-8", "<style>never ended", "", MIME_ENC_IDENTITY},
    {"html", "utf-8",
     "<p>a\xff"
     "b<",
     "a\xef\xbf\xbd"
     "b",
     MIME_ENC_IDENTITY},
    {"html", "iso-8859-1",
     "<meta http-equiv=content-type content='text/html; charset=utf-8'>\xfc", "\xc3\xbc",
     MIME_ENC_IDENTITY},
};

static void
put(struct buf *b, const char *subtype, const char *charset, enum mime_encoding encoding,
    struct span raw)
{
    struct mime_index_part part = {.kind = MIME_KIND_LEAF,
                                   .encoding = encoding,
                                   .type = SPAN("text"),
                                   .subtype = span_str(subtype),
                                   .charset = span_str(charset)};
    buf_init(b, 4096);
    mime_preview_put(b, &part, raw);
    assert_false(b->over);
    assert_true(mime_utf8_valid(buf_span(b)));
}

static void
test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        struct buf b;
        put(&b, r->subtype, r->charset, r->encoding, span_str(r->raw));
        if (!span_eq(buf_span(&b), span_str(r->want)))
            fail_msg("row %zu: %.*s", i, SPAN_ARG(buf_span(&b)));
        buf_done(&b);
    }
}

// Characters, not octets, are counted; no white space at the end.
static void
test_length(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a", "\xc3\xa9", "\xf0\x9f\x98\x80", "ab ",
                                         "a\xe2\x80\x8d"};
    for (size_t i = 0; i < 5; i++) {
        struct buf text, b;
        buf_init(&text, 1 << 20);
        while (text.n < 100000)
            buf_put_str(&text, pieces[i]);
        for (int html = 0; html < 2; html++) {
            put(&b, html ? "html" : "plain", "utf-8", MIME_ENC_IDENTITY, buf_span(&text));
            size_t chars = 0;
            for (size_t at = 0; at < b.n; at++)
                chars += ((unsigned char)b.p[at] & 0xc0) != 0x80;
            assert_in_range(chars, PREVIEW_CHARS - 1, PREVIEW_CHARS);
            assert_true(b.p[b.n - 1] != ' ');
            buf_done(&b);
        }
        buf_done(&text);
    }
}

// Deep and broken markup of the full size ends in time and in order.
static void
test_hostile(void **state)
{
    (void)state;
    static const char *const pieces[] = {"<div>", "<b><i>",    "&amp", "<a href='",
                                         "<!--",  "<![CDATA[", "</p>", "<table><tr>",
                                         "\xff<", "<font"};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct buf text, b;
        buf_init(&text, LIMIT_preview_octets + 16);
        while (text.n < LIMIT_preview_octets)
            buf_put_str(&text, pieces[i]);
        put(&b, "html", "utf-8", MIME_ENC_IDENTITY, buf_span(&text));
        buf_done(&b);
        buf_done(&text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
