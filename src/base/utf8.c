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

static bool
is_hidden(uint32_t point, const char *kept)
{
    if (point < 0x20)
        return point == 0 || strchr(kept, (int)point) == NULL;
    return point >= 0x7f && point <= 0x9f;
}

void
utf8_put_visible(struct buf *b, struct span s, const char *kept, size_t size_max)
{
    while (s.n > 0) {
        struct span rest = s;
        uint32_t point;
        bool good = utf8_next(&rest, &point) == R_OK;
        struct span octets = span_slice(s, 0, good ? s.n - rest.n : 1);
        bool shown = good && !is_hidden(point, kept);
        if (b->n + 4 * octets.n > size_max)
            return;
        for (size_t i = 0; i < octets.n; i++)
            if (shown)
                buf_put_char(b, octets.p[i]);
            else
                buf_printf(b, "\\x%02x", (unsigned char)octets.p[i]);
        s = span_skip(s, octets.n);
    }
}

bool
utf8_is_line(struct span s)
{
    uint32_t point;
    while (s.n > 0)
        if (utf8_next(&s, &point) != R_OK || utf8_is_control(point))
            return false;
    return true;
}
