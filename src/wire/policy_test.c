#include "wire/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
ends(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t want_end;
    } rows[] = {
        {"", 0},         {"a=b", 0},         {"a=b\n", 0}, {"a=b\n\n", 5},
        {"a=b\n\nc", 5}, {"a=b\r\n\r\n", 0}, {"\n", 1},    {"a=b\nc=d\n\ne=f\n\n", 9},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(policy_request_end(span_str(rows[i].text)), rows[i].want_end);
}

static void
requests(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum result want;
        const char *want_recipient;
        uint64_t want_size;
    } rows[] = {
        {"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=a@b\nsize=12\n\n",
         R_OK, "a@b", 12},
        {"recipient=a=b@c\nsize=0\n\n", R_OK, "a=b@c", 0},
        {"recipient=\n\n", R_OK, "", 0},
        {"recipient=a\nrecipient=b\nother=c\n\n", R_OK, "b", 0},
        {"Recipient=a\n\n", R_OK, NULL, 0},
        {"\n", R_OK, NULL, 0},
        {"recipient\n\n", R_FAIL, NULL, 0},
        {"=a\n\n", R_FAIL, NULL, 0},
        {"recipient=a\r\n\n", R_FAIL, NULL, 0},
        {"size=-1\n\n", R_FAIL, NULL, 0},
        {"size=99999999999999999999\n\n", R_FAIL, NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct policy_request r = {.size = 0};
        struct fault f;
        assert_int_equal(policy_request_parse(span_str(rows[i].text), &r, &f),
                         rows[i].want);
        if (rows[i].want != R_OK)
            continue;
        assert_int_equal(r.size, rows[i].want_size);
        assert_int_equal(r.recipient.p != NULL, rows[i].want_recipient != NULL);
        if (rows[i].want_recipient)
            assert_true(span_eq(r.recipient, span_str(rows[i].want_recipient)));
    }
}

static void
bounds(void **state)
{
    (void)state;
    static char text[65536];
    struct policy_request r;
    struct fault f;
    size_t n = 0;
    for (int i = 0; i < 101; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "a%d=b\n", i);
        assert_int_equal(policy_request_parse(span_of(text, n), &r, &f),
                         i < 100 ? R_OK : R_FAIL);
    }
    memset(text, 'x', 5000);
    text[1] = '=';
    text[4096] = '\n';
    assert_int_equal(policy_request_parse(span_of(text, 4097), &r, &f), R_OK);
    text[4096] = 'x';
    text[4097] = '\n';
    assert_int_equal(policy_request_parse(span_of(text, 4098), &r, &f), R_FAIL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ends), cmocka_unit_test(requests),
                                       cmocka_unit_test(bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
