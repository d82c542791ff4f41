#include "extract/readers.h"

#include "base/limits.h"
#include "base/utf8.h"
#include "mime/charset.h"

// RTF by a reader of our own: unrtf, the usual tool, is a C program of 1990s style with a row of overflows behind it, needs
// its tables on disk and has no UTF-8 for most charsets; what search wants is the text alone.

enum { WORD_MAX = 32, FONTS = 256 };

// What braces keep and bring back.
struct group {
    bool hidden;
    uint16_t skip;  // characters that follow \u for who knows no Unicode
    uint8_t font;
};

struct rtf {
    struct span in;
    struct extract_out *out;
    struct group now, groups[LIMIT_rtf_depth];
    unsigned depth, deeper;  // deeper: open groups past the limit
    unsigned to_skip;        // of the \u before
    uint16_t high;           // first half of a surrogate pair
    uint32_t codepage;
    uint16_t codepages[FONTS];  // 0: that of the document
    struct buf octets;          // in the codepage of `octets_page`, not put yet
    uint32_t octets_page;
};

static const struct {
    uint16_t charset, codepage;
} charsets[] = {
    // of \fcharset
    {128, 932},  {129, 949},  {130, 1361}, {134, 936},  {136, 950},
    {161, 1253}, {162, 1254}, {163, 1258}, {177, 1255}, {178, 1256},
    {186, 1257}, {204, 1251}, {222, 874},  {238, 1250},
};

static uint16_t
codepage_of(long charset)
{
    for (size_t i = 0; i < sizeof charsets / sizeof charsets[0]; i++)
        if (charsets[i].charset == charset)
            return charsets[i].codepage;
    return 0;
}

static const char *const hidden_words[] = {
    "fonttbl",      "colortbl",  "stylesheet",
    "pict",         "objdata",   "themedata",
    "datastore",    "listtable", "listoverridetable",
    "rsidtbl",      "generator", "xmlnstbl",
    "latentstyles", "filetbl",   "revtbl",
    "fldinst",      "info",      "colorschememapping",
    "mmathPr",      "pgptbl",    "template",
    "bkmkstart",    "bkmkend",   "object",
};

static const struct {
    const char *word;
    const char *text;
} spoken_words[] = {
    {"par", "\n"},        {"line", "\n"},          {"row", "\n"},
    {"page", "\n"},       {"sect", "\n"},          {"tab", "\t"},
    {"cell", "\t"},       {"nestcell", "\t"},      {"nestrow", "\n"},
    {"emdash", "\u2014"}, {"endash", "\u2013"},    {"lquote", "\u2018"},
    {"rquote", "\u2019"}, {"ldblquote", "\u201C"}, {"rdblquote", "\u201D"},
    {"bullet", "\u2022"}, {"emspace", " "},        {"enspace", " "},
};

static void
flush(struct rtf *r)
{
    char label[24];
    struct mime_charset *charset;
    struct buf utf8;
    if (r->octets.n == 0)
        return;
    snprintf(label, sizeof label, "windows-%u", r->octets_page);
    buf_init(&utf8, r->octets.n * 16 + 64);
    if (mime_charset_open(span_str(label), &charset) != R_OK)
        must(mime_charset_open(SPAN("windows-1252"), &charset) == R_OK);
    mime_charset_feed(charset, buf_span(&r->octets), &utf8);
    mime_charset_end(charset, &utf8);
    mime_charset_free(&charset);
    extract_put(r->out, buf_span(&utf8));
    buf_done(&utf8);
    buf_reset(&r->octets);
}

// Is this character one that \u has said already, or nobody is to see?
static bool
is_passed_over(struct rtf *r)
{
    if (r->to_skip > 0) {
        r->to_skip--;
        return true;
    }
    return r->now.hidden;
}

static void
put_octet(struct rtf *r, char c)
{
    uint32_t page = r->codepages[r->now.font] ? r->codepages[r->now.font] : r->codepage;
    if (is_passed_over(r))
        return;
    if (page != r->octets_page || r->octets.n >= 4096)
        flush(r);
    r->octets_page = page;
    buf_put_char(&r->octets, c);
}

static void
put_text(struct rtf *r, struct span utf8)
{
    if (is_passed_over(r))
        return;
    flush(r);
    extract_put(r->out, utf8);
}

static size_t
encode(uint32_t c, char out[4])
{
    if (c < 0x80)
        return out[0] = (char)c, 1;
    if (c < 0x800)
        return out[0] = (char)(0xC0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return out[0] = (char)(0xE0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 63)),
               out[2] = (char)(0x80 | (c & 63)), 3;
    return out[0] = (char)(0xF0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 63)),
           out[2] = (char)(0x80 | (c >> 6 & 63)), out[3] = (char)(0x80 | (c & 63)), 4;
}

// \u gives UTF-16 as signed numbers, a pair in two words.
static void
put_unicode(struct rtf *r, long number)
{
    uint32_t c = (uint16_t)number;
    char text[4];
    r->to_skip = 0;
    if (c >= 0xD800 && c < 0xDC00) {
        r->high = (uint16_t)c;
        r->to_skip = r->now.skip;
        return;
    }
    if (c >= 0xDC00 && c < 0xE000)
        c = r->high ? 0x10000 + ((r->high - 0xD800u) << 10) + (c - 0xDC00) : 0xFFFD;
    r->high = 0;
    put_text(r, span_of(text, encode(c == 0 ? 0xFFFD : c, text)));
    r->to_skip = r->now.skip;
}

static void
open_group(struct rtf *r)
{
    if (r->depth < LIMIT_rtf_depth)
        r->groups[r->depth++] = r->now;
    else
        r->deeper++;
}

static void
close_group(struct rtf *r)
{
    flush(r);
    r->to_skip = 0;
    if (r->deeper > 0)
        r->deeper--;
    else if (r->depth > 0)
        r->now = r->groups[--r->depth];
}

static bool
is_hidden(struct span word)
{
    for (size_t i = 0; i < sizeof hidden_words / sizeof hidden_words[0]; i++)
        if (span_eq(word, span_str(hidden_words[i])))
            return true;
    return false;
}

static bool
is_number(struct span word, const char *name, long number, long most)
{
    return span_eq(word, span_str(name)) && number >= 0 && number <= most;
}

// Words with a number.
static void
set(struct rtf *r, struct span word, long number)
{
    if (is_number(word, "ansicpg", number, 65535))
        r->codepage = (uint32_t)number;
    else if (is_number(word, "uc", number, 16))
        r->now.skip = (uint16_t)number;
    else if (is_number(word, "f", number, FONTS - 1))
        r->now.font = (uint8_t)number;
    else if (is_number(word, "fcharset", number, 255) && r->now.hidden)
        r->codepages[r->now.font] = codepage_of(number);
    else if (is_number(word, "bin", number, INT32_MAX))
        r->in = span_skip(r->in, (size_t)number);
    else if (span_eq(word, SPAN("u")))
        put_unicode(r, number);
}

static void
take_word(struct rtf *r, struct span word, bool has_number, long number)
{
    if (is_hidden(word)) {
        r->now.hidden = true;
        return;
    }
    for (size_t i = 0; i < sizeof spoken_words / sizeof spoken_words[0]; i++)
        if (span_eq(word, span_str(spoken_words[i].word))) {
            put_text(r, span_str(spoken_words[i].text));
            return;
        }
    if (has_number)
        set(r, word, number);
}

static size_t
letters(struct span s)
{
    size_t n = 0;
    while (n < s.n && n < WORD_MAX && ascii_is_alpha(s.p[n]))
        n++;
    return n;
}

static long
take_number(struct rtf *r, bool *has_out)
{
    bool negative = r->in.n > 1 && r->in.p[0] == '-' && ascii_is_digit(r->in.p[1]);
    size_t n = negative;
    long value = 0;
    while (n < r->in.n && n < 11 && ascii_is_digit(r->in.p[n]))
        value = value * 10 + (r->in.p[n++] - '0');
    *has_out = n > 0;
    r->in = span_skip(r->in, n);
    return negative ? -value : value;
}

static int
hex(char c)
{
    char l = ascii_lower(c);
    return ascii_is_digit(c) ? c - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

// After a backslash: what is no word.
static void
take_symbol(struct rtf *r)
{
    char c = r->in.p[0];
    r->in = span_skip(r->in, 1);
    if (c == '\'' && r->in.n >= 2 && hex(r->in.p[0]) >= 0 && hex(r->in.p[1]) >= 0) {
        put_octet(r, (char)(hex(r->in.p[0]) * 16 + hex(r->in.p[1])));
        r->in = span_skip(r->in, 2);
    } else if (c == '*') {
        r->now.hidden = true;
    } else if (c == '~' || c == '_') {
        put_text(r, c == '~' ? SPAN(" ") : SPAN("-"));
    } else if (c == '\r' || c == '\n') {
        put_text(r, SPAN("\n"));
    } else if (c == '\\' || c == '{' || c == '}') {
        put_octet(r, c);
    }
}

static void
take_control(struct rtf *r)
{
    bool has_number;
    size_t n = letters(r->in);
    if (r->in.n == 0)
        return;
    if (n == 0) {
        take_symbol(r);
        return;
    }
    struct span word = span_slice(r->in, 0, n);
    r->in = span_skip(r->in, n);
    long number = take_number(r, &has_number);
    if (r->in.n > 0 && r->in.p[0] == ' ')
        r->in = span_skip(r->in, 1);
    take_word(r, word, has_number, number);
}

static void
take(struct rtf *r)
{
    char c = r->in.p[0];
    r->in = span_skip(r->in, 1);
    if (c == '\\')
        take_control(r);
    else if (c == '{')
        open_group(r);
    else if (c == '}')
        close_group(r);
    else if (c != '\r' && c != '\n' && c != '\0')
        put_octet(r, c);
}

enum extract_verdict
extract_rtf(struct span document, struct extract_out *out)
{
    if (!span_starts(span_trim(span_slice(document, 0, 64)), SPAN("{\\rtf")))
        return EXTRACT_DAMAGED;
    struct rtf *r = calloc(1, sizeof *r);
    must(r != NULL);
    r->in = document;
    r->out = out;
    r->now.skip = 1;
    r->codepage = r->octets_page = 1252;
    buf_init(&r->octets, 8192);
    while (r->in.n > 0 && !out->full)
        take(r);
    flush(r);
    bool whole = r->depth == 0;
    buf_done(&r->octets);
    free(r);
    return out->full ? EXTRACT_TOO_LARGE : whole ? EXTRACT_DONE : EXTRACT_DAMAGED;
}
