#include "wire/base64.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int
digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_is_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

void
base64_encode(struct span in, struct buf *out)
{
    for (size_t i = 0; i < in.n; i += 3) {
        size_t left = in.n - i;
        uint32_t v = (uint32_t)(unsigned char)in.p[i] << 16;
        if (left > 1)
            v |= (uint32_t)(unsigned char)in.p[i + 1] << 8;
        if (left > 2)
            v |= (unsigned char)in.p[i + 2];
        char four[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63],
                        left > 1 ? alphabet[v >> 6 & 63] : '=',
                        left > 2 ? alphabet[v & 63] : '='};
        buf_put(out, span_of(four, 4));
    }
}

// Four characters with `pad` of them '='; R_FAIL when surplus bits are set.
static enum result
decode_four(const char *p, unsigned pad, struct buf *out)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < 4; i++) {
        int d = i < 4 - pad ? digit_value(p[i]) : 0;
        if (d < 0)
            return R_FAIL;
        v = v << 6 | (uint32_t)d;
    }
    if (v & ((1u << (8 * pad)) - 1))
        return R_FAIL;
    char three[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
    buf_put(out, span_of(three, 3 - pad));
    return R_OK;
}

enum result
base64_decode(struct span in, struct buf *out)
{
    if (in.n % 4 != 0)
        return R_FAIL;
    for (size_t i = 0; i < in.n; i += 4) {
        unsigned pad = 0;
        if (i + 4 == in.n)
            pad = in.p[i + 3] != '=' ? 0 : in.p[i + 2] != '=' ? 1 : 2;
        if (decode_four(in.p + i, pad, out) != R_OK)
            return R_FAIL;
    }
    return out->over ? R_FAIL : R_OK;
}

enum result
base64_decode_word(struct span in, struct buf *out)
{
    return span_eq(in, SPAN("=")) ? R_OK : base64_decode(in, out);
}
