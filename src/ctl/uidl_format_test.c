#include "ctl/uidl_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

// As Dovecot 2.3 has it; tests/test_import_uidl.py asks one.
static void
test_put(void **state)
{
    static const struct {
        const char *format, *want;
    } rows[] = {
        {UIDL_FORMAT_USUAL, "0000001ff000000a"},
        {"%v.%u", "4026531850.31"},
        {"UID%u-%v", "UID31-4026531850"},
        {"%4u|%04u|%1u|%01u", "31|0031|3|31"},
        {"%f", "1.M2.host,S=5"},
        {"%Ug/%LUg", "A1B2/A1B2"},
        {"%Mu", "c16a5320fa475530d9583c34fd356ef5"},
        {"%2.3f", "M2."},
        {"%-3.f", "S=5"},
        {"%-3f", "1.M"},
        {"%3.09Rf", ",tsoh.2M.1"},
        {"%%%u", "%31"},
        {"%Xf", "0"},
    };
    const struct uidl_facts facts = {31, 0xF000000A, SPAN("1.M2.host,S=5"), SPAN("a1b2")};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fault f;
        struct buf b;
        buf_init(&b, 200);
        assert_int_equal(uidl_format_check(span_str(rows[i].format), "uvfg", &f), R_OK);
        uidl_format_put(span_str(rows[i].format), &facts, &b);
        buf_put_char(&b, '\0');
        assert_string_equal(b.p, rows[i].want);
        buf_done(&b);
    }
}

static void
test_refused(void **state)
{
    static const char *const formats[] = {"",   "x",   "%v",  "%",      "%m%u",
                                          "%8", "%Eu", "%-.", "%{uid}", "%u%f"};
    struct fault f;
    (void)state;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        assert_int_equal(uidl_format_check(span_str(formats[i]), "uvg", &f), R_FAIL);
    assert_true(uidl_format_has(SPAN("%u%08Xg"), 'g'));
    assert_false(uidl_format_has(SPAN("g%u%%g"), 'g'));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_put),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
