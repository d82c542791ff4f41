#include "mime/transfer.h"

#include "base/lane.h"
#include "mime/token.h"

enum mime_encoding
mime_encoding_of(struct span name)
{
    static const struct {
        struct span name;
        enum mime_encoding encoding;
    } rows[] = {
        {SPAN(""), MIME_ENC_IDENTITY},     {SPAN("7bit"), MIME_ENC_IDENTITY},
        {SPAN("8bit"), MIME_ENC_IDENTITY}, {SPAN("binary"), MIME_ENC_IDENTITY},
        {SPAN("base64"), MIME_ENC_BASE64}, {SPAN("quoted-printable"), MIME_ENC_QP},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (span_ieq(rows[i].name, name))
            return rows[i].encoding;
    return MIME_ENC_UNKNOWN;
}

struct mime_decoder
mime_decoder_of(enum mime_encoding encoding, bool lenient)
{
    return (struct mime_decoder){.encoding = encoding, .lenient = lenient};
}

static enum result
bad(const struct mime_decoder *d, struct fault *f, const char *what)
{
    return d->lenient ? R_OK : fault_set(f, FAULT_UNKNOWNCTE, "%s", what);
}

// Base64 (RFC 2045 section 6.8; line ends and white space anywhere)

// The value of a base64 character plus one; 0 for anything else.
static const uint8_t sextet_table[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,
    ['H'] = 8,  ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14,
    ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21,
    ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28,
    ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35,
    ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
    ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49,
    ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63,
    ['/'] = 64,
};

static uint32_t
sextet(char c)
{
    return sextet_table[(unsigned char)c];
}

static void
put_bits(struct mime_decoder *d, struct buf *out)
{
    uint32_t bits = d->bits << (6 * (4 - d->have));

    for (int i = 0; i < d->have - 1; i++)
        buf_put_char(out, (char)(bits >> (16 - 8 * i)));
    d->have = 0;
    d->bits = 0;
}

static enum result
base64_pad(struct mime_decoder *d, struct buf *out, struct fault *f)
{
    if (d->pad == 0) {
        if (d->have < 2)
            return bad(d, f, "base64: padding in the wrong place");
        d->pad = (uint8_t)(4 - d->have);
        put_bits(d, out);
        d->ended = true;
    }
    d->pad--;
    return R_OK;
}

static enum result
base64_char(struct mime_decoder *d, char c, struct buf *out, struct fault *f)
{
    if (ascii_is_space(c))
        return R_OK;
    if (c == '=')
        return base64_pad(d, out, f);
    if (sextet(c) == 0)
        return bad(d, f, "base64: not a base64 character");
    if (d->ended && !d->lenient)
        return bad(d, f, "base64: data after the padding");
    d->pad = 0;  // lenient: some mailers put several base64 texts one after the other
    d->bits = d->bits << 6 | (sextet(c) - 1);
    if (++d->have == 4)
        put_bits(d, out);
    return R_OK;
}

// Whole groups of four; returns how many octets were taken.
static size_t
base64_groups(struct span in, struct buf *out)
{
    char *room = in.n >= 4 ? buf_reserve(out, in.n / 4 * 3) : NULL;
    size_t i = 0;

    if (!room)
        return 0;
    for (; i + 4 <= in.n; i += 4) {
        const char *p = in.p + i;
        uint32_t a = sextet(p[0]), b = sextet(p[1]), c = sextet(p[2]), e = sextet(p[3]);
        if (a == 0 || b == 0 || c == 0 || e == 0)
            break;
        uint32_t bits = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (e - 1);
        *room++ = (char)(bits >> 16);
        *room++ = (char)(bits >> 8);
        *room++ = (char)bits;
    }
    out->n += i / 4 * 3;
    return i;
}

static enum result
base64_feed(struct mime_decoder *d, struct span in, struct buf *out, struct fault *f)
{
    while (in.n > 0) {
        if (d->have == 0 && !d->ended && sextet(*in.p) > 0) {
            struct span line = span_slice(in, 0, 4096);
            size_t taken = base64_groups(line, out);
            in = span_skip(in, taken);
            if (taken > 0)
                continue;
        }
        if (base64_char(d, *in.p, out, f) != R_OK)
            return R_FAIL;
        in = span_skip(in, 1);
    }
    return R_OK;
}

static enum result
base64_end(struct mime_decoder *d, struct buf *out, struct fault *f)
{
    if (d->have > 0 && bad(d, f, "base64: cut short") != R_OK)
        return R_FAIL;
    if (d->have > 1)
        put_bits(d, out);
    return d->pad > 0 ? bad(d, f, "base64: padding is missing") : R_OK;
}

// Quoted-printable (RFC 2045 section 6.7)

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void
qp_put_held(struct mime_decoder *d, struct buf *out)
{
    buf_put(out, span_of(d->held, d->have));
    d->have = 0;
}

// Text that may end a line is held until the next octet tells. White space before a line end
// goes; a run of more than fits is text (a line has at most 76 octets).
static void
qp_hold_blank(struct mime_decoder *d, char c, struct buf *out)
{
    if (d->have == sizeof(d->held))
        qp_put_held(d, out);
    d->held[d->have++] = c;
}

static void
qp_line_end(struct mime_decoder *d, struct buf *out)
{
    if (d->have > 0 && d->held[d->have - 1] == '\r')
        buf_put_char(out, '\r');
    buf_put_char(out, '\n');
    d->have = 0;
}

// Inside "=...": a soft line break, or two hexadecimal digits. Sets *taken when c belongs to it.
static enum result
qp_escape(struct mime_decoder *d, char c, struct buf *out, struct fault *f, bool *taken)
{
    bool blank = d->have > 1 && is_blank(d->held[1]);

    *taken = true;
    if (c == '\n' && (d->have == 1 || blank)) {
        d->have = 0;
        d->escape = false;
    } else if (is_blank(c) && (d->have == 1 || blank) && d->have < sizeof(d->held)) {
        d->held[d->have++] = c;
    } else if (hex_digit(c) >= 0 && !blank) {
        d->held[d->have++] = c;
        if (d->have == 3) {
            buf_put_char(out, mime_hex_octet(d->held + 1));
            d->have = 0;
            d->escape = false;
        }
    } else {
        *taken = false;
        d->escape = false;
        qp_put_held(d, out);
        return bad(d, f, "quoted-printable: '=' without two hexadecimal digits");
    }
    return R_OK;
}

static enum result
qp_char(struct mime_decoder *d, char c, struct buf *out, struct fault *f)
{
    bool taken = false;

    if (d->escape && qp_escape(d, c, out, f, &taken) != R_OK)
        return R_FAIL;
    if (taken)
        return R_OK;
    if (is_blank(c)) {
        qp_hold_blank(d, c, out);
    } else if (c == '\n') {
        qp_line_end(d, out);
    } else {
        qp_put_held(d, out);
        if (c == '=') {
            d->escape = true;
            d->held[d->have++] = c;
        } else {
            buf_put_char(out, c);
        }
    }
    return R_OK;
}

// What is text for certain: up to an escape or a line end, but for the white space before it.
static size_t
qp_plain_run(struct span in)
{
    size_t n = 0;

    while (n < in.n && in.p[n] != '=' && in.p[n] != '\n')
        n++;
    while (n > 0 && is_blank(in.p[n - 1]))
        n--;
    return n;
}

// All white space at the front, so that each octet is looked at but a few times.
static struct span
qp_hold_blanks(struct mime_decoder *d, struct span in, struct buf *out)
{
    while (in.n > 0 && is_blank(*in.p)) {
        qp_hold_blank(d, *in.p, out);
        in = span_skip(in, 1);
    }
    return in;
}

// Where the first '=' or '\n' is, from `at` on; in.n: there is none.
static size_t
qp_next_sign(struct span in, size_t at)
{
    for (; at + sizeof(lane16) <= in.n; at += sizeof(lane16)) {
        lane16 c = lane_load(in.p + at), hit = (lane16)((c == '=') | (c == '\n'));
        if (lane_any(hit))
            return at + lane_first(hit);
    }
    while (at < in.n && in.p[at] != '=' && in.p[at] != '\n')
        at++;
    return at;
}

// The octets of a line end, an escape or a soft line break at the front; 0: it is none of these, or not all of it is there.
static size_t
qp_sign_size(struct span in)
{
    const char *p = in.p;
    if (*p == '\n')
        return 1;
    if (in.n < 3)
        return 0;
    if (p[1] == '\n')
        return 2;
    bool soft = p[1] == '\r' && p[2] == '\n';
    return soft || (hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) ? 3 : 0;
}

// What comes of `text` and the sign behind it goes to `to`; returns behind that.
static char *
qp_put_piece(char *to, struct span text, const char *sign)
{
    bool ends = *sign == '\n', cr = ends && text.n > 0 && text.p[text.n - 1] == '\r';
    while (ends && text.n > 0 && is_blank(text.p[text.n - 1]))
        text.n--;
    if (text.n > 0)
        memcpy(to, text.p, text.n);
    to += text.n;
    if (cr)
        *to++ = '\r';
    if (ends)
        *to++ = '\n';
    else if (hex_digit(sign[1]) >= 0)
        *to++ = mime_hex_octet(sign + 1);
    return to;
}

// A run of white space that may be too long to be held is told octet by octet.
static bool
qp_is_long(const struct mime_decoder *d, struct span text)
{
    size_t n = text.n;
    while (n > 0 && is_blank(text.p[n - 1]))
        n--;
    return text.n - n >= sizeof d->held;
}

// Text with the escapes and line ends behind it, where nothing is held and all of it is there: nearly all. Returns the octets taken.
static size_t
qp_pieces(const struct mime_decoder *d, struct span in, struct buf *out)
{
    size_t at = 0, next, n;
    if (d->escape || d->have > 0 || out->over || out->max - out->n < in.n)
        return 0;
    char *from = buf_reserve(out, in.n), *to = from;
    while ((next = qp_next_sign(in, at)) < in.n &&
           (n = qp_sign_size(span_skip(in, next))) > 0) {
        struct span text = span_slice(in, at, next);
        if (qp_is_long(d, text))
            break;
        to = qp_put_piece(to, text, in.p + next);
        at = next + n;
    }
    out->n += (size_t)(to - from);
    return at;
}

static enum result
qp_feed(struct mime_decoder *d, struct span in, struct buf *out, struct fault *f)
{
    while (in.n > 0) {
        in = span_skip(in, qp_pieces(d, in, out));
        if (in.n == 0)
            break;
        size_t run = d->escape ? 0 : qp_plain_run(in);
        if (run > 0) {
            qp_put_held(d, out);
            buf_put(out, span_slice(in, 0, run));
            in = span_skip(in, run);
            continue;
        }
        if (!d->escape)
            in = qp_hold_blanks(d, in, out);
        if (in.n == 0)
            break;
        if (qp_char(d, *in.p, out, f) != R_OK)
            return R_FAIL;
        in = span_skip(in, 1);
    }
    return R_OK;
}

// White space at the very end is dropped, as before a line end; so is a soft break without its
// line end.
static enum result
qp_end(struct mime_decoder *d, struct buf *out, struct fault *f)
{
    bool cut = d->escape && d->have > 1 && !is_blank(d->held[1]);

    if (cut) {
        qp_put_held(d, out);
        return bad(d, f, "quoted-printable: cut short after '='");
    }
    d->have = 0;
    d->escape = false;
    return R_OK;
}

enum result
mime_decoder_feed(struct mime_decoder *d, struct span in, struct buf *out, struct fault *f)
{
    switch (d->encoding) {
    case MIME_ENC_BASE64:
        return base64_feed(d, in, out, f);
    case MIME_ENC_QP:
        return qp_feed(d, in, out, f);
    case MIME_ENC_UNKNOWN:
        if (!d->lenient)
            return fault_set(f, FAULT_UNKNOWNCTE, "unknown content-transfer-encoding");
        break;
    case MIME_ENC_IDENTITY:
        break;
    }
    buf_put(out, in);
    return R_OK;
}

enum result
mime_decoder_end(struct mime_decoder *d, struct buf *out, struct fault *f)
{
    if (d->encoding == MIME_ENC_BASE64)
        return base64_end(d, out, f);
    if (d->encoding == MIME_ENC_QP)
        return qp_end(d, out, f);
    return d->encoding == MIME_ENC_IDENTITY || d->lenient
               ? R_OK
               : fault_set(f, FAULT_UNKNOWNCTE, "unknown content-transfer-encoding");
}
