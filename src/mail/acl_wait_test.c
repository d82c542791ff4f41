// What others do while a change waits for its turn, or shares a batch with it.

#include "mail/acl.h"

#include "base/limits.h"
#include "io/task.h"
#include "mail/acl_fold.h"
#include "mail/fixture.h"
#include "mail/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { ALICE = 8, BOB = 9 };

static void
set(const struct mailbox_ref *ref, const char *identifier, enum acl_op op, uint32_t rights)
{
    struct acl_change change = {span_str(identifier), op, rights, 0, 0};
    struct fault f;
    assert_int_equal(acl_change(ref, &change, &f), R_OK);
}

// ---- a right is revoked while a command waits for its turn ----

struct revocation {
    const struct mailbox_ref *ref;
    bool done;
};

static enum result
revoke_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct revocation *r = arg;
    (void)f;
    acl_put(a, b, r->ref->mailbox,
            &(struct acl_entry){SPAN("bob"), RIGHT_LOOKUP | RIGHT_READ});
    return R_OK;
}

static void
revoke_run(void *arg)
{
    struct revocation *r = arg;
    struct fault f;
    assert_int_equal(
        account_change(r->ref->account, revoke_change, r, CHANGE_ALONE, NULL, &f), R_OK);
    r->done = true;
}

struct waiting {
    struct fixture *x;
    struct view *view;             // of INBOX
    const struct mailbox_ref *to;  // another mailbox of the account
    struct arena *arena;
};

static enum result
store_flags(struct waiting *w, struct fault *f)
{
    struct flag_change change = {.op = FLAG_OP_ADD, .flags = FLAG_FLAGGED};
    struct flag_result out;
    return change_flags(&(struct selection){w->view, NULL, true}, &change, w->arena, &out,
                        f);
}

static enum result
expunge(struct waiting *w, struct fault *f)
{
    return change_expunge(w->view, NULL, &(uint64_t){0}, f);
}

static enum result
copy(struct waiting *w, struct fault *f)
{
    struct copy_result out;
    return change_copy(&(struct selection){w->view, NULL, true}, w->to, false, w->arena,
                       &out, f);
}

static enum result
move(struct waiting *w, struct fault *f)
{
    struct copy_result out;
    return change_copy(&(struct selection){w->view, NULL, true}, w->to, true, w->arena,
                       &out, f);
}

static enum result
intake(struct waiting *w, const struct selection *replaced, struct fault *f)
{
    struct intake *in = intake_begin(w->x->mail);
    struct intake_item item = {in, {0}};
    struct intake_batch batch = {.items = &item, .n = 1, .replaced = replaced};
    struct intake_result out;
    assert_int_equal(intake_write(in, SPAN(FIXTURE_OTHER), f), R_OK);
    assert_int_equal(intake_finish(in, f), R_OK);
    enum result r = intake_commit_all(&batch, w->to, &out, f);
    intake_free(&in);
    return r;
}

static enum result
append(struct waiting *w, struct fault *f)
{
    return intake(w, NULL, f);
}

static enum result
replace(struct waiting *w, struct fault *f)
{
    return intake(w, &(struct selection){w->view, NULL, true}, f);
}

static uint32_t
exists(const struct mailbox_ref *ref)
{
    return state_mailbox(account_state(ref->account), ref->mailbox)->counts.exists;
}

// It may when it begins; what revokes the right is before it in the queue.
static void
revoked(struct fixture *x)
{
    static const struct {
        enum result (*act)(struct waiting *w, struct fault *f);
        bool target;  // of which mailbox the rights are revoked
    } rows[] = {{store_flags, false}, {expunge, false}, {move, false}, {replace, false},
                {copy, true},         {move, true},     {append, true}};
    const uint32_t all = RIGHTS_ALL & ~RIGHT_ADMIN;
    struct mail_user *alice = fixture_user(x, ALICE, "alice"),
                     *bob = fixture_user(x, BOB, "bob");
    struct mailbox_ref inbox = fixture_ref(alice, "INBOX"), box, theirs, to;
    struct waiting w = {.x = x, .to = &to, .arena = arena_new()};
    struct view_info info;
    struct fault f;
    assert_int_equal(tree_create(alice, SPAN("box"), USE_NONE, &box, &f), R_OK);
    (void)fixture_append(x, &inbox, FIXTURE_HELLO, FLAG_DELETED, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct revocation r = {rows[i].target ? &box : &inbox, false};
        set(&inbox, "bob", ACL_SET, all);
        set(&box, "bob", ACL_SET, all);
        theirs = fixture_ref(bob, "Shared/alice/INBOX");
        to = fixture_ref(bob, "Shared/alice/box");
        assert_int_equal(view_open(&theirs, false, NULL, NULL, &w.view, &f), R_OK);
        task_start(revoke_run, &r);
        view_info(w.view, &info);
        assert_int_equal(info.rights, all);
        assert_false(r.done);
        assert_int_equal(rows[i].act(&w, &f), R_FAIL);
        assert_int_equal(f.kind, FAULT_NOPERM);
        assert_true(r.done);
        assert_int_equal(exists(&inbox), 1);
        assert_int_equal(exists(&box), 0);
        assert_int_equal(
            state_mailbox(account_state(inbox.account), inbox.mailbox)->counts.deleted, 1);
        view_close(&w.view);
    }
    arena_free(&w.arena);
    mail_user_close(&bob);
    mail_user_close(&alice);
}

// ---- a mark of another's that is in the same batch as a MOVE ----

struct marking {
    struct view *view;
    struct arena *arena;
    bool done;
};

static void
mark_run(void *arg)
{
    struct marking *m = arg;
    struct flag_change change = {.op = FLAG_OP_ADD, .flags = FLAG_SEEN};
    struct flag_result out;
    struct fault f;
    assert_int_equal(
        change_flags(&(struct selection){m->view, NULL, true}, &change, m->arena, &out, &f),
        R_OK);
    m->done = true;
}

// The first that the mailbox ever had, and one more.
static void
marked_and_moved(struct fixture *x)
{
    struct mail_user *alice = fixture_user(x, ALICE, "alice"),
                     *bob = fixture_user(x, BOB, "bob");
    struct mailbox_ref inbox = fixture_ref(alice, "INBOX"), box, other, theirs;
    struct waiting w = {.x = x, .to = &box, .arena = arena_new()};
    struct view_info info;
    struct fault f;
    assert_int_equal(tree_create(alice, SPAN("box"), USE_NONE, &box, &f), R_OK);
    assert_int_equal(tree_create(alice, SPAN("other"), USE_NONE, &other, &f), R_OK);
    set(&inbox, "bob", ACL_SET, RIGHTS_ALL & ~RIGHT_ADMIN);
    set(&box, "bob", ACL_SET, RIGHTS_ALL & ~RIGHT_ADMIN);
    for (int i = 0; i < 2; i++) {
        struct revocation first = {&other, false};
        struct marking mark = {.arena = arena_new()};
        (void)fixture_append(x, &inbox, FIXTURE_HELLO, 0, NULL);
        theirs = fixture_ref(bob, "Shared/alice/INBOX");
        assert_int_equal(view_open(&theirs, false, NULL, NULL, &mark.view, &f), R_OK);
        assert_int_equal(view_open(&inbox, false, NULL, NULL, &w.view, &f), R_OK);
        task_start(revoke_run, &first);
        task_start(mark_run, &mark);
        assert_int_equal(move(&w, &f), R_OK);
        assert_true(first.done);
        while (!mark.done)
            task_sleep(1);
        view_close(&w.view);
        view_close(&mark.view);
        theirs = fixture_ref(bob, "Shared/alice/box");
        assert_int_equal(view_open(&theirs, true, NULL, NULL, &w.view, &f), R_OK);
        view_info(w.view, &info);
        assert_int_equal(info.exists, i + 1);
        assert_int_equal(info.first_unseen, 0);
        view_close(&w.view);
        arena_free(&mark.arena);
    }
    arena_free(&w.arena);
    mail_user_close(&bob);
    mail_user_close(&alice);
}

// ---- a change of marks behind one that was refused, in the same batch ----

static void
late_run(void *arg)
{
    struct marking *m = arg;
    while (!m->view->account->committing)
        task_yield();
    mark_run(arg);
}

// Every message has all keywords, and one is in the other mailbox already.
static void
fill_too_much(struct fixture *x, const struct mailbox_ref *inbox,
              const struct mailbox_ref *box, struct arena *arena)
{
    enum { DOUBLINGS = 15 };
    struct span names[LIMIT_keywords];
    struct flag_change change = {.op = FLAG_OP_ADD, .keywords = names};
    struct view *v;
    struct view_delta d;
    struct seqset first;
    struct flag_result flags;
    struct copy_result copied;
    struct fault f;
    (void)fixture_append(x, inbox, FIXTURE_HELLO, 0, NULL);
    for (; change.keyword_count < LIMIT_keywords; change.keyword_count++) {
        char *name = arena_alloc(arena, 8);
        snprintf(name, 8, "k%zu", change.keyword_count);
        names[change.keyword_count] = span_str(name);
    }
    assert_int_equal(view_open(inbox, false, NULL, NULL, &v, &f), R_OK);
    struct selection all = {v, NULL, true};
    for (int i = 0; i < DOUBLINGS; i++) {
        assert_int_equal(change_copy(&all, inbox, false, arena, &copied, &f), R_OK);
        assert_int_equal(view_sync(v, VIEW_EXPUNGE, arena, &d, &f), R_OK);
    }
    assert_int_equal(change_flags(&all, &change, arena, &flags, &f), R_OK);
    seqset_init(&first, arena);
    seqset_add(&first, 1);
    all.set = &first;
    assert_int_equal(change_copy(&all, box, false, arena, &copied, &f), R_OK);
    view_close(&v);
}

// The part of the copy that fitted has put marks into the batch, and was taken out of it again.
static void
refused_and_marked(struct fixture *x)
{
    struct mail_user *alice = fixture_user(x, ALICE, "alice"),
                     *bob = fixture_user(x, BOB, "bob");
    struct mailbox_ref inbox = fixture_ref(alice, "INBOX"), box, theirs, to;
    struct waiting w = {.x = x, .to = &to, .arena = arena_new()};
    struct marking mark = {.arena = arena_new()};
    struct fault f;
    assert_int_equal(tree_create(alice, SPAN("box"), USE_NONE, &box, &f), R_OK);
    set(&inbox, "bob", ACL_SET, RIGHTS_ALL & ~RIGHT_ADMIN);
    set(&box, "bob", ACL_SET, RIGHTS_ALL & ~RIGHT_ADMIN);
    fill_too_much(x, &inbox, &box, w.arena);
    theirs = fixture_ref(bob, "Shared/alice/INBOX");
    to = fixture_ref(bob, "Shared/alice/box");
    assert_int_equal(view_open(&theirs, false, NULL, NULL, &mark.view, &f), R_OK);
    mark_run(&mark);
    view_close(&mark.view);
    assert_int_equal(view_open(&theirs, false, NULL, NULL, &w.view, &f), R_OK);
    assert_int_equal(view_open(&to, false, NULL, NULL, &mark.view, &f), R_OK);
    mark.done = false;
    while (inbox.account->committing)
        task_sleep(1);
    task_start(late_run, &mark);
    assert_int_equal(copy(&w, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    while (!mark.done)
        task_sleep(1);
    assert_int_equal(exists(&box), 1);
    view_close(&w.view);
    view_close(&mark.view);
    arena_free(&mark.arena);
    arena_free(&w.arena);
    mail_user_close(&bob);
    mail_user_close(&alice);
}

static void
test_refused_and_marked(void **state)
{
    (void)state;
    fixture_run_on_disk(refused_and_marked);
}

static void
test_marked_and_moved(void **state)
{
    (void)state;
    fixture_run_on_disk(marked_and_moved);
}

static void
test_revoked(void **state)
{
    (void)state;
    fixture_run_on_disk(revoked);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_marked_and_moved),
        cmocka_unit_test(test_refused_and_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
