#include "mail/retention.h"
#include "base/clock.h"
#include "io/task.h"
#include "mail/change.h"
#include "mail/fixture.h"
#include "mail/undelete.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
expunge_one(struct fixture *x, struct mail_user *u)
{
    struct mailbox_ref inbox = fixture_ref(u, "INBOX");
    struct view *v;
    struct fault f = {0};
    fixture_append(x, &inbox, FIXTURE_HELLO, FLAG_DELETED, NULL);
    assert_int_equal(view_open(&inbox, false, NULL, NULL, &v, &f), R_OK);
    assert_int_equal(change_expunge(v, NULL, &(uint64_t){0}, &f), R_OK);
    view_close(&v);
}

// What compaction has left for undelete.
static uint64_t
left(struct mail_user *u)
{
    struct undelete_wish wish = {
        .since_s = INT64_MIN, .over_s = INT64_MIN, .dry_run = true};
    struct undelete_folder d;
    struct undelete *un;
    struct fault f = {0};
    enum result r;
    uint64_t n = 0;
    assert_int_equal(undelete_open(u, &wish, &un, &f), R_OK);
    while ((r = undelete_next(un, &d, &f)) == R_OK)
        n += d.messages;
    assert_int_equal(r, R_NONE);
    undelete_close(&un);
    return n;
}

static void
own(struct mail_user *u, uint64_t seconds)
{
    struct account *a = mail_user_account(u);
    struct fault f = {0};
    uint64_t told;
    assert_int_equal(retention_set(a, seconds, &f), R_OK);
    bool is_own = retention_get(a, &told);
    assert_int_equal(is_own, seconds != RETENTION_DEFAULT);
    assert_int_equal(told, is_own ? seconds : 1000);  // fixture.c
}

static bool
is_left(struct mail_user *const users[4], const char *want)
{
    for (int i = 0; i < 4; i++)
        if (left(users[i]) != (uint64_t)(want[i] - '0'))
            return false;
    return true;
}

// Who has theirs after a compaction so many seconds from now? A view that is still being closed holds a tombstone.
static void
compact(struct fixture *x, struct mail_user *const users[4], int64_t later,
        const char *want)
{
    uint64_t freed;
    struct fault f = {0};
    for (int tries = 0; tries < 1000; tries++) {
        assert_int_equal(mail_compact(x->mail, clock_wall_s() + later, &freed, &f), R_OK);
        if (is_left(users, want))
            return;
        task_sleep(10);
    }
    fail_msg("%d seconds later it is not %s", (int)later, want);
}

// The shorter, the setting's, the longer, and one that was taken away again.
static void
each_its_own(struct fixture *x)
{
    struct mail_user *users[] = {fixture_user(x, 7, "alice"), fixture_user(x, 8, "bob"),
                                 fixture_user(x, 9, "carol"), fixture_user(x, 10, "dave")};
    for (int i = 0; i < 4; i++)
        expunge_one(x, users[i]);
    own(users[0], 100);
    own(users[2], 3000);
    own(users[3], RETENTION_MAX);
    compact(x, users, 50, "1111");
    compact(x, users, 500, "0111");
    compact(x, users, 2000, "0011");
    compact(x, users, 4000, "0001");
    compact(x, users, 1 << 30, "0001");
    own(users[3], RETENTION_DEFAULT);
    compact(x, users, 500, "0001");
    compact(x, users, 2000, "0000");
    own(users[1], 0);
    expunge_one(x, users[1]);
    compact(x, users, 0, "0000");
    for (int i = 0; i < 4; i++)
        mail_user_close(&users[i]);
}

static void
test_in_memory(void **state)
{
    (void)state;
    fixture_run(NULL, each_its_own);
}

static void
test_on_disk(void **state)
{
    (void)state;
    fixture_run_on_disk(each_its_own);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_in_memory),
                                       cmocka_unit_test(test_on_disk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
