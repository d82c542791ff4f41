// The table of scripts, messages and what is to come of them: tests/sieve/*.txt (README.md there has its form).

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/limits.h"
#include "sieve/cases.h"

static unsigned cases, wrong;

static void
tell(const struct sieve_case *c, struct span got)
{
    wrong++;
    print_message("%s:%u: %.*s\n--- want\n%.*s--- got\n%.*s\n", c->file, c->line,
                  SPAN_ARG(c->name), SPAN_ARG(buf_span(&c->want)), SPAN_ARG(got));
}

// A line's end within a string is "\\n" in the table.
static void
put_one_line(struct buf *b, struct span text)
{
    struct span line;
    bool more = false;
    while (span_next_field(&text, '\n', &line) == R_OK) {
        buf_put_str(b, more ? "\\n" : "");
        buf_put(b, span_ends(line, SPAN("\r")) ? span_slice(line, 0, line.n - 1) : line);
        more = true;
    }
    buf_put_char(b, '\n');
}

static void
put_error(struct buf *b, const char *kind, const struct sieve_error *e)
{
    buf_printf(b, "%s %u:%u ", kind, e->line, e->column);
    put_one_line(b, span_str(e->text));
}

static void
put_outcome(struct buf *b, const struct sieve_outcome *out)
{
    for (const struct sieve_action *a = out->actions; a; a = a->next) {
        struct buf line;
        buf_init(&line, 1 << 20);
        sieve_action_print(&line, a);
        put_one_line(b, buf_span(&line));
        buf_done(&line);
    }
    if (out->failed)
        put_error(b, "failed", &out->error);
}

// The printed script does the same.
static void
check_print(const struct sieve_case *c)
{
    struct buf once, twice;
    struct sieve_error e;
    buf_init(&once, 1 << 22);
    buf_init(&twice, 1 << 22);
    if (sieve_print(buf_span(&c->script), &once, &e) == R_OK) {
        assert_int_equal(sieve_print(buf_span(&once), &twice, &e), R_OK);
        assert_true(span_eq(buf_span(&once), buf_span(&twice)));
    }
    buf_done(&once);
    buf_done(&twice);
}

static void
run_case(const struct sieve_case *c)
{
    struct arena *a = arena_new();
    struct sieve_program *p;
    struct sieve_error e;
    struct buf got;
    buf_init(&got, 1 << 22);
    cases++;
    check_print(c);
    if (sieve_compile(a, SIEVE_USER, buf_span(&c->script), &p, &e) == R_OK) {
        struct sieve_world world;
        struct sieve_outcome out;
        sieve_case_world(a, c, &world);
        sieve_run(a, p, &world, &out);
        assert_true(out.work <= LIMIT_sieve_work);
        put_outcome(&got, &out);
    } else {
        put_error(&got, "error", &e);
    }
    if (!span_eq(buf_span(&got), buf_span(&c->want)))
        tell(c, buf_span(&got));
    buf_done(&got);
    arena_free(&a);
}

static void
table(void **state)
{
    (void)state;
    DIR *dir = opendir(CASES_DIR);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (span_ends(span_str(entry->d_name), SPAN(".txt")))
            sieve_cases_read(CASES_DIR, entry->d_name, run_case);
    closedir(dir);
    print_message("%u cases, %u wrong\n", cases, wrong);
    assert_true(cases > 0);
    assert_int_equal(wrong, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
