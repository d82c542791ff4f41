#include "gate/crowd.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { MAX = 6, PER_ADDRESS = 3, MEMBERS = 16 };

static const struct sockaddr *
address(const char *text)
{
    static struct sockaddr_storage a;
    struct sockaddr_in *v4 = (void *)&a;
    struct sockaddr_in6 *v6 = (void *)&a;
    memset(&a, 0, sizeof a);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
        a.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
        a.ss_family = AF_INET6;
    return (const struct sockaddr *)&a;
}

struct row {
    const char *name;
    const char *present[MEMBERS];  // addresses, oldest first
    const char *next;
    int want_surplus;  // index of who must go, -1: nobody
};

static const struct row rows[] = {
    {"empty", {0}, "192.0.2.1", -1},
    {"room for one more of this address", {"192.0.2.1", "192.0.2.1"}, "192.0.2.1", -1},
    {"the oldest of a full address",
     {"192.0.2.9", "192.0.2.1", "192.0.2.1", "192.0.2.1"},
     "192.0.2.1",
     1},
    {"others are not hit by it", {"192.0.2.1", "192.0.2.1", "192.0.2.1"}, "192.0.2.2", -1},
    {"the oldest of all when it is full",
     {"::1", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"},
     "192.0.2.6",
     0},
    {"a /64 counts as one",
     {"2001:db8::1", "2001:db8::2", "2001:db8::3"},
     "2001:db8::ffff:1",
     0},
    {"another /64 is another",
     {"2001:db8::1", "2001:db8::2", "2001:db8::3"},
     "2001:db8:0:1::1",
     -1},
    {"IPv4 in IPv6 is IPv4",
     {"::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"},
     "::ffff:192.0.2.1",
     0},
};

static void
test_surplus(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct crowd c;
        struct crowd_member m[MEMBERS] = {0};
        crowd_init(&c, MAX, PER_ADDRESS);
        for (size_t k = 0; k < MEMBERS && rows[i].present[k] != NULL; k++)
            crowd_join(&c, &m[k], address(rows[i].present[k]));
        struct crowd_member *got = crowd_surplus(&c, address(rows[i].next));
        struct crowd_member *want =
            rows[i].want_surplus < 0 ? NULL : &m[rows[i].want_surplus];
        if (got != want)
            fail_msg("%s", rows[i].name);
        for (size_t k = 0; k < MEMBERS; k++)
            crowd_leave(&c, &m[k]);  // also those that never joined
        assert_int_equal(c.count, 0);
        assert_null(c.places);
        assert_null(c.oldest);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_surplus)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
