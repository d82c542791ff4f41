#include "wire/proxy.h"

#include "base/limits.h"
#include "base/pack.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
static const char word[] = "PROXY ";
enum {
    SIGNATURE = sizeof signature - 1,
    WORD = sizeof word - 1,
    HEAD = SIGNATURE + 4,
    LINE_MIN = 15,   // "PROXY UNKNOWN\r\n"
    LINE_MAX = 107,  // with its CRLF
    UNIX_PATH = 108,
};

// What a TLV holds.
enum tlv { TLV_CRC32C = 0x03, TLV_SSL = 0x20 };
enum { CRC = 4, SSL_HEAD = 5, SSL_CLIENT = 0x01 };

static enum result
wrong(struct fault *f, const char *what)
{
    return fault_set(f, FAULT_BAD, "PROXY header: %s", what);
}

static bool
begins(struct span in, const char *p, size_t n)
{
    return memcmp(in.p, p, in.n < n ? in.n : n) == 0;
}

static bool
is_line(struct span in)
{
    return in.n > 0 && in.p[0] == word[0];
}

static size_t
size_of(struct span in)
{
    return HEAD + ((size_t)(unsigned char)in.p[14] << 8 | (unsigned char)in.p[15]);
}

// ---- addresses ----

static void
set_v4(struct sockaddr_storage *out, const void *octets, uint16_t port)
{
    struct sockaddr_in *a = (struct sockaddr_in *)out;
    a->sin_family = AF_INET;
    a->sin_port = htons(port);
    memcpy(&a->sin_addr, octets, sizeof a->sin_addr);
}

static void
set_v6(struct sockaddr_storage *out, const void *octets, uint16_t port)
{
    struct sockaddr_in6 *a = (struct sockaddr_in6 *)out;
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(port);
    memcpy(&a->sin6_addr, octets, sizeof a->sin6_addr);
}

// ---- version 2 ----

// Both addresses, then both ports.
static void
read_inet(struct unpack *u, struct proxy_header *h, size_t octets)
{
    void (*set)(struct sockaddr_storage *, const void *, uint16_t) =
        octets == 4 ? set_v4 : set_v6;
    struct span source = span_slice(u->rest, 0, octets),
                destination = span_slice(u->rest, octets, 2 * octets);
    if (u->rest.n < 2 * octets) {
        u->bad = true;
        return;
    }
    u->rest = span_skip(u->rest, 2 * octets);
    uint16_t source_port = unpack_u16(u), destination_port = unpack_u16(u);
    set(&h->source, source.p, source_port);
    set(&h->destination, destination.p, destination_port);
}

// A socket on the proxy's machine: its mode is not ours, and keeps nobody out here.
static void
read_unix(struct unpack *u, struct proxy_header *h)
{
    u->bad |= u->rest.n < 2 * (size_t)UNIX_PATH;
    u->rest = span_skip(u->rest, 2 * (size_t)UNIX_PATH);
    h->local = true;
}

// Family and transport. Mail does not come by datagrams.
static enum result
read_addresses(struct unpack *u, uint8_t kind, struct proxy_header *h, struct fault *f)
{
    switch (kind) {
    case 0x00:
        h->local = true;
        return R_OK;
    case 0x11:
        read_inet(u, h, 4);
        break;
    case 0x21:
        read_inet(u, h, 16);
        break;
    case 0x31:
        read_unix(u, h);
        break;
    default:
        return wrong(f, "its addresses are not of a stream");
    }
    return u->bad ? wrong(f, "too short for its addresses") : R_OK;
}

static struct span
next_tlv(struct unpack *u, uint8_t *type_out)
{
    *type_out = unpack_u8(u);
    size_t n = unpack_u16(u);
    u->bad |= n > u->rest.n;
    struct span value = span_slice(u->rest, 0, n);
    u->rest = span_skip(u->rest, n);
    return value;
}

// CRC-32C (RFC 3720 appendix B.4), the four octets of its own value counted as 0.
static uint32_t
checksum(struct span all, size_t own)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < all.n; i++) {
        crc ^= i >= own && i < own + CRC ? 0 : (unsigned char)all.p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static bool
is_sound(struct span all, struct span value)
{
    struct unpack u = unpack_of(value);
    uint32_t told = unpack_u32(&u);
    return unpack_end(&u) == R_OK && told == checksum(all, (size_t)(value.p - all.p));
}

// Flags of the client, the verdict on its certificate, then TLVs.
static void
read_ssl(struct unpack *outer, struct span value, struct proxy_header *h)
{
    struct unpack u = unpack_of(value);
    uint8_t client = unpack_u8(&u), type;
    (void)unpack_u32(&u);
    while (!u.bad && u.rest.n > 0)
        (void)next_tlv(&u, &type);
    outer->bad |= u.bad;
    h->tls = (client & SSL_CLIENT) != 0;
}

static enum result
read_tlvs(struct unpack *u, struct span all, struct proxy_header *h, struct fault *f)
{
    while (!u->bad && u->rest.n > 0) {
        uint8_t type;
        struct span value = next_tlv(u, &type);
        if (u->bad)
            break;
        if (type == TLV_CRC32C && !is_sound(all, value))
            return wrong(f, "its checksum does not match");
        if (type == TLV_SSL)
            read_ssl(u, value, h);
    }
    return u->bad ? wrong(f, "its TLVs do not fit") : R_OK;
}

static enum result
parse_octets(struct span in, struct proxy_header *h, struct fault *f)
{
    if (in.n < HEAD)
        return R_NONE;
    uint8_t version = (uint8_t)in.p[12] >> 4, command = (uint8_t)in.p[12] & 0x0f;
    struct span all = span_slice(in, 0, size_of(in));
    struct unpack u = unpack_of(span_skip(all, HEAD));
    if (version != 2 || command > 1)
        return wrong(f, "an unknown version or command");
    if (size_of(in) > LIMIT_proxy_header)
        return wrong(f, "too long");
    if (in.n < size_of(in))
        return R_NONE;
    h->local = command == 0;  // what else it says does not count
    if (h->local)
        return R_OK;
    if (read_addresses(&u, (uint8_t)in.p[13], h, f) != R_OK)
        return R_FAIL;
    return read_tlvs(&u, all, h, f);
}

// ---- version 1 ----

static bool
read_port(struct span text, uint16_t *out)
{
    uint32_t number;
    if (span_to_u32(text, &number) != R_OK || number > UINT16_MAX ||
        (text.n > 1 && text.p[0] == '0'))
        return false;
    *out = (uint16_t)number;
    return true;
}

static bool
read_end(int family, struct span address, struct span port, struct sockaddr_storage *out)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char octets[16];
    uint16_t number;
    if (address.n >= sizeof text || !read_port(port, &number))
        return false;
    memcpy(text, address.p, address.n);
    text[address.n] = '\0';
    if (strlen(text) != address.n || inet_pton(family, text, octets) != 1)
        return false;
    if (family == AF_INET)
        set_v4(out, octets, number);
    else
        set_v6(out, octets, number);
    return true;
}

// "TCP4 source destination port port"; behind UNKNOWN anything may stand.
static enum result
read_line(struct span rest, struct proxy_header *h, struct fault *f)
{
    struct span fields[5];
    size_t n = 0;
    if (span_eq(rest, SPAN("UNKNOWN")) || span_starts(rest, SPAN("UNKNOWN "))) {
        h->local = true;
        return R_OK;
    }
    while (n < 5 && span_next_field(&rest, ' ', &fields[n]) == R_OK)
        n++;
    bool v4 = n == 5 && span_eq(fields[0], SPAN("TCP4")),
         v6 = n == 5 && span_eq(fields[0], SPAN("TCP6"));
    int family = v4 ? AF_INET : AF_INET6;
    if ((!v4 && !v6) || rest.p != NULL ||
        !read_end(family, fields[1], fields[3], &h->source) ||
        !read_end(family, fields[2], fields[4], &h->destination))
        return wrong(f, "not \"PROXY TCP4 address address port port\"");
    return R_OK;
}

static enum result
parse_line(struct span in, struct proxy_header *h, struct fault *f)
{
    size_t end = span_find_char(span_slice(in, 0, LINE_MAX), '\n');
    if (end == in.n && in.n < LINE_MAX)
        return R_NONE;
    if (end >= LINE_MAX || in.p[end - 1] != '\r')
        return wrong(f, "its line does not end");
    return read_line(span_slice(in, WORD, end - 1), h, f);
}

// ---- both ----

enum result
proxy_parse(struct span in, struct proxy_header *out, struct fault *f)
{
    struct proxy_header h = {.local = false};
    if (in.n == 0)
        return R_NONE;
    if (!begins(in, signature, SIGNATURE) && !begins(in, word, WORD))
        return wrong(f, "there is none");
    if (in.n <= WORD)
        return R_NONE;
    enum result r = is_line(in) ? parse_line(in, &h, f) : parse_octets(in, &h, f);
    if (r == R_OK)
        *out = h;
    return r;
}

size_t
proxy_more(struct span in)
{
    if (in.n < LINE_MIN)
        return LINE_MIN - in.n;
    if (is_line(in))
        return 1;
    return in.n < HEAD ? HEAD - in.n : size_of(in) - in.n;
}
