// Whom the sweep looks at, and whom it leaves as they are.
#include "mail/index_inside.h"

#include "base/load.h"
#include "io/task.h"
#include "mail/fixture.h"
#include "store/derived.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

// IDLE's home is not the test's: there all tasks end, and what nobody looks at is packed.
enum { IDLE = 3, PATIENCE = 30000 };

// An account and what was seen of it in its home.
struct scene {
    struct fixture *x;
    struct account *account;  // NULL: not in memory
    struct mail_user *user;   // NULL: nobody uses it
    bool packed, set;         // its state is; its timer is
    bool working, committing;
    unsigned refs;
    uint64_t seen;
};

static void
see_run(void *arg)
{
    struct scene *s = arg;
    struct account *a = account_in_memory(s->x->mail, IDLE);
    s->account = a;
    s->packed = a && state_is_packed(a->kept_state);
    s->set = a && a->index && timer_is_set(&a->index->timer);
    s->working = a && a->index && (a->index->working || a->index->owed);
    s->committing = a && a->committing;
    s->refs = a ? a->use.refs : 0;
    s->seen = a ? a->use.seen : 0;
}

static void
see(struct scene *s)
{
    task_run_on(mail_home(s->x->mail, IDLE), see_run, s);
}

// With one message; `after`: the index is made after so many.
static struct scene
scene_new(struct fixture *x, enum mail_index_mode mode, unsigned after)
{
    struct scene s = {.x = x};
    mail_index_set(x->mail, mode, after);
    s.user = fixture_user(x, IDLE, "bob");
    struct mailbox_ref inbox = fixture_ref(s.user, "INBOX");
    fixture_append(x, &inbox, FIXTURE_HELLO, 0, NULL);
    s.account = mail_user_account(s.user);
    return s;
}

static void
let_go(void *arg)
{
    account_let_go(arg);
}

// The user goes, and the account leaves memory, if it does at once.
static void
leave(struct scene *s)
{
    struct account *a = NULL;
    struct fault f;
    mail_user_close(&s->user);
    assert_int_equal(account_open(s->x->mail, IDLE, SPAN(""), false, &a, &f), R_OK);
    see(s);
    for (unsigned i = 0; i < PATIENCE && (s->refs != 1 || s->committing); i++) {
        task_sleep(1);
        see(s);
    }
    account_run(a, let_go, a);
    see(s);
}

static uint64_t
unindexed(struct scene *s)
{
    struct mail_index_state state;
    struct account *a = NULL;
    struct fault f;
    assert_int_equal(account_open(s->x->mail, IDLE, SPAN(""), false, &a, &f), R_OK);
    assert_int_equal(mail_index_state(a, &state, &f), R_OK);
    account_close(&a);
    return state.unindexed;
}

// It was looked at, and its state is packed.
static void
await_idle(struct scene *s)
{
    see(s);
    for (unsigned i = 0; i < PATIENCE && (!s->packed || s->set || s->working); i++) {
        task_sleep(1);
        see(s);
    }
    assert_true(s->packed && !s->set && !s->working);
}

static enum result
visit(struct scene *s, bool all)
{
    struct fault f;
    enum result r = mail_index_visit(s->x->mail, IDLE, all, &f);
    see(s);
    return r;
}

static void
packed(struct fixture *x)
{
    struct scene s = scene_new(x, MAIL_INDEX_ALL, 1);
    await_idle(&s);
    uint64_t seen = s.seen;
    assert_true(mail_index_sees_to_itself(x->mail, IDLE));
    assert_int_equal(visit(&s, false), R_NONE);
    assert_int_equal(s.seen, seen);  // not even woken and packed again
    assert_true(s.packed);
    assert_int_equal(visit(&s, true), R_OK);
    assert_int_not_equal(s.seen, seen);
    assert_int_equal(unindexed(&s), 0);
    mail_user_close(&s.user);
}

static void
absent(struct fixture *x)
{
    struct scene s = scene_new(x, MAIL_INDEX_OFF, 1);
    leave(&s);
    assert_null(s.account);
    mail_index_set(x->mail, MAIL_INDEX_ALL, 1);
    assert_false(mail_index_sees_to_itself(x->mail, IDLE));
    assert_int_equal(visit(&s, false), R_OK);
    assert_null(s.account);  // it takes no memory afterwards
    mail_index_set(x->mail, MAIL_INDEX_ALL, 0);
    assert_int_equal(unindexed(&s), 0);
}

static void
mode_changed(struct fixture *x)
{
    struct scene s = scene_new(x, MAIL_INDEX_OFF, 1);
    await_idle(&s);
    mail_index_set(x->mail, MAIL_INDEX_ALL, 0);
    assert_int_equal(unindexed(&s), 1);
    mail_index_set(x->mail, MAIL_INDEX_ALL, 1);
    await_idle(&s);
    assert_int_equal(visit(&s, true), R_OK);
    assert_int_equal(unindexed(&s), 0);
    mail_user_close(&s.user);
}

// It was opened, and may leave memory before it was looked at.
static void
not_looked_at(struct fixture *x)
{
    struct scene s = scene_new(x, MAIL_INDEX_OFF, 1);
    leave(&s);
    mail_index_set(x->mail, MAIL_INDEX_ALL, 0);
    s.user = fixture_user(x, IDLE, "bob");
    see(&s);
    assert_true(s.set);
    assert_false(mail_index_sees_to_itself(x->mail, IDLE));
    mail_index_set(x->mail, MAIL_INDEX_ALL, 1);
    assert_int_equal(visit(&s, false), R_OK);
    assert_int_equal(unindexed(&s), 0);
    mail_user_close(&s.user);
}

// Its user is gone, and whoever looks at all accounts came by.
static void
mail_came(struct fixture *x)
{
    struct scene s = scene_new(x, MAIL_INDEX_ALL, 0);
    leave(&s);
    assert_non_null(s.account);
    assert_true(s.set);
}

static void
await_itself(struct fixture *x)
{
    for (unsigned i = 0; i < PATIENCE && !mail_index_sees_to_itself(x->mail, IDLE); i++)
        task_sleep(1);
    assert_true(mail_index_sees_to_itself(x->mail, IDLE));
}

// What is due waits in memory for a better time: the sweep need not.
static void
overloaded(struct fixture *x)
{
    load_pretend(true);
    struct scene s = scene_new(x, MAIL_INDEX_ALL, 1);
    mail_user_close(&s.user);
    await_itself(x);
    assert_int_equal(visit(&s, false), R_NONE);
    load_pretend(false);
    for (unsigned i = 0; i < PATIENCE && s.refs > 0; i++) {
        task_sleep(1);
        see(&s);
    }
    assert_int_equal(s.refs, 0);
    assert_int_equal(unindexed(&s), 0);
}

// What was owed is dropped with the index, and keeps nothing in memory.
static void
off_and_purged(struct fixture *x)
{
    load_pretend(true);
    struct scene s = scene_new(x, MAIL_INDEX_ALL, 1);
    await_itself(x);
    mail_index_set(x->mail, MAIL_INDEX_OFF, 1);
    for (unsigned i = 0; i < PATIENCE && mail_index_purge(s.account) != R_OK; i++)
        task_sleep(1);
    load_pretend(false);
    leave(&s);
    assert_null(s.account);
}

static void
reset(void *arg)
{
    struct mail_index *x = ((struct account *)arg)->index;
    if (!x)
        return;
    text_index_close(&x->text);
    mail_index_covered_clear(x);
    x->covered_known = false;
}

// Who asks finds the damage and drops the index: it is made anew.
static void
damaged(struct fixture *x)
{
    struct mail_index_state state;
    struct fault f;
    struct scene s = scene_new(x, MAIL_INDEX_ALL, 1);
    await_idle(&s);
    assert_int_equal(derived_put(x->store, IDLE, SPAN("covered"), SPAN("?"), &f), R_OK);
    account_run(s.account, reset, s.account);
    assert_int_equal(mail_index_state(s.account, &state, &f), R_OK);
    assert_int_equal(state.unindexed, 1);
    await_idle(&s);
    assert_int_equal(unindexed(&s), 0);
    mail_user_close(&s.user);
}

#define TEST(name)                                                                         \
    static void test_##name(void **state)                                                  \
    {                                                                                      \
        (void)state;                                                                       \
        fixture_run_on_disk(name);                                                         \
    }
TEST(packed)
TEST(absent)
TEST(mode_changed)
TEST(not_looked_at)
TEST(mail_came)
TEST(overloaded)
TEST(off_and_purged)
TEST(damaged)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed),         cmocka_unit_test(test_absent),
        cmocka_unit_test(test_mode_changed),   cmocka_unit_test(test_not_looked_at),
        cmocka_unit_test(test_mail_came),      cmocka_unit_test(test_overloaded),
        cmocka_unit_test(test_off_and_purged), cmocka_unit_test(test_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
