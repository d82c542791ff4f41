// What tells from the source of HTML that a text is not shown is never wrong: beside the reader (mime/html.h), over HTML made at
// random of tags, comments, references and broken pieces that part the letters of what is looked for. And the finder beside memmem.

#include "mime/mail_test.h"

#include "base/seeded.h"
#include "mime/charset.h"
#include "mime/finder.h"
#include "mime/html.h"
#include "mime/shown.h"
#include "mime/text.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))
enum { TURNS = 60000, PIECES = 14 };

static uint64_t state = 5051;

static size_t
below(size_t n)
{
    return seeded_below(&state, n);
}

static bool
may_show(struct span needle, enum collation collation, struct span html, size_t cut)
{
    struct mime_shown m;
    struct buf folded;
    bool may = false;
    buf_init(&folded, 4096);
    mime_fold_as(&folded, collation, needle);
    mime_shown_init(&m, buf_span(&folded), collation);
    mime_shown_begin(&m);
    while (html.n > 0 && !may) {
        size_t n = cut < html.n ? cut : html.n;
        while (n < html.n && (html.p[n] & 0xC0) == 0x80)  // whole characters
            n++;
        may = mime_shown_feed(&m, span_slice(html, 0, n));
        html = span_skip(html, n);
    }
    mime_shown_done(&m);
    buf_done(&folded);
    return may;
}

static bool
is_shown(struct span needle, enum collation collation, struct span html)
{
    struct buf text, folded, want;
    buf_init(&text, 1 << 20);
    buf_init(&folded, 1 << 24);
    buf_init(&want, 4096);
    mime_html_text(&text, html);
    mime_fold_as(&folded, collation, buf_span(&text));
    mime_fold_as(&want, collation, needle);
    bool found = span_find(buf_span(&folded), buf_span(&want)) < folded.n;
    buf_done(&text);
    buf_done(&folded);
    buf_done(&want);
    return found;
}

static void
test_rows(void **unused)
{
    (void)unused;
    static const struct {
        const char *needle, *html;
        bool want;
    } rows[] = {
        {"meeting", "<p>a mee<b>ting</b>", true},
        {"meeting", "<p>a mee<!-- > <b> -->ting", true},
        {"meeting", "m&#101;&#x65;t&#105;ng", true},
        {"meeting", "m&#101&#x65t<i></i>&#105ng", true},
        {"meeting", "<a title='>'>mee</a>ting", true},
        {"meeting", "me\001eting", true},
        {"caf\xC3\xA9 au", "caf&eacute; au", true},
        {"caf\xC3\xA9 au", "CAF&Eacute;&nbsp;<b>AU</b>", true},
        {"a & b", "a &amp; b", true},
        {"a < b", "a &lt; b", true},
        {"tm5", "&trade;5", true},
        {"don\xE2\x80\x99t", "don&#146;t", true},
        {"\xE2\x80\xA2 a", "<b>&#x95;</b> a", true},
        {"\xE2\x80\xA2 a", "\xC2\x95 a", true},
        {"fo1o", "fo</1o", true},
        {"meeting", "<p>a mee<br>tin", false},
        {"meeting", "<table><tr><td>meat</td><td>eating</td></tr></table>", false},
        {"meeting", "&nbsp;&nbsp;&amp;&eacute;g<b>good morning</b>", false},
        {"besprechung", "<p>Web<b>be</b><i>sp</i></p><td>Rechnung</td>", false},
        {"please contact", "please <b>do</b> contact",
         true},  // it does not tell tags apart
        {"please contact", "please<br>contact", false},
    };
    for (size_t i = 0; i < ROWS(rows); i++)
        for (size_t cut = 1; cut < 12; cut++)
            if (may_show(span_str(rows[i].needle), COLLATION_CASEMAP,
                         span_str(rows[i].html), cut) != rows[i].want)
                fail_msg("row %zu, cut %zu", i, cut);
}

// What browsers show of references to characters of windows-1252, and of these characters.
static void
test_characters(void **unused)
{
    (void)unused;
    static const char *const rows[][2] = {
        {"don&#146;t", "don\xE2\x80\x99t"},
        {"&#x95; a&#128;", "\xE2\x80\xA2 a\xE2\x82\xAC"},
        {"a\xC2\x85 b\xC2\xA0", "a\xE2\x80\xA6 b\xC2\xA0"},
        {"&#129;&#159;", "\xC2\x81\xC5\xB8"},
        {"\xC2\xA9 &copy;&Acirc;", "\xC2\xA9 \xC2\xA9\xC3\x82"},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct buf text;
        buf_init(&text, 4096);
        mime_html_text(&text, span_str(rows[i][0]));
        struct span want = span_str(rows[i][1]);
        if (span_find(buf_span(&text), want) == text.n)
            fail_msg("%s: %.*s", rows[i][0], SPAN_ARG(buf_span(&text)));
        buf_done(&text);
    }
}

static const char *const pieces[] = {
    "<b>",
    "</b>",
    "<i class=\"x>y\">",
    "</i>",
    "<a href='?a=1&b=2'>",
    "</a>",
    "<br>",
    "<p>",
    "</p>",
    "<div style=x>",
    "</div>",
    "<td>",
    "<table>",
    "</table>",
    "<!-- c > d -->",
    "<!-->",
    "<!--",
    "-->",
    "<script>",
    "</script>",
    "<style>",
    "</style>",
    "<title>",
    "</title>",
    "<head>",
    "</head>",
    "<body>",
    "</body>",
    "<html>",
    "</html>",
    "<select>",
    "</select>",
    "<font color=red",
    ">",
    "<",
    "</",
    "</1",
    "<1",
    "<?",
    "<?x",
    "<!",
    "<!x>",
    "<!DOCTYPE html>",
    "<![CDATA[",
    "]]>",
    "/>",
    "\"",
    "'",
    "=",
    "&",
    "&#",
    "&#x",
    ";",
    "&a",
    "&amp;",
    "&lt;",
    "&gt;",
    "&nbsp;",
    "&eacute;",
    "&Auml;",
    "&trade;",
    "&frac12;",
    "&nosuch;",
    "&#97;",
    "&#x62;",
    "&#98",
    "&#x61 ",
    "&#0;",
    "&#1;",
    "&#55296;",
    "&#1114112;",
    "&#150;",
    "&#x95;",
    "&#149",
    "\xC2\x96",
    "\xC2\xA9",
    "&#99999999999;",
    " ",
    "\r\n",
    "\t",
    "\001",
    "\177",
    "\xC3\xA9",
    "\xC3\x84",
    "\xEF\xBF\xBF",
    "\xEF\xBB\xBF",
    "\xEF\xAC\x81",
    "\xEF\xBC\xA1",
    "\xEF\xBC\x9C",
    "\xE2\x84\xA2",
    "a",
    "b",
    "c",
    "A",
    "B",
    "C",
    "ab",
    "bc",
    "ca",
    "abc",
    "e",
    "5",
    "fi",
};

static void
put_html(struct buf *b)
{
    size_t before = below(4) == 0 ? 400 + below(110) : 0;  // the reader gets slices of 512
    buf_reset(b);
    while (b->n < before)
        buf_put_char(b, '.');
    for (size_t n = below(PIECES) + 1; n > 0; n--) {
        const char *piece = pieces[below(ROWS(pieces))];
        bool nul = below(200) == 0;
        buf_put_str(b, piece);
        if (nul)
            buf_put_char(b, '\0');
        if (below(2))
            buf_put_char(b, "abcABC"[below(6)]);
    }
}

static void
test_never_wrong(void **unused)
{
    (void)unused;
    static const char *const needles[] = {
        "ab",
        "abc",
        "abca",
        "bcab",
        "cab",
        "a b",
        "ab c",
        "abab",
        "aabb",
        "caa",
        "\xC3\xA4"
        "b",
        "a\xCC\x88",
        "b\xC3\xA9",
        "e\xCC\x81"
        "c",
        "<a",
        "a>b",
        "&a",
        "a&b",
        "a;b",
        "tma",
        "1\xE2\x81\x84"
        "2",
        "fi",
        "\xEF\xAC\x81"
        "a",
        "&nosuch;",
        "a\"b",
        "a=b",
        "a/b",
        "a5",
        "a\xE2\x80\x93",
        "\xE2\x80\xA2"
        "b",
        "\xC2\xA9"
        "a",
    };
    static const enum collation collations[] = {COLLATION_CASEMAP, COLLATION_ASCII,
                                                COLLATION_OCTET, COLLATION_FUZZY};
    size_t shown = 0, refused = 0;
    struct buf html;
    buf_init(&html, 1 << 16);
    for (size_t turn = 0; turn < TURNS; turn++) {
        struct span needle = span_str(needles[below(ROWS(needles))]);
        enum collation collation = collations[below(ROWS(collations))];
        size_t cut = 1 + below(40);
        put_html(&html);
        bool is = is_shown(needle, collation, buf_span(&html));
        bool may = may_show(needle, collation, buf_span(&html), cut);
        for (size_t i = 0; is && !may && i < html.n; i++)
            if (html.p[i] == '\0')
                html.p[i] = '@';
        if (is && !may)
            fail_msg("turn %zu: \"%.*s\" is shown by \"%.*s\"", turn, SPAN_ARG(needle),
                     (int)html.n, html.p);
        shown += is;
        refused += !may;
    }
    buf_done(&html);
    if (shown < TURNS / 100 || refused < TURNS / 4)
        fail_msg("%zu shown, %zu refused: the HTML proves nothing", shown, refused);
}

// HTML is read only where it matters; what it shows is found all the same.
static void
test_search(void **unused)
{
    (void)unused;
    const struct span needles[] = {SPAN("shown only"), SPAN("absent"), SPAN("sou<b>rce")};
    const struct mime_index_part part = {.type = SPAN("text"), .subtype = SPAN("html")};
    struct mime_text_search *s = mime_text_search_new(needles, 3, COLLATION_CASEMAP);
    struct buf html;
    buf_init(&html, 1 << 20);
    while (html.n < 300000)  // more than is held
        buf_put_str(&html, "<p>Nothing here, and none there.</p>\r\n");
    buf_put_str(&html, "sou<b>rce</b>, show<i>n onl</i>y<p>");
    for (size_t from = 0; from < html.n; from += 299000) {
        mime_text_reset(s);
        mime_text_begin(s, &part);
        mime_text_feed(s, span_skip(buf_span(&html), from));
        mime_text_end(s);
        assert_true(mime_text_found(s, 0));
        assert_false(mime_text_found(s, 1));
        assert_true(mime_text_found(s, 2));
    }
    mime_text_search_free(&s);
    buf_done(&html);
}

static void
put_letters(struct buf *b, size_t n, size_t letters)
{
    buf_reset(b);
    while (b->n < n)
        buf_put_char(b, "AbaBc\xC3\xA9"[below(letters)]);
}

static void
test_finder(void **unused)
{
    (void)unused;
    struct buf text, capitals, needle;
    size_t found = 0;
    buf_init(&text, 4096);
    buf_init(&capitals, 4096);
    buf_init(&needle, 64);
    for (size_t turn = 0; turn < 20000; turn++) {
        put_letters(&text, below(90), 7);
        put_letters(&needle, below(7), 7);
        struct mime_finder f = mime_finder_of(buf_span(&needle));
        bool want = span_find(buf_span(&text), buf_span(&needle)) < text.n || needle.n == 0;
        assert_int_equal(mime_finder_in(&f, buf_span(&text)), want);
        found += want;
        for (size_t i = 0; i < needle.n; i++)
            needle.p[i] = ascii_upper(needle.p[i]);
        buf_reset(&capitals);
        mime_fold_as(&capitals, COLLATION_ASCII, buf_span(&text));
        want = span_find(buf_span(&capitals), buf_span(&needle)) < text.n || needle.n == 0;
        assert_int_equal(mime_finder_in_any_case(&f, buf_span(&text)), want);
    }
    assert_true(found > 2000 && found < 18000);
    buf_done(&text);
    buf_done(&capitals);
    buf_done(&needle);
}

// A text made to be slow: each place looks like the needle up to its end.
static void
test_finder_is_linear(void **unused)
{
    (void)unused;
    enum { TEXT = 1 << 20, NEEDLE = 1 << 15 };
    struct buf text, needle;
    buf_init(&text, TEXT + NEEDLE);
    buf_init(&needle, NEEDLE);
    while (text.n < TEXT)
        buf_put_char(&text, 'a');
    while (needle.n < NEEDLE)
        buf_put_char(&needle, needle.n == NEEDLE / 2 ? 'B' : 'A');
    struct mime_finder f = mime_finder_of(buf_span(&needle));
    assert_false(mime_finder_in_any_case(&f, buf_span(&text)));
    for (size_t i = 0; i < needle.n; i++)
        buf_put_char(&text, ascii_lower(needle.p[i]));
    assert_true(mime_finder_in_any_case(&f, buf_span(&text)));
    buf_done(&text);
    buf_done(&needle);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_never_wrong), cmocka_unit_test(test_search),
        cmocka_unit_test(test_finder),      cmocka_unit_test(test_finder_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
