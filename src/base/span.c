#include "base/span.h"

struct span
span_trim(struct span s)
{
    while (s.n > 0 && ascii_is_space(s.p[0]))
        s = span_skip(s, 1);
    while (s.n > 0 && ascii_is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool
span_eq(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
span_ieq(struct span a, struct span b)
{
    return a.n == b.n && span_icmp(a, b) == 0;
}

int
span_cmp(struct span a, struct span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n > 0 ? memcmp(a.p, b.p, n) : 0;
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

int
span_icmp(struct span a, struct span b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        unsigned char x = (unsigned char)ascii_lower(a.p[i]);
        unsigned char y = (unsigned char)ascii_lower(b.p[i]);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return (a.n > b.n) - (a.n < b.n);
}

bool
span_starts(struct span s, struct span prefix)
{
    return s.n >= prefix.n && span_eq(span_slice(s, 0, prefix.n), prefix);
}

bool
span_within(struct span name, struct span above)
{
    return span_starts(name, above) && (name.n == above.n || name.p[above.n] == '/');
}

bool
span_istarts(struct span s, struct span prefix)
{
    return s.n >= prefix.n && span_ieq(span_slice(s, 0, prefix.n), prefix);
}

bool
span_ends(struct span s, struct span suffix)
{
    return s.n >= suffix.n && span_eq(span_skip(s, s.n - suffix.n), suffix);
}

size_t
span_find_char(struct span s, char c)
{
    const char *hit = s.n > 0 ? memchr(s.p, c, s.n) : NULL;
    return hit ? (size_t)(hit - s.p) : s.n;
}

size_t
span_behind_last(struct span s, char c)
{
    size_t at = s.n;
    while (at > 0 && s.p[at - 1] != c)
        at--;
    return at;
}

size_t
span_find(struct span s, struct span needle)
{
    if (needle.n == 0)
        return 0;
    const char *hit = s.n >= needle.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
    return hit ? (size_t)(hit - s.p) : s.n;
}

size_t
span_ifind(struct span s, struct span needle)
{
    for (size_t i = 0; i + needle.n <= s.n; i++)
        if (span_ieq(span_slice(s, i, i + needle.n), needle))
            return i;
    return s.n;
}

enum result
span_next_field(struct span *rest, char c, struct span *field_out)
{
    if (!rest->p)
        return R_NONE;
    size_t at = span_find_char(*rest, c);
    *field_out = span_slice(*rest, 0, at);
    *rest = at < rest->n ? span_of(rest->p + at + 1, rest->n - at - 1) : SPAN_NONE;
    return R_OK;
}

enum result
span_to_u64(struct span s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0)
        return R_FAIL;
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_is_digit(s.p[i]))
            return R_FAIL;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return R_FAIL;
        v = v * 10 + digit;
    }
    *out = v;
    return R_OK;
}

enum result
span_to_u32(struct span s, uint32_t *out)
{
    uint64_t v;
    if (span_to_u64(s, &v) != R_OK || v > UINT32_MAX)
        return R_FAIL;
    *out = (uint32_t)v;
    return R_OK;
}
