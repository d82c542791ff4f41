#include "wire/netstring.h"

enum { DIGITS_MAX = 9 };

// The length as decimal without zeros in front; *n_out octets of it.
static enum netstring_state
read_length(struct span in, uint64_t *length_out, size_t *n_out)
{
    size_t n = 0;
    uint64_t v = 0;
    while (n < in.n && n < DIGITS_MAX && ascii_is_digit(in.p[n]))
        v = v * 10 + (uint64_t)(in.p[n++] - '0');
    if (n > 1 && in.p[0] == '0')
        return NETSTRING_BAD;
    if (n == in.n && n < DIGITS_MAX)
        return NETSTRING_MORE;
    if (n == 0 || n == in.n || in.p[n] != ':')
        return NETSTRING_BAD;
    *length_out = v;
    *n_out = n;
    return NETSTRING_WHOLE;
}

enum netstring_state
netstring_parse(struct span input, size_t max, struct span *body_out, size_t *used_out)
{
    uint64_t length = 0;
    size_t n = 0;
    enum netstring_state state = read_length(input, &length, &n);
    if (state != NETSTRING_WHOLE)
        return state;
    if (length > max)
        return NETSTRING_BAD;
    size_t end = n + 1 + (size_t)length;
    if (input.n <= end)
        return NETSTRING_MORE;
    if (input.p[end] != ',')
        return NETSTRING_BAD;
    *body_out = span_slice(input, n + 1, end);
    *used_out = end + 1;
    return NETSTRING_WHOLE;
}

void
netstring_put(struct buf *out, struct span body)
{
    buf_put_u64(out, body.n);
    buf_put_char(out, ':');
    buf_put(out, body);
    buf_put_char(out, ',');
}
