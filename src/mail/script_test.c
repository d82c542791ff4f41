#include "mail/script.h"
#include "base/limits.h"
#include "mail/fixture.h"
#include "mail/user.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
test_names(void **state)
{
    static const struct {
        const char *given, *want;  // NULL: refused
    } rows[] = {
        {"a", "a"},
        {"a/b", "a/b"},
        {"..", ".."},
        {"clever\"script", "clever\"script"},
        {"", NULL},
        {"a\tb", NULL},
        {"a\x7f", NULL},
        {"a\xc2\x85", NULL},
        {"a\xc2\xa0", "a\xc2\xa0"},
        {"\xe2\x80\xa8", NULL},
        {"x\xe2\x80\xa9", NULL},
        {"\xff", NULL},
        {"\xed\xa0\x80", NULL},
        {"\xc0\xaf", NULL},
        {"\xef\xbb\xbf"
         "a",
         NULL},
        {"e\xcc\x81", "\xc3\xa9"},
    };
    struct arena *a = arena_new();
    struct span name;
    struct fault f;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum result r = script_name(a, span_str(rows[i].given), &name, &f);
        assert_int_equal(r, rows[i].want ? R_OK : R_FAIL);
        if (r == R_OK)
            assert_true(span_eq(name, span_str(rows[i].want)));
        else
            assert_int_equal(f.kind, FAULT_CANNOT);
    }
    arena_free(&a);
}

// 128 characters of four octets are a name, one more is none.
static void
test_long_names(void **state)
{
    struct arena *a = arena_new();
    struct span name;
    struct fault f;
    struct buf b;
    (void)state;
    buf_init(&b, 1024);
    for (int i = 0; i < 128; i++)
        buf_put_str(&b, "\xf0\x9f\x93\xa7");
    assert_int_equal(script_name(a, buf_span(&b), &name, &f), R_OK);
    assert_true(span_eq(name, buf_span(&b)));
    buf_put_char(&b, 'x');
    assert_int_equal(script_name(a, buf_span(&b), &name, &f), R_FAIL);
    buf_done(&b);
    arena_free(&a);
}

// The scripts as "name=size*", the active one with a star.
static void
must_be(struct account *a, const char *want)
{
    struct arena *arena = arena_new();
    struct script_info *s;
    struct buf text;
    size_t n;
    buf_init(&text, 4096);
    script_list(a, arena, &s, &n);
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%s%.*s=%zu%s", i > 0 ? " " : "", SPAN_ARG(s[i].name), s[i].size,
                   s[i].active ? "*" : "");
    assert_true(span_eq(buf_span(&text), span_str(want)));
    buf_done(&text);
    arena_free(&arena);
}

static void
must_read(struct account *a, const char *name, const char *want)
{
    struct buf text;
    buf_init(&text, LIMIT_sieve_script);
    enum result r = script_read(a, span_str(name), &text);
    assert_int_equal(r, want ? R_OK : R_NONE);
    if (want)
        assert_true(span_eq(buf_span(&text), span_str(want)));
    buf_done(&text);
}

static void
must_be_active(struct account *a, const char *name, const char *want)
{
    struct buf text, is;
    buf_init(&text, LIMIT_sieve_script);
    buf_init(&is, LIMIT_sieve_name);
    enum result r = script_active(a, &text, &is);
    assert_int_equal(r, name ? R_OK : R_NONE);
    if (name) {
        assert_true(span_eq(buf_span(&is), span_str(name)));
        assert_true(span_eq(buf_span(&text), span_str(want)));
    }
    buf_done(&text);
    buf_done(&is);
}

#define REFUSED(call, why)                                                                 \
    do {                                                                                   \
        assert_int_equal((call), R_FAIL);                                                  \
        assert_int_equal(f.kind, (why));                                                   \
    } while (0)
#define DONE(call) assert_int_equal((call), R_OK)

static void
story(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice"), *other = fixture_user(x, 8, "bob");
    struct account *a = mail_user_account(u);
    struct fault f = {0};
    must_be(a, "");
    must_be_active(a, NULL, NULL);
    REFUSED(script_activate(a, SPAN("a"), &f), FAULT_NONEXISTENT);
    DONE(script_activate(a, SPAN_NONE, &f));
    DONE(script_put(a, SPAN("b"), SPAN("keep;"), &f));
    DONE(script_put(a, SPAN("a"), SPAN("stop;\r\n"), &f));
    must_be(a, "a=7 b=5");
    must_be(mail_user_account(other), "");
    DONE(script_activate(a, SPAN("b"), &f));
    must_be(a, "a=7 b=5*");
    must_be_active(a, "b", "keep;");
    DONE(script_put(a, SPAN("b"), SPAN("discard;"), &f));
    must_be_active(a, "b", "discard;");
    REFUSED(script_delete(a, SPAN("b"), &f), FAULT_INUSE);
    REFUSED(script_rename(a, SPAN("b"), SPAN("a"), &f), FAULT_ALREADYEXISTS);
    REFUSED(script_rename(a, SPAN("none"), SPAN("c"), &f), FAULT_NONEXISTENT);
    DONE(script_rename(a, SPAN("b"), SPAN("c"), &f));
    must_be(a, "a=7 c=8*");
    DONE(script_activate(a, SPAN("a"), &f));
    DONE(script_delete(a, SPAN("c"), &f));
    REFUSED(script_delete(a, SPAN("c"), &f), FAULT_NONEXISTENT);
    must_read(a, "c", NULL);
    must_read(a, "a", "stop;\r\n");
    DONE(script_activate(a, SPAN_NONE, &f));
    must_be_active(a, NULL, NULL);
    must_be(a, "a=7");
    mail_user_close(&u);
    mail_user_close(&other);
}

static void
many(struct account *a)
{
    struct fault f = {0};
    char name[16];
    for (int i = 0; i < LIMIT_sieve_scripts; i++) {
        snprintf(name, sizeof name, "s%d", i);
        DONE(script_put(a, span_str(name), SPAN("keep;"), &f));
    }
    REFUSED(script_put(a, SPAN("one more"), SPAN("keep;"), &f), FAULT_TOOMANY);
    REFUSED(script_room(a, SPAN("one more"), 5, &f), FAULT_TOOMANY);
    DONE(script_room(a, SPAN("s7"), 500, &f));
    DONE(script_put(a, SPAN("s7"), SPAN("stop;"), &f));
}

static void
large(struct account *a)
{
    struct fault f = {0};
    char *text = calloc(1, LIMIT_sieve_script + 1);
    must(text != NULL);
    memset(text, '#', LIMIT_sieve_script + 1);
    REFUSED(script_put(a, SPAN("l"), span_of(text, LIMIT_sieve_script + 1), &f),
            FAULT_TOOBIG);
    REFUSED(script_put(a, SPAN("l"), SPAN(""), &f), FAULT_CANNOT);
    REFUSED(script_room(a, SPAN("l"), UINT64_MAX, &f), FAULT_TOOBIG);
    for (int i = 0; i < LIMIT_sieve_stored / LIMIT_sieve_script; i++)
        DONE(script_put(a, span_of("0123456789" + i, 1), span_of(text, LIMIT_sieve_script),
                        &f));
    REFUSED(script_put(a, SPAN("l"), SPAN("keep;"), &f), FAULT_OVERQUOTA);
    DONE(script_put(a, SPAN("0"), SPAN("keep;"), &f));
    DONE(script_room(a, SPAN("l"), LIMIT_sieve_script - 5, &f));
    REFUSED(script_room(a, SPAN("l"), LIMIT_sieve_script - 4, &f), FAULT_OVERQUOTA);
    free(text);
}

static void
caps(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice"), *v = fixture_user(x, 8, "bob");
    many(mail_user_account(u));
    large(mail_user_account(v));
    mail_user_close(&u);
    mail_user_close(&v);
}

static void
test_in_memory(void **state)
{
    (void)state;
    fixture_run(NULL, story);
    fixture_run(NULL, caps);
}

static void
test_on_disk(void **state)
{
    (void)state;
    fixture_run_on_disk(story);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_in_memory), cmocka_unit_test(test_on_disk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
