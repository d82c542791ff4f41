#include "directory/template.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void
test_has_domain(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool want;
    } rows[] = {{"(uid=%u)", true},  {"(&(uid=%n)(o=%d))", true},
                {"(uid=%n)", false}, {"'%n%%d'", false},
                {"100%", false},     {"", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(template_has_domain(span_str(rows[i].text)), rows[i].want);
}

static void
test_sql(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want, *order;
    } rows[] = {
        {"SELECT password FROM u WHERE name = %u", "SELECT password FROM u WHERE name = $1",
         "u"},
        {"name = '%u'", "name = ($1)", "u"},
        {"'%n@%d' = %u AND %n", "($1 || '@' || $2) = $3 AND $1", "ndu"},
        {"a LIKE '50%%' AND b = '%n.x''y'", "a LIKE '50%' AND b = ($1 || '.x''y')", "n"},
        {"a %% 2 = 0", "a % 2 = 0", ""},
        {"\"a%%b\" -- it's\n= '' /* ' */", "\"a%b\" -- it's\n= '' /* ' */", ""},
        {"\"%u\"", NULL, NULL},
        {"1 -- %u\n", NULL, NULL},
        {"1 /* %d */", NULL, NULL},
        {"E'%u'", NULL, NULL},
        {"'%{env:HOME}'", NULL, NULL},
        {"%x", NULL, NULL},
        {"%", NULL, NULL},
        {"'abc", NULL, NULL},
        {"$1", NULL, NULL},
        {"$$%u$$", NULL, NULL},
        {"a ? b", NULL, NULL},
    };
    static const char letters[] = "und";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        struct fault f;
        struct template_params params = {.n = 99};
        buf_init(&out, LIMIT_line);
        enum result r = template_sql(span_str(rows[i].text), '$', &out, &params, &f);
        assert_int_equal(r, rows[i].want ? R_OK : R_FAIL);
        if (r == R_OK) {
            assert_true(span_eq(buf_span(&out), span_str(rows[i].want)));
            assert_int_equal(params.n, strlen(rows[i].order));
            for (size_t k = 0; k < params.n; k++)
                assert_int_equal(letters[params.order[k]], rows[i].order[k]);
        }
        buf_done(&out);
    }
}

static void
test_ldap(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name, *want;
    } rows[] = {
        {"(uid=%u)", "ann", "(uid=ann)"},
        {"(&(uid=%n)(d=%d))", "ann@example.org", "(&(uid=ann)(d=example.org))"},
        {"(uid=%u)", "*)(uid=*", "(uid=\\2a\\29\\28uid=\\2a)"},
        {"(uid=%u)", "a\\b%n", "(uid=a\\5cb%n)"},
        {"(&(uid=%n)(d=%d))", "ann", "(&(uid=ann)(d=))"},
        {"(p=100%%)", "ann", "(p=100%)"},
        {"(uid=%{u})", "ann", NULL},
        {"(uid=%", "ann", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        struct fault f;
        buf_init(&out, LIMIT_line);
        enum result r =
            template_ldap_filter(span_str(rows[i].text), span_str(rows[i].name), &out, &f);
        assert_int_equal(r, rows[i].want ? R_OK : R_FAIL);
        if (r == R_OK)
            assert_true(span_eq(buf_span(&out), span_str(rows[i].want)));
        buf_done(&out);
    }
}

// A NUL cannot come from name_of; it is escaped all the same.
static void
test_nul(void **state)
{
    (void)state;
    struct buf out;
    struct fault f;
    buf_init(&out, LIMIT_line);
    assert_int_equal(template_ldap_filter(SPAN("(a=%u)"), SPAN("a\0b"), &out, &f), R_OK);
    assert_true(span_eq(buf_span(&out), SPAN("(a=a\\00b)")));
    buf_done(&out);
}

static void
test_names(void **state)
{
    static const struct {
        const char *filter, *want;
    } rows[] = {
        {"(uid=%u)", "uid+"},
        {"(&(objectClass=person)(uid=%n))", "uid"},
        {"(|(uid=%n)(mail=%u)(proxy=%n@%d))", "uid mail+ proxy+"},
        {"(uid:caseIgnoreMatch:=%u)", "uid+"},
        {"(uid=%n*)", ""},
        {"(mail=smtp:%u)", ""},
        {"(cn~=%u)", ""},
        {"(cn>=%u)", ""},
        {"(=%u)", ""},
        {"(a=%u)(b=%u)(c=%u)(d=%u)(e=%u)", "a+ b+ c+ d+"},
        {"(uid=%u", ""},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct template_names names;
        struct buf got;
        buf_init(&got, LIMIT_line);
        template_ldap_names(span_str(rows[i].filter), &names);
        for (size_t k = 0; k < names.n; k++)
            buf_printf(&got, "%s%s%s", k ? " " : "", names.list[k].attribute,
                       names.list[k].whole ? "+" : "");
        assert_true(span_eq(buf_span(&got), span_str(rows[i].want)));
        buf_done(&got);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_has_domain), cmocka_unit_test(test_sql),
        cmocka_unit_test(test_ldap),       cmocka_unit_test(test_nul),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
