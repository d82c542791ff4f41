#include "imap/list.h"

#include "base/arena_scene.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static bool
match(struct span pattern, struct span name)
{
    return list_pattern_match(list_pattern_new(arena, pattern), name);
}

static void
test_rows(void **unused)
{
    (void)unused;
    static const struct {
        const char *pattern, *name;
        bool want;
    } rows[] = {
        {"*", "a/b", true},
        {"%", "a/b", false},
        {"%", "a", true},
        {"%/%", "a/b", true},
        {"%/%", "a/b/c", false},
        {"a*c", "a/b/c", true},
        {"a%c", "a/c", false},
        {"a%c", "abc", true},
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"a", "A", false},
        {"inbox", "INBOX", true},
        {"iNb%", "INBOX", true},
        {"inbox/%", "INBOX/Sub", true},
        {"inbox/sub", "INBOX/Sub", false},
        {"inbox", "INBOXES", false},
        {"*inbox", "INBOX", true},
        {"x%", "x", true},
        {"%*", "a/b", true},
        {"*%", "a/b", true},
        {"%%", "a/b", false},
        {"**b", "a/b", true},
        {"%*%x", "a/b/x", true},
        {"a%%b", "ab", true},
        {"*b*", "abc", true},
        {"*a*a*", "a", false},
        {"%a", "b/a", false},
        {"?", "a", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(match(span_str(rows[i].pattern), span_str(rows[i].name)),
                         rows[i].want);
}

// The obvious matcher, exponential, for short strings.
static bool
slow(const char *p, const char *s)
{
    if (*p == '\0')
        return *s == '\0';
    if (*p != '*' && *p != '%')
        return *p == *s && slow(p + 1, s + 1);
    return slow(p + 1, s) || (*s && (*p == '*' || *s != '/') && slow(p, s + 1));
}

static void
random_text(uint32_t *seed, const char *letters, char *out, size_t max)
{
    *seed = *seed * 1664525 + 1013904223;
    size_t n = (*seed >> 10) % max;
    for (size_t i = 0; i < n; i++) {
        *seed = *seed * 1664525 + 1013904223;
        out[i] = letters[(*seed >> 16) % strlen(letters)];
    }
    out[n] = '\0';
}

static void
test_against_slow_matcher(void **unused)
{
    (void)unused;
    uint32_t seed = 3;
    unsigned matched = 0;
    for (int i = 0; i < 20000; i++) {
        char pattern[10], name[10];
        random_text(&seed, "ab/*%", pattern, sizeof pattern);
        random_text(&seed, "ab/", name, sizeof name);
        bool want = slow(pattern, name);
        matched += want;
        assert_int_equal(match(span_str(pattern), span_str(name)), want);
        if (i % 100 == 0)
            arena_reset(arena);
    }
    assert_true(matched > 500);
}

static void
test_long_patterns(void **unused)
{
    (void)unused;
    char pattern[LIMIT_mailbox_name + 1], name[LIMIT_mailbox_name];
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = i % 2 ? '*' : 'a';
    memset(name, 'a', sizeof name);
    assert_true(match(span_of(pattern, LIMIT_mailbox_name), span_of(name, sizeof name)));
    name[sizeof name - 1] = 'b';
    assert_true(match(span_of(pattern, LIMIT_mailbox_name), span_of(name, sizeof name)));
    pattern[LIMIT_mailbox_name - 1] = 'c';
    assert_false(match(span_of(pattern, LIMIT_mailbox_name), span_of(name, sizeof name)));
    assert_null(list_pattern_new(arena, span_of(pattern, sizeof pattern)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_against_slow_matcher),
        cmocka_unit_test(test_long_patterns),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
