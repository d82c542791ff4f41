#include <stdlib.h>
#include <unicode/uchar.h>

#include "base/utf8.h"
#include "mime/charset.h"
#include "mime/mail_test.h"

// The oracle: RFC 5051 section 2 by the letter, over UnicodeData.txt as Unicode gives it out. Only
// Korean syllables are not in that file: "effectively Normalization Form KD" takes them apart.

#define UNICODE_DATA "/usr/share/unicode/UnicodeData.txt"

enum { POINTS = 0x110000, FIELDS = 15 };

static struct row {
    uint32_t title;
    char *decomposition;  // hex numbers, no <tag>
} rows[POINTS];

static void
read_row(char *line)
{
    char *fields[FIELDS];

    for (size_t i = 0; i < FIELDS; i++)
        fields[i] = strsep(&line, ";\n");
    struct row *row = &rows[strtoul(fields[0], NULL, 16)];
    // An empty titlecase is the uppercase (Unicode Standard Annex 44, table 9).
    const char *title = *fields[14] ? fields[14] : fields[12];
    row->title = (uint32_t)strtoul(title, NULL, 16);
    char *tag_end = strchr(fields[5], '>');
    if (*fields[5])
        row->decomposition = strdup(tag_end ? tag_end + 1 : fields[5]);
}

static int
read_data(void **state)
{
    (void)state;
    char line[1024];
    FILE *in = fopen(UNICODE_DATA, "r");

    if (!in)
        fail_msg("no %s: install unicode-data", UNICODE_DATA);
    must(in != NULL);
    while (fgets(line, sizeof line, in))
        read_row(line);
    (void)fclose(in);
    return 0;
}

static int
free_data(void **state)
{
    (void)state;
    for (size_t c = 0; c < POINTS; c++)
        free(rows[c].decomposition);
    return 0;
}

static void
want_decomposed(struct buf *out, uint32_t c)
{
    if (c >= 0xAC00 && c <= 0xD7A3) {
        uint32_t s = c - 0xAC00;
        utf8_put(out, 0x1100 + s / 588);
        utf8_put(out, 0x1161 + s % 588 / 28);
        if (s % 28 > 0)
            utf8_put(out, 0x11A7 + s % 28);
        return;
    }
    if (!rows[c].decomposition) {
        utf8_put(out, c);
        return;
    }
    char *next = rows[c].decomposition;
    for (uint32_t part; (part = (uint32_t)strtoul(next, &next, 16)) != 0;)
        want_decomposed(out, part);
}

static void
want_folded(struct buf *out, uint32_t c)
{
    want_decomposed(out, rows[c].title ? rows[c].title : c);
}

static void
check_same(const char *what, uint32_t c, const struct buf *got, const struct buf *want)
{
    if (!span_eq(buf_span(got), buf_span(want)))
        fail_msg("%s U+%04X: got %.*s, want %.*s", what, (unsigned)c,
                 SPAN_ARG(buf_span(got)), SPAN_ARG(buf_span(want)));
}

struct bufs {
    struct buf text, got, want, more;
};

static void
bufs_init(struct bufs *b)
{
    buf_init(&b->text, 1 << 16);
    buf_init(&b->got, 1 << 20);
    buf_init(&b->want, 1 << 20);
    buf_init(&b->more, 1 << 20);
}

static void
bufs_reset(struct bufs *b)
{
    buf_reset(&b->text);
    buf_reset(&b->got);
    buf_reset(&b->want);
    buf_reset(&b->more);
}

static void
bufs_done(struct bufs *b)
{
    buf_done(&b->text);
    buf_done(&b->got);
    buf_done(&b->want);
    buf_done(&b->more);
}

static bool
surrogate(uint32_t c)
{
    return c >= 0xD800 && c <= 0xDFFF;
}

// What this ICU did not know yet folds to itself there: left out, and counted.
static bool
newer_than_icu(uint32_t c)
{
    return rows[c].title + (rows[c].decomposition != NULL) > 0 && !u_isdefined((UChar32)c);
}

// RFC 5051 section 2: every code point there is, alone and after ASCII.
static void
test_every_point(void **state)
{
    (void)state;
    struct bufs b;
    size_t newer = 0;

    bufs_init(&b);
    for (uint32_t c = 1; c < POINTS; c++) {
        if (surrogate(c))
            continue;
        if (newer_than_icu(c)) {
            newer++;
            continue;
        }
        bufs_reset(&b);
        utf8_put(&b.text, c);
        want_folded(&b.want, c);
        mime_fold(&b.got, buf_span(&b.text));
        check_same("casemap", c, &b.got, &b.want);
        assert_true(b.got.n <= 11 * b.text.n);
    }
    if (newer > 0)
        print_message("%zu characters are newer than ICU %s\n", newer, U_UNICODE_VERSION);
    bufs_done(&b);
}

// Text of all lengths and mixtures is what its characters are, wherever the tables stop.
static void
test_mixed_text(void **state)
{
    (void)state;
    static const uint32_t firsts[] = {0x20,   0x80,   0x300,  0x400,  0x800,
                                      0x1E00, 0x1F00, 0x2000, 0x3040, 0x4E00,
                                      0xAC00, 0xF900, 0xFF00, 0x1D400};
    struct bufs b;
    unsigned seed = 5051;

    bufs_init(&b);
    for (size_t round = 0; round < 4000; round++) {
        bufs_reset(&b);
        size_t length = (size_t)rand_r(&seed) % 600;
        uint32_t first = 0x20;
        for (size_t i = 0; i < length; i++) {
            if (rand_r(&seed) % 4 == 0)
                first = firsts[(size_t)rand_r(&seed) % (sizeof firsts / sizeof firsts[0])];
            uint32_t c = first + (uint32_t)rand_r(&seed) % 96;
            if (newer_than_icu(c))
                continue;
            utf8_put(&b.text, c);
            want_folded(&b.want, c);
        }
        mime_fold(&b.got, buf_span(&b.text));
        check_same("text", (uint32_t)round, &b.got, &b.want);
    }
    bufs_done(&b);
}

// RFC 5051 section 2 (1) (b): what is no UTF-8 is used unchanged, whole.
static void
test_invalid(void **state)
{
    (void)state;
    static const char *const texts[] = {"abc\xFF",          "\xC3",
                                        "\xC3\xBC\xE2\x82", "a\xC0\x80z",
                                        "\xED\xA0\x80 x",   "\xF4\x90\x80\x80",
                                        "x\x80\xC3\xBC"};
    struct bufs b;

    bufs_init(&b);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        bufs_reset(&b);
        buf_put_str(&b.got, "before ");
        buf_put_str(&b.want, "before ");
        buf_put_str(&b.want, texts[i]);
        mime_fold(&b.got, span_str(texts[i]));
        check_same("invalid", (uint32_t)i, &b.got, &b.want);
    }
    bufs_done(&b);
}

// A fuzzy key of a casemap key, or of a fuzzy key, is that of the text.
static void
test_fuzzy_stands(void **state)
{
    (void)state;
    struct bufs b;

    bufs_init(&b);
    for (uint32_t c = 1; c < POINTS; c++) {
        if (surrogate(c))
            continue;
        bufs_reset(&b);
        utf8_put(&b.text, c);
        mime_fold_as(&b.want, COLLATION_FUZZY, buf_span(&b.text));
        mime_fold(&b.more, buf_span(&b.text));
        mime_fold_as(&b.got, COLLATION_FUZZY, buf_span(&b.more));
        check_same("fuzzy of casemap", c, &b.got, &b.want);
        buf_reset(&b.got);
        mime_fold_as(&b.got, COLLATION_FUZZY, buf_span(&b.want));
        check_same("fuzzy of fuzzy", c, &b.got, &b.want);
    }
    bufs_done(&b);
}

static void
test_collations(void **state)
{
    (void)state;
    static const struct {
        enum collation collation;
        const char *text, *want;
    } cases[] = {
        {COLLATION_CASEMAP, "Stra\u00DFe", "STRA\u00DFE"},
        {COLLATION_CASEMAP, "\u00FC\u00DC", "U\u0308U\u0308"},
        {COLLATION_CASEMAP, "\u01C4", "Dz\u030C"},  // RFC 5051 section 2, Example
        {COLLATION_CASEMAP, "\u0131\u017F\u03C2", "IS\u03A3"},
        {COLLATION_CASEMAP, "\u0130", "I\u0307"},
        {COLLATION_CASEMAP, "\uFB01", "fi"},  // a ligature has no titlecase of its own
        {COLLATION_ASCII, "Gr\u00FC\u00DF", "GR\u00FC\u00DF"},
        {COLLATION_OCTET, "Gr\u00FC\u00DF", "Gr\u00FC\u00DF"},
        {COLLATION_FUZZY, "Stra\u00DFe STRA\u1E9EE", "STRASSE STRASSE"},
        {COLLATION_FUZZY, "\u00F8\u00D8 \u00E6\u00C6 \u0153", "OO AEAE OE"},
        {COLLATION_FUZZY, "\u0141\u00F3d\u017A \u0130\u0131\uFB01", "LODZ IIFI"},
        {COLLATION_FUZZY, "na\u00EFve u\u0308ber co\u00ADop", "NAIVE UBER COOP"},
        {COLLATION_FUZZY, "it\u2019s \u201Cso\u201D \u2013", "IT'S \"SO\" -"},
        {COLLATION_FUZZY, "\u304B\u304C", "\u304B\u304B\u3099"},  // ka and ga differ
        {COLLATION_FUZZY, "\u05E9\u05B8\u05C1\u05DC\u05D5\u05B9\u05DD",
         "\u05E9\u05DC\u05D5\u05DD"},
    };
    struct bufs b;

    bufs_init(&b);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bufs_reset(&b);
        buf_put_str(&b.want, cases[i].want);
        mime_fold_as(&b.got, cases[i].collation, span_str(cases[i].text));
        check_same("row", (uint32_t)i, &b.got, &b.want);
    }
    bufs_done(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_point), cmocka_unit_test(test_mixed_text),
        cmocka_unit_test(test_invalid),     cmocka_unit_test(test_fuzzy_stands),
        cmocka_unit_test(test_collations),
    };
    return cmocka_run_group_tests(tests, read_data, free_data);
}
