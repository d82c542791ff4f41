#include "base/utf8.h"

enum { POINT_MAX = 0x10FFFF };

// Octets of the sequence that starts with c, 0 for octets that start none.
static size_t
sequence_size(unsigned char c)
{
    if (c < 0x80)
        return 1;
    if (c < 0xC2 || c > 0xF4)
        return 0;
    return c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

static bool
point_ok(uint32_t point, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    return point >= least[size] && point <= POINT_MAX && !surrogate;
}

enum result
utf8_next(struct span *s, uint32_t *point_out)
{
    static const unsigned char lead_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    if (s->n == 0)
        return R_NONE;
    size_t size = sequence_size((unsigned char)s->p[0]);
    if (size == 0 || size > s->n)
        return R_FAIL;
    uint32_t point = (unsigned char)s->p[0] & lead_bits[size];
    for (size_t i = 1; i < size; i++) {
        unsigned char c = (unsigned char)s->p[i];
        if ((c & 0xC0) != 0x80)
            return R_FAIL;
        point = point << 6 | (c & 0x3F);
    }
    if (!point_ok(point, size))
        return R_FAIL;
    *s = span_skip(*s, size);
    *point_out = point;
    return R_OK;
}

bool
utf8_valid(struct span s)
{
    uint32_t point;
    enum result r;
    while ((r = utf8_next(&s, &point)) == R_OK)
        ;
    return r == R_NONE;
}

void
utf8_put(struct buf *b, uint32_t point)
{
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    if (size == 1) {
        buf_put_char(b, (char)point);
        return;
    }
    char out[4];
    for (size_t i = size - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3F));
    out[0] = (char)(lead[size] | point);
    buf_put(b, span_of(out, size));
}

bool
ascii_only(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80)
            return false;
    return true;
}
