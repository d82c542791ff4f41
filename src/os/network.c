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

enum result
network_peer(int fd, unsigned char address_out[16])
{
    union {
        struct sockaddr_storage space;
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a = {0};
    socklen_t n = sizeof a;
    if (getpeername(fd, &a.any, &n) != 0)
        return R_FAIL;
    if (a.any.sa_family == AF_INET)
        map_v4(address_out, &a.v4.sin_addr);
    else if (a.any.sa_family == AF_INET6)
        memcpy(address_out, &a.v6.sin6_addr, 16);
    else
        return a.any.sa_family == AF_UNIX ? R_NONE : R_FAIL;
    return R_OK;
}
