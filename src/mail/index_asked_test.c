#include "mail/index_inside.h"

#include "base/clock.h"
#include "base/pack.h"
#include "mail/fixture.h"
#include "store/derived.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

// Which accounts are indexed, where only those whose text is searched are (index_asked.c).

enum { ACCOUNT = 7, AFTER = 3, DAY_S = 86400 };

struct scene {
    struct fixture *x;
    struct mail_user *user;
    struct account *account;
    struct mailbox_ref inbox;
};

static struct scene
begin(struct fixture *x, enum mail_index_mode mode)
{
    struct scene s = {.x = x};
    mail_index_set(x->mail, mode, AFTER);
    s.user = fixture_user(x, ACCOUNT, "ann");
    s.account = mail_user_account(s.user);
    s.inbox = fixture_ref(s.user, "INBOX");
    return s;
}

static void
more_mail(struct scene *s, int n)
{
    for (int i = 0; i < n; i++) {
        char text[96];
        snprintf(text, sizeof text,
                 "Message-ID: <%d@a>\r\nSubject: Hello\r\n\r\nbody %d\r\n", i, i);
        fixture_append(s->x, &s->inbox, text, 0, NULL);
    }
}

// When what is due is done.
static struct mail_index_state
now(struct scene *s)
{
    struct mail_index_state state;
    struct fault f;
    int tries = 0;
    do {
        assert_true(tries++ < 1000);
        mail_index_catch_up(s->account);
        assert_int_equal(mail_index_state(s->account, &state, &f), R_OK);
    } while (state.working || (state.wanted && state.unindexed >= AFTER));
    return state;
}

// Strings of the account, with something of the mail or without.
static size_t
strings(struct scene *s, bool of_mail)
{
    struct derived_list list = {.a = arena_new()};
    struct fault f;
    size_t n = 0;
    assert_int_equal(derived_list(s->x->store, ACCOUNT, &list, &f), R_OK);
    for (size_t i = 0; i < list.n; i++)
        n += mail_index_is_of_mail(list.entries[i].name) == of_mail;
    arena_free(&list.a);
    return n;
}

static bool
is_wanted(struct scene *s)
{
    struct fault f = {0};
    enum result r = mail_index_wanted_of(s->x->mail, ACCOUNT, &f);
    assert_int_not_equal(r, R_FAIL);
    return r == R_OK;
}

// Returns whether there was an index to ask.
static bool
search(struct scene *s, bool wants)
{
    struct text_lookup lookup = {SPAN("body"), MIME_ZONE_BODY, false};
    struct text_found *found;
    enum result r = mail_index_find(s->account, &lookup, 1, &found);
    mail_index_found_free(s->account, &found, wants);
    return r == R_OK;
}

// As after the account was out of memory.
static void
forget(void *arg)
{
    struct account *a = arg;
    memset(&a->index->asked, 0, sizeof a->index->asked);
}

static void
put_string(struct scene *s, struct span octets)
{
    struct fault f;
    assert_int_equal(derived_put(s->x->store, ACCOUNT, SPAN("asked"), octets, &f), R_OK);
    account_run(s->account, forget, s->account);
}

static void
put_asked(struct scene *s, int64_t at_s)
{
    struct buf b;
    buf_init(&b, 9);
    pack_u8(&b, 1);
    pack_u64(&b, (uint64_t)at_s);
    put_string(s, buf_span(&b));
    buf_done(&b);
}

static void
never(struct fixture *x)
{
    struct scene s = begin(x, MAIL_INDEX_ASKED);
    more_mail(&s, 2 * AFTER);
    struct mail_index_state state = now(&s);
    assert_true(state.on && !state.wanted);
    assert_int_equal(state.asked_s, 0);
    assert_int_equal(state.unindexed, 2 * AFTER);
    assert_false(search(&s, false));  // what programs look for does not count
    assert_int_equal(now(&s).stats.documents, 0);
    assert_int_equal(strings(&s, true) + strings(&s, false), 0);
    assert_false(is_wanted(&s));
    mail_user_close(&s.user);
}

static void
asked(struct fixture *x)
{
    struct scene s = begin(x, MAIL_INDEX_ASKED);
    more_mail(&s, 2 * AFTER);
    assert_false(search(&s, true));
    struct mail_index_state state = now(&s);
    assert_true(state.wanted && state.asked_s > 0);
    assert_int_equal(state.stats.documents, 2 * AFTER);
    assert_int_equal(strings(&s, false), 1);
    assert_true(is_wanted(&s) && search(&s, true));
    more_mail(&s, AFTER);  // kept up from now on
    assert_int_equal(now(&s).stats.documents, 3 * AFTER);
    account_run(s.account, forget, s.account);
    more_mail(&s, AFTER);
    assert_int_equal(now(&s).stats.documents, 4 * AFTER);
    mail_user_close(&s.user);
}

// Few messages have no index, but they are asked for: with more it is made.
static void
asked_early(struct fixture *x)
{
    struct scene s = begin(x, MAIL_INDEX_ASKED);
    mail_index_want(s.account);
    assert_int_equal(now(&s).stats.documents, 0);
    assert_int_equal(strings(&s, false), 1);
    assert_int_equal(strings(&s, true), 0);
    account_run(s.account, forget, s.account);
    more_mail(&s, AFTER);
    assert_int_equal(now(&s).stats.documents, AFTER);
    mail_user_close(&s.user);
}

static void
damage(void *arg)
{
    struct mail_index *x = ((struct account *)arg)->index;
    struct fault f;
    x->users++;
    (void)fault_set(&f, FAULT_CORRUPTION, "a test");
    mail_index_failed(x, &f);
    mail_index_leave(x);
}

static void
damaged(struct fixture *x)
{
    struct scene s = begin(x, MAIL_INDEX_ASKED);
    more_mail(&s, AFTER);
    mail_index_want(s.account);
    assert_int_equal(now(&s).stats.documents, AFTER);
    account_run(s.account, damage, s.account);
    account_run(s.account, forget, s.account);
    assert_int_equal(now(&s).stats.documents, AFTER);  // made anew
    // what says so itself: it was there, and is written again
    for (int i = 0; i < 2; i++) {
        put_string(&s, i == 0 ? SPAN("?")
                              : SPAN("\2"
                                     "12345678"));
        more_mail(&s, AFTER);
        assert_int_equal(now(&s).stats.documents, (2 + (unsigned)i) * AFTER);
        struct mail_index_state state = now(&s);  // which writes it
        assert_true(llabs(state.asked_s - clock_wall_s()) < DAY_S);
        struct derived *d;
        struct fault f;
        assert_int_equal(derived_open(x->store, ACCOUNT, SPAN("asked"), &d, &f), R_OK);
        assert_int_equal(derived_size(d), 9);
        derived_close(&d);
    }
    mail_user_close(&s.user);
}

static void
long_ago(struct fixture *x)
{
    struct scene s = begin(x, MAIL_INDEX_ASKED);
    int64_t then = clock_wall_s() - LIMIT_index_asked_s - 10;
    more_mail(&s, AFTER);
    mail_index_want(s.account);
    assert_int_equal(now(&s).stats.documents, AFTER);
    put_asked(&s, then);
    more_mail(&s, AFTER);
    struct mail_index_state state = now(&s);
    assert_false(state.wanted || is_wanted(&s));
    assert_int_equal(state.asked_s, then);
    assert_int_equal(state.stats.documents, AFTER);
    assert_true(search(&s, true));  // it answers for what it has, and is kept up again
    assert_int_equal(now(&s).stats.documents, 2 * AFTER);
    // the day is written once in a day only, and one that lies ahead is put right
    put_asked(&s, clock_wall_s() - DAY_S / 2);
    search(&s, true);
    assert_true(now(&s).asked_s < clock_wall_s() - DAY_S / 4);
    put_asked(&s, clock_wall_s() + 10 * DAY_S);
    assert_true(is_wanted(&s));
    search(&s, true);
    assert_true(now(&s).asked_s < clock_wall_s() + DAY_S);
    mail_user_close(&s.user);
}

static void
changes(struct fixture *x)
{
    struct scene s = begin(x, MAIL_INDEX_ALL);
    more_mail(&s, AFTER);
    search(&s, true);
    assert_int_equal(now(&s).stats.documents, AFTER);
    assert_int_equal(strings(&s, false), 0);  // all are: nothing is written
    mail_index_set(x->mail, MAIL_INDEX_ASKED, AFTER);
    more_mail(&s, AFTER);
    assert_int_equal(now(&s).stats.documents, AFTER);  // it stays, as it is
    assert_true(search(&s, false));
    assert_int_equal(now(&s).stats.documents, AFTER);
    mail_index_set(x->mail, MAIL_INDEX_ALL, AFTER);
    assert_int_equal(now(&s).stats.documents, 2 * AFTER);
    mail_index_set(x->mail, MAIL_INDEX_ASKED, AFTER);
    assert_true(search(&s, true));
    assert_int_equal(now(&s).asked_s > 0, 1);
    // a process of its own drops nothing; where it is off nothing is kept but the day
    mail_index_set(x->mail, MAIL_INDEX_ELSEWHERE, AFTER);
    assert_int_equal(mail_index_purge(s.account), R_NONE);
    assert_true(strings(&s, true) > 0);
    mail_index_set(x->mail, MAIL_INDEX_OFF, AFTER);
    assert_false(is_wanted(&s) || search(&s, true));
    assert_int_equal(mail_index_purge(s.account), R_OK);
    assert_int_equal(strings(&s, true), 0);
    assert_int_equal(strings(&s, false), 1);
    mail_index_set(x->mail, MAIL_INDEX_ASKED, AFTER);
    assert_int_equal(now(&s).stats.documents, 2 * AFTER);
    mail_user_close(&s.user);
}

#define TEST(name)                                                                         \
    static void test_##name(void **state)                                                  \
    {                                                                                      \
        (void)state;                                                                       \
        fixture_run(NULL, name);                                                           \
        fixture_run_on_disk(name);                                                         \
    }
TEST(never)
TEST(asked)
TEST(asked_early)
TEST(damaged)
TEST(long_ago)
TEST(changes)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never),       cmocka_unit_test(test_asked),
        cmocka_unit_test(test_asked_early), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_long_ago),    cmocka_unit_test(test_changes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
