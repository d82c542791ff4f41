#include "io/message.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { MAC_SIZE = 32 };

static void
mac(struct span key, struct span s, unsigned char out[MAC_SIZE])
{
    unsigned n = 0;
    must(key.n >= 16 && key.n <= 1024);
    must(HMAC(EVP_sha256(), key.p, (int)key.n, (const unsigned char *)s.p, s.n, out, &n));
    must(n == MAC_SIZE);
}

void
ticket_seal(struct buf *b, const struct ticket *t, struct span key)
{
    unsigned char out[MAC_SIZE];
    size_t before = b->n;
    ticket_put(b, t);
    if (b->over)
        return;
    mac(key, span_skip(buf_span(b), before), out);
    buf_put(b, span_of(out, sizeof out));
}

enum result
ticket_open(struct span sealed, struct span key, int64_t now_ms, struct ticket *t_out)
{
    unsigned char want[MAC_SIZE];
    struct ticket t;
    if (sealed.n < MAC_SIZE)
        return R_FAIL;
    struct span packed = span_slice(sealed, 0, sealed.n - MAC_SIZE);
    mac(key, packed, want);
    if (CRYPTO_memcmp(want, sealed.p + packed.n, MAC_SIZE) != 0)
        return R_FAIL;
    if (ticket_get(packed, &t) != R_OK)
        return R_FAIL;
    if (t.expiry_ms < now_ms)
        return R_NONE;
    *t_out = t;
    return R_OK;
}
