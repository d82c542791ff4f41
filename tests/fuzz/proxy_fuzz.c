// Headers of the PROXY protocol: asked for piece by piece, no octet behind the header is ever taken, the verdict is that of
// the whole, and a checksum that is added to a header that was accepted must be right.
#include "base/buf.h"
#include "base/limits.h"
#include "wire/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
same(const struct proxy_header *a, const struct proxy_header *b)
{
    must(a->local == b->local && a->tls == b->tls);
    must(memcmp(&a->source, &b->source, sizeof a->source) == 0);
    must(memcmp(&a->destination, &b->destination, sizeof a->destination) == 0);
}

// Any checksum but one is refused: two different ones are never both right.
static void
sum_up(struct span header)
{
    struct proxy_header h;
    struct fault f;
    struct buf b;
    size_t n = header.n - 16 + 7;
    if (header.p[0] != '\r' || (header.p[12] & 0x0f) == 0 || n + 16 > LIMIT_proxy_header)
        return;
    buf_init(&b, LIMIT_proxy_header);
    buf_put(&b, header);
    buf_put(&b, SPAN("\x03\x00\x04\x00\x00\x00\x00"));
    b.p[14] = (char)(n >> 8);
    b.p[15] = (char)n;
    int right = 0;
    for (int last = 0; last < 2; last++) {
        b.p[b.n - 1] = (char)last;
        right += proxy_parse(buf_span(&b), &h, &f) == R_OK;
    }
    must(right <= 1);
    buf_done(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = span_of(data, n);
    struct proxy_header whole, got;
    struct fault f;
    enum result all = proxy_parse(in, &whole, &f), r = R_NONE;
    size_t at = 0;
    while (r == R_NONE) {
        size_t more = proxy_more(span_slice(in, 0, at));
        must(more > 0 && at + more <= LIMIT_proxy_header);
        at = at + more < n ? at + more : n;
        r = proxy_parse(span_slice(in, 0, at), &got, &f);
        if (at == n)
            break;
    }
    must(r == all);
    if (r != R_OK)
        return 0;
    same(&whole, &got);
    must(got.local == (got.source.ss_family == AF_UNSPEC));
    for (size_t cut = 0; cut < at; cut++)
        must(proxy_parse(span_slice(in, 0, cut), &got, &f) == R_NONE);
    sum_up(span_slice(in, 0, at));
    return 0;
}
