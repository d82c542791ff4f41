// Dates, subjects, transfer encodings, charsets, header filters and text search.

#include "mime/mail_test.h"

#include "mime/charset.h"
#include "mime/date.h"
#include "mime/header.h"
#include "mime/subject.h"
#include "mime/text.h"
#include "mime/transfer.h"

#include <time.h>

static void
test_date_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum result want;
        int64_t want_utc;
        int want_day, want_zone;
    } rows[] = {
        {"Thu, 01 Jan 1970 00:00:00 +0000", R_OK, 0, 0, 0},
        {"1 Jan 1970 02:00 +0200", R_OK, 0, 0, 120},
        {"Fri, 21 Nov 1997 09:55:06 -0600", R_OK, 880127706, 10186, -360},
        {"Thu,\r\n 13\r\n Feb\r\n 1969\r\n 23:32\r\n -0330 (Newfoundland)", R_OK, -27723480,
         -322, -210},
        {"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", R_OK, 880127706, 10186, -360},
        {"21 Nov 97 09:55: (:) 06(c)-0600", R_OK, 880127706, 10186, -360},
        {"21 Nov 97 09 :55 EST", R_OK, 880124100, 10186, -300},
        {"21 Nov 97 09 : 55 : EST", R_OK, 880124100, 10186, -300},
        {"21 Nov 97 09 : 155 : 06", R_OK, 880070400, 10186, 0},
        {"21 Nov 97 09 (: 55", R_OK, 880070400, 10186, 0},
        {"Nov 21 : 09:55:06 1997", R_OK, 880106106, 10186, 0},
        {"21 Nov 97 : 09:55:06", R_OK, 880106106, 10186, 0},
        {"21 Nov 97 : 09 : 55", R_OK, 880106100, 10186, 0},
        {"21 Nov 97 09:55:06 EST", R_OK, 880124106, 10186, -300},
        {"21 Nov 97 09:55:06 Z", R_OK, 880106106, 10186, 0},
        {"Wed Nov 25 21:45:43 2026", R_OK, 1795643143, 20782, 0},
        {"Wed Nov 25 21:45:43 UTC 2026", R_OK, 1795643143, 20782, 0},
        {"2026-11-25 21:45:43 +01:00", R_OK, 1795639543, 20782, 60},
        {"25-Nov-2026 9:45:43 PM", R_OK, 1795643143, 20782, 0},
        {"Mon, 29 Feb 2000 10:00:00+0100", R_OK, 951814800, 11016, 60},
        {"Mar, 13 Dec 2024 10:00:00 +0100", R_OK, 1734080400, 20070, 60},
        {"mar., 13 Dec 2024 10:00:00 MAR", R_OK, 1734084000, 20070, 0},
        {"Mar, 13 2024 10:00:00 DECT", R_OK, 1710324000, 19795, 0},
        {"Mar 13, 2024 10:00:00", R_OK, 1710324000, 19795, 0},
        {"13 Mar, 2024 Dec", R_OK, 1710288000, 19795, 0},
        {"29 Feb 1900 10:00:00 +0000", R_NONE, 0, 0, 0},
        {"31 Apr 2000 10:00:00 +0000", R_NONE, 0, 0, 0},
        {"1 Jan 100 10:00:00 +0000", R_OK, 946720800, 10957, 0},
        {"Mon, 26 Aug 0102 23:12:40 -0700", R_OK, 1030428760, 11925, -420},
        {"yesterday", R_NONE, 0, 0, 0},
        {"", R_NONE, 0, 0, 0},
        {"99999999999 Jan 99999999999", R_NONE, 0, 0, 0},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct mime_date got = {0};
        enum result result = mime_date_parse(span_str(rows[i].text), &got);
        if (result != rows[i].want || got.utc_s != rows[i].want_utc ||
            got.local_day != rows[i].want_day || got.zone_min != rows[i].want_zone)
            fail_msg("%s: %d %lld day %d zone %d", rows[i].text, result,
                     (long long)got.utc_s, got.local_day, got.zone_min);
    }
}

// RFC 5256 section 2.1.
static void
test_subject_base(void **state)
{
    (void)state;
    static const struct {
        const char *subject, *want;
        bool want_reply;
    } rows[] = {
        {"a", "a", false},
        {"Re: a", "a", true},
        {"re:a", "a", true},
        {"Re[2]: a", "a", true},
        {"Re [2] : a", "a", true},
        {"Fwd: FW: a", "a", true},
        {"[b] a", "a", false},
        {"[b] Re: a", "a", true},
        {"Re: [b] [c] a", "a", true},
        {"[b]", "[b]", false},
        {"[a][b]", "[b]", false},
        {"a (fwd) (FWD) ", "a", true},
        {"[Fwd: a]", "a", true},
        {"[Fwd: Re: [b] a (fwd)]", "a", true},
        {"Re:", "", true},
        {"", "", false},
        {"[fwd:]", "", true},
        {"Reply: a", "Reply: a", false},
        {"[unclosed a", "[unclosed a", false},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        bool reply;
        check_span(mime_subject_base(span_str(rows[i].subject), &reply), rows[i].want);
        assert_int_equal(reply, rows[i].want_reply);
    }
}

// RFC 5256 section 2.1 of hostile subjects; a quadratic one takes minutes.
static void
test_hostile_subjects(void **state)
{
    (void)state;
    static const struct {
        const char *front, *back;
        size_t repeats;
        const char *want;  // NULL: the whole
    } rows[] = {
        {"Re: ", "", 262144, ""},      {"[", "]", 100000, NULL},
        {"[a] ", "", 262144, "[a]"},   {"[fwd:", "]", 200000, ""},
        {"[a", "", 500000, NULL},      {"", "(fwd) ", 180000, ""},
        {"[a]re:", "x", 150000, NULL}, {"re [a", "", 200000, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b;
        bool reply;
        clock_t began = clock();
        buf_init(&b, 1 << 24);
        for (size_t n = 0; n < rows[i].repeats; n++)
            buf_put_str(&b, rows[i].front);
        for (size_t n = 0; n < rows[i].repeats; n++)
            buf_put_str(&b, rows[i].back);
        struct span base = mime_subject_base(buf_span(&b), &reply);
        if (rows[i].want)
            assert_true(span_eq(base, span_str(rows[i].want)));
        assert_true(clock() - began < 5 * CLOCKS_PER_SEC);
        buf_done(&b);
    }
}

static enum result
decode(struct buf *out, enum mime_encoding encoding, struct span in, size_t cut,
       bool lenient)
{
    struct mime_decoder d = mime_decoder_of(encoding, lenient);
    struct fault f;

    for (; in.n > 0; in = span_skip(in, cut))
        if (mime_decoder_feed(&d, span_slice(in, 0, cut), out, &f) != R_OK)
            return R_FAIL;
    return mime_decoder_end(&d, out, &f);
}

static void
test_transfer_decode(void **state)
{
    (void)state;
    enum { B = MIME_ENC_BASE64, Q = MIME_ENC_QP, U = MIME_ENC_UNKNOWN };
    static const struct {
        int encoding;
        enum result want_strict;
        const char *text, *want;
    } rows[] = {
        {B, R_OK, "SGVsbG8=\r\n", "Hello"},
        {B, R_OK, "SGVs\r\n bG8gdw==", "Hello w"},
        {B, R_OK, "", ""},
        {B, R_FAIL, "SGV*sbG8=", "Hello"},
        {B, R_FAIL, "SGVsbG8", "Hello"},
        {B, R_FAIL, "SGVsbG8=SGVs", "HelloHel"},
        {B, R_FAIL, "SGVsbA=", "Hell"},
        {B, R_FAIL, "=", ""},
        {B, R_FAIL, "S", ""},
        {Q, R_OK, "a=3Db\r\n", "a=b\r\n"},
        {Q, R_OK, "soft=\r\nbreak", "softbreak"},
        {Q, R_OK, "soft= \t\r\nbreak", "softbreak"},
        {Q, R_OK, "trail \t \r\nx  ", "trail\r\nx"},
        {Q, R_OK, "a b  c\n", "a b  c\n"},
        {Q, R_FAIL, "a=zz", "a=zz"},
        {Q, R_OK, "=e4=E4", "\xE4\xE4"},
        {Q, R_FAIL, "a=4", "a=4"},
        {Q, R_FAIL, "a==41", "a=A"},
        {Q, R_FAIL, "a= b", "a= b"},
        {Q, R_OK, "end=", "end"},
        {U, R_FAIL, "x", "x"},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        for (size_t cut = 1; cut < 12; cut++) {
            struct buf got;
            buf_init(&got, 4096);
            enum mime_encoding encoding = (enum mime_encoding)rows[i].encoding;
            struct span text = span_str(rows[i].text);
            assert_int_equal(decode(&got, encoding, text, cut, true), R_OK);
            check_span(buf_span(&got), rows[i].want);
            buf_reset(&got);
            assert_int_equal(decode(&got, encoding, text, cut, false), rows[i].want_strict);
            buf_done(&got);
        }
    }
}

// Text of a few characters, and now and then a run of blanks about as long as what is held.
static void
put_pieces(struct buf *out, uint64_t *seed)
{
    static const char *const pieces[] = {
        "=", "=\r\n", "\r\n", "\n", "\r", " ", "\t", "=4", "1", "=E4", "text with words"};
    for (size_t i = 0; i < 40; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        size_t blanks = *seed >> 58 == 0 ? 76 + (*seed >> 40) % 12 : 0;
        buf_put_str(out, pieces[(*seed >> 33) % ROWS(pieces)]);
        while (blanks-- > 0)
            buf_put_char(out, ' ');
    }
}

// Octet by octet, in pieces and as a whole, lenient and strict: the same.
static void
test_quoted_printable_cuts(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (size_t round = 0; round < 4000; round++) {
        bool lenient = round % 2 == 0;
        struct buf text, want, got;
        buf_init(&text, 4096);
        buf_init(&want, 4096);
        buf_init(&got, 4096);
        put_pieces(&text, &seed);
        enum result r = decode(&want, MIME_ENC_QP, buf_span(&text), 1, lenient);
        size_t cuts[] = {text.n, 1 + round % 50, 17};
        for (size_t i = 0; i < ROWS(cuts); i++) {
            buf_reset(&got);
            assert_int_equal(decode(&got, MIME_ENC_QP, buf_span(&text), cuts[i], lenient),
                             r);
            assert_true(r == R_FAIL || span_eq(buf_span(&got), buf_span(&want)));
        }
        buf_done(&text);
        buf_done(&want);
        buf_done(&got);
    }
}

static void
test_charset_to_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *label, *text;
        enum result want;
        const char *want_text;
    } rows[] = {
        {"iso-8859-1", "\xFC", R_OK, "\xC3\xBC"},
        {"\"ISO-8859-15\"", "\xA4", R_OK, "\xE2\x82\xAC"},
        {"utf8", "\xC3\xBC\xC3", R_OK, "\xC3\xBC\xEF\xBF\xBD"},
        {"us-ascii", "a\xFF", R_OK, "a\xEF\xBF\xBD"},
        {"utf-8", "\xED\xA0\x80", R_OK, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"utf-8", "\xF4\x90\x80\x80\xC0\xAF", R_OK,
         "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"unicode-1-1-utf-7", "+Jjo-", R_OK, "\xE2\x98\xBA"},
        {"ks_c_5601-1987", "\xB1\xA4", R_OK, "\xEA\xB4\x91"},
        {"gb2312", "\xC4\xE3", R_OK, "\xE4\xBD\xA0"},
        {"shift-jis", "\x82\xB1", R_OK, "\xE3\x81\x93"},
        {"koi8-r", "\xC1", R_OK, "\xD0\xB0"},
        {"x-nowhere", "a", R_FAIL, ""},
        {"../../etc/passwd", "a", R_FAIL, ""},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct buf got;
        struct fault f;
        buf_init(&got, 4096);
        enum result result =
            mime_charset_to_utf8(span_str(rows[i].label), span_str(rows[i].text), &got, &f);
        assert_int_equal(result, rows[i].want);
        check_span(buf_span(&got), rows[i].want_text);
        buf_done(&got);
    }
}

// RFC 5051 section 2: titlecase comes before the decomposition, so a ligature is not its
// capital letters.
static void
test_fold(void **state)
{
    (void)state;
    static const struct {
        const char *one, *other;
        bool want_equal;
    } rows[] = {
        {"hello", "HeLLo", true},
        {"gr\xC3\xBC", "GR\xC3\x9C", true},
        {"\xC3\xBC", "u\xCC\x88", true},  // composed, decomposed
        {"\xEF\xAC\x81", "fi", false},    // the ligature fi
        {"\xD0\xB4", "\xD0\x94", true},   // Cyrillic
        {"\xEF\xBC\xA1", "A", true},      // full width
        {"a", "b", false},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct buf one, other;
        buf_init(&one, 256);
        buf_init(&other, 256);
        mime_fold(&one, span_str(rows[i].one));
        mime_fold(&other, span_str(rows[i].other));
        assert_int_equal(span_eq(buf_span(&one), buf_span(&other)), rows[i].want_equal);
        assert_true(mime_utf8_valid(buf_span(&one)));
        buf_done(&one);
        buf_done(&other);
    }
}

static void
test_header_filter(void **state)
{
    (void)state;
    static const char block[] =
        "From: a@b\r\nTo: x,\r\n y\r\nSubject : s\r\nno colon\r\nto: z\r\n\r\nTo: body\r\n";
    struct span names[] = {SPAN("TO"), SPAN("Subject")};
    struct buf got;

    buf_init(&got, 4096);
    mime_header_filter(&got, span_str(block), names, 2, false);
    check_span(buf_span(&got), "To: x,\r\n y\r\nSubject : s\r\nto: z\r\n\r\n");
    buf_reset(&got);
    mime_header_filter(&got, span_str(block), names, 2, true);
    check_span(buf_span(&got), "From: a@b\r\n\r\n");
    buf_reset(&got);
    mime_header_filter(&got, SPAN("To: cut"), names, 2, false);
    check_span(buf_span(&got), "To: cut\r\n\r\n");
    buf_reset(&got);
    mime_header_unfold(&got, SPAN(" a\r\n\t b\n c "));
    check_span(buf_span(&got), "a\t b c");
    buf_done(&got);
}

static bool
occurs(const char *needle, enum mime_encoding encoding, const char *charset,
       const char *body, size_t cut)
{
    struct span needles[] = {span_str(needle), SPAN("")};
    struct mime_text_search *s = mime_text_search_new(needles, 2, COLLATION_CASEMAP);
    struct mime_index_part part = {.encoding = encoding, .charset = span_str(charset)};
    struct span rest = span_str(body);

    mime_text_begin(s, &part);
    for (; rest.n > 0; rest = span_skip(rest, cut))
        mime_text_feed(s, span_slice(rest, 0, cut));
    mime_text_end(s);
    bool found = mime_text_found(s, 0);
    assert_true(mime_text_found(s, 1));
    assert_int_equal(mime_text_found_all(s), found);
    mime_text_search_free(&s);
    return found;
}

static void
test_text_search(void **state)
{
    (void)state;
    static const struct {
        const char *needle, *charset, *body;
        enum mime_encoding encoding;
        bool want;
    } rows[] = {
        {"world", "", "Hello WORLD\r\n", MIME_ENC_IDENTITY, true},
        {"worlds", "", "Hello WORLD\r\n", MIME_ENC_IDENTITY, false},
        {"M\xC3\x9CLLER", "iso-8859-1", "Herr M=FCl=\r\nler", MIME_ENC_QP, true},
        {"m\xC3\xBCller", "utf-8", "SGVyciBNw7xs\r\nbGVy", MIME_ENC_BASE64, true},
        {"m\xC3\xBCller", "utf-8", "SGVyciBNdWxs\r\nbGVy", MIME_ENC_BASE64, false},
        {"\xE3\x81\x93", "iso-2022-jp", "\x1b$B$3\x1b(B", MIME_ENC_IDENTITY, true},
        {"abc", "no-such-charset", "xxabc", MIME_ENC_IDENTITY, true},
        {"aab", "", "aaab", MIME_ENC_IDENTITY, true},
    };

    for (size_t i = 0; i < ROWS(rows); i++)
        for (size_t cut = 1; cut < 9; cut++)
            if (occurs(rows[i].needle, rows[i].encoding, rows[i].charset, rows[i].body,
                       cut) != rows[i].want)
                fail_msg("row %zu cut %zu", i, cut);
}

// A needle anywhere in a long text, also across the borders of what is searched at once.
static void
test_text_search_borders(void **state)
{
    (void)state;
    struct buf body;

    buf_init(&body, 1 << 20);
    for (size_t at = 4080; at < 4110; at++) {
        buf_reset(&body);
        for (size_t i = 0; i < 12288; i++)
            buf_put_char(&body, i == at ? '#' : 'x');
        buf_put_char(&body, '\0');
        assert_true(occurs("xX#xx", MIME_ENC_IDENTITY, "", body.p, 1000));
        assert_false(occurs("#xx#", MIME_ENC_IDENTITY, "", body.p, 4096));
    }
    buf_done(&body);
}

static void
test_text_search_headers(void **state)
{
    (void)state;
    static const char block[] =
        "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n from here\r\nX: end\r\n"
        "Y: o\xEF\xAC\x83"
        "ce\r\nZ: muffin\r\n\r\n";
    static const struct {
        const char *needle;
        bool want;
    } rows[] = {
        {"GR\xC3\x9C", true},
        {"e from", true},
        {"subject: gr", true},
        {"here\r\nX", false},
        {"utf-8", false},
        {"X: END", true},
        // RFC 5051: the ligature (U+FB03) becomes small letters, the others capitals
        {"o\xEF\xAC\x83"
         "ce",
         true},
        {"\xEF\xAC\x83"
         "n",
         false}};

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct span needle = span_str(rows[i].needle);
        struct mime_text_search *s = mime_text_search_new(&needle, 1, COLLATION_CASEMAP);
        mime_text_header(s, span_str(block));
        assert_int_equal(mime_text_found(s, 0), rows[i].want);
        mime_text_search_free(&s);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_date_parse),
        cmocka_unit_test(test_subject_base),
        cmocka_unit_test(test_hostile_subjects),
        cmocka_unit_test(test_transfer_decode),
        cmocka_unit_test(test_quoted_printable_cuts),
        cmocka_unit_test(test_charset_to_utf8),
        cmocka_unit_test(test_fold),
        cmocka_unit_test(test_header_filter),
        cmocka_unit_test(test_text_search),
        cmocka_unit_test(test_text_search_borders),
        cmocka_unit_test(test_text_search_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
