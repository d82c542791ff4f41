#include "gate/crowd.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { MAX = 6, PER_ADDRESS = 3, MEMBERS = 16 };

static const struct sockaddr_storage *
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
    return &a;
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

// ---- several gates ----

enum { GATES = 2, SHARED_MAX = 64, CAP = 16 };

struct gates {
    struct crowd_counts *counts;
    struct crowd crowds[GATES];
    struct crowd_member members[GATES][SHARED_MAX];
    size_t n[GATES];
};

static void
gates_open(struct gates *g)
{
    *g = (struct gates){.counts = calloc(1, sizeof(struct crowd_counts))};
    must(g->counts != NULL);
    crowd_counts_init(g->counts);
    for (unsigned i = 0; i < GATES; i++) {
        crowd_init(&g->crowds[i], SHARED_MAX, CAP);
        crowd_share(&g->crowds[i], g->counts, i, GATES);
    }
}

// One more connection at this gate, as the listener has it. Returns whether another had to go.
static bool
knock(struct gates *g, unsigned gate, const char *from)
{
    struct crowd_member *old = crowd_surplus(&g->crowds[gate], address(from));
    if (old != NULL)
        crowd_leave(&g->crowds[gate], old);
    must(g->n[gate] < SHARED_MAX);
    crowd_join(&g->crowds[gate], &g->members[gate][g->n[gate]++], address(from));
    return old != NULL;
}

static void
gates_close(struct gates *g)
{
    for (unsigned i = 0; i < GATES; i++) {
        for (size_t k = 0; k < g->n[i]; k++)
            crowd_leave(&g->crowds[i], &g->members[i][k]);
        assert_int_equal(g->crowds[i].count, 0);
        assert_false(knock(g, i, "192.0.2.1"));  // all are gone for the others, too
        crowd_leave(&g->crowds[i], &g->members[i][g->n[i] - 1]);
    }
    free(g->counts);
}

static void
test_cap_over_all_gates(void **state)
{
    (void)state;
    struct gates g;
    gates_open(&g);
    for (unsigned i = 0; i < CAP; i++)
        assert_false(knock(&g, i % GATES, "192.0.2.1"));
    for (unsigned i = 0; i < CAP; i++) {
        assert_true(knock(&g, i % GATES, "192.0.2.1"));
        assert_false(knock(&g, i % GATES, i % 2 ? "2001:db8::1" : "192.0.2.2"));
    }
    assert_int_equal(g.crowds[0].count + g.crowds[1].count, 2 * CAP);
    gates_close(&g);
}

// One gate has all that the address may have: the other keeps room for a quarter of its share.
static void
test_room_in_a_fresh_gate(void **state)
{
    (void)state;
    struct gates g;
    gates_open(&g);
    for (unsigned i = 0; i < CAP; i++)
        assert_false(knock(&g, 0, "192.0.2.1"));
    for (unsigned i = 0; i < CAP / (4 * GATES); i++)
        assert_false(knock(&g, 1, "192.0.2.1"));
    assert_true(knock(&g, 1, "192.0.2.1"));
    assert_true(knock(&g, 0, "192.0.2.1"));
    gates_close(&g);
}

// A gate that died took its connections along.
static void
test_gate_begins_again(void **state)
{
    (void)state;
    struct gates g;
    gates_open(&g);
    for (unsigned i = 0; i < CAP; i++)
        assert_false(knock(&g, 0, "192.0.2.1"));
    crowd_counts_clear(g.counts, 0);
    for (unsigned i = 0; i < CAP; i++)
        assert_false(knock(&g, 1, "192.0.2.1"));
    assert_true(knock(&g, 1, "192.0.2.1"));
    g.n[0] = 0;
    for (size_t k = 0; k < CAP; k++) {  // without counting down what is cleared
        g.crowds[0].counts = NULL;
        crowd_leave(&g.crowds[0], &g.members[0][k]);
    }
    gates_close(&g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_surplus),
        cmocka_unit_test(test_cap_over_all_gates),
        cmocka_unit_test(test_room_in_a_fresh_gate),
        cmocka_unit_test(test_gate_begins_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
