#include "ctl/when.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

enum { NOW = 1795658400 };  // 2026-11-26 02:00:00 UTC, 03:00 in Berlin

struct row {
    const char *text;
    int64_t want;  // -1: refused
};

static const struct row rows[] = {
    {"2h", NOW - 7200},
    {"3d", NOW - 3 * 86400},
    {"90 minutes ago", NOW - 5400},
    {"1 W", NOW - 604800},
    {"0s", NOW},
    {"now", NOW},
    {"today", NOW - 3 * 3600},
    {"Yesterday", NOW - 27 * 3600},
    {"2026-11-26", NOW - 3 * 3600},
    {"2026-11-25 14:30", NOW - 12 * 3600 - 1800},
    {"2026-11-25T14:30:00Z", NOW - 11 * 3600 - 1800},
    {"2026-11-25T14:30:00+02:00", NOW - 13 * 3600 - 1800},
    {"2026-07-01 00:00", 1782856800},  // summer time
    {"2028-02-29", -1},                // to come
    {"2026-11-26T02:00:01Z", -1},
    {"2026-02-29", -1},
    {"2026-13-01", -1},
    {"2026-11-31", -1},
    {"2026-11-25T24:00", -1},
    {"2026-11-25T14:3", -1},
    {"2026-11-25 14:30 tomorrow", -1},
    {"", -1},
    {"h", -1},
    {"-2h", -1},
    {"2x", -1},
    {"2 ago", -1},
    {"9999999999999999999d", -1},
    {"tomorrow", -1},
    {"11/25/2026", -1},
    {"2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h2h", -1},
};

static const struct row ahead[] = {
    {"2h", NOW + 7200},
    {"30d", NOW + 30 * 86400},
    {"1 week", NOW + 604800},
    {"2026-11-27", NOW + 21 * 3600},
    {"2026-11-26T02:00:01Z", NOW + 1},
    {"2026-11-26T02:00:00Z", -1},  // past
    {"0s", -1},
    {"2h ago", -1},
    {"yesterday", -1},
    {"2027-02-29", -1},
    {"", -1},
    {"never", -1},
};

static void
test_ahead(void **state)
{
    (void)state;
    setenv("TZ", "Europe/Berlin", 1);
    tzset();
    for (size_t i = 0; i < sizeof ahead / sizeof ahead[0]; i++) {
        int64_t at = -1;
        struct fault f;
        enum result r = when_read_ahead(span_str(ahead[i].text), NOW, &at, &f);
        if (at != ahead[i].want || (r == R_OK) != (ahead[i].want >= 0))
            fail_msg("%s: %lld", ahead[i].text, (long long)at);
    }
}

static void
test_rows(void **state)
{
    (void)state;
    setenv("TZ", "Europe/Berlin", 1);
    tzset();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t at = -1;
        struct fault f;
        enum result r = when_read(span_str(rows[i].text), NOW, &at, &f);
        if ((r == R_OK) != (rows[i].want >= 0) || (r == R_OK && at != rows[i].want))
            fail_msg("'%s': %lld, not %lld", rows[i].text, (long long)at,
                     (long long)rows[i].want);
        if (r != R_OK)
            assert_int_equal(f.kind, FAULT_BAD);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_ahead)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
