#include "auth/user_quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define UNSAID USER_QUOTA_DEFAULT
#define ANY USER_QUOTA_NONE

static void
test_take(void **unused)
{
    static const struct {
        const char *field, *value;
        enum result want;
        uint64_t want_storage, want_messages;
    } rows[] = {
        {"quota_storage", "1048576", R_OK, 1048576, UNSAID},
        {"QUOTA_Storage", "2G", R_OK, 2ull << 30, UNSAID},
        {"quota_storage", " 3 ", R_OK, 3, UNSAID},
        {"quota_storage", "5MB", R_OK, 5 << 20, UNSAID},
        {"quota_storage", "5MiB", R_OK, 5 << 20, UNSAID},
        {"quota_storage_size", "1T", R_OK, 1ull << 40, UNSAID},
        {"quota_storage", "0", R_OK, ANY, UNSAID},
        {"quota_storage", "", R_OK, UNSAID, UNSAID},
        {"quota_storage", "-1", R_FAIL, UNSAID, UNSAID},
        {"quota_storage", "1X", R_FAIL, UNSAID, UNSAID},
        {"quota_storage", "1Kx", R_FAIL, UNSAID, UNSAID},
        {"quota_storage", "99999999999999999999", R_FAIL, UNSAID, UNSAID},
        {"quota_storage", "9223372036854775807T", R_FAIL, UNSAID, UNSAID},
        {"quota_storage", "much", R_FAIL, UNSAID, UNSAID},
        {"quota_messages", "1000", R_OK, UNSAID, 1000},
        {"quota_message_count", "7", R_OK, UNSAID, 7},
        {"quota_messages", "1K", R_FAIL, UNSAID, UNSAID},
        // Dovecot's: KiB where no unit is
        {"quota_rule", "*:storage=1000", R_OK, 1000 << 10, UNSAID},
        {"quota_rule", "*:storage=1G:messages=500", R_OK, 1ull << 30, 500},
        {"quota_rule", "?:bytes=1000", R_OK, 1000, UNSAID},
        {"quota_rule", "*:messages=0", R_OK, UNSAID, ANY},
        {"quota_rule", "*:ignore", R_OK, ANY, ANY},
        {"quota_rule2", "Trash:storage=+100M", R_OK, UNSAID, UNSAID},
        {"quota_rule", "*:storage=+100M", R_FAIL, UNSAID, UNSAID},
        {"quota_rule", "*:storage=10%", R_FAIL, UNSAID, UNSAID},
        {"quota_rule", "*", R_FAIL, UNSAID, UNSAID},
        {"quota_rule", "*:messages=5:storage=much", R_FAIL, UNSAID, UNSAID},
        {"quota_rules", "*:storage=1G", R_NONE, UNSAID, UNSAID},
        {"quota", "maildir:User quota", R_NONE, UNSAID, UNSAID},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct user_quota q = USER_QUOTA_UNSAID;
        struct fault f = {0};
        enum result r =
            user_quota_take(&q, span_str(rows[i].field), span_str(rows[i].value), &f);
        if (r != rows[i].want || q.storage != rows[i].want_storage ||
            q.messages != rows[i].want_messages)
            fail_msg("%s=%s: %d %llu %llu", rows[i].field, rows[i].value, r,
                     (unsigned long long)q.storage, (unsigned long long)q.messages);
        assert_true(r != R_FAIL || (f.kind == FAULT_BAD && f.why[0] != '\0'));
    }
}

// A later rule adds to an earlier one, as several fields of a row do.
static void
test_rules_add(void **unused)
{
    (void)unused;
    struct user_quota q = USER_QUOTA_UNSAID;
    struct fault f;
    assert_int_equal(user_quota_take(&q, SPAN("quota_rule"), SPAN("*:storage=1M"), &f),
                     R_OK);
    assert_int_equal(user_quota_take(&q, SPAN("quota_rule2"), SPAN("*:messages=9"), &f),
                     R_OK);
    assert_true(q.storage == 1 << 20 && q.messages == 9);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_take),
                                       cmocka_unit_test(test_rules_add)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
