#include "directory/passwd_table.h"
#include "base/limits.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <cmocka.h>

static char dir[64], path[96];
static uint64_t bad_lines[64];
static size_t bad_count;

static void
on_bad(uint64_t line, const char *why, void *arg)
{
    (void)why, (void)arg;
    bad_lines[bad_count++ % 64] = line;
}

static void
write_to(const char *file, const char *text)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

// Written some time before it is put there.
static void
replace(const char *text)
{
    char other[112];
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
    snprintf(other, sizeof other, "%s.new", path);
    write_to(other, text);
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &times[1]), 0);
    times[1].tv_sec--;
    assert_int_equal(utimensat(AT_FDCWD, other, times, 0), 0);
    assert_int_equal(rename(other, path), 0);
}

static enum result
look(struct passwd_table *t, const char *name, struct directory_user *u)
{
    struct fault f;
    directory_user_reset(u);
    return passwd_table_find(t, span_str(name), u, &f);
}

static void
test_table(void **state)
{
    (void)state;
    struct fault f;
    struct directory_user u;
    struct passwd_table *t = passwd_table_new(path, on_bad, NULL);
    directory_user_init(&u);
    assert_int_equal(passwd_table_refresh(t, &f), R_FAIL);
    assert_int_equal(look(t, "ann", &u), R_FAIL);
    replace(
        "# text\nann:{PLAIN}one\nno colon\nbad/name:{PLAIN}x\nbob:{PLAIN}b::::::nologin\n"
        "eve:{PLAIN}e::::::allow_nets=10.0.0.0/8\nANN:{PLAIN}two\nx:{NOPE}x\n");
    assert_int_equal(passwd_table_refresh(t, &f), R_OK);
    assert_int_equal(passwd_table_refresh(t, &f), R_NONE);
    assert_int_equal(bad_count, 3);
    assert_int_equal(bad_lines[0], 3);
    assert_int_equal(bad_lines[1], 4);
    assert_int_equal(bad_lines[2], 8);
    assert_int_equal(look(t, "ann", &u), R_OK);
    assert_true(span_eq(buf_span(&u.hash), SPAN("{PLAIN}two")) && !u.disabled);
    assert_int_equal(look(t, "bob", &u), R_OK);
    assert_true(u.disabled);
    assert_int_equal(look(t, "eve", &u), R_OK);
    assert_true(span_eq(buf_span(&u.networks), SPAN("10.0.0.0/8")));
    // who is there is not unknown
    assert_int_equal(look(t, "x", &u), R_FAIL);
    replace("bob:{PLAIN}b\n");
    assert_int_equal(passwd_table_refresh(t, &f), R_OK);
    assert_int_equal(look(t, "ann", &u), R_NONE);
    assert_int_equal(look(t, "bob", &u), R_OK);
    assert_false(u.disabled);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(passwd_table_refresh(t, &f), R_FAIL);
    assert_int_equal(look(t, "bob", &u), R_FAIL);
    directory_user_done(&u);
    passwd_table_free(&t);
}

static void
await_table(struct passwd_table *t)
{
    struct fault f;
    enum result r = R_NONE;
    for (int i = 0; i < 1000 && r != R_OK; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        r = passwd_table_refresh(t, &f);
    }
    assert_int_equal(r, R_OK);
}

// What is written in place counts once it rests; until then the old table holds.
static void
test_being_written(void **state)
{
    (void)state;
    struct fault f;
    struct directory_user u;
    struct passwd_table *t = passwd_table_new(path, on_bad, NULL);
    directory_user_init(&u);
    replace("ann:{PLAIN}one\n");
    assert_int_equal(passwd_table_refresh(t, &f), R_OK);
    write_to(path, "");
    assert_int_equal(passwd_table_refresh(t, &f), R_NONE);
    assert_int_equal(look(t, "ann", &u), R_OK);
    write_to(path, "bob:{PLAIN}b\n");
    assert_int_equal(passwd_table_refresh(t, &f), R_NONE);
    await_table(t);
    assert_int_equal(look(t, "ann", &u), R_NONE);
    assert_int_equal(look(t, "bob", &u), R_OK);
    assert_int_equal(unlink(path), 0);
    directory_user_done(&u);
    passwd_table_free(&t);
}

// An editor takes the old file away, and writes a new one in its place: who is not in it yet is not gone.
static void
test_new_one_being_written(void **state)
{
    (void)state;
    struct fault f;
    struct directory_user u;
    struct passwd_table *t = passwd_table_new(path, on_bad, NULL);
    directory_user_init(&u);
    write_to(path, "ann:{PLAIN}one\nbob:{PLAIN}b\n");
    assert_int_equal(passwd_table_refresh(t, &f),
                     R_OK);  // at the start there is nothing else
    assert_int_equal(unlink(path), 0);
    write_to(path, "ann:{PLAIN}one\n");
    assert_int_equal(passwd_table_refresh(t, &f), R_NONE);
    assert_int_equal(look(t, "bob", &u), R_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(passwd_table_refresh(t, &f), R_FAIL);
    write_to(path, "ann:{PLAIN}one\n");
    assert_int_equal(passwd_table_refresh(t, &f), R_FAIL);
    assert_int_equal(look(t, "bob", &u), R_FAIL);
    write_to(path, "ann:{PLAIN}one\nbob:{PLAIN}b\n");
    await_table(t);
    assert_int_equal(look(t, "bob", &u), R_OK);
    assert_int_equal(unlink(path), 0);
    directory_user_done(&u);
    passwd_table_free(&t);
}

static void
test_many_bad_lines(void **state)
{
    (void)state;
    struct fault f;
    struct buf text;
    struct passwd_table *t = passwd_table_new(path, on_bad, NULL);
    buf_init(&text, 65536);
    for (int i = 0; i < 1000; i++)
        buf_put_str(&text, "nonsense\n");
    buf_put_char(&text, '\0');
    bad_count = 0;
    replace(text.p);
    assert_int_equal(passwd_table_refresh(t, &f), R_OK);
    assert_int_equal(bad_count, LIMIT_passwd_file_said);
    assert_int_equal(unlink(path), 0);
    buf_done(&text);
    passwd_table_free(&t);
}

int
main(void)
{
    snprintf(dir, sizeof dir, "/tmp/passwd_table_test.XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/passwd", dir);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_being_written),
        cmocka_unit_test(test_new_one_being_written),
        cmocka_unit_test(test_many_bad_lines),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return rmdir(dir) != 0 || failed;
}
