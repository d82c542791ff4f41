// Netstrings, and addresses: what is parsed lies within the input and prints the same again; the normal form of an address is
// stable, and printed for SMTP it is read back as the same.
#include "auth/address.h"
#include "wire/netstring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
netstring(struct span in)
{
    struct span body, again;
    size_t used = 0, used_again = 0;
    struct buf b;
    enum netstring_state whole = netstring_parse(in, 64, &body, &used), state;
    for (size_t cut = 0; cut < in.n; cut++) {  // more input changes no verdict
        state = netstring_parse(span_slice(in, 0, cut), 64, &again, &used_again);
        if (state != NETSTRING_MORE && state != whole)
            abort();
        if (state == NETSTRING_WHOLE && (used_again != used || used > cut))
            abort();
    }
    if (whole != NETSTRING_WHOLE)
        return;
    buf_init(&b, SIZE_MAX);
    netstring_put(&b, body);
    if (body.p + body.n + 1 != in.p + used ||
        !span_eq(buf_span(&b), span_slice(in, 0, used)) ||
        netstring_parse(buf_span(&b), 64, &again, &used_again) != NETSTRING_WHOLE ||
        used_again != used)
        abort();
    buf_done(&b);
}

static void
address(struct span in)
{
    struct name name, again;
    struct fault f;
    struct buf b;
    if (address_of(in, &name, &f) != R_OK)
        return;
    buf_init(&b, SIZE_MAX);
    address_print(name_span(&name), &b);
    if (span_find_char(buf_span(&b), '\r') < b.n ||
        span_find_char(buf_span(&b), '\n') < b.n)
        abort();
    // quotes may make it longer than a name may be
    if (b.n <= LIMIT_user_name && (address_of(buf_span(&b), &again, &f) != R_OK ||
                                   !span_eq(name_span(&name), name_span(&again))))
        abort();
    buf_done(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = span_of((const char *)data, n);
    if (n > 512)
        return 0;
    netstring(in);
    address(in);
    return 0;
}
