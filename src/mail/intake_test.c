#include "mail/intake.h"

#include "base/limits.h"
#include "mail/fixture.h"
#include "mail/marks.h"
#include "mail/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

// Several messages as one commit; and one in the place of another.

static struct mailbox_ref
inbox_of(struct mail_user *u)
{
    struct mailbox_ref r;
    struct fault f = {0};
    assert_int_equal(mail_access(u, SPAN("INBOX"), 0, &r, &f), R_OK);
    return r;
}

static struct intake *
taken(struct fixture *x, const char *text, bool spill)
{
    struct intake *in = intake_begin(x->mail);
    struct fault f = {0};
    if (spill)
        intake_spill(in);
    assert_int_equal(intake_write(in, span_str(text), &f), R_OK);
    assert_int_equal(intake_finish(in, &f), R_OK);
    assert_int_equal(intake_pack(in, &f), R_OK);
    return in;
}

static struct view *
opened(const struct mailbox_ref *ref, struct view_info *info_out)
{
    struct view *v;
    struct fault f = {0};
    assert_int_equal(view_open(ref, false, NULL, NULL, &v, &f), R_OK);
    view_info(v, info_out);
    return v;
}

static void
look(const struct mailbox_ref *ref, struct view_info *info_out)
{
    struct view *v = opened(ref, info_out);
    view_close(&v);
}

// What is refused leaves the counts and the UIDs as they were.
static void
refused(const struct mailbox_ref *to, const struct intake_batch *batch,
        enum fault_kind want)
{
    struct intake_result *done = calloc(batch->n, sizeof *done);
    struct view_info before, after;
    struct fault f = {0};
    look(to, &before);
    assert_int_equal(intake_commit_all(batch, to, done, &f), R_FAIL);
    assert_int_equal(f.kind, want);
    look(to, &after);
    assert_int_equal(after.exists, before.exists);
    assert_int_equal(after.uidnext, before.uidnext);
    assert_int_equal(after.modseq, before.modseq);
    free(done);
}

static void
refused_uids(const struct mailbox_ref *to, struct intake_item items[3])
{
    struct intake_batch batch = {.items = items, .n = 3};
    items[1].params.uid = items[2].params.uid = 100;
    refused(to, &batch, FAULT_CANNOT);
    items[2].params.uid = UINT32_MAX;
    refused(to, &batch, FAULT_LIMIT);
    items[1].params.uid = items[2].params.uid = 0;
}

// Keywords that have no room together, though those of each message have; the same ones twice have.
static void
keywords(const struct mailbox_ref *to, struct intake_item items[3])
{
    enum { HALF = LIMIT_keywords / 2 + 1 };
    static char texts[2 * HALF][8];
    static struct span names[2 * HALF];
    struct intake_result done[3];
    struct intake_batch batch = {.items = items, .n = 3};
    struct fault f = {0};
    for (int i = 0; i < 2 * HALF; i++) {
        snprintf(texts[i], sizeof texts[i], "k%d", i);
        names[i] = span_str(texts[i]);
    }
    items[0].params = (struct intake_params){.keywords = names, .keyword_count = HALF};
    items[2].params =
        (struct intake_params){.keywords = names + HALF, .keyword_count = HALF};
    refused(to, &batch, FAULT_LIMIT);
    items[2].params.keywords = names;
    assert_int_equal(intake_commit_all(&batch, to, done, &f), R_OK);
    assert_int_equal(done[1].uid, done[0].uid + 1);
    assert_int_equal(done[2].uid, done[0].uid + 2);
    assert_int_equal(done[0].threadid, done[1].threadid);
}

static void
many_at_once(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 1, "alice");
    struct mailbox_ref inbox = inbox_of(u);
    struct intake_item items[3] = {{.intake = taken(x, FIXTURE_HELLO, false)},
                                   {.intake = taken(x, FIXTURE_ANSWER, true)},
                                   {.intake = taken(x, FIXTURE_HELLO, false)}};
    struct view_info now;
    refused_uids(&inbox, items);
    keywords(&inbox, items);
    look(&inbox, &now);
    assert_int_equal(now.exists, 3);
    for (size_t i = 0; i < 3; i++)
        intake_free(&items[i].intake);
    mail_user_close(&u);
}

// More metadata than one commit takes.
static void
too_many_at_once(struct fixture *x)
{
    enum { MANY = 120 };
    struct mail_user *u = fixture_user(x, 1, "alice");
    struct mailbox_ref inbox = inbox_of(u);
    static struct span names[LIMIT_keywords];
    static struct intake_item items[MANY];
    static struct intake_result done[MANY];
    struct intake_batch batch = {.items = items, .n = MANY};
    struct view_info now;
    struct fault f = {0};
    for (size_t i = 0; i < LIMIT_keywords; i++)
        names[i] = SPAN("same");
    for (size_t i = 0; i < MANY; i++)
        items[i] =
            (struct intake_item){taken(x, FIXTURE_HELLO, false),
                                 {.keywords = names, .keyword_count = LIMIT_keywords}};
    refused(&inbox, &batch, FAULT_LIMIT);
    for (size_t i = 0; i < MANY; i++)
        items[i].params.keyword_count = 1;
    assert_int_equal(intake_commit_all(&batch, &inbox, done, &f), R_OK);
    look(&inbox, &now);
    assert_int_equal(now.exists, MANY);
    for (size_t i = 0; i < MANY; i++)
        intake_free(&items[i].intake);
    mail_user_close(&u);
}

static void
check_sync(struct view *v, uint32_t want_exists, size_t want_expunged)
{
    struct arena *a = arena_new();
    struct view_delta d;
    struct fault f = {0};
    assert_int_equal(view_sync(v, VIEW_EXPUNGE, a, &d, &f), R_OK);
    assert_int_equal(d.exists, want_exists);
    assert_int_equal(d.expunged_count, want_expunged);
    arena_free(&a);
}

static void
one(struct arena *a, uint32_t uid, struct seqset *out)
{
    seqset_init(out, a);
    seqset_add(out, uid);
}

// Within the account and from another one.
static void
replaced(struct fixture *x)
{
    struct mail_user *alice = fixture_user(x, 1, "alice"), *bob = fixture_user(x, 8, "bob");
    struct mailbox_ref hers = inbox_of(alice), his = inbox_of(bob);
    struct intake_item item = {.intake = taken(x, FIXTURE_HELLO, false)};
    struct intake_batch batch = {.items = &item, .n = 1};
    struct intake_result done;
    struct view_info info;
    struct arena *a = arena_new();
    struct seqset set;
    struct fault f = {0};
    assert_int_equal(intake_commit_all(&batch, &hers, &done, &f), R_OK);
    struct view *v = opened(&hers, &info);
    struct selection old = {v, &set, true};
    batch.replaced = &old;
    one(a, done.uid + 5, &set);
    refused(&hers, &batch, FAULT_EXPUNGEISSUED);
    refused(&his, &batch, FAULT_EXPUNGEISSUED);
    one(a, done.uid, &set);
    assert_int_equal(intake_commit_all(&batch, &hers, &done, &f), R_OK);
    check_sync(v, 1, 1);
    refused(&hers, &batch, FAULT_EXPUNGEISSUED);
    one(a, done.uid, &set);
    assert_int_equal(intake_commit_all(&batch, &his, &done, &f), R_OK);
    check_sync(v, 0, 1);
    look(&his, &info);
    assert_int_equal(info.exists, 1);
    view_close(&v);
    arena_free(&a);
    intake_free(&item.intake);
    mail_user_close(&alice);
    mail_user_close(&bob);
}

// Where the mailbox has no room for more keywords a message comes without marks: it is not refused for them.
static void
marks_without_room(struct fixture *x)
{
    static char texts[LIMIT_keywords][8];
    static struct span names[LIMIT_keywords];
    struct mail_user *u = fixture_user(x, 1, "alice");
    struct mailbox_ref inbox = inbox_of(u);
    struct intake_params p = {.keywords = names, .keyword_count = LIMIT_keywords - 1};
    struct view_info info;
    for (int i = 0; i < LIMIT_keywords; i++) {
        snprintf(texts[i], sizeof texts[i], "k%d", i);
        names[i] = span_str(texts[i]);
    }
    mail_marks_set(x->mail, MARK_ATTACHMENT | MARK_NO_ATTACHMENT | MARK_IMPORTED);
    struct intake *in = taken(x, FIXTURE_HELLO, false);
    struct intake_result done;
    struct fault f = {0};
    assert_int_equal(intake_commit(in, &inbox, &p, &done, &f), R_OK);
    p = (struct intake_params){.imported = true};  // two marks, room for none
    assert_int_equal(intake_commit(in, &inbox, &p, &done, &f), R_OK);
    p = (struct intake_params){.keywords = names, .keyword_count = LIMIT_keywords};
    assert_int_equal(intake_commit(in, &inbox, &p, &done, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    struct view *v = opened(&inbox, &info);
    assert_int_equal(info.exists, 2);
    view_close(&v);
    intake_free(&in);
    mail_user_close(&u);
}

// A name that had a UIDVALIDITY from elsewhere, ahead of our clock, gets a greater one when it is made again.
static void
adopted(struct fixture *x)
{
    const uint32_t theirs = LIMIT_import_uid;
    struct mail_user *u = fixture_user(x, 8, "bob");
    struct mailbox_ref box;
    struct view_info info;
    struct fault f = {0};
    assert_int_equal(tree_create(u, SPAN("box"), USE_NONE, &box, &f), R_OK);
    assert_int_equal(intake_adopt(&box, theirs, 1, &f), R_OK);
    look(&box, &info);
    assert_int_equal(info.uidvalidity, theirs);
    assert_int_equal(tree_delete(u, SPAN("box"), &f), R_OK);
    for (uint32_t i = 1; i <= 2; i++) {
        assert_int_equal(tree_create(u, SPAN("box"), USE_NONE, &box, &f), R_OK);
        look(&box, &info);
        assert_int_equal(info.uidvalidity, theirs + i);
        assert_int_equal(tree_delete(u, SPAN("box"), &f), R_OK);
    }
    // one of the past changes nothing
    assert_int_equal(tree_create(u, SPAN("box"), USE_NONE, &box, &f), R_OK);
    assert_int_equal(intake_adopt(&box, 7, 1, &f), R_OK);
    assert_int_equal(tree_create(u, SPAN("other"), USE_NONE, &box, &f), R_OK);
    look(&box, &info);
    assert_int_equal(info.uidvalidity, theirs + 4);
    mail_user_close(&u);
}

// UIDs that a deleted mailbox of this name had given do not come again; a source that knows of all of them keeps its own.
static void
adopted_again(struct fixture *x)
{
    const uint32_t theirs = 77;
    struct mail_user *u = fixture_user(x, 9, "carol");
    struct mailbox_ref box;
    struct fault f = {0};
    assert_int_equal(tree_create(u, SPAN("up/box"), USE_NONE, &box, &f), R_OK);
    assert_int_equal(intake_may_adopt(&box, theirs, 10, &f), R_OK);
    assert_int_equal(intake_adopt(&box, theirs, 15, &f), R_OK);
    assert_int_equal(tree_delete(u, SPAN("up/box"), &f), R_OK);
    assert_int_equal(tree_delete(u, SPAN("up"), &f), R_OK);
    assert_int_equal(tree_create(u, SPAN("up/box"), USE_NONE, &box, &f), R_OK);
    assert_int_equal(intake_may_adopt(&box, theirs, 0, &f), R_NONE);
    assert_int_equal(intake_may_adopt(&box, theirs, 14, &f), R_NONE);
    assert_int_equal(intake_may_adopt(&box, theirs, 15, &f), R_OK);
    assert_int_equal(intake_may_adopt(&box, theirs + 1, 14, &f), R_OK);
    assert_int_equal(tree_create(u, SPAN("other"), USE_NONE, &box, &f), R_OK);
    assert_int_equal(intake_may_adopt(&box, theirs, 14, &f), R_OK);
    mail_user_close(&u);
}

#define TEST(name)                                                                         \
    static void test_##name(void **state)                                                  \
    {                                                                                      \
        (void)state;                                                                       \
        fixture_run(NULL, name);                                                           \
    }
TEST(many_at_once)
TEST(too_many_at_once)
TEST(replaced)
TEST(marks_without_room)
TEST(adopted)
TEST(adopted_again)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_at_once), cmocka_unit_test(test_too_many_at_once),
        cmocka_unit_test(test_replaced),     cmocka_unit_test(test_marks_without_room),
        cmocka_unit_test(test_adopted),      cmocka_unit_test(test_adopted_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
