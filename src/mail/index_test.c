// When an account's index is made: what is due is not forgotten when its users go.
#include "mail/index_inside.h"

#include "io/task.h"
#include "mail/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { BUSY = 2, LATE = 4, PATIENCE = 3000 };

// An account with a message that is not indexed, while another's turn lasts; its user is gone.
struct scene {
    struct account *busy, *late;
};

static struct account *
account_of(struct fixture *x, uint64_t id, bool filled)
{
    struct mail_user *u = fixture_user(x, id, "bob");
    struct mailbox_ref inbox = fixture_ref(u, "INBOX");
    if (filled)
        fixture_append(x, &inbox, FIXTURE_HELLO, 0, NULL);
    struct account *a = inbox.account;
    mail_user_close(&u);
    return a;
}

static struct scene
scene_new(struct fixture *x)
{
    struct scene s;
    mail_index_set(x->mail, MAIL_INDEX_ALL, 1);
    s.busy = account_of(x, BUSY, false);
    assert_true(mail_index_begin(s.busy));
    s.late = account_of(x, LATE, true);
    for (unsigned i = 0; i < PATIENCE && (!s.late->index->queued || s.late->use.refs != 1);
         i++)
        task_sleep(1);
    assert_true(s.late->index->queued && s.late->index->owed);
    assert_int_equal(s.late->use.refs, 1);
    return s;
}

static void
await_settled(const struct account *a)
{
    for (unsigned i = 0; i < PATIENCE && a->use.refs > 0; i++)
        task_sleep(1);
    assert_int_equal(a->use.refs, 0);
    assert_true(!a->index || (!a->index->owed && !a->index->queued));
}

static uint64_t
unindexed(struct account *a)
{
    struct mail_index_state state;
    struct fault f;
    assert_int_equal(mail_index_state(a, &state, &f), R_OK);
    return state.unindexed;
}

static void
test_owed(struct fixture *x)
{
    struct scene s = scene_new(x);
    assert_int_equal(unindexed(s.late), 1);
    mail_index_end(s.busy);
    await_settled(s.late);
    assert_int_equal(unindexed(s.late), 0);
}

static void
test_off_meanwhile(struct fixture *x)
{
    struct scene s = scene_new(x);
    mail_index_set(x->mail, MAIL_INDEX_OFF, 1);
    mail_index_end(s.busy);
    await_settled(s.late);
}

static void
test_nothing_owed(struct fixture *x)
{
    mail_index_set(x->mail, MAIL_INDEX_ALL, 1);
    struct account *a = account_of(x, BUSY, false);
    task_sleep(50);
    await_settled(a);
}

static void
owed(void **state)
{
    (void)state;
    fixture_run_on_disk(test_owed);
}

static void
off_meanwhile(void **state)
{
    (void)state;
    fixture_run_on_disk(test_off_meanwhile);
}

static void
nothing_owed(void **state)
{
    (void)state;
    fixture_run_on_disk(test_nothing_owed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owed),
        cmocka_unit_test(off_meanwhile),
        cmocka_unit_test(nothing_owed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
