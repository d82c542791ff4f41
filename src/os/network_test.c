#include "os/network.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static void
test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum result want;
        unsigned want_bits;
    } rows[] = {
        {"127.0.0.0/8", R_OK, 104},
        {"0.0.0.0/0", R_OK, 96},
        {"192.0.2.1", R_OK, 128},
        {"::1/128", R_OK, 128},
        {"::/0", R_OK, 0},
        {"2001:db8::/32", R_OK, 32},
        {"127.0.0.1/8", R_FAIL, 0},
        {"10.0.0.0/33", R_FAIL, 0},
        {"::/129", R_FAIL, 0},
        {"10.0.0.0/", R_FAIL, 0},
        {"10.0.0.0/-1", R_FAIL, 0},
        {"10.0.0/8", R_FAIL, 0},
        {"", R_FAIL, 0},
        {"/8", R_FAIL, 0},
        {"localhost", R_FAIL, 0},
        {"2001:db8::1/32", R_FAIL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct network n;
        struct fault f;
        assert_int_equal(network_parse(span_str(rows[i].text), &n, &f), rows[i].want);
        if (rows[i].want == R_OK)
            assert_int_equal(n.bits, rows[i].want_bits);
        else
            assert_int_equal(f.kind, FAULT_BAD);
    }
}

static void
test_has(void **state)
{
    (void)state;
    static const struct {
        const char *network, *address;
        bool want;
    } rows[] = {
        {"127.0.0.0/8", "::ffff:127.255.0.1", true},
        {"127.0.0.0/8", "::ffff:128.0.0.1", false},
        {"127.0.0.0/8", "::1", false},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "::ffff:10.0.0.1", true},
        {"10.20.30.40/30", "::ffff:10.20.30.43", true},
        {"10.20.30.40/30", "::ffff:10.20.30.44", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::1", "::1", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct network n;
        struct fault f;
        unsigned char address[16];
        assert_int_equal(network_parse(span_str(rows[i].network), &n, &f), R_OK);
        assert_int_equal(inet_pton(AF_INET6, rows[i].address, address), 1);
        assert_int_equal(network_has(&n, address), rows[i].want);
    }
}

static struct sockaddr_storage
from(int family, const char *text)
{
    struct sockaddr_storage a = {.ss_family = (sa_family_t)family};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
    if (family == AF_INET)
        assert_int_equal(inet_pton(AF_INET, text, &v4->sin_addr), 1);
    else if (family == AF_INET6)
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
    return a;
}

static void
test_list(void **state)
{
    (void)state;
    static const char *const items[] = {"10.0.0.0/8", "local", "2001:db8::/32"};
    static const struct {
        int family;
        const char *text;
        bool want, want_without_local;
    } rows[] = {
        {AF_INET, "10.1.2.3", true, true},
        {AF_INET, "11.1.2.3", false, false},
        {AF_INET6, "::ffff:10.1.2.3", true, true},
        {AF_INET6, "2001:db8::1", true, false},
        {AF_INET6, "::1", false, false},
        {AF_UNIX, "", true, false},
        {AF_UNSPEC, "", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sockaddr_storage a = from(rows[i].family, rows[i].text);
        struct network_list all = {items, 3}, first = {items, 1}, none = {NULL, 0};
        assert_int_equal(network_list_has(&all, &a), rows[i].want);
        assert_int_equal(network_list_has(&first, &a), rows[i].want_without_local);
        assert_false(network_list_has(&none, &a));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_has),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
