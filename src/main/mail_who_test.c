// `who` of very many sessions: once each, in order, also while some end; and what it costs grows as they do.
#include "main/mail_role.h"
#include "io/task.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <utlist.h>

#include <cmocka.h>

enum { FEW = 10000, MANY = 200000, HOMES = 2 };

static struct home homes[HOMES];
static struct mail_role role = {.homes = homes, .home_count = HOMES};
static struct session *sessions;
static size_t count, told, ended;
static char last[512];

static void
fill(size_t n)
{
    sessions = calloc(n, sizeof *sessions);
    assert_non_null(sessions);
    count = n;
    for (size_t i = 0; i < n; i++) {
        struct session *s = &sessions[i];
        char name[64];
        size_t mixed = i * 7919 % n;  // in no order
        snprintf(name, sizeof name, "user%05zu%s", mixed / 3,
                 mixed % 2 ? "" : "@example.org");
        *s = (struct session){.home = &homes[i % HOMES],
                              .service = "imap",
                              .remote = "127.0.0.1",
                              .local = "127.0.0.1",
                              .master = "",
                              .device = "",
                              .since_ms = 1000000 + (int64_t)(mixed % 5) * 100000,
                              .id = mixed + 1};
        s->user = strdup(name);
        DL_APPEND(s->home->sessions, s);
        s->home->session_count++;
    }
}

static void
empty(void)
{
    for (size_t i = 0; i < count; i++)
        free((char *)(uintptr_t)sessions[i].user);
    free(sessions);
    for (size_t i = 0; i < HOMES; i++) {
        assert_null(homes[i].who.listings);
        homes[i].sessions = NULL;
        homes[i].session_count = 0;
    }
}

static void
end_one(struct session *s)
{
    mail_who_forget(s->home, s);
    DL_DELETE(s->home->sessions, s);
    s->home->session_count--;
    s->home = NULL;
    ended++;
}

// Rows come in order: by user, then since, then id.
static void
on_row(void *arg, struct span text)
{
    struct field_row row;
    char here[512] = "";
    bool some_end = arg != NULL;
    assert_int_equal(field_get_row(&text, &row), R_OK);
    for (size_t i = 0; i < row.n; i++) {
        const struct field *f = &row.fields[i];
        if (span_eq(f->name, SPAN("user")) || span_eq(f->name, SPAN("since")))
            snprintf(here + strlen(here), sizeof here - strlen(here), "%.*s\x01",
                     SPAN_ARG(f->text));
        if (span_eq(f->name, SPAN("session")))
            snprintf(here + strlen(here), sizeof here - strlen(here), "%016llx",
                     (unsigned long long)f->number);
    }
    assert_true(strcmp(last, here) < 0);
    memcpy(last, here, sizeof last);
    told++;
    for (size_t i = told; some_end && told % 100 == 0 && i < count && i < told + 10; i++)
        if (sessions[i].home != NULL)
            end_one(&sessions[i]);
}

static double
list(struct span user, bool some_end)
{
    struct timespec from, to;
    told = ended = 0;
    last[0] = '\0';
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    mail_who(&role, user, on_row, some_end ? &role : NULL);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

static void
test_order(void)
{
    fill(FEW);
    list(SPAN(""), false);
    assert_int_equal(told, FEW);
    list(SPAN("USER00007"), false);
    assert_in_range(told, 1, 3);
    list(SPAN("nobody"), false);
    assert_int_equal(told, 0);
    list(SPAN(""), true);
    assert_true(ended > 500 && told < FEW && told + ended >= FEW);
    empty();
}

static void
test_cost(void)
{
    fill(FEW);
    double few = list(SPAN(""), false);
    empty();
    fill(MANY);
    double many = list(SPAN(""), false);
    assert_int_equal(told, MANY);
    empty();
    print_message("%d: %.1f ms, %d: %.1f ms\n", FEW, few * 1000, MANY, many * 1000);
    assert_true(many < few * 2 * MANY / FEW);
}

static void
run(void *arg)
{
    test_order();
    test_cost();
    loop_stop(arg);
}

static void
start(void *arg)
{
    task_start(run, arg);
}

static void
test_all(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    for (unsigned i = 0; i < HOMES; i++)
        homes[i] = (struct home){.role = &role, .index = i, .loop = loop};
    loop_post(loop, start, loop);
    loop_run(loop);
    loop_free(&loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
