#include "wire/proxy.h"
#include "base/limits.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SIGN "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x34\x03\xe1"
#define V6                                                                                 \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02" \
    "\x12\x34\x03\xe1"
#define ROW(s) s, sizeof(s) - 1

static const char *
text_of(const struct sockaddr_storage *a, char out[64])
{
    const struct sockaddr_in *v4 = (const void *)a;
    const struct sockaddr_in6 *v6 = (const void *)a;
    char host[INET6_ADDRSTRLEN] = "";
    if (a->ss_family == AF_UNSPEC)
        return "";
    bool is_v4 = a->ss_family == AF_INET;
    inet_ntop(a->ss_family, is_v4 ? (const void *)&v4->sin_addr : &v6->sin6_addr, host,
              sizeof host);
    snprintf(out, 64, "%s %u", host, ntohs(is_v4 ? v4->sin_port : v6->sin6_port));
    return out;
}

static const struct {
    const char *octets;
    size_t n;
    enum result want;
    const char *want_source, *want_destination;
    bool want_tls;
} rows[] = {
    {ROW(SIGN "\x21\x11\x00\x0c" V4), R_OK, "192.0.2.1 4660", "198.51.100.2 993", false},
    {ROW(SIGN "\x21\x21\x00\x24" V6), R_OK, "2001:db8::1 4660", "2001:db8::2 993", false},
    {ROW(SIGN "\x20\x00\x00\x00"), R_OK, "", "", false},
    {ROW(SIGN "\x20\x11\x00\x0c" V4), R_OK, "", "",
     false},  // LOCAL: its family does not count
    {ROW(SIGN "\x20\xff\x00\x02xx"), R_OK, "", "", false},  // nor does anything else
    {ROW(SIGN "\x21\x00\x00\x00"), R_OK, "", "", false},    // UNSPEC
    {ROW(SIGN "\x21\x00\x00\x05\x04\x00\x02xx"), R_OK, "", "", false},
    {ROW(SIGN "\x21\x11\x00\x14" V4 "\x20\x00\x05\x01\0\0\0\0"), R_OK, "192.0.2.1 4660",
     "198.51.100.2 993", true},
    {ROW(SIGN "\x21\x11\x00\x14" V4 "\x20\x00\x05\x06\0\0\0\0"), R_OK, "192.0.2.1 4660",
     "198.51.100.2 993", false},
    {ROW(SIGN "\x21\x11\x00\x1e" V4 "\x20\x00\x0f\x01\0\0\0\0\x21\x00\x07TLSv1.3"), R_OK,
     "192.0.2.1 4660", "198.51.100.2 993", true},
    {ROW(SIGN "\x21\x11\x00\x17" V4 "\x01\x00\x04imap\xee\x00\x01z"), R_OK,
     "192.0.2.1 4660", "198.51.100.2 993", false},
    {ROW("PROXY TCP4 192.0.2.1 198.51.100.2 4660 993\r\n"), R_OK, "192.0.2.1 4660",
     "198.51.100.2 993", false},
    {ROW("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n"), R_OK, "2001:db8::1 0",
     "2001:db8::2 65535", false},
    {ROW("PROXY UNKNOWN\r\n"), R_OK, "", "", false},
    {ROW("PROXY UNKNOWN ffff::1 \x01 what ever\r\n"), R_OK, "", "", false},
    // wrong ones
    {ROW(SIGN "\x11\x11\x00\x0c" V4), R_FAIL, NULL, NULL, false},
    {ROW(SIGN "\x22\x11\x00\x0c" V4), R_FAIL, NULL, NULL, false},
    {ROW(SIGN "\x21\x12\x00\x0c" V4), R_FAIL, NULL, NULL, false},
    {ROW(SIGN "\x21\x01\x00\x0c" V4), R_FAIL, NULL, NULL, false},
    {ROW(SIGN "\x21\x41\x00\x0c" V4), R_FAIL, NULL, NULL, false},
    {ROW(SIGN "\x21\x11\x00\x0b\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x34\x03"), R_FAIL, NULL,
     NULL, false},
    {ROW(SIGN "\x21\x21\x00\x0c" V4), R_FAIL, NULL, NULL, false},
    {ROW(SIGN "\x21\x31\x00\x0c" V4), R_FAIL, NULL, NULL, false},
    {ROW(SIGN "\x21\x11\x0f\xf1"), R_FAIL, NULL, NULL, false},  // one octet above the cap
    {ROW(SIGN "\x21\x11\x00\x0e" V4 "\x04\x00"), R_FAIL, NULL, NULL, false},
    {ROW(SIGN "\x21\x11\x00\x0f" V4 "\x04\x00\x01"), R_FAIL, NULL, NULL, false},
    {ROW(SIGN "\x21\x11\x00\x13" V4 "\x20\x00\x04\x01\0\0\0"), R_FAIL, NULL, NULL, false},
    {ROW(SIGN "\x21\x11\x00\x16" V4 "\x20\x00\x07\x01\0\0\0\0\x21\x00"), R_FAIL, NULL, NULL,
     false},
    {ROW(SIGN "\x21\x11\x00\x13" V4 "\x03\x00\x04\0\0\0\0"), R_FAIL, NULL, NULL, false},
    {ROW(SIGN "\x21\x11\x00\x12" V4 "\x03\x00\x03\0\0\0"), R_FAIL, NULL, NULL, false},
    {ROW("\r\n\r\n\0\r\nQUIX"), R_FAIL, NULL, NULL, false},
    {ROW("a"), R_FAIL, NULL, NULL, false},
    {ROW("\x16\x03\x01"), R_FAIL, NULL, NULL, false},
    {ROW("PROXZ"), R_FAIL, NULL, NULL, false},
    {ROW("PROXY TCP4 192.0.2.1 198.51.100.2 4660 993\n"), R_FAIL, NULL, NULL, false},
    {ROW("PROXY TCP4 192.0.2.1 198.51.100.2 4660 993 \r\n"), R_FAIL, NULL, NULL, false},
    {ROW("PROXY TCP4  192.0.2.1 198.51.100.2 4660 993\r\n"), R_FAIL, NULL, NULL, false},
    {ROW("PROXY TCP4 192.0.2.1 198.51.100.2 04660 993\r\n"), R_FAIL, NULL, NULL, false},
    {ROW("PROXY TCP4 192.0.2.1 198.51.100.2 4660 65536\r\n"), R_FAIL, NULL, NULL, false},
    {ROW("PROXY TCP4 192.0.2.1 198.51.100.2 -1 993\r\n"), R_FAIL, NULL, NULL, false},
    {ROW("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), R_FAIL, NULL, NULL, false},
    {ROW("PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n"), R_FAIL, NULL, NULL, false},
    {ROW("PROXY UNKNOWNS\r\n"), R_FAIL, NULL, NULL, false},
    {ROW("PROXY TCP4 192.0.2.1 198.51.100.2 4660\r\n"), R_FAIL, NULL, NULL, false},
    {ROW("PROXY \r\n"), R_FAIL, NULL, NULL, false},
};

static void
headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct proxy_header h = {.tls = true};
        struct fault f;
        char source[64], destination[64];
        struct span in = span_of(rows[i].octets, rows[i].n);
        assert_int_equal(proxy_parse(in, &h, &f), rows[i].want);
        if (rows[i].want != R_OK)
            continue;
        assert_string_equal(text_of(&h.source, source), rows[i].want_source);
        assert_string_equal(text_of(&h.destination, destination), rows[i].want_destination);
        assert_int_equal(h.tls, rows[i].want_tls);
        assert_int_equal(h.local, rows[i].want_source[0] == '\0');
    }
}

// Fed as it asks for them, a header is read to its end and no octet further; before that it is never whole.
static void
pieces(void **state)
{
    (void)state;
    static char room[8192];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct proxy_header h;
        struct fault f;
        size_t n = 0, asked;
        enum result r = R_NONE;
        if (rows[i].want != R_OK)
            continue;
        memcpy(room, rows[i].octets, rows[i].n);
        memcpy(room + rows[i].n, "\x16\x03\x01\x02\x00", 5);
        for (; r == R_NONE; r = proxy_parse(span_of(room, n), &h, &f)) {
            asked = proxy_more(span_of(room, n));
            assert_true(asked > 0 && n + asked <= rows[i].n);
            n += asked;
        }
        assert_int_equal(r, R_OK);
        assert_int_equal(n, rows[i].n);
        for (size_t cut = 0; cut < rows[i].n; cut++)
            assert_int_equal(proxy_parse(span_of(room, cut), &h, &f), R_NONE);
    }
}

// RFC 3720 appendix B.4: 32 octets of zero have the CRC-32C 8a9136aa; here the whole header is what counts.
static void
checksums(void **state)
{
    (void)state;
    char header[] = SIGN "\x21\x11\x00\x16" V4 "\x03\x00\x04\x00\x00\x00\x00\x04\x00\x00";
    const size_t n = sizeof header - 1, at = 31;
    struct proxy_header h;
    struct fault f;
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            uint32_t in = (uint32_t)((unsigned char)header[i] >> bit & 1) ^ (crc & 1);
            crc = crc >> 1 ^ (in ? 0x82f63b78 : 0);
        }
    crc = ~crc;
    for (int i = 0; i < 4; i++)
        header[at + (size_t)i] = (char)(crc >> (24 - 8 * i));
    assert_int_equal(proxy_parse(span_of(header, n), &h, &f), R_OK);
    for (size_t i = 16; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            header[i] = (char)(header[i] ^ 1 << bit);
            bool framed = i < 28 || i >= 31;  // else the TLVs are others
            assert_true(!framed || proxy_parse(span_of(header, n), &h, &f) == R_FAIL);
            header[i] = (char)(header[i] ^ 1 << bit);
        }
}

static void
bounds(void **state)
{
    (void)state;
    static char room[LIMIT_proxy_header + 1];
    struct proxy_header h;
    struct fault f;
    memcpy(room, SIGN "\x21\x11\x0f\xf0" V4 "\x04\x0f\xe1", 31);
    assert_int_equal(proxy_parse(span_of(room, LIMIT_proxy_header - 1), &h, &f), R_NONE);
    assert_int_equal(proxy_parse(span_of(room, LIMIT_proxy_header), &h, &f), R_OK);
    memset(room, 'x', sizeof room);
    memcpy(room, "PROXY UNKNOWN ", 14);
    assert_int_equal(proxy_parse(span_of(room, 106), &h, &f), R_NONE);
    assert_int_equal(proxy_parse(span_of(room, 107), &h, &f), R_FAIL);
    memcpy(room + 105, "\r\n", 2);
    assert_int_equal(proxy_parse(span_of(room, 107), &h, &f), R_OK);
}

// A unix socket's paths do not count.
static void
local(void **state)
{
    (void)state;
    char header[16 + 216] = SIGN "\x21\x31\x00\xd8"
                                 "/run/a";
    struct proxy_header h;
    struct fault f;
    assert_int_equal(proxy_parse(span_of(header, sizeof header), &h, &f), R_OK);
    assert_true(h.local);
    assert_int_equal(h.source.ss_family, AF_UNSPEC);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers), cmocka_unit_test(pieces), cmocka_unit_test(checksums),
        cmocka_unit_test(bounds),  cmocka_unit_test(local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
