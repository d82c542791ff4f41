// Who is told of what by a watch.
#include "mail/watch.h"

#include "mail/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct pair {
    struct mail_user *mine, *theirs;
    struct mailbox_ref here, there;  // INBOX, as each of them has it
};

static void
on_poke(void *arg)
{
    (void)arg;
}

static struct pair
pair_new(struct fixture *x)
{
    struct pair p = {.mine = fixture_user(x, 8, "bob"),
                     .theirs = fixture_user(x, 8, "bob")};
    p.here = fixture_ref(p.mine, "INBOX");
    p.there = fixture_ref(p.theirs, "INBOX");
    return p;
}

static void
pair_free(struct pair *p)
{
    mail_user_close(&p->mine);
    mail_user_close(&p->theirs);
}

// Kinds of all events that are taken, and of how many.
static unsigned
take(struct mail_watch *w, size_t want_n)
{
    struct arena *a = arena_new();
    struct watch_event *events;
    size_t n;
    unsigned kinds = 0;
    assert_int_equal(mail_watch_take(w, a, &events, &n), R_OK);
    assert_int_equal(n, want_n);
    for (size_t i = 0; i < n; i++)
        kinds |= events[i].kinds;
    arena_free(&a);
    return kinds;
}

// One note stands for many changes, also where the watch's own user made the last of them.
static void
own_changes(struct fixture *x)
{
    struct pair p = pair_new(x);
    struct mail_watch *w = mail_watch_open(p.mine, WATCH_MESSAGES, on_poke, NULL);
    fixture_append(x, &p.here, FIXTURE_HELLO, 0, NULL);
    assert_int_equal(mail_watch_pending(w), 0);
    fixture_append(x, &p.there, FIXTURE_ANSWER, 0, NULL);
    fixture_append(x, &p.here, FIXTURE_OTHER, 0, NULL);
    assert_int_equal(take(w, 1), WATCH_NEW);
    fixture_append(x, &p.here, FIXTURE_HELLO, 0, NULL);
    assert_int_equal(take(w, 0), 0);
    mail_watch_close(&w);
    pair_free(&p);
}

// What a watch does not want is not kept for it, and does not hide what it wants.
static void
kinds(struct fixture *x)
{
    struct pair p = pair_new(x);
    struct mailbox_ref ref;
    struct fault f;
    struct mail_watch *names = mail_watch_open(p.mine, WATCH_NAME, on_poke, NULL);
    struct mail_watch *all = mail_watch_open(
        p.mine, WATCH_MESSAGES | WATCH_NAME | WATCH_SUBSCRIBED, on_poke, NULL);
    fixture_append(x, &p.there, FIXTURE_HELLO, 0, NULL);
    assert_int_equal(mail_watch_pending(names), 0);
    assert_int_equal(tree_create(p.theirs, SPAN("a/b"), USE_NONE, &ref, &f), R_OK);
    assert_int_equal(take(names, 2), WATCH_NAME);
    assert_int_equal(tree_subscribe(p.theirs, SPAN("a/b"), true, &f), R_OK);
    assert_int_equal(take(names, 0), 0);
    assert_int_equal(take(all, 5),
                     WATCH_NEW | WATCH_VALIDITY | WATCH_NAME | WATCH_SUBSCRIBED);
    mail_watch_kinds(names, WATCH_MESSAGES);
    fixture_append(x, &p.there, FIXTURE_HELLO, 0, NULL);
    assert_int_equal(take(names, 1), WATCH_NEW);
    mail_watch_close(&names);
    mail_watch_close(&all);
    pair_free(&p);
}

static void
renamed(struct fixture *x)
{
    struct pair p = pair_new(x);
    struct mailbox_ref ref;
    struct watch_event *events;
    struct fault f;
    size_t n;
    struct arena *a = arena_new();
    assert_int_equal(tree_create(p.theirs, SPAN("a/b"), USE_NONE, &ref, &f), R_OK);
    struct mail_watch *w = mail_watch_open(p.mine, WATCH_NAME, on_poke, NULL);
    assert_int_equal(tree_rename(p.theirs, SPAN("a"), SPAN("c"), &f), R_OK);
    assert_int_equal(tree_rename(p.theirs, SPAN("INBOX"), SPAN("old"), &f), R_OK);
    assert_int_equal(mail_watch_take(w, a, &events, &n), R_OK);
    assert_int_equal(n, 2);
    assert_true(span_eq(events[0].entry.name, SPAN("c")) &&
                span_eq(events[0].old, SPAN("a")));
    assert_true(events[0].entry.has_children && !events[0].entry.nonexistent);
    assert_true(span_eq(events[1].entry.name, SPAN("old")) &&
                span_eq(events[1].old, SPAN("INBOX")));
    mail_watch_close(&w);
    arena_free(&a);
    pair_free(&p);
}

static void
test_own_changes(void **unused)
{
    (void)unused;
    fixture_run(NULL, own_changes);
    fixture_run_on_disk(own_changes);
}

static void
test_kinds(void **unused)
{
    (void)unused;
    fixture_run(NULL, kinds);
}

static void
test_renamed(void **unused)
{
    (void)unused;
    fixture_run(NULL, renamed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_changes),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_renamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
