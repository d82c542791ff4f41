#include "os/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { V4_PREFIX = 96, ALL_BITS = 128 };

static void
map_v4(unsigned char out[16], const void *v4)
{
    memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    memcpy(out + 12, v4, 4);
}

static bool
bit_of(const unsigned char address[16], unsigned i)
{
    return address[i / 8] & (0x80 >> i % 8);
}

// *bits_out is the size of the whole address: 32 or 128.
static enum result
parse_address(struct span text, unsigned char out[16], uint32_t *bits_out)
{
    char cstr[INET6_ADDRSTRLEN];
    struct in_addr v4;
    if (text.n == 0 || text.n >= sizeof cstr)
        return R_FAIL;
    memcpy(cstr, text.p, text.n);
    cstr[text.n] = '\0';
    if (inet_pton(AF_INET, cstr, &v4) == 1) {
        map_v4(out, &v4);
        *bits_out = ALL_BITS - V4_PREFIX;
        return R_OK;
    }
    *bits_out = ALL_BITS;
    return inet_pton(AF_INET6, cstr, out) == 1 ? R_OK : R_FAIL;
}

enum result
network_parse(struct span text, struct network *out, struct fault *f)
{
    struct network n;
    uint32_t whole, bits;
    size_t slash = span_find_char(text, '/');
    if (parse_address(span_slice(text, 0, slash), n.address, &whole) != R_OK)
        return fault_set(f, FAULT_BAD, "'%.*s' is no network",
                         SPAN_ARG(span_slice(text, 0, 80)));
    bits = whole;
    if (slash < text.n &&
        (span_to_u32(span_skip(text, slash + 1), &bits) != R_OK || bits > whole))
        return fault_set(f, FAULT_BAD, "'%.*s': a prefix has 0 to %u bits",
                         SPAN_ARG(span_slice(text, 0, 80)), whole);
    n.bits = ALL_BITS - whole + bits;
    for (unsigned i = n.bits; i < ALL_BITS; i++)
        if (bit_of(n.address, i))
            return fault_set(f, FAULT_BAD, "'%.*s' has bits behind its prefix",
                             SPAN_ARG(span_slice(text, 0, 80)));
    *out = n;
    return R_OK;
}

bool
network_has(const struct network *n, const unsigned char address[16])
{
    for (unsigned i = 0; i < n->bits; i++)
        if (bit_of(n->address, i) != bit_of(address, i))
            return false;
    return true;
}

// R_NONE: a unix socket. R_FAIL: no address (the connection is gone already).
static enum result
address_of(const struct sockaddr_storage *from, unsigned char address_out[16])
{
    const struct sockaddr_in *v4 = (const void *)from;
    const struct sockaddr_in6 *v6 = (const void *)from;
    if (from->ss_family == AF_INET)
        map_v4(address_out, &v4->sin_addr);
    else if (from->ss_family == AF_INET6)
        memcpy(address_out, &v6->sin6_addr, 16);
    else
        return from->ss_family == AF_UNIX ? R_NONE : R_FAIL;
    return R_OK;
}

bool
network_list_has(const struct network_list *l, const struct sockaddr_storage *from)
{
    unsigned char address[16];
    enum result r = address_of(from, address);
    for (size_t i = 0; r != R_FAIL && i < l->n; i++) {
        struct network n;
        struct fault f;
        struct span text = span_str(l->items[i]);
        if (r == R_NONE ? span_eq(text, SPAN("local"))
                        : network_parse(text, &n, &f) == R_OK && network_has(&n, address))
            return true;
    }
    return false;
}
