#include "base/json.h"
#include "base/utf8.h"

enum { REPLACEMENT = 0xfffd, UNIT_MAX = 8 };

struct unit {
    uint32_t point;
    size_t n;  // octets it took
    bool valid;
};

// The code point at the front of s, or one octet that is none.
static struct unit
next_unit(struct span s)
{
    struct span rest = s;
    uint32_t point;
    if (utf8_next(&rest, &point) != R_OK)
        return (struct unit){REPLACEMENT, 1, false};
    return (struct unit){point, s.n - rest.n, true};
}

// How one unit is written; at most UNIT_MAX - 1 octets.
static size_t
write_unit(char out[UNIT_MAX], const struct unit *u, const char *from)
{
    static const char named[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    for (size_t i = 0; i + 1 < sizeof named; i += 2)
        if (u->point == (unsigned char)named[i])
            return (size_t)snprintf(out, UNIT_MAX, "\\%c", named[i + 1]);
    if (utf8_is_control(u->point) || !u->valid)
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
