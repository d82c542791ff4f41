// Which columns an account keeps, and for how long.
#include "mail/columns_inside.h"

#include "base/budget.h"
#include "mail/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
free_column(struct column *c)
{
    free(c);
}

static struct column *
column_new(uint32_t count, size_t octets)
{
    struct fault f;
    struct column *c = calloc(1, sizeof *c);
    *c = (struct column){.refs = 1, .count = count, .free = free_column};
    assert_int_equal(column_take(c, octets, &f), R_OK);
    return c;
}

// Offers one, and says whether it is kept.
static bool
keeps(struct view *v, unsigned kind, uint32_t count, size_t octets)
{
    struct column *c = column_new(count, octets);
    mail_column_offer(v, kind, c);
    struct column *kept;
    assert_int_equal(mail_column_get(v, kind, &kept),
                     octets > LIMIT_column_octets ? R_NONE : R_OK);
    bool same = kept == c;
    column_unref(&kept);
    column_unref(&c);
    return same;
}

static uint32_t
count_of(struct view *v, unsigned kind)
{
    struct column *kept;
    enum result r = mail_column_get(v, kind, &kept);
    assert_true(r == R_OK || !kept);
    uint32_t n = kept ? kept->count : 0;
    column_unref(&kept);
    return n;
}

struct scene {
    struct mail_user *user;
    struct view *inbox, *sent;
};

static struct scene
scene_new(struct fixture *x, uint64_t account)
{
    struct scene s = {.user = fixture_user(x, account, "bob")};
    struct fault f;
    struct mailbox_ref inbox = fixture_ref(s.user, "INBOX"),
                       sent = fixture_ref(s.user, "Sent");
    fixture_append(x, &inbox, FIXTURE_HELLO, 0, NULL);
    assert_int_equal(view_open(&inbox, false, NULL, NULL, &s.inbox, &f), R_OK);
    assert_int_equal(view_open(&sent, false, NULL, NULL, &s.sent, &f), R_OK);
    return s;
}

static void
scene_free(struct scene *s)
{
    view_close(&s->inbox);
    view_close(&s->sent);
    mail_user_close(&s->user);
}

// Account 9 has its home in the other thread.
static void
the_longer_one_stays(struct fixture *x)
{
    for (uint64_t account = 8; account < 10; account++) {
        struct scene s = scene_new(x, account);
        assert_int_equal(count_of(s.inbox, SORT_FROM), 0);
        assert_true(keeps(s.inbox, SORT_FROM, 3, 100));
        assert_false(keeps(s.inbox, SORT_FROM, 3, 100));
        assert_true(keeps(s.inbox, SORT_FROM, 4, 100));
        assert_false(keeps(s.inbox, SORT_FROM, 2, 100));
        assert_int_equal(count_of(s.inbox, SORT_FROM), 4);
        assert_true(keeps(s.inbox, COLUMN_THREADS, 1, 100));
        assert_int_equal(count_of(s.sent, SORT_FROM), 0);
        assert_int_equal(count_of(s.inbox, COLUMN_THREADS), 1);
        scene_free(&s);
    }
}

static void
of_messages_that_went(struct fixture *x)
{
    struct scene s = scene_new(x, 8);
    assert_true(keeps(s.inbox, SORT_FROM, 1002, 100));  // there is one message
    struct column *c = column_new(1003, 100);
    mail_column_offer(s.inbox, SORT_FROM, c);
    column_unref(&c);
    assert_int_equal(count_of(s.inbox, SORT_FROM), 0);
    scene_free(&s);
}

static void
room_in_the_account(struct fixture *x)
{
    struct scene s = scene_new(x, 8);
    enum { HALF = LIMIT_column_octets / 2 };
    struct column *none;
    assert_int_equal(mail_column_get(s.inbox, SORT_FROM, &none),
                     R_OK);  // nothing speaks against one
    assert_null(none);
    assert_false(keeps(s.inbox, SORT_FROM, 1, LIMIT_column_octets + 1));
    assert_int_equal(mail_column_get(s.inbox, SORT_FROM, &none), R_NONE);
    assert_int_equal(mail_column_get(s.inbox, SORT_TO, &none), R_OK);
    assert_true(keeps(s.inbox, SORT_FROM, 3, HALF));
    assert_true(keeps(s.inbox, SORT_TO, 3, HALF));
    assert_int_equal(count_of(s.inbox, SORT_FROM), 3);
    assert_true(keeps(s.inbox, SORT_CC, 3, 1));  // one of the others goes
    assert_int_equal(count_of(s.inbox, SORT_FROM) + count_of(s.inbox, SORT_TO), 3);
    assert_true(keeps(s.sent, SORT_CC, 3, HALF + 1));  // those of INBOX go
    assert_int_equal(count_of(s.inbox, SORT_CC), 0);
    scene_free(&s);
}

static void
little_memory(struct fixture *x)
{
    struct scene s = scene_new(x, 8);
    assert_true(keeps(s.inbox, SORT_FROM, 3, 1000));
    budget_limits(0, SIZE_MAX / 2);
    struct column *more = column_new(4, 1000);
    mail_column_offer(s.inbox, SORT_FROM, more);
    column_unref(&more);
    assert_int_equal(mail_column_get(s.inbox, SORT_TO, &more), R_NONE);
    budget_limits(SIZE_MAX / 2, SIZE_MAX / 2);
    struct account *a = view_account(s.inbox);
    uint64_t now = UINT64_MAX / 2;
    assert_int_equal(mail_columns_drop(a, now, UINT64_MAX), 0);
    assert_int_equal(count_of(s.inbox, SORT_FROM), 3);
    assert_int_equal(mail_columns_drop(a, now, 1000), 1000);
    assert_int_equal(count_of(s.inbox, SORT_FROM), 0);
    assert_true(keeps(s.inbox, SORT_FROM, 3, 1000));  // goes with the account
    scene_free(&s);
}

static void
run(void (*test)(struct fixture *x))
{
    size_t before = budget_used(BUDGET_TABLES);
    fixture_run(NULL, test);
    assert_int_equal(budget_used(BUDGET_TABLES), before);
}

static void
test_all(void **state)
{
    (void)state;
    run(the_longer_one_stays);
    run(of_messages_that_went);
    run(room_in_the_account);
    run(little_memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
