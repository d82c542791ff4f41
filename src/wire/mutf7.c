#include "wire/mutf7.h"
#include "base/utf8.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static bool
printable(uint32_t c)
{
    return c >= 0x20 && c <= 0x7E;
}

static int
digit_value(char c)
{
    const char *at = c != '\0' ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

// A run of UTF-16 between '&' and '-', as it is decoded.
struct run {
    struct buf *out;
    uint32_t high;  // a high surrogate that waits for its low one
};

// R_FAIL for what has a shorter spelling (printable ASCII) or is no character. NUL is not a character of names.
static enum result
run_unit(struct run *r, uint32_t unit)
{
    bool low = unit >= 0xDC00 && unit <= 0xDFFF;
    if (low != (r->high != 0) || printable(unit) || unit == 0)
        return R_FAIL;
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        r->high = unit;
        return R_OK;
    }
    utf8_put(r->out, low ? 0x10000 + ((r->high - 0xD800) << 10) + (unit - 0xDC00) : unit);
    r->high = 0;
    return R_OK;
}

// Base64 digits of a run: whole 16-bit units, surplus bits fewer than six and zero.
static enum result
run_decode(struct span digits, struct buf *out)
{
    struct run r = {out, 0};
    uint32_t bits = 0, count = 0;
    for (size_t i = 0; i < digits.n; i++) {
        int d = digit_value(digits.p[i]);
        if (d < 0)
            return R_FAIL;
        bits = (bits << 6 | (uint32_t)d) & 0xFFFFFF;
        count += 6;
        if (count < 16)
            continue;
        count -= 16;
        if (run_unit(&r, bits >> count & 0xFFFF) != R_OK)
            return R_FAIL;
    }
    bool surplus = count >= 6 || (bits & ((1u << count) - 1)) != 0;
    return surplus || r.high != 0 ? R_FAIL : R_OK;
}

enum result
mutf7_to_utf8(struct span in, struct buf *out, struct fault *f)
{
    bool after_run = false;
    while (in.n > 0) {
        char c = in.p[0];
        if (!printable((unsigned char)c))
            return fault_set(f, FAULT_BAD, "mailbox name with octet %u", (unsigned char)c);
        if (c != '&') {
            buf_put_char(out, c);
            in = span_skip(in, 1);
            after_run = false;
            continue;
        }
        size_t end = span_find_char(in, '-');
        if (end == in.n)
            return fault_set(f, FAULT_BAD, "unended shift in a mailbox name");
        struct span digits = span_slice(in, 1, end);
        if (digits.n == 0)
            buf_put_char(out, '&');
        else if (after_run || run_decode(digits, out) != R_OK)
            return fault_set(f, FAULT_BAD, "wrong modified UTF-7");
        after_run = digits.n > 0;
        in = span_skip(in, end + 1);
    }
    return out->over ? fault_set(f, FAULT_LIMIT, "mailbox name too long") : R_OK;
}

struct encoder {
    struct buf *out;
    uint32_t bits, count;
    bool open;
};

static void
encode_unit(struct encoder *e, uint32_t unit)
{
    if (!e->open)
        buf_put_char(e->out, '&');
    e->open = true;
    e->bits = e->bits << 16 | unit;
    for (e->count += 16; e->count >= 6; e->count -= 6)
        buf_put_char(e->out, alphabet[e->bits >> (e->count - 6) & 63]);
    e->bits &= 63;
}

static void
encode_close(struct encoder *e)
{
    if (!e->open)
        return;
    if (e->count > 0)
        buf_put_char(e->out, alphabet[e->bits << (6 - e->count) & 63]);
    buf_put_char(e->out, '-');
    *e = (struct encoder){.out = e->out};
}

void
mutf7_from_utf8(struct span utf8, struct buf *out)
{
    struct encoder e = {.out = out};
    uint32_t c;
    while (utf8_next(&utf8, &c) == R_OK) {
        if (printable(c)) {
            encode_close(&e);
            buf_put_char(out, (char)c);
            if (c == '&')
                buf_put_char(out, '-');
        } else if (c < 0x10000) {
            encode_unit(&e, c);
        } else {
            encode_unit(&e, 0xD800 + ((c - 0x10000) >> 10));
            encode_unit(&e, 0xDC00 + ((c - 0x10000) & 0x3FF));
        }
    }
    encode_close(&e);
}
