#include "mail/expire.h"

#include "base/clock.h"
#include "base/limits.h"
#include "io/task.h"
#include "mail/change.h"
#include "mail/fixture.h"
#include "mail/tree.h"
#include "mail/undelete.h"
#include "mail/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { DAY = 86400 };

struct rule_case {
    const char *where, *folder;
    uint64_t want;
};

static const struct rule_case rules[] = {
    {"Trash", "Trash", 1},           {"\\Trash", "Trash", 1},
    {"trash", "Trash", 1},           {"\\Junk", "Trash", 0},
    {"/Trash", "Trash", 1},          {"/trash", "Trash", 0},
    {"Lists/News", "Lists/News", 1}, {"/Lists/News", "Lists/News", 1},
    {"Lists", "Lists/News", 0},      {"lists/news", "Lists/News", 0},
    {"inbox", "INBOX", 1},           {"/Inbox", "INBOX", 1},
    {"\\Nothing", "INBOX", 0},
};

static struct expire_folder
expire(struct mail_user *u, const struct expire_policy *p, int64_t now_s, uint64_t max,
       bool dry_run)
{
    struct expire_wish wish = {p, now_s, dry_run, max};
    struct arena *a = arena_new();
    struct expire_folder *folders, sum = {0};
    struct fault f = {0};
    size_t n;
    assert_int_equal(expire_account(mail_user_account(u), &wish, a, &folders, &n, &f),
                     R_OK);
    for (size_t i = 0; i < n; i++) {
        sum.messages += folders[i].messages;
        sum.octets += folders[i].octets;
        sum.kept += folders[i].kept;
    }
    arena_free(&a);
    return sum;
}

static uint32_t
exists(struct mail_user *u, const char *name)
{
    struct arena *a = arena_new();
    struct tree_entry e;
    struct fault f = {0};
    assert_int_equal(tree_status(u, a, span_str(name), &e, &f), R_OK);
    arena_free(&a);
    return e.counts.exists;
}

// A folder is meant by its special use or its name; dry runs change nothing.
static void
which_folders(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice");
    struct mailbox_ref made;
    struct fault f = {0};
    assert_int_equal(tree_create(u, SPAN("Lists/News"), USE_NONE, &made, &f), R_OK);
    const char *names[] = {"INBOX", "Trash", "Lists/News"};
    for (size_t i = 0; i < 3; i++) {
        struct mailbox_ref r = fixture_ref(u, names[i]);
        fixture_append(x, &r, FIXTURE_HELLO, 0, NULL);
    }
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct expire_rule rule = {span_str(rules[i].where), DAY};
        struct expire_policy p = {.rules = &rule, .rule_count = 1};
        struct expire_folder d = expire(u, &p, clock_wall_s() + 2 * DAY, 0, true);
        if (d.messages != rules[i].want)
            fail_msg("%s: %lu messages", rules[i].where, (unsigned long)d.messages);
        assert_int_equal(exists(u, rules[i].folder), 1);
    }
    mail_user_close(&u);
}

static uint64_t
undelete_all(struct mail_user *u)
{
    struct undelete_wish wish = {.since_s = INT64_MIN, .over_s = INT64_MIN};
    struct undelete_folder d;
    struct undelete *un;
    struct fault f = {0};
    uint64_t n = 0;
    assert_int_equal(undelete_open(u, &wish, &un, &f), R_OK);
    while (undelete_next(un, &d, &f) == R_OK)
        n += d.messages;
    undelete_close(&un);
    return n;
}

// Only what is old enough, and not exempt; counted as it will be; undelete brings it back.
static void
which_messages(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice");
    struct mailbox_ref trash = fixture_ref(u, "Trash");
    struct expire_rule rule = {SPAN("Trash"), DAY};
    struct span keep[] = {SPAN("$never"), SPAN("$KEEP")};
    struct expire_policy p = {&rule, 1, keep, 2, false};
    struct expire_folder d;
    int64_t now = clock_wall_s();
    fixture_append(x, &trash, FIXTURE_HELLO, FLAG_SEEN, NULL);
    fixture_append(x, &trash, FIXTURE_HELLO, 0, "$keep");
    fixture_append(x, &trash, FIXTURE_HELLO, FLAG_FLAGGED, "$other");
    assert_int_equal(expire(u, &p, now + DAY - 1, 0, false).messages, 0);
    p.keep_flagged = true;
    d = expire(u, &p, now + DAY + 60, 0, false);
    assert_int_equal(d.messages, 1);
    assert_int_equal(d.octets, sizeof FIXTURE_HELLO - 1);
    assert_int_equal(d.kept, 2);
    p.keep_flagged = false;
    d = expire(u, &p, now + DAY + 60, 0, true);
    assert_int_equal(d.messages, 1);
    assert_int_equal(expire(u, &p, now + DAY + 60, 0, false).messages, 1);
    p.keep_count = 0;
    assert_int_equal(expire(u, &p, now + DAY + 60, 0, false).messages, 1);
    assert_int_equal(exists(u, "Trash"), 0);
    assert_int_equal(undelete_all(u), 3);
    mail_user_close(&u);
}

// What counts is when the message came into this mailbox, not how old it is nor when it came to the account.
static void
by_membership(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice");
    struct mailbox_ref inbox = fixture_ref(u, "INBOX"), trash = fixture_ref(u, "Trash");
    struct expire_rule rule = {SPAN("Trash"), DAY};
    struct expire_policy p = {.rules = &rule, .rule_count = 1};
    struct arena *a = arena_new();
    struct copy_result copied;
    struct view *v;
    struct fault f = {0};
    fixture_append(x, &trash, FIXTURE_HELLO, 0, NULL);
    fixture_append(x, &inbox, FIXTURE_OTHER, 0, NULL);
    int64_t then = clock_wall_s() + DAY;
    task_sleep(2100);
    assert_int_equal(view_open(&inbox, false, NULL, NULL, &v, &f), R_OK);
    assert_int_equal(
        change_copy(&(struct selection){v, NULL, false}, &trash, true, a, &copied, &f),
        R_OK);
    view_close(&v);
    assert_int_equal(expire(u, &p, then, 0, false).messages, 1);
    assert_int_equal(exists(u, "Trash"), 1);
    assert_int_equal(expire(u, &p, then + 60, 0, false).messages, 1);
    arena_free(&a);
    mail_user_close(&u);
}

// More than one change takes; a visit has its bound; the first rule is the mailbox's.
static void
in_steps(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice");
    struct mailbox_ref trash = fixture_ref(u, "Trash");
    struct expire_rule two[] = {{SPAN("/Trash"), 30 * DAY}, {SPAN("Trash"), DAY}};
    struct expire_policy p = {.rules = two, .rule_count = 2};
    int64_t then = clock_wall_s() + 2 * DAY;
    uint32_t many = LIMIT_expire_step + 10;
    for (uint32_t i = 0; i < many; i++)
        fixture_append(x, &trash, FIXTURE_HELLO, 0, NULL);
    assert_int_equal(expire(u, &p, then, 0, true).messages, 0);
    p.rules++;
    p.rule_count--;
    assert_int_equal(expire(u, &p, then, 0, true).messages, many);
    assert_int_equal(expire(u, &p, then, 5, false).messages, 5);
    assert_int_equal(exists(u, "Trash"), many - 5);
    assert_int_equal(expire(u, &p, then, 0, false).messages, many - 5);
    assert_int_equal(exists(u, "Trash"), 0);
    mail_user_close(&u);
}

struct sweeper {
    struct mail_user *user;
    const struct expire_policy *policy;
    int64_t now_s;
    struct task *waiter;
    struct expire_folder sum;
    bool done;
};

static void
sweeper_run(void *arg)
{
    struct sweeper *s = arg;
    s->sum = expire(s->user, s->policy, s->now_s, 0, false);
    s->done = true;
    task_wake(s->waiter);
}

// A mailbox that is renamed between two changes has the rule of its new name from then on.
static void
renamed_meanwhile(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 8, "alice");  // its home is this thread
    struct expire_rule rule = {SPAN("/Old"), DAY};
    struct expire_policy p = {.rules = &rule, .rule_count = 1};
    struct sweeper s = {.user = u, .policy = &p, .now_s = clock_wall_s() + 2 * DAY};
    struct mailbox_ref old;
    struct fault f = {0};
    assert_int_equal(tree_create(u, SPAN("Old"), USE_NONE, &old, &f), R_OK);
    for (uint32_t i = 0; i < LIMIT_expire_step + 10; i++)
        fixture_append(x, &old, FIXTURE_HELLO, 0, NULL);
    s.waiter = task_self();
    task_start(sweeper_run, &s);  // until the first change is on its way to the disk
    assert_int_equal(tree_rename(u, SPAN("Old"), SPAN("Kept"), &f), R_OK);
    while (!s.done)
        task_suspend();
    assert_int_equal(s.sum.messages, LIMIT_expire_step);
    assert_int_equal(exists(u, "Kept"), 10);
    mail_user_close(&u);
}

static void
test_which_folders(void **state)
{
    (void)state;
    fixture_run(NULL, which_folders);
}

static void
test_which_messages(void **state)
{
    (void)state;
    fixture_run(NULL, which_messages);
}

static void
test_by_membership(void **state)
{
    (void)state;
    fixture_run(NULL, by_membership);
}

static void
test_in_steps(void **state)
{
    (void)state;
    fixture_run(NULL, in_steps);
}

static void
test_renamed_meanwhile(void **state)
{
    (void)state;
    fixture_run_on_disk(renamed_meanwhile);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_folders),     cmocka_unit_test(test_which_messages),
        cmocka_unit_test(test_by_membership),     cmocka_unit_test(test_in_steps),
        cmocka_unit_test(test_renamed_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
