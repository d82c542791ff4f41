#include "mime/utf8.h"
#include "mime/charset.h"

#define REPLACEMENT SPAN("\xEF\xBF\xBD")

// The range of the second octet (RFC 3629 section 4); others are 80..BF.
static bool
second_fits(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xE0:
        return second >= 0xA0 && second <= 0xBF;
    case 0xED:
        return second >= 0x80 && second <= 0x9F;
    case 0xF0:
        return second >= 0x90 && second <= 0xBF;
    case 0xF4:
        return second >= 0x80 && second <= 0x8F;
    default:
        return (second & 0xC0) == 0x80;
    }
}

int
mime_utf8_sequence(struct span at)
{
    unsigned char first = (unsigned char)at.p[0];
    size_t want = first < 0x80   ? 1
                  : first < 0xC2 ? 0
                  : first < 0xE0 ? 2
                  : first < 0xF0 ? 3
                                 : 4;

    if (first > 0xF4)
        return 0;
    if (want <= 1)
        return (int)want;
    for (size_t i = 1; i < want; i++) {
        if (i == at.n)
            return -1;
        unsigned char c = (unsigned char)at.p[i];
        if (i == 1 ? !second_fits(first, c) : (c & 0xC0) != 0x80)
            return 0;
    }
    return (int)want;
}

size_t
mime_ascii_run(struct span in)
{
    uint64_t words[4];
    size_t n = 0;

    for (; n + sizeof words <= in.n; n += sizeof words) {
        memcpy(words, in.p + n, sizeof words);
        if ((words[0] | words[1] | words[2] | words[3]) & 0x8080808080808080u)
            break;
    }
    for (; n + sizeof words[0] <= in.n; n += sizeof words[0]) {
        memcpy(words, in.p + n, sizeof words[0]);
        if (words[0] & 0x8080808080808080u)
            break;
    }
    while (n < in.n && !(in.p[n] & 0x80))
        n++;
    return n;
}

// Valid octets at the front of `in`.
static size_t
valid_run(struct span in)
{
    size_t n = mime_ascii_run(in);

    while (n < in.n) {
        int got = mime_utf8_sequence(span_skip(in, n));
        if (got <= 0)
            break;
        n += (size_t)got;
        if (got == 1)
            n += mime_ascii_run(span_skip(in, n));
    }
    return n;
}

bool
mime_utf8_valid(struct span in)
{
    return valid_run(in) == in.n;
}

// Completes or refuses the held beginning with the next octet; false: the octet was not taken.
static bool
take_held(struct mime_utf8 *u, char c, struct buf *out)
{
    u->held[u->n] = c;
    int got = mime_utf8_sequence(span_of(u->held, u->n + 1u));
    if (got < 0) {
        u->n++;
        return true;
    }
    if (got > 0)
        buf_put(out, span_of(u->held, (size_t)got));
    else
        buf_put(out, REPLACEMENT);
    u->n = 0;
    return got > 0;
}

void
mime_utf8_feed(struct mime_utf8 *u, struct span in, struct buf *out)
{
    while (in.n > 0) {
        if (u->n > 0) {
            if (take_held(u, *in.p, out))
                in = span_skip(in, 1);
            continue;
        }
        size_t run = valid_run(in);
        buf_put(out, span_slice(in, 0, run));
        in = span_skip(in, run);
        if (in.n == 0)
            break;
        if (mime_utf8_sequence(span_slice(in, 0, 1)) < 0)
            u->held[u->n++] = *in.p;
        else
            buf_put(out, REPLACEMENT);
        in = span_skip(in, 1);
    }
}

void
mime_utf8_end(struct mime_utf8 *u, struct buf *out)
{
    if (u->n > 0)
        buf_put(out, REPLACEMENT);
    u->n = 0;
}
