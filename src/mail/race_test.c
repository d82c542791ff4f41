#include "mail/change.h"
#include "mail/fixture.h"
#include "mail/home.h"
#include "mail/intake.h"
#include "mail/tree.h"

#include "base/limits.h"
#include "io/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>

// What goes on while a call is suspended. Account 8 is at home where the tests run.

static const char text[] = "Message-ID: <1@a>\r\nSubject: Hello\r\n\r\nbody\r\n";

struct scene {
    struct fixture *x;
    struct mail_user *user;
    struct mailbox_ref ref;
    struct account *account;
    struct arena *arena;
};

static struct scene
scene_new(struct fixture *x, const char *name)
{
    struct scene s = {.x = x, .arena = arena_new()};
    struct fault f = {0};
    assert_int_equal(mail_user_open(x->mail, 8, SPAN("bob"), &s.user, &f), R_OK);
    if (mail_access(s.user, span_str(name), 0, &s.ref, &f) != R_OK)
        assert_int_equal(tree_create(s.user, span_str(name), USE_NONE, &s.ref, &f), R_OK);
    s.account = s.ref.account;
    return s;
}

static void
scene_done(struct scene *s)
{
    mail_user_close(&s->user);
    arena_free(&s->arena);
}

static void
append(struct scene *s)
{
    struct intake *in = intake_begin(s->x->mail);
    struct intake_result result;
    struct intake_params p = {0};
    struct fault f = {0};
    assert_int_equal(intake_write(in, span_str(text), &f), R_OK);
    assert_int_equal(intake_finish(in, &f), R_OK);
    assert_int_equal(intake_commit(in, &s->ref, &p, &result, &f), R_OK);
    intake_free(&in);
}

static struct view *
view(struct scene *s, bool read_only)
{
    struct view *v;
    struct fault f = {0};
    assert_int_equal(view_open(&s->ref, read_only, NULL, NULL, &v, &f), R_OK);
    return v;
}

static struct view_delta
sync_view(struct scene *s, struct view *v, unsigned flags)
{
    struct view_delta d;
    struct fault f = {0};
    assert_int_equal(view_sync(v, flags, s->arena, &d, &f), R_OK);
    return d;
}

// 2^doublings messages, and a view of them.
static struct view *
fill(struct scene *s, unsigned doublings)
{
    append(s);
    struct view *v = view(s, false);
    struct copy_result copied;
    struct fault f = {0};
    for (unsigned i = 0; i < doublings; i++) {
        assert_int_equal(change_copy(&(struct selection){v, NULL, true}, &s->ref, false,
                                     s->arena, &copied, &f),
                         R_OK);
        sync_view(s, v, VIEW_EXPUNGE);
    }
    assert_int_equal(view_exists(v), 1u << doublings);
    return v;
}

static void
store(struct scene *s, struct view *v, const struct seqset *set, uint16_t flags)
{
    struct flag_change change = {.op = FLAG_OP_ADD, .flags = flags};
    struct flag_result result;
    struct fault f = {0};
    assert_int_equal(
        change_flags(&(struct selection){v, set, true}, &change, s->arena, &result, &f),
        R_OK);
}

static struct seqset
set_of(struct scene *s, uint32_t first, uint32_t last)
{
    struct seqset set;
    seqset_init(&set, s->arena);
    seqset_add_range(&set, first, last);
    return set;
}

static void
drop_table(struct scene *s)
{
    state_table_drop(state_mailbox(account_state(s->account), s->ref.mailbox));
}

// ---- tests ----

struct recent_call {
    struct scene *scene;
    struct tree_entry entry;
    bool done;
};

static void
recent_run(void *arg)
{
    struct recent_call *c = arg;
    struct fault f = {0};
    if (tree_recent(c->scene->user, &c->entry, &f) == R_FAIL)
        fault_abort(f.why, __FILE__, __LINE__);
    c->done = true;
}

// Applied at once, as when another task's commit is done.
static void
apply_gone(struct scene *s)
{
    struct record_mailbox_gone gone = {s->ref.mailbox, change_modseq(s->account), 1};
    struct buf meta;
    buf_init(&meta, 64);
    record_mailbox_gone_put(&meta, &gone);
    account_apply(s->account, RECORD_MAILBOX_GONE, buf_span(&meta),
                  (struct record_place){account_state(s->account)->applied + 1, 0});
    buf_done(&meta);
}

// The table is on its way while the mailbox is deleted.
static void
deleted_while_loading(struct fixture *x)
{
    struct scene s = scene_new(x, "box");
    struct recent_call c = {&s, {.name = SPAN("box"), .mailbox = s.ref.mailbox}, false};
    append(&s);
    struct view *v = view(&s, false);
    view_close(&v);
    append(&s);
    const struct mailbox_state *m = state_mailbox(account_state(s.account), s.ref.mailbox);
    while (m->recent_mark != 2 || s.account->committing)
        task_sleep(1);
    drop_table(&s);
    task_start(recent_run, &c);
    assert_false(c.done);
    apply_gone(&s);
    while (!c.done)
        task_sleep(1);
    assert_int_equal(c.entry.recent, 0);
    scene_done(&s);
}

struct store_call {
    struct scene *scene;
    struct view *view;
    const struct seqset *set;
    uint16_t flags;
    bool done;
};

static void
store_run(void *arg)
{
    struct store_call *c = arg;
    store(c->scene, c->view, c->set, c->flags);
    c->done = true;
}

// Two changes of one batch: the first addresses very many messages, and changes a few.
static void
two_changes_of_many(struct fixture *x)
{
    struct scene s = scene_new(x, "INBOX");
    struct view *v = fill(&s, 13);
    struct seqset one = set_of(&s, 1, 1), most = set_of(&s, 101, 8192);
    store(&s, v, &most, FLAG_SEEN);
    struct store_call c[] = {{&s, v, &one, FLAG_DRAFT, false},
                             {&s, v, NULL, FLAG_SEEN, false},
                             {&s, v, NULL, FLAG_FLAGGED, false}};
    for (int i = 0; i < 3; i++)
        task_start(store_run, &c[i]);
    assert_true(s.account->committing);
    while (!c[0].done || !c[1].done || !c[2].done)
        task_sleep(1);
    const struct mailbox_state *m = state_mailbox(account_state(s.account), s.ref.mailbox);
    assert_true(m->loaded);
    assert_int_equal(m->counts.unseen, 0);
    for (uint32_t i = 0; i < m->counts.exists; i++)
        assert_int_equal(m->rows[i].flags & (FLAG_SEEN | FLAG_FLAGGED),
                         FLAG_SEEN | FLAG_FLAGGED);
    view_close(&v);
    scene_done(&s);
}

// A change that does not fit into a record is refused, whole.
static void
change_too_big(struct fixture *x)
{
    struct scene s = scene_new(x, "INBOX");
    struct view *v = fill(&s, 15);
    struct span names[LIMIT_keywords];
    struct seqset odd;
    struct flag_result result;
    struct fault f = {0};
    seqset_init(&odd, s.arena);
    for (uint32_t uid = 1; uid <= 32768; uid += 2)
        seqset_add(&odd, uid);
    for (unsigned i = 0; i < LIMIT_keywords; i++) {
        char *name = arena_alloc(s.arena, 8);
        snprintf(name, 8, "k%u", i);
        names[i] = span_str(name);
    }
    struct flag_change all = {
        .op = FLAG_OP_ADD, .keywords = names, .keyword_count = LIMIT_keywords};
    struct selection some = {v, &odd, true}, every = {v, NULL, true};
    assert_int_equal(change_flags(&some, &all, s.arena, &result, &f), R_OK);
    struct flag_change seen = {.op = FLAG_OP_ADD, .flags = FLAG_SEEN};
    assert_int_equal(change_flags(&every, &seen, s.arena, &result, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    struct copy_result copied;
    struct mailbox_ref sent;
    assert_int_equal(mail_access(s.user, SPAN("Sent"), 0, &sent, &f), R_OK);
    assert_int_equal(change_copy(&every, &sent, true, s.arena, &copied, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    assert_int_equal(tree_rename(s.user, SPAN("INBOX"), SPAN("Old"), &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    assert_int_equal(mail_access(s.user, SPAN("Old"), 0, &sent, &f), R_FAIL);
    const struct mailbox_state *m = state_mailbox(account_state(s.account), s.ref.mailbox);
    assert_int_equal(m->counts.unseen, 32768);
    assert_int_equal(m->counts.exists, 32768);
    view_close(&v);
    scene_done(&s);
}

static void
recent_of_examine(struct fixture *x)
{
    struct scene s = scene_new(x, "INBOX");
    append(&s);
    append(&s);
    struct view *v = view(&s, true);
    append(&s);
    assert_int_equal(sync_view(&s, v, VIEW_EXPUNGE).recent, 3);
    append(&s);
    assert_int_equal(sync_view(&s, v, VIEW_EXPUNGE).recent, 4);
    view_close(&v);
    scene_done(&s);
}

// What a session has taken is recent to nobody, also while the mark is on its way to the disk.
static void
recent_of_status(struct fixture *x)
{
    struct scene s = scene_new(x, "INBOX");
    struct tree_entry e = {.name = SPAN("INBOX"), .mailbox = s.ref.mailbox};
    struct fault f;
    append(&s);
    assert_int_equal(tree_recent(s.user, &e, &f), R_OK);
    assert_int_equal(e.recent, 1);
    struct view *v = view(&s, false);
    assert_true(state_mailbox(account_state(s.account), s.ref.mailbox)->recent_mark < 2);
    assert_int_equal(tree_recent(s.user, &e, &f), R_OK);
    assert_int_equal(e.recent, 0);
    view_close(&v);
    scene_done(&s);
}

// A message comes and goes while the view may only be told of the first.
static void
recent_of_expunged(struct fixture *x)
{
    struct scene s = scene_new(x, "INBOX");
    struct fault f = {0};
    append(&s);
    struct view *v = view(&s, false), *w = view(&s, false);
    append(&s);
    sync_view(&s, w, VIEW_EXPUNGE);
    struct seqset second = set_of(&s, 2, 2);
    store(&s, w, &second, FLAG_DELETED);
    assert_int_equal(change_expunge(w, NULL, &(uint64_t){0}, &f), R_OK);
    append(&s);
    struct view_delta d = sync_view(&s, v, 0);
    assert_int_equal(d.exists, 3);
    assert_in_range(d.recent, 1, 3);
    d = sync_view(&s, v, VIEW_EXPUNGE);
    assert_int_equal(d.exists, 2);
    assert_in_range(d.recent, 1, 2);
    view_close(&v);
    view_close(&w);
    scene_done(&s);
}

static void
keyword(struct scene *s, struct view *v, uint32_t uid, const char *name)
{
    struct span k = span_str(name);
    struct flag_change change = {.op = FLAG_OP_SET, .keywords = &k, .keyword_count = 1};
    struct seqset set = set_of(s, uid, uid);
    struct flag_result result;
    struct fault f = {0};
    assert_int_equal(
        change_flags(&(struct selection){v, &set, true}, &change, s->arena, &result, &f),
        R_OK);
}

// A set of keywords keeps its number in a view when the table is dropped and loaded again.
static void
keyword_sets_stay(struct fixture *x)
{
    struct scene s = scene_new(x, "INBOX");
    struct view *v = fill(&s, 1);
    struct view_cursor c;
    struct view_message m[2];
    struct span *names;
    size_t n;
    struct fault f = {0};
    keyword(&s, v, 2, "second");
    keyword(&s, v, 1, "first");
    assert_int_equal(view_cursor_init(&c, v, NULL, true, &f), R_OK);
    assert_int_equal(view_next(&c, m, 2, &n, &f), R_OK);
    assert_int_equal(store_checkpoint(x->store, &f), R_OK);
    drop_table(&s);
    assert_int_equal(view_keywords(v, m[1].row.keywords, s.arena, &names, &n, &f), R_OK);
    assert_int_equal(n, 1);
    assert_true(span_eq(names[0], SPAN("second")));
    view_close(&v);
    scene_done(&s);
}

static void
expunge(struct scene *s, struct view *v, uint32_t first, uint32_t last)
{
    struct seqset set = set_of(s, first, last);
    struct fault f = {0};
    store(s, v, &set, FLAG_DELETED);
    assert_int_equal(change_expunge(v, &set, &(uint64_t){0}, &f), R_OK);
    sync_view(s, v, VIEW_EXPUNGE);
}

static void
check_vanished(struct scene *s, struct view *v, uint64_t since, uint32_t first,
               uint32_t last)
{
    struct seqset gone;
    struct fault f = {0};
    assert_int_equal(view_vanished(v, since, NULL, s->arena, &gone, &f), R_OK);
    assert_int_equal(gone.count, 1);
    assert_int_equal(gone.ranges[0].first, first);
    assert_int_equal(gone.ranges[0].last, last);
}

static bool
is_unfolded(struct scene *s)
{
    struct store_stats st;
    store_stats_get(s->x->store, &st);
    return st.unfolded_bytes > 0;
}

// What was expunged is told although it is not in the index, and nobody waits until it is.
static void
vanished_before_the_fold(struct fixture *x)
{
    struct scene s = scene_new(x, "INBOX");
    struct view *v = fill(&s, 6);
    struct view_info info;
    struct fault f = {0};
    view_info(v, &info);
    expunge(&s, v, 1, 5);
    uint64_t half = (view_info(v, &info), info.modseq), since = half - 1;
    check_vanished(&s, v, since, 1, 5);
    assert_true(is_unfolded(&s));
    assert_int_equal(store_checkpoint(x->store, &f), R_OK);
    check_vanished(&s, v, since, 1, 5);
    expunge(&s, v, 6, 9);
    check_vanished(&s, v, since, 1, 9);
    check_vanished(&s, v, half, 6, 9);
    assert_true(is_unfolded(&s));
    view_close(&v);
    scene_done(&s);
}

// ---- a large record is applied while others read ----

enum { MANY = 13, /* doublings */ WRITER_ACCOUNT = 8 };

struct writer {
    struct scene *scene;
    struct view *view;
    bool over;
};

static void
write_run(void *arg)
{
    struct writer *w = arg;
    struct fault f = {0};
    for (unsigned round = 0; round < 6; round++) {
        struct flag_change change = {.op = round % 2 ? FLAG_OP_REMOVE : FLAG_OP_ADD,
                                     .flags = FLAG_DELETED};
        struct flag_result result;
        struct arena *a = arena_new();
        assert_int_equal(
            change_flags(&(struct selection){w->view, NULL, true}, &change, a, &result, &f),
            R_OK);
        arena_free(&a);
    }
    store(w->scene, w->view, NULL, FLAG_DELETED);
    assert_int_equal(change_expunge(w->view, NULL, &(uint64_t){0}, &f), R_OK);
    w->over = true;
}

// Each batch is read in one go: its rows are all of one state.
static size_t
read_all(struct scene *s, struct view *v, struct view_message *room, size_t max)
{
    struct view_cursor c;
    struct fault f = {0};
    size_t n = 0, total = 0;
    enum result r;
    assert_int_equal(view_cursor_init(&c, v, NULL, true, &f), R_OK);
    while ((r = view_next(&c, room, max, &n, &f)) == R_OK) {
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(room[i].seq, total + i + 1);
            assert_int_equal(room[i].row.flags, room[0].row.flags);
            assert_int_equal(room[i].row.uid, total + i + 1);
        }
        total += n;
    }
    assert_int_equal(r, R_NONE);
    (void)s;
    return total;
}

static void
read_while_applied(struct fixture *x)
{
    struct scene s = scene_new(x, "INBOX");
    struct view *v = fill(&s, MANY), *reader = view(&s, true);
    struct writer w = {&s, v, false};
    struct view_message *room = calloc(65536, sizeof *room);
    unsigned met = 0;
    must(room != NULL);
    task_test_yield(true);
    task_start_for(WRITER_ACCOUNT, write_run, &w);  // in turns with this one
    for (unsigned i = 0; !w.over; i++) {
        while (!s.account->applying && !w.over)
            task_yield();
        met += s.account->applying != NULL;
        assert_int_equal(read_all(&s, reader, room, 65536), 1u << MANY);
        if (i % 4 == 3)
            sync_view(&s, reader, 0);
        task_yield();
    }
    task_test_yield(false);
    assert_true(met > 0);
    struct view_delta d = sync_view(&s, reader, VIEW_EXPUNGE);
    assert_int_equal(d.expunged_count, 1u << MANY);
    assert_int_equal(d.exists, 0);
    free(room);
    view_close(&v);
    view_close(&reader);
    scene_done(&s);
}

// A user's account leaves memory although the last thing that used it was a change that nobody waited for.
static void
leaves_memory(struct fixture *x)
{
    struct scene s = scene_new(x, "INBOX");
    append(&s);
    struct view *v = view(&s, false);
    struct account *a = s.account;
    view_close(&v);
    scene_done(&s);
    while (a->use.refs > 0 || a->committing)
        task_sleep(1);
    assert_true(timer_is_set(&a->idle));
}

#define TEST(name)                                                                         \
    static void test_##name(void **state)                                                  \
    {                                                                                      \
        (void)state;                                                                       \
        fixture_run_on_disk(name);                                                         \
    }
TEST(deleted_while_loading)
TEST(two_changes_of_many)
TEST(change_too_big)
TEST(recent_of_examine)
TEST(recent_of_status)
TEST(recent_of_expunged)
TEST(keyword_sets_stay)
TEST(leaves_memory)
TEST(read_while_applied)
TEST(vanished_before_the_fold)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deleted_while_loading),
        cmocka_unit_test(test_two_changes_of_many),
        cmocka_unit_test(test_change_too_big),
        cmocka_unit_test(test_recent_of_examine),
        cmocka_unit_test(test_recent_of_status),
        cmocka_unit_test(test_recent_of_expunged),
        cmocka_unit_test(test_keyword_sets_stay),
        cmocka_unit_test(test_leaves_memory),
        cmocka_unit_test(test_read_while_applied),
        cmocka_unit_test(test_vanished_before_the_fold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
