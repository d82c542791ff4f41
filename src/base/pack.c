#include "base/pack.h"

static void
put_be(struct buf *b, uint64_t v, size_t n)
{
    char bytes[8];
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(v >> (8 * (n - 1 - i)));
    buf_put(b, span_of(bytes, n));
}

void
pack_u8(struct buf *b, uint8_t v)
{
    put_be(b, v, 1);
}

void
pack_u16(struct buf *b, uint16_t v)
{
    put_be(b, v, 2);
}

void
pack_u32(struct buf *b, uint32_t v)
{
    put_be(b, v, 4);
}

void
pack_u64(struct buf *b, uint64_t v)
{
    put_be(b, v, 8);
}

void
pack_var(struct buf *b, uint64_t v)
{
    char bytes[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        bytes[n++] = (char)(v | 0x80);
    bytes[n++] = (char)v;
    buf_put(b, span_of(bytes, n));
}

void
pack_span(struct buf *b, struct span s)
{
    pack_var(b, s.n);
    buf_put(b, s);
}

static uint64_t
get_be(struct unpack *u, size_t n)
{
    uint64_t v = 0;
    if (u->bad || u->rest.n < n) {
        u->bad = true;
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        v = v << 8 | (unsigned char)u->rest.p[i];
    u->rest = span_skip(u->rest, n);
    return v;
}

uint8_t
unpack_u8(struct unpack *u)
{
    return (uint8_t)get_be(u, 1);
}

uint16_t
unpack_u16(struct unpack *u)
{
    return (uint16_t)get_be(u, 2);
}

uint32_t
unpack_u32(struct unpack *u)
{
    return (uint32_t)get_be(u, 4);
}

uint64_t
unpack_u64(struct unpack *u)
{
    return get_be(u, 8);
}

uint64_t
unpack_var_long(struct unpack *u)
{
    uint64_t v = 0;
    if (!u->bad && u->rest.n > 1 && (unsigned char)u->rest.p[1] < 0x80) {
        v = (unsigned char)u->rest.p[0] & 0x7f;
        v |= (uint64_t)(unsigned char)u->rest.p[1] << 7;
        u->rest = span_of(u->rest.p + 2, u->rest.n - 2);
        return v;
    }
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = unpack_u8(u);
        if (u->bad || (shift == 63 && byte > 1))
            break;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return v;
    }
    u->bad = true;
    return 0;
}

struct span
unpack_span(struct unpack *u)
{
    uint64_t n = unpack_var(u);
    if (u->bad || n > u->rest.n) {
        u->bad = true;
        return SPAN_NONE;
    }
    struct span s = {u->rest.p, (size_t)n};
    u->rest = span_of(u->rest.p + n, u->rest.n - n);
    return s;
}

enum result
unpack_end(const struct unpack *u)
{
    return u->bad || u->rest.n > 0 ? R_FAIL : R_OK;
}
