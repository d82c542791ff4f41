#include "base/json.h"

enum { REPLACEMENT = 0xfffd, UNIT_MAX = 8 };

struct unit {
    uint32_t point;
    size_t n;  // octets it took
    bool valid;
};

static bool
in_range(uint32_t point, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return point >= least[n] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
}

static size_t
length_of(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead < 0xe0)
        return 2;
    if (lead >= 0xe0 && lead < 0xf0)
        return 3;
    return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

// The code point at the front of s (RFC 3629), or one octet that is none.
static struct unit
next_unit(struct span s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    const struct unit broken = {REPLACEMENT, 1, false};
    size_t n = length_of(p[0]);
    if (n == 0 || n > s.n)
        return broken;
    if (n == 1)
        return (struct unit){p[0], 1, true};
    uint32_t point = p[0] & (0xffU >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return broken;
        point = point << 6 | (p[i] & 0x3fU);
    }
    return in_range(point, n) ? (struct unit){point, n, true} : broken;
}

static bool
must_escape(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point <= 0x9f) || point == 0x2028 ||
           point == 0x2029;
}

// How one unit is written; at most UNIT_MAX - 1 octets.
static size_t
write_unit(char out[UNIT_MAX], const struct unit *u, const char *from)
{
    static const char named[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    for (size_t i = 0; i + 1 < sizeof named; i += 2)
        if (u->point == (unsigned char)named[i])
            return (size_t)snprintf(out, UNIT_MAX, "\\%c", named[i + 1]);
    if (must_escape(u->point) || !u->valid)
        return (size_t)snprintf(out, UNIT_MAX, "\\u%04x", (unsigned)u->point);
    memcpy(out, from, u->n);
    return u->n;
}

bool
json_put_string(struct buf *b, struct span s, size_t max)
{
    char out[UNIT_MAX];
    size_t used = 2;
    buf_put_char(b, '"');
    while (s.n > 0) {
        struct unit u = next_unit(s);
        size_t n = write_unit(out, &u, s.p);
        if (used + n > max)
            break;
        buf_put(b, span_of(out, n));
        used += n;
        s = span_skip(s, u.n);
    }
    buf_put_char(b, '"');
    return s.n == 0;
}
