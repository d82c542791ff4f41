#include "mail/retention.h"
#include "base/clock.h"
#include "io/task.h"
#include "mail/change.h"
#include "mail/fixture.h"
#include "mail/home.h"
#include "mail/message.h"
#include "mail/tree.h"
#include "mail/undelete.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>

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

// ---- a copy on its way into another account ----

enum { BIG = 700 << 10, BIGS = 3 };

// The change in front of the copy, which takes long.
struct holding {
    struct account *account;
    bool begun, free, over;
};

static enum result
hold_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct holding *h = arg;
    (void)a, (void)b, (void)f;
    h->begun = true;
    while (!h->free)
        task_sleep(1);
    return R_OK;
}

static void
hold_run(void *arg)
{
    struct holding *h = arg;
    struct fault f = {0};
    assert_int_equal(account_change(h->account, hold_change, h, 0, NULL, &f), R_OK);
    h->over = true;
}

struct copying {
    struct fixture *x;
    struct mail_user *from, *to;
    struct view *view;
    struct mailbox_ref target;
    struct arena *arena;
    bool move, over;
};

static void
copy_run(void *arg)
{
    struct copying *c = arg;
    struct copy_result done = {0};
    struct fault f = {0};
    assert_int_equal(change_copy(&(struct selection){c->view, NULL, true}, &c->target,
                                 c->move, c->arena, &done, &f),
                     R_OK);
    assert_int_equal(done.count, BIGS);
    c->over = true;
}

static void
append_big(struct fixture *x, const struct mailbox_ref *to)
{
    char *octets = calloc(BIG + 1, 1);
    must(octets != NULL);
    memset(octets, 'x', BIG);
    memcpy(octets, FIXTURE_HELLO, strlen(FIXTURE_HELLO));
    for (size_t i = 900; i < BIG; i += 900)
        memcpy(octets + i, "\r\n", 2);
    fixture_append(x, to, octets, 0, NULL);
    free(octets);
}

static void
compact_later(struct fixture *x)
{
    struct fault f = {0};
    uint64_t freed;
    assert_int_equal(mail_compact(x->mail, clock_wall_s() + 2000, &freed, &f), R_OK);
}

static void
check_bodies(struct copying *c)
{
    struct view_cursor cursor;
    struct view_message m[BIGS + 1];
    struct view *v;
    struct fault f = {0};
    size_t n;
    assert_int_equal(view_open(&c->target, true, NULL, NULL, &v, &f), R_OK);
    assert_int_equal(view_cursor_init(&cursor, v, NULL, true, &f), R_OK);
    assert_int_equal(view_next(&cursor, m, BIGS + 1, &n, &f), R_OK);
    assert_int_equal(n, BIGS);
    for (size_t i = 0; i < n; i++)
        if (message_read(c->x->mail, &m[i].row, 0, m[i].row.size, NULL, &f) != R_OK)
            fail_msg("copy %zu: %s", i + 1, f.why);
    view_close(&v);
}

static struct copying
copying_new(struct fixture *x, bool move)
{
    struct copying c = {.x = x,
                        .from = fixture_user(x, 8, "bob"),
                        .to = fixture_user(x, 10, "dave"),
                        .arena = arena_new(),
                        .move = move};
    struct mailbox_ref source;
    struct fault f = {0};
    assert_int_equal(tree_create(c.from, SPAN("box"), USE_NONE, &source, &f), R_OK);
    for (int i = 0; i < BIGS; i++)
        append_big(x, &source);
    assert_int_equal(view_open(&source, false, NULL, NULL, &c.view, &f), R_OK);
    c.target = fixture_ref(c.to, "INBOX");
    return c;
}

// The rows were read, and the target is busy: what is copied goes from the source, and its retention is over.
static void
go_while_copied(struct fixture *x, bool move, void (*go)(struct mail_user *u))
{
    struct copying c = copying_new(x, move);
    struct holding h = {.account = c.target.account};
    task_start(hold_run, &h);
    while (!h.begun)
        task_sleep(1);
    task_start(copy_run, &c);
    task_sleep(20);
    assert_false(c.over);
    go(c.from);
    compact_later(x);
    h.free = true;
    while (!c.over || !h.over)
        task_sleep(1);
    view_close(&c.view);
    compact_later(x);
    check_bodies(&c);
    mail_user_close(&c.from);
    mail_user_close(&c.to);
    arena_free(&c.arena);
}

static void
go_expunged(struct mail_user *u)
{
    struct mailbox_ref box = fixture_ref(u, "box");
    struct flag_change change = {.op = FLAG_OP_ADD, .flags = FLAG_DELETED};
    struct arena *a = arena_new();
    struct flag_result done;
    struct view *v;
    struct fault f = {0};
    uint64_t n;
    assert_int_equal(view_open(&box, false, NULL, NULL, &v, &f), R_OK);
    assert_int_equal(
        change_flags(&(struct selection){v, NULL, true}, &change, a, &done, &f), R_OK);
    assert_int_equal(change_expunge(v, NULL, &n, &f), R_OK);
    assert_int_equal(n, BIGS);
    view_close(&v);
    arena_free(&a);
}

static void
go_deleted(struct mail_user *u)
{
    struct fault f = {0};
    assert_int_equal(tree_delete(u, SPAN("box"), &f), R_OK);
}

static void
expunged_while_copied(struct fixture *x)
{
    go_while_copied(x, false, go_expunged);
}

static void
deleted_while_copied(struct fixture *x)
{
    go_while_copied(x, false, go_deleted);
}

static void
deleted_while_moved(struct fixture *x)
{
    go_while_copied(x, true, go_deleted);
}

static void
test_copying(void **state)
{
    (void)state;
    fixture_run_on_disk(expunged_while_copied);
    fixture_run_on_disk(deleted_while_copied);
    fixture_run_on_disk(deleted_while_moved);
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
                                       cmocka_unit_test(test_on_disk),
                                       cmocka_unit_test(test_copying)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
