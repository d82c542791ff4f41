#include "io/task.h"
#include "mail/acl.h"
#include "mail/change.h"
#include "mail/fixture.h"
#include "mail/intake.h"
#include "mail/undelete.h"
#include "mail/tree.h"
#include "mail/urlkey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
expect_one(const struct mailbox_ref *r, struct message_row *out)
{
    struct view *v;
    struct view_cursor c;
    struct view_message m;
    struct fault f = {0};
    size_t n;
    assert_int_equal(view_open(r, true, NULL, NULL, &v, &f), R_OK);
    assert_int_equal(view_cursor_init(&c, v, NULL, false, &f), R_OK);
    assert_int_equal(view_next(&c, &m, 1, &n, &f), R_OK);
    assert_int_equal(n, 1);
    *out = m.row;
    view_close(&v);
}

static void
undelete_all(struct mail_user *u, uint64_t want)
{
    struct undelete_wish wish = {.since_s = INT64_MIN, .over_s = INT64_MIN};
    struct undelete_folder d;
    struct undelete *un;
    struct fault f = {0};
    enum result r;
    assert_int_equal(undelete_open(u, &wish, &un, &f), R_OK);
    while ((r = undelete_next(un, &d, &f)) == R_OK)
        want -= d.messages;
    assert_int_equal(r, R_NONE);
    undelete_close(&un);
    assert_int_equal(want, 0);
}

static void
expect_same(const struct message_row *a, const struct message_row *b)
{
    assert_true(a->emailid == b->emailid && a->threadid == b->threadid &&
                a->blob == b->blob && a->size == b->size);
    assert_true(a->internal_date == b->internal_date && a->zone_min == b->zone_min &&
                a->save_date == b->save_date && a->sent == b->sent);
    assert_true(b->modseq > a->modseq);
}

static void
expect_hidden(const struct mailbox_ref *r)
{
    struct arena *arena = arena_new();
    struct acl_list list;
    struct fault f = {0};
    assert_int_equal(acl_get(r, arena, &list, &f), R_OK);
    assert_int_equal(list.n, 1);  // the owner
    arena_free(&arena);
}

// The ids and dates that no command shows yet are kept, too.
static void
undeleted(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice");
    struct mailbox_ref inbox = fixture_ref(u, "INBOX"), made;
    struct message_row before, after;
    struct view *v;
    struct fault f = {0};
    fixture_append(x, &inbox, FIXTURE_HELLO, FLAG_DELETED | FLAG_FLAGGED, "$Work");
    expect_one(&inbox, &before);
    assert_int_equal(view_open(&inbox, false, NULL, NULL, &v, &f), R_OK);
    task_sleep(1100);  // a save date of now would be another
    assert_int_equal(change_expunge(v, NULL, &(uint64_t){0}, &f), R_OK);
    view_close(&v);
    undelete_all(u, 1);
    undelete_all(u, 0);
    expect_one(&inbox, &after);
    expect_same(&before, &after);
    assert_int_equal(after.flags, FLAG_FLAGGED);
    assert_int_equal(after.uid, before.uid + 1);
    assert_int_equal(tree_create(u, SPAN("a"), USE_NONE, &made, &f), R_OK);
    struct acl_change bob = {SPAN("bob"), ACL_SET, RIGHT_LOOKUP | RIGHT_READ, 0, 0};
    assert_int_equal(acl_change(&made, &bob, &f), R_OK);
    assert_int_equal(tree_create(u, SPAN("a/b"), USE_NONE, &made, &f), R_OK);
    fixture_append(x, &made, FIXTURE_OTHER, FLAG_DELETED, "$Work");
    expect_one(&made, &before);
    assert_int_equal(tree_delete(u, SPAN("a/b"), &f), R_OK);
    undelete_all(u, 1);
    undelete_all(u, 0);
    struct mailbox_ref again = fixture_ref(u, "a/b");
    expect_one(&again, &after);
    expect_same(&before, &after);
    assert_int_equal(after.flags, FLAG_DELETED);  // as it was: it was not expunged
    assert_true(again.mailbox != made.mailbox);
    expect_hidden(&again);  // bob sees its parent, and not what came back
    assert_int_equal(tree_create(u, SPAN("a/b/c"), USE_NONE, &made, &f), R_OK);
    assert_int_equal(tree_delete(u, SPAN("a/b"), &f), R_OK);  // a level stays
    undelete_all(u, 1);
    again = fixture_ref(u, "a/b");
    expect_one(&again, &after);
    expect_hidden(&again);
    mail_user_close(&u);
}

// The mailbox that was deleted while it had a child is known as the child's parent, also where it had a key of URLs.
static void
under_its_parent(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice");
    struct mailbox_ref up, down;
    struct message_row row;
    struct urlkey key;
    struct fault f = {0};
    assert_int_equal(tree_create(u, SPAN("up"), USE_NONE, &up, &f), R_OK);
    assert_int_equal(tree_create(u, SPAN("up/down"), USE_NONE, &down, &f), R_OK);
    fixture_append(x, &down, FIXTURE_HELLO, 0, NULL);
    assert_int_equal(urlkey_make(u, &up, false, &key, &f), R_OK);
    assert_int_equal(tree_delete(u, SPAN("up"), &f), R_OK);
    assert_int_equal(tree_delete(u, SPAN("up/down"), &f), R_OK);
    assert_int_equal(tree_delete(u, SPAN("up"), &f), R_OK);  // the level
    assert_int_equal(tree_create(u, SPAN("up"), USE_NONE, &up, &f), R_OK);
    undelete_all(u, 1);
    assert_int_equal(mail_access(u, SPAN("Restored/up/down"), 0, &down, &f), R_OK);
    expect_one(&down, &row);
    mail_user_close(&u);
}

static void
test_under_its_parent(void **state)
{
    (void)state;
    fixture_run(NULL, under_its_parent);
}

static void
test_undeleted(void **state)
{
    (void)state;
    fixture_run(NULL, undeleted);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_undeleted),
        cmocka_unit_test(test_under_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
