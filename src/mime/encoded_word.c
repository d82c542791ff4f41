#include "mime/encoded_word.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/utf8.h"
#include "mime/charset.h"
#include "mime/token.h"
#include "mime/transfer.h"

// Encoded words have at most 75 octets by the RFC; mailers write longer ones.
enum { WORD_MAX = 75, WORD_READ_MAX = 2048, LINE_MAX_OCTETS = 76 };

struct word {
    struct span charset, text;
    char encoding;  // 'B' or 'Q'
    size_t size;    // octets of "=?...?="
};

// A run of encoded words of one charset, so that a character may be cut between two of them.
struct run {
    struct buf *out;
    struct buf octets;
    struct span charset;
    struct mime_charset *converter;  // NULL between runs
};

static bool
read_word(struct span at, struct word *out)
{
    struct span rest = span_skip(at, 2);
    size_t mark = span_find_char(span_slice(rest, 0, 80), '?');

    if (mark == 0 || mark >= 80 || mark + 3 > rest.n || rest.p[mark + 2] != '?')
        return false;
    char encoding = ascii_upper(rest.p[mark + 1]);
    if (encoding != 'B' && encoding != 'Q')
        return false;
    struct span charset = span_slice(rest, 0, mark);
    struct span text = span_slice(rest, mark + 3, mark + 3 + WORD_READ_MAX);
    size_t end = span_find_char(text, '?');
    // "?" inside Q text is an error that is read over when "?=" follows soon
    while (end < text.n && !span_starts(span_skip(text, end), SPAN("?=")))
        end += 1 + span_find_char(span_skip(text, end + 1), '?');
    if (end >= text.n)
        return false;
    charset.n = span_find_char(charset, '*');  // RFC 2231 section 5: charset*language
    *out =
        (struct word){charset, span_slice(text, 0, end), encoding, 2 + mark + 3 + end + 2};
    return true;
}

// `escape` and two hexadecimal digits are an octet; the underscore of Q is a space.
static void
put_escaped(struct buf *out, struct span text, char escape)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool pair = c == escape && i + 2 < text.n && hex_digit(text.p[i + 1]) >= 0 &&
                    hex_digit(text.p[i + 2]) >= 0;
        if (pair) {
            c = mime_hex_octet(text.p + i + 1);
            i += 2;
        } else if (c == '_' && escape == '=') {
            c = ' ';
        }
        buf_put_char(out, c);
    }
}

static void
put_octets(struct buf *out, const struct word *word)
{
    struct mime_decoder d = mime_decoder_of(MIME_ENC_BASE64, true);
    struct fault f;

    if (word->encoding == 'Q') {
        put_escaped(out, word->text, '=');
        return;
    }
    must(mime_decoder_feed(&d, word->text, out, &f) == R_OK);
    must(mime_decoder_end(&d, out, &f) == R_OK);
}

static void
end_run(struct run *run)
{
    if (run->converter)
        mime_charset_end(run->converter, run->out);
    mime_charset_free(&run->converter);
}

static void
put_word(struct run *run, const struct word *word)
{
    if (run->converter && !span_ieq(run->charset, word->charset))
        end_run(run);
    if (!run->converter && mime_charset_open(word->charset, &run->converter) != R_OK)
        must(mime_charset_open(SPAN("utf-8"), &run->converter) == R_OK);
    run->charset = word->charset;
    buf_reset(&run->octets);
    put_octets(&run->octets, word);
    mime_charset_feed(run->converter, buf_span(&run->octets), run->out);
}

static size_t
blank_run(struct span text)
{
    size_t n = 0;

    while (n < text.n && ascii_is_space(text.p[n]))
        n++;
    return n;
}

// Text that is not an encoded word, up to the next "=?".
static void
put_plain(struct run *run, struct span text)
{
    if (text.n == 0)
        return;
    end_run(run);
    mime_utf8_clean(run->out, text);
}

void
mime_decode_words(struct buf *b, struct span text)
{
    struct run run = {.out = b};
    struct word word;
    size_t plain = 0;  // where the plain text before `at` begins

    buf_init(&run.octets, (size_t)LIMIT_mime_header * 2);
    for (size_t at = 0; at < text.n;) {
        at += span_find(span_skip(text, at), SPAN("=?"));
        if (at >= text.n)
            break;
        if (!read_word(span_skip(text, at), &word) || !mime_charset_known(word.charset)) {
            at += 2;
            continue;
        }
        struct span before = span_slice(text, plain, at);
        if (!run.converter || blank_run(before) < before.n)
            put_plain(&run, before);
        put_word(&run, &word);
        at += word.size;
        plain = at;
    }
    put_plain(&run, span_skip(text, plain));
    end_run(&run);
    buf_done(&run.octets);
}

// Encoding

// The part of the text from its first to its last word with 8-bit octets.
static struct span
wide_part(struct span text, size_t *from_out)
{
    size_t from = text.n, to = 0;

    for (size_t at = 0; at < text.n;) {
        size_t n = span_find_char(span_skip(text, at), ' ');
        if (!ascii_only(span_slice(text, at, at + n))) {
            from = at < from ? at : from;
            to = at + n;
        }
        at += n + 1;
    }
    *from_out = from;
    return span_slice(text, from, to);
}

static size_t
character(struct span at, bool utf8)
{
    size_t n = 1;

    while (utf8 && n < at.n && ((unsigned char)at.p[n] & 0xC0) == 0x80)
        n++;
    return n;
}

static void
put_q(struct buf *b, struct span text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (ascii_is_alpha(c) || ascii_is_digit(c) || (c != '\0' && strchr("!*+-/", c)))
            buf_put_char(b, c);
        else if (c == ' ')
            buf_put_char(b, '_');
        else
            buf_printf(b, "=%02X", (unsigned char)c);
    }
}

static void
put_coded(struct buf *b, struct span wide, bool utf8)
{
    const char *lead = utf8 ? "=?utf-8?Q?" : "=?unknown-8bit?Q?";
    size_t start = b->n;

    for (size_t at = 0; at < wide.n;) {
        size_t n = character(span_skip(wide, at), utf8);
        if (at == 0 || b->n - start + 3 * n + 2 > WORD_MAX) {
            buf_put_str(b, at == 0 ? "" : "?= ");
            start = b->n;
            buf_put_str(b, lead);
        }
        put_q(b, span_slice(wide, at, at + n));
        at += n;
    }
    buf_put_str(b, "?=");
}

// Text with an encoded word before it, or behind it: blanks between two encoded words are not shown (RFC 2047 section 6.2),
// so that those which are to be seen go inside.
static void
put_between(struct buf *b, struct span text, bool utf8, bool behind_one, bool before_one)
{
    size_t from;
    struct span wide = wide_part(text, &from);
    size_t to = from + wide.n;

    if (wide.n == 0) {
        buf_put(b, text);
        return;
    }
    if (behind_one && blank_run(text) >= from) {
        from = 0;
        buf_put_char(b, ' ');
    }
    before_one &= blank_run(span_skip(text, to)) == text.n - to;
    if (before_one)
        to = text.n;
    buf_put(b, span_slice(text, 0, from));
    put_coded(b, span_slice(text, from, to), utf8);
    if (before_one)
        buf_put_char(b, ' ');
    buf_put(b, span_skip(text, to));
}

void
mime_encode_words(struct buf *b, struct span text)
{
    struct word word;
    bool utf8 = mime_utf8_valid(text), behind_one = false;
    size_t plain = 0;

    for (size_t at = 0; at < text.n;) {
        at += span_find(span_skip(text, at), SPAN("=?"));
        if (at >= text.n)
            break;
        if (!read_word(span_skip(text, at), &word) || !mime_charset_known(word.charset) ||
            !ascii_only(span_slice(text, at, at + word.size))) {
            at += 2;
            continue;
        }
        put_between(b, span_slice(text, plain, at), utf8, behind_one, true);
        buf_put(b, span_slice(text, at, at + word.size));
        behind_one = true;
        at += word.size;
        plain = at;
    }
    put_between(b, span_skip(text, plain), utf8, behind_one, false);
}

static void
put_quoted(struct buf *b, const char *before, struct span text, const char *behind)
{
    text = span_trim(text);
    if (text.n == 0)
        return;
    buf_put_str(b, before);
    quoted_put(b, text);
    buf_put_str(b, behind);
}

void
mime_encode_phrase(struct buf *b, struct span text)
{
    size_t from = 0, to = text.n;
    while (from < to && (unsigned char)text.p[from] < 0x80)
        from++;
    while (to > from && (unsigned char)text.p[to - 1] < 0x80)
        to--;
    from = span_behind_last(span_slice(text, 0, from), ' ');
    to += span_find_char(span_skip(text, to), ' ');
    put_quoted(b, "", span_slice(text, 0, from), " ");
    mime_encode_words(b, span_slice(text, from, to));
    put_quoted(b, " ", span_skip(text, to), "");
}

// Blanks and the word behind them.
static size_t
word_size(struct span text)
{
    size_t n = blank_run(text);
    return n + span_find_char(span_skip(text, n), ' ');
}

void
mime_fold_words(struct buf *b, struct span text)
{
    const struct span word = SPAN("=?");
    size_t line = b->n - span_behind_last(buf_span(b), '\n');
    bool coded = span_find(text, word) < text.n;

    while (text.n > 0) {
        size_t n = word_size(text), blanks = blank_run(text);
        bool own = blanks > 0 && span_starts(span_skip(text, blanks), word);
        if (own || (coded && blanks < n && line + n > LINE_MAX_OCTETS)) {
            buf_put_str(b, blanks > 0 ? "\r\n" : "\r\n ");
            line = blanks > 0 ? 0 : 1;
        }
        buf_put(b, span_slice(text, 0, n));
        line += n;
        text = span_skip(text, n);
    }
}

// Parameters

static struct span
find_param(const struct mime_param *param, struct span name, bool extended)
{
    for (; param; param = param->next) {
        struct span n = param->name;
        if (extended && n.n > 0 && n.p[n.n - 1] == '*')
            n.n--;
        else if (extended)
            continue;
        if (span_ieq(n, name))
            return param->value.p ? param->value : SPAN("");
    }
    return SPAN_NONE;
}

// charset'language'percent-encoded (RFC 2231 section 4)
static void
put_extended(struct buf *out, struct span value)
{
    struct span charset, language;
    struct mime_charset *c = NULL;
    struct buf octets;

    buf_init(&octets, value.n + 1);
    if (memchr(value.p ? value.p : "", '\'', value.n)) {
        (void)!span_next_field(&value, '\'', &charset);
        (void)!span_next_field(&value, '\'', &language);
    } else {
        charset = SPAN("");
    }
    put_escaped(&octets, value, '%');
    if (mime_charset_open(charset, &c) != R_OK)
        must(mime_charset_open(SPAN("utf-8"), &c) == R_OK);
    mime_charset_feed(c, buf_span(&octets), out);
    mime_charset_end(c, out);
    mime_charset_free(&c);
    buf_done(&octets);
}

enum result
mime_param_find(const struct mime_param *params, struct span name, struct buf *out)
{
    struct span value = find_param(params, name, true);

    if (value.p) {
        put_extended(out, value);
        return R_OK;
    }
    value = find_param(params, name, false);
    if (!value.p)
        return R_NONE;
    mime_decode_words(out, value);
    return R_OK;
}
