// Streams: what they say of headers, parts and HTML, however the octets are cut, and that hostile HTML stays bounded.

#include "mime/streams.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <libxml/xmlmemory.h>

#include "base/limits.h"
#include "mime/html.h"
#include "mime/text.h"

enum { MEGA = 1 << 20 };

// Each stream as "zone<text>", in the order of their ends.
struct record {
    struct buf all, lanes[MIME_LANES];
    enum mime_zone zones[MIME_LANES];
    bool open[MIME_LANES];
};

static void
on_begin(void *arg, unsigned lane, enum mime_zone zone)
{
    struct record *r = arg;
    assert_false(r->open[lane]);
    r->open[lane] = true;
    r->zones[lane] = zone;
}

static void
on_feed(void *arg, unsigned lane, struct span folded)
{
    struct record *r = arg;
    assert_true(r->open[lane]);
    buf_put(&r->lanes[lane], folded);
}

static void
on_end(void *arg, unsigned lane)
{
    struct record *r = arg;
    assert_true(r->open[lane]);
    r->open[lane] = false;
    buf_printf(&r->all, "%d<", (int)r->zones[lane]);
    buf_put(&r->all, buf_span(&r->lanes[lane]));
    buf_put(&r->all, SPAN(">"));
    buf_reset(&r->lanes[lane]);
}

static struct mime_streams *
open_record(struct record *r)
{
    struct mime_text_sink sink = {on_begin, on_feed, on_end, r};
    *r = (struct record){0};
    buf_init(&r->all, 64 * MEGA);
    for (size_t i = 0; i < MIME_LANES; i++)
        buf_init(&r->lanes[i], 64 * MEGA);
    return mime_streams_new(&sink);
}

static void
close_record(struct record *r, struct mime_streams *s)
{
    for (size_t i = 0; i < MIME_LANES; i++) {
        assert_false(r->open[i]);
        buf_done(&r->lanes[i]);
    }
    buf_done(&r->all);
    mime_streams_free(&s);
}

static struct mime_index_part
part_of(const char *subtype, enum mime_encoding encoding, const char *charset)
{
    return (struct mime_index_part){.type = SPAN("text"),
                                    .subtype = span_str(subtype),
                                    .encoding = encoding,
                                    .charset = span_str(charset)};
}

static void
feed_part(struct mime_streams *s, const struct mime_index_part *part, struct span raw,
          size_t cut)
{
    mime_streams_part_begin(s, part);
    for (; raw.n > 0; raw = span_skip(raw, cut))
        mime_streams_part_feed(s, span_slice(raw, 0, cut));
    mime_streams_part_end(s);
}

static void
test_parts(void **state)
{
    (void)state;
    static const struct {
        const char *subtype, *charset, *raw, *want;
        enum mime_encoding encoding;
    } rows[] = {
        {"plain", "", "Hello", "128<HELLO>", MIME_ENC_IDENTITY},
        {"plain", "", "", "128<>", MIME_ENC_IDENTITY},
        {"plain", "iso-8859-1", "stra=DFe =E9",
         "128<STRA\xC3\x9F"
         "E E\xCC\x81>",
         MIME_ENC_QP},
        {"html", "", "<p>a<b>b</b></p>", "128<<P>A<B>B</B></P>>128<\n\n\nAB\n\n\n>",
         MIME_ENC_IDENTITY},
        {"html", "utf-8", "PHA+w6Q8L3A+", "128<<P>A\xCC\x88</P>>128<\n\n\nA\xCC\x88\n\n\n>",
         MIME_ENC_BASE64},
        {"html", "",
         "<head><title>no</title><style>x{}</style></head>y<script>var z</script>", NULL,
         MIME_ENC_IDENTITY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t cut = 1; cut < 12; cut++) {
            struct record r;
            struct mime_streams *s = open_record(&r);
            struct mime_index_part part =
                part_of(rows[i].subtype, rows[i].encoding, rows[i].charset);
            feed_part(s, &part, span_str(rows[i].raw), cut);
            struct span shown = span_skip(buf_span(&r.all), 1 + strlen(rows[i].raw) + 5);
            if (rows[i].want && !span_eq(buf_span(&r.all), span_str(rows[i].want)))
                fail_msg("row %zu cut %zu: %.*s", i, cut, SPAN_ARG(buf_span(&r.all)));
            if (!rows[i].want) {  // what is hidden is in the source alone
                assert_true(span_find(shown, SPAN("NO")) == shown.n);
                assert_true(span_find(shown, SPAN("X{")) == shown.n);
                assert_true(span_find(shown, SPAN("VAR")) == shown.n);
                assert_true(span_find(shown, SPAN("Y")) < shown.n);
            }
            close_record(&r, s);
        }
    }
}

static void
test_headers(void **state)
{
    (void)state;
    struct record r;
    struct mime_streams *s = open_record(&r);
    struct mime_summary summary = {.subject = SPAN("Gr\xC3\xBC"), .from = SPAN("a@b")};
    char *big = calloc(1, LIMIT_mime_summary);

    mime_streams_fields(
        s, MIME_ZONE_HEADER,
        SPAN("Subject: =?utf-8?q?Gr=C3=BC?=\r\n x\r\nno colon\r\nTo: b\r\n\r\nc: d"));
    mime_streams_field(s, MIME_ZONE_NESTED, SPAN_NONE, SPAN(" v\r\n"));
    assert_int_equal(mime_streams_summary(s, &summary), 0);
    mime_streams_text_begin(s, MIME_ZONE_FILE);
    mime_streams_text_feed(s, SPAN("a\xC3"));
    mime_streams_text_feed(s, SPAN("\x9F\xFF"));
    mime_streams_text_end(s);
    const char want[] = "32<SUBJECT: GRU\xCC\x88 X>32<TO: B>64<V>1<GRU\xCC\x88>2<A@B>"
                        "256<A\xC3\x9F\xEF\xBF\xBD>";
    if (!span_eq(buf_span(&r.all), span_str(want)))
        fail_msg("%.*s", SPAN_ARG(buf_span(&r.all)));
    memset(big, 'x', LIMIT_mime_summary);
    summary.cc = span_of(big, LIMIT_mime_summary - 3);
    summary.to = span_of(big, LIMIT_mime_summary - 4);
    assert_int_equal(mime_streams_summary(s, &summary), MIME_ZONE_CC);
    free(big);
    close_record(&r, s);
}

// What is searched is found in the source, in what is shown, and never across the two.
static void
test_search_html(void **state)
{
    (void)state;
    static const struct {
        const char *needle;
        bool want;
    } rows[] = {
        {"<b>wor", true},      {"hello world", true},  {"o<b>", true},
        {"&amp;", true},       {"a & b", true},        {"hidden text", true},
        {"den texthe", false}, {"</p>\nhello", false},
    };
    static const char html[] =
        "<style>.hidden text</style><p>hel<i>lo</i> <b>world</b> a &amp; b o<b></p>";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span needle = span_str(rows[i].needle);
        struct mime_text_search *s = mime_text_search_new(&needle, 1, COLLATION_CASEMAP);
        struct mime_index_part part = part_of("html", MIME_ENC_IDENTITY, "");
        mime_text_begin(s, &part);
        mime_text_feed(s, span_str(html));
        mime_text_end(s);
        if (mime_text_found(s, 0) != rows[i].want)
            fail_msg("%s", rows[i].needle);
        mime_text_search_free(&s);
    }
}

// Hostile HTML

static size_t held, held_most;

static void
count(void *p, int sign)
{
    held += (size_t)sign * (p ? malloc_usable_size(p) : 0);
    held_most = held > held_most ? held : held_most;
}

static void *
counted_malloc(size_t n)
{
    void *p = calloc(1, n);
    count(p, 1);
    return p;
}

static void
counted_free(void *p)
{
    count(p, -1);
    free(p);
}

static void *
counted_realloc(void *old, size_t n)
{
    count(old, -1);
    void *p = realloc(old, n);
    count(p, 1);
    return p;
}

static char *
counted_strdup(const char *s)
{
    char *p = strdup(s);
    count(p, 1);
    return p;
}

static double
cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Octets that the parser took at most, and the seconds.
static size_t
cost(const char *first, const char *then, size_t octets, double *seconds_out)
{
    struct mime_html *h = mime_html_new();
    struct buf piece, out;
    double start = cpu_s();
    held_most = held;

    buf_init(&piece, 2 * MEGA);
    buf_init(&out, 2 * MEGA);
    for (size_t done = 0; done < octets; done += piece.n) {
        buf_reset(&piece);
        while (piece.n < 65536)
            buf_put_str(&piece, done < octets / 2 ? first : then);
        mime_html_feed(h, buf_span(&piece), &out);
        assert_false(out.over);
        buf_done(&out);
    }
    mime_html_end(h, &out);
    *seconds_out = cpu_s() - start;
    buf_done(&piece);
    buf_done(&out);
    mime_html_free(&h);
    return held_most;
}

static void
test_hostile_html(void **state)
{
    (void)state;
    static const struct {
        const char *first, *then;
    } rows[] = {
        {"<b>", "</i>"},     {"<div>", "</p>"},   {"<b>", "</b>"},
        {"<!-- ", "x"},      {"<a href=\"", "x"}, {"<table><tr><td>", "</table>"},
        {"<", "<"},          {"&", "&#x"},        {"<script>", "</"},
        {"<p", " a=b"},      {"&lt", ";"},        {"<li>", "</ul>"},
        {"<![CDATA[", "]]"}, {"<?x", " "},        {"<!DOCTYPE ", "a "},
        {"<a b=c ", "<"},
    };
    // 2 MB each; a parser that is quadratic needs minutes for them
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double seconds;
        size_t octets = cost(rows[i].first, rows[i].then, 2 * MEGA, &seconds);
        if (getenv("POSTHORN_SHOW"))
            fprintf(stderr, "%s %s: %zu octets, %.2f s\n", rows[i].first, rows[i].then,
                    octets, seconds);
        if (octets > 4 * (size_t)LIMIT_html_tag || seconds > 20)
            fail_msg("%s %s: %zu octets, %.1f s", rows[i].first, rows[i].then, octets,
                     seconds);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_search_html),
        cmocka_unit_test(test_hostile_html),
    };
    must(xmlMemSetup(counted_free, counted_malloc, counted_realloc, counted_strdup) == 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
