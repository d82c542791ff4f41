#include "mail/home.h"

#include "io/task.h"
#include "mail/fixture.h"
#include "mail/metadata.h"
#include "mail/recipient.h"
#include "mail/tree.h"
#include "store/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct usage open_limits = {{QUOTA_NONE, QUOTA_NONE, QUOTA_NONE, QUOTA_NONE}};

static void
limit(struct mail_user *u, int kind, uint64_t n)
{
    struct usage limits = {{QUOTA_KEEP, QUOTA_KEEP, QUOTA_KEEP, QUOTA_KEEP}};
    struct fault f = {0};
    limits.n[kind] = n;
    assert_int_equal(quota_set(mail_user_account(u), &limits, &f), R_OK);
}

static uint64_t
used(struct mail_user *u, int kind)
{
    struct quota q;
    quota_get(mail_user_account(u), &q);
    return q.used.n[kind];
}

static enum fault_kind
add(struct fixture *x, const struct mailbox_ref *to, enum quota_how how)
{
    struct intake *in = intake_begin(x->mail);
    struct intake_params p = {.quota = (uint8_t)how};
    struct intake_result done;
    struct fault f = {.kind = FAULT_COUNT};
    assert_int_equal(intake_write(in, SPAN(FIXTURE_HELLO), &f), R_OK);
    assert_int_equal(intake_finish(in, &f), R_OK);
    enum result r = intake_commit(in, to, &p, &done, &f);
    intake_free(&in);
    assert_int_equal(r == R_OK, f.kind == FAULT_COUNT);
    return f.kind;
}

enum { HELLO = sizeof FIXTURE_HELLO - 1 };

// Limits of an account, the grace of deliveries, and what the settings say.
static void
limits(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 1, "alice");
    struct mailbox_ref inbox = fixture_ref(u, "INBOX");
    struct quota_settings s = {.limits = open_limits, .grace = 50};
    struct fault f = {0};
    mail_quota_set(x->mail, &s);
    assert_int_equal(used(u, USAGE_MAILBOXES), 6);
    assert_int_equal(add(x, &inbox, QUOTA_USER), FAULT_COUNT);
    assert_int_equal(used(u, USAGE_STORAGE), HELLO);
    assert_int_equal(used(u, USAGE_MESSAGES), 1);
    limit(u, USAGE_STORAGE, 2 * HELLO);
    assert_int_equal(add(x, &inbox, QUOTA_USER), FAULT_COUNT);
    assert_int_equal(add(x, &inbox, QUOTA_USER), FAULT_OVERQUOTA);
    assert_int_equal(quota_fits(mail_user_account(u), HELLO, true, &f), R_OK);
    assert_int_equal(quota_fits(mail_user_account(u), HELLO + 1, true, &f), R_FAIL);
    assert_int_equal(quota_passed(mail_user_account(u)), 0);
    assert_int_equal(add(x, &inbox, QUOTA_DELIVERY), FAULT_COUNT);
    assert_int_equal(quota_passed(mail_user_account(u)), 1);
    assert_int_equal(add(x, &inbox, QUOTA_DELIVERY), FAULT_OVERQUOTA);
    assert_int_equal(add(x, &inbox, QUOTA_WARNING), FAULT_COUNT);
    limit(u, USAGE_STORAGE, QUOTA_DEFAULT);
    s.limits.n[USAGE_MESSAGES] = 5;
    mail_quota_set(x->mail, &s);
    assert_int_equal(add(x, &inbox, QUOTA_USER), FAULT_COUNT);
    assert_int_equal(add(x, &inbox, QUOTA_USER), FAULT_OVERQUOTA);
    limit(u, USAGE_MESSAGES, QUOTA_NONE);
    assert_int_equal(add(x, &inbox, QUOTA_USER), FAULT_COUNT);
    assert_int_equal(used(u, USAGE_MESSAGES), 6);
    mail_user_close(&u);
}

// Mailboxes: the levels that are made count, those that are levels only do not.
static void
mailboxes(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 1, "alice");
    struct mailbox_ref r;
    struct fault f = {0};
    limit(u, USAGE_MAILBOXES, 8);
    assert_int_equal(tree_create(u, SPAN("a/b/c"), USE_NONE, &r, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_OVERQUOTA);
    assert_int_equal(tree_create(u, SPAN("a/b"), USE_NONE, &r, &f), R_OK);
    assert_int_equal(used(u, USAGE_MAILBOXES), 8);
    assert_int_equal(tree_rename(u, SPAN("a/b"), SPAN("d/e"), &f), R_FAIL);
    assert_int_equal(tree_rename(u, SPAN("a/b"), SPAN("a/e"), &f), R_OK);
    assert_int_equal(tree_delete(u, SPAN("a"), &f), R_OK);  // a level now
    assert_int_equal(used(u, USAGE_MAILBOXES), 7);
    assert_int_equal(tree_create(u, SPAN("a"), USE_NONE, &r, &f), R_OK);
    assert_int_equal(tree_create(u, SPAN("z"), USE_NONE, &r, &f), R_FAIL);
    assert_int_equal(tree_delete(u, SPAN("a/e"), &f), R_OK);
    assert_int_equal(used(u, USAGE_MAILBOXES), 7);
    mail_user_close(&u);
}

// ---- at once ----

struct racer {
    struct fixture *fixture;
    struct mail_user *user;
    enum fault_kind kind;
    bool done;
};

static void
race_run(void *arg)
{
    struct racer *r = arg;
    struct mailbox_ref inbox = fixture_ref(r->user, "INBOX");
    r->kind = add(r->fixture, &inbox, QUOTA_USER);
    r->done = true;
}

// So many of them, for users in turn; how many were taken.
static size_t
race(struct fixture *x, struct mail_user *const *users, size_t user_count)
{
    enum { RACERS = 12 };
    struct racer racers[RACERS];
    size_t taken = 0;
    for (size_t i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.fixture = x, .user = users[i % user_count]};
        task_start(race_run, &racers[i]);
    }
    for (size_t i = 0; i < RACERS; i++) {
        while (!racers[i].done)
            task_sleep(1);
        taken += racers[i].kind == FAULT_COUNT;
        assert_true(racers[i].kind == FAULT_COUNT || racers[i].kind == FAULT_OVERQUOTA);
    }
    return taken;
}

static void
at_once(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 1, "alice");
    limit(u, USAGE_MESSAGES, 5);
    assert_int_equal(race(x, &u, 1), 5);
    limit(u, USAGE_STORAGE, 7 * HELLO + 1);
    limit(u, USAGE_MESSAGES, QUOTA_NONE);
    assert_int_equal(race(x, &u, 1), 2);
    mail_user_close(&u);
}

// ---- domains: accounts of two homes ----

static void
domain_limit(struct fixture *x, int kind, uint64_t n)
{
    struct usage limits = {{QUOTA_KEEP, QUOTA_KEEP, QUOTA_KEEP, QUOTA_KEEP}};
    struct fault f = {0};
    limits.n[kind] = n;
    assert_int_equal(quota_domain_set(x->mail, SPAN("d"), &limits, &f), R_OK);
}

static uint64_t
domain_used(struct fixture *x, int kind)
{
    struct quota q;
    struct fault f = {0};
    assert_int_equal(quota_domain_get(x->mail, SPAN("d"), &q, &f), R_OK);
    return q.used.n[kind];
}

static void
domains(struct fixture *x)
{
    struct mail_user *users[] = {fixture_user(x, 1, "a@d"), fixture_user(x, 2, "b@d"),
                                 fixture_user(x, 3, "c@d")};
    struct mail_user *other = fixture_user(x, 4, "a@e");
    struct mailbox_ref inbox = fixture_ref(users[0], "INBOX"),
                       elsewhere = fixture_ref(other, "INBOX");
    struct quota q;
    struct fault f = {0};
    assert_int_equal(quota_domain_get(x->mail, SPAN("d"), &q, &f), R_NONE);
    assert_int_equal(add(x, &inbox, QUOTA_USER), FAULT_COUNT);
    domain_limit(x, USAGE_MESSAGES, 5);  // what was there counts
    assert_int_equal(domain_used(x, USAGE_MESSAGES), 1);
    assert_int_equal(domain_used(x, USAGE_MAILBOXES), 18);
    assert_int_equal(race(x, users, 3), 4);
    assert_int_equal(add(x, &inbox, QUOTA_DELIVERY), FAULT_OVERQUOTA);
    assert_int_equal(add(x, &inbox, QUOTA_WARNING), FAULT_OVERQUOTA);
    assert_int_equal(add(x, &elsewhere, QUOTA_USER), FAULT_COUNT);
    assert_int_equal(domain_used(x, USAGE_MESSAGES), 5);
    assert_int_equal(domain_used(x, USAGE_STORAGE), 5 * HELLO);
    // an account that comes later counts too
    struct mail_user *late = fixture_user(x, 5, "late@d");
    assert_int_equal(domain_used(x, USAGE_MAILBOXES), 24);
    assert_int_equal(
        recipient_has_room(x->mail, &(struct recipient){5, SPAN("late@d")}, 1, &f), R_FAIL);
    domain_limit(x, USAGE_MESSAGES, QUOTA_NONE);
    assert_int_equal(race(x, &late, 1), 12);
    assert_int_equal(domain_used(x, USAGE_MESSAGES), 17);
    for (size_t i = 0; i < 3; i++)
        mail_user_close(&users[i]);
    mail_user_close(&late);
    mail_user_close(&other);
}

// ---- what fails while a domain is summed up ----

static struct {
    const struct engine *real;
    struct engine failing;
    unsigned lists, loads;  // so many are still to fail
    uint64_t account;       // loads of this one
} broken;

static enum result
fail_accounts(struct store *s, uint64_t **out, size_t *n_out, struct fault *f)
{
    if (broken.lists == 0)
        return broken.real->accounts(s, out, n_out, f);
    broken.lists--;
    return fault_set(f, FAULT_DISK, "no list for a test");
}

static enum result
fail_load(struct store *s, uint64_t account, struct state **out, struct fault *f)
{
    if (account != broken.account || broken.loads == 0)
        return broken.real->state_load(s, account, out, f);
    broken.loads--;
    return fault_set(f, FAULT_DISK, "no state for a test");
}

static void
break_store(struct fixture *x)
{
    broken.real = x->store->engine;
    broken.failing = *broken.real;
    broken.failing.accounts = fail_accounts;
    broken.failing.state_load = fail_load;
    x->store->engine = &broken.failing;
}

// The sum is made again, and one account that cannot be opened holds up nobody.
static void
sum_again(struct fixture *x)
{
    struct mail_user *a = fixture_user(x, 1, "a@d"), *b = fixture_user(x, 4, "b@d");
    struct mailbox_ref inbox = fixture_ref(a, "INBOX"), theirs = fixture_ref(b, "INBOX");
    assert_int_equal(add(x, &inbox, QUOTA_USER), FAULT_COUNT);
    assert_int_equal(add(x, &theirs, QUOTA_USER), FAULT_COUNT);
    struct account *gone = mail_user_account(b);
    account_ref(gone);
    mail_user_close(&b);
    account_let_go(gone);
    break_store(x);
    broken.lists = 1;
    broken.loads = 1;
    broken.account = 4;
    domain_limit(x, USAGE_MESSAGES, 3);
    assert_int_equal(domain_used(x, USAGE_MESSAGES),
                     1);  // the list came, the other did not
    assert_int_equal(broken.lists + broken.loads, 0);
    assert_int_equal(add(x, &inbox, QUOTA_USER), FAULT_COUNT);
    for (int i = 0; i < 1000 && domain_used(x, USAGE_MESSAGES) < 3; i++)
        task_sleep(10);
    assert_int_equal(domain_used(x, USAGE_MESSAGES), 3);
    assert_int_equal(add(x, &inbox, QUOTA_USER), FAULT_OVERQUOTA);
    x->store->engine = broken.real;
    mail_user_close(&a);
}

// A refused or failed change gives back what it took.
static void
given_back(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 1, "a@d");
    struct mailbox_ref inbox = fixture_ref(u, "INBOX");
    struct fault f = {0};
    domain_limit(x, USAGE_MESSAGES, 100);
    for (int i = 0; i < 3; i++)
        assert_int_equal(add(x, &inbox, QUOTA_USER), FAULT_COUNT);
    assert_int_equal(tree_rename(u, SPAN("INBOX"), SPAN("old"), &f), R_OK);
    assert_int_equal(domain_used(x, USAGE_MESSAGES), 3);
    assert_int_equal(domain_used(x, USAGE_MAILBOXES), 7);
    assert_int_equal(tree_delete(u, SPAN("old"), &f), R_OK);
    assert_int_equal(domain_used(x, USAGE_MESSAGES), 0);
    assert_int_equal(domain_used(x, USAGE_MAILBOXES), 6);
    mail_user_close(&u);
}

static void
names(struct fixture *x)
{
    assert_true(span_eq(quota_root_user(SPAN("user/a@b")), SPAN("a@b")));
    assert_false(quota_root_user(SPAN("user/")).p);
    assert_false(quota_root_user(SPAN("domain/a")).p);
    assert_true(span_eq(quota_root_domain(SPAN("domain/a")), SPAN("a")));
    assert_true(span_eq(quota_domain_of(x->mail, SPAN("a@b@c")), SPAN("c")));
    assert_false(quota_domain_of(x->mail, SPAN("a")).p);
    assert_int_equal(quota_resource_from(SPAN("annotation-storage")), USAGE_ANNOTATIONS);
    assert_int_equal(quota_resource_from(SPAN("storages")), USAGE_KINDS);
}

#define TEST(name)                                                                         \
    static void test_##name(void **state)                                                  \
    {                                                                                      \
        (void)state;                                                                       \
        fixture_run(NULL, name);                                                           \
    }                                                                                      \
    static void test_##name##_on_disk(void **state)                                        \
    {                                                                                      \
        (void)state;                                                                       \
        fixture_run_on_disk(name);                                                         \
    }
TEST(limits)
TEST(mailboxes)
TEST(at_once)
TEST(domains)
TEST(given_back)
TEST(names)
TEST(sum_again)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_limits_on_disk),
        cmocka_unit_test(test_mailboxes),  cmocka_unit_test(test_mailboxes_on_disk),
        cmocka_unit_test(test_at_once),    cmocka_unit_test(test_at_once_on_disk),
        cmocka_unit_test(test_domains),    cmocka_unit_test(test_domains_on_disk),
        cmocka_unit_test(test_given_back), cmocka_unit_test(test_given_back_on_disk),
        cmocka_unit_test(test_names),      cmocka_unit_test(test_names_on_disk),
        cmocka_unit_test(test_sum_again),  cmocka_unit_test(test_sum_again_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
