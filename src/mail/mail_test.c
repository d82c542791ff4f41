#include "base/budget.h"
#include "mail/change.h"
#include "mail/fixture.h"
#include "mail/intake.h"
#include "mail/message.h"
#include "mail/move_intent.h"
#include "mail/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

// ---- memory of mail on its way in ----

// The body is a small part of what the parts of this message take.
static void
put_many_parts(struct buf *b)
{
    buf_put_str(b, "Content-Type: multipart/mixed; boundary=x\r\n\r\n");
    for (int i = 0; i < 5000; i++)
        buf_put_str(b, "--x\r\n\r\n");
}

// A scan that outgrows the budget is refused, and what it took comes back.
static void
hostile_structure(struct fixture *x)
{
    struct intake *in = intake_begin(x->mail);
    struct buf b;
    struct fault f = {0};
    size_t before = budget_used(BUDGET_INTAKE);
    buf_init(&b, 1 << 20);
    put_many_parts(&b);
    budget_limits(SIZE_MAX, budget_total() + (1 << 20));
    enum result r = intake_write(in, buf_span(&b), &f);
    budget_limits(SIZE_MAX, SIZE_MAX);
    assert_int_equal(r, R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    intake_free(&in);
    assert_int_equal(budget_used(BUDGET_INTAKE), before);
    buf_done(&b);
}

// ---- accounts and the tree ----

static void
new_account(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice");
    struct arena *a = arena_new();
    struct tree_entry *e;
    size_t n;
    struct fault f = {0};
    assert_int_equal(tree_list(u, a, &e, &n, &f), R_OK);
    assert_int_equal(n, 6);
    assert_true(span_eq(e[0].name, SPAN("INBOX")));
    for (size_t i = 0; i < n; i++)
        assert_true(e[i].subscribed);
    arena_free(&a);
    mail_user_close(&u);
}

static void
tree_changes(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice");
    struct mailbox_ref r, again;
    struct fault f = {0};
    assert_int_equal(tree_create(u, SPAN("a/b/c"), USE_NONE, &r, &f), R_OK);
    assert_int_equal(tree_create(u, SPAN("a/b"), USE_NONE, &again, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_ALREADYEXISTS);
    assert_int_equal(tree_rename(u, SPAN("a/b"), SPAN("x/y"), &f), R_OK);
    assert_true(fixture_ref(u, "x/y/c").mailbox == r.mailbox);
    assert_int_equal(tree_rename(u, SPAN("x"), SPAN("x/y/z"), &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_CANNOT);
    assert_int_equal(tree_delete(u, SPAN("x/y"), &f), R_OK);
    assert_true(fixture_ref(u, "x/y/c").mailbox == r.mailbox);
    assert_int_equal(mail_access(u, SPAN("x/y"), RIGHT_READ, &again, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_NONEXISTENT);
    assert_int_equal(tree_delete(u, SPAN("x/y"), &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_HASCHILDREN);
    assert_int_equal(tree_create(u, SPAN("x/y"), USE_NONE, &again, &f), R_OK);
    assert_int_equal(tree_delete(u, SPAN("inbox"), &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_CANNOT);
    mail_user_close(&u);
}

static void
names(struct fixture *x)
{
    static const struct {
        const char *name;
        enum result want;
    } rows[] = {
        {"a", R_OK},           {"a/b", R_OK},
        {"a/", R_OK},          {"", R_FAIL},
        {"/", R_FAIL},         {"a//b", R_FAIL},
        {"../x", R_FAIL},      {".", R_FAIL},
        {"a/..", R_FAIL},      {"/etc/passwd", R_FAIL},
        {"a\x01", R_FAIL},     {"\xff", R_FAIL},
        {"a%2f..", R_OK},      {"INBOX/../y", R_FAIL},
        {"~bob", R_OK},        {"e\xcc\x81", R_OK},
        {"a\xc2\x85", R_FAIL}, {"\xe2\x80\xa8", R_FAIL},
    };
    struct arena *a = arena_new();
    struct span clean;
    struct fault f;
    (void)x;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(mail_name_check(a, span_str(rows[i].name), &clean, &f),
                         rows[i].want);
    arena_free(&a);
}

// ---- messages ----

static void
threads(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice");
    struct mailbox_ref inbox = fixture_ref(u, "inbox");
    struct intake_result first = fixture_append(x, &inbox, FIXTURE_HELLO, 0, NULL);
    struct intake_result second = fixture_append(x, &inbox, FIXTURE_ANSWER, 0, NULL);
    struct intake_result third = fixture_append(x, &inbox, FIXTURE_OTHER, 0, NULL);
    assert_true(first.threadid == second.threadid);
    assert_true(first.threadid != third.threadid);
    assert_true(first.emailid != second.emailid);
    assert_int_equal(third.uid, 3);
    mail_user_close(&u);
}

static void
message_back(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice");
    struct mailbox_ref inbox = fixture_ref(u, "INBOX");
    struct view *v;
    struct view_cursor c;
    struct view_message m;
    struct message_cache cache;
    struct fault f = {0};
    char text[sizeof FIXTURE_HELLO];
    size_t n;
    struct arena *a = arena_new();
    fixture_append(x, &inbox, FIXTURE_HELLO, FLAG_SEEN, "Work");
    assert_int_equal(view_open(&inbox, false, NULL, NULL, &v, &f), R_OK);
    assert_int_equal(view_cursor_init(&c, v, NULL, true, &f), R_OK);
    assert_int_equal(view_next(&c, &m, 1, &n, &f), R_OK);
    assert_int_equal(m.row.size, sizeof FIXTURE_HELLO - 1);
    assert_true(m.recent);
    assert_int_equal(message_read(x->mail, &m.row, 0, sizeof FIXTURE_HELLO - 1, text, &f),
                     R_OK);
    assert_memory_equal(text, FIXTURE_HELLO, sizeof FIXTURE_HELLO - 1);
    assert_int_equal(message_cache_load(x->mail, &m.row, a, &cache, &f), R_OK);
    assert_true(span_find(cache.envelope, SPAN("\"Hello\"")) < cache.envelope.n);
    struct span *keywords;
    assert_int_equal(view_keywords(v, m.row.keywords, a, &keywords, &n, &f), R_OK);
    assert_int_equal(n, 1);
    assert_true(span_eq(keywords[0], SPAN("Work")));
    arena_free(&a);
    view_close(&v);
    mail_user_close(&u);
}

static void
to_another_account(struct fixture *x)
{
    struct mail_user *alice = fixture_user(x, 7, "alice"),
                     *bob = fixture_user(x, 8, "bob");  // homes 1 and 0
    struct fault f = {0};
    struct view *v, *w;
    struct view_delta delta;
    struct arena *a = arena_new();
    struct copy_result moved;
    struct seqset all;
    assert_int_equal(
        mail_user_mount(alice, SPAN("Shared/bob"), 8, SPAN("bob"), RIGHTS_ALL, &f), R_OK);
    struct mailbox_ref mine = fixture_ref(alice, "INBOX"),
                       his = fixture_ref(alice, "Shared/bob/INBOX");
    struct intake_result first =
        fixture_append(x, &mine, FIXTURE_HELLO, FLAG_FLAGGED, "Work");
    assert_int_equal(view_open(&mine, false, NULL, NULL, &v, &f), R_OK);
    assert_int_equal(view_open(&his, false, NULL, NULL, &w, &f), R_OK);
    seqset_init(&all, a);
    seqset_add(&all, 1);
    assert_int_equal(
        change_copy(&(struct selection){v, &all, false}, &his, true, a, &moved, &f), R_OK);
    assert_int_equal(moved.count, 1);
    assert_int_equal(view_sync(v, VIEW_EXPUNGE, a, &delta, &f), R_OK);
    assert_int_equal(delta.expunged_count, 1);
    assert_int_equal(delta.exists, 0);
    assert_int_equal(view_sync(w, VIEW_EXPUNGE, a, &delta, &f), R_OK);
    assert_int_equal(delta.exists, 1);
    struct view_cursor c;
    struct view_message m;
    size_t n;
    assert_int_equal(view_cursor_init(&c, w, NULL, true, &f), R_OK);
    assert_int_equal(view_next(&c, &m, 1, &n, &f), R_OK);
    assert_true(m.row.emailid == first.emailid && m.row.threadid == first.threadid);
    assert_int_equal(m.row.flags, FLAG_FLAGGED);
    arena_free(&a);
    view_close(&v);
    view_close(&w);
    mail_user_close(&alice);
    mail_user_close(&bob);
}

// A session is not told of its own change again, however many messages it touches; the others are.
static void
large_change_is_told_once(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 8, "bob");
    struct mailbox_ref inbox = fixture_ref(u, "INBOX");
    struct view *mine, *theirs;
    struct view_delta d;
    struct copy_result copied;
    struct flag_result stored;
    struct flag_change change = {.op = FLAG_OP_ADD, .flags = FLAG_FLAGGED};
    struct fault f = {0};
    struct arena *a = arena_new();
    fixture_append(x, &inbox, FIXTURE_HELLO, 0, NULL);
    assert_int_equal(view_open(&inbox, false, NULL, NULL, &mine, &f), R_OK);
    for (int i = 0; i < 13; i++) {
        struct selection all = {mine, NULL, true};
        assert_int_equal(change_copy(&all, &inbox, false, a, &copied, &f), R_OK);
        assert_int_equal(view_sync(mine, VIEW_EXPUNGE, a, &d, &f), R_OK);
    }
    assert_int_equal(view_open(&inbox, false, NULL, NULL, &theirs, &f), R_OK);
    struct selection all = {mine, NULL, true};
    assert_int_equal(change_flags(&all, &change, a, &stored, &f), R_OK);
    assert_int_equal(stored.count, 8192);
    assert_int_equal(view_sync(mine, VIEW_EXPUNGE, a, &d, &f), R_OK);
    assert_int_equal(d.changed_count, 0);
    assert_int_equal(view_sync(theirs, VIEW_EXPUNGE, a, &d, &f), R_OK);
    assert_int_equal(d.changed_count, 8192);
    arena_free(&a);
    view_close(&mine);
    view_close(&theirs);
    mail_user_close(&u);
}

// ---- sessions against a small model ----

enum { VIEWS = 3, MODEL_MAX = 400, STEPS = 3000 };

struct model_row {
    uint32_t uid;
    uint16_t flags;
    bool work;  // the keyword "Work"
};

struct client {
    struct view *view;
    uint32_t uids[MODEL_MAX];
    uint32_t exists;
};

struct model {
    struct fixture *x;
    struct mailbox_ref ref;
    struct model_row rows[MODEL_MAX];
    uint32_t count, uidnext;
    struct client clients[VIEWS];
    unsigned seed;
};

static unsigned
pick(struct model *m, unsigned n)
{
    m->seed = m->seed * 1103515245u + 12345u;
    return (m->seed >> 16) % n;
}

static struct model_row *
model_find(struct model *m, uint32_t uid)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (m->rows[i].uid == uid)
            return &m->rows[i];
    return NULL;
}

static void
model_remove(struct model *m, uint32_t uid)
{
    struct model_row *r = model_find(m, uid);
    memmove(r, r + 1, (size_t)(m->rows + m->count - r - 1) * sizeof *r);
    m->count--;
}

// What the client knows must be what the view shows, row by row.
static void
compare(struct model *m, struct client *c)
{
    struct view_cursor cursor;
    struct view_message got[16];
    struct fault f = {0};
    uint32_t seq = 0;
    size_t n;
    assert_int_equal(view_exists(c->view), c->exists);
    assert_int_equal(view_cursor_init(&cursor, c->view, NULL, true, &f), R_OK);
    while (view_next(&cursor, got, 16, &n, &f) == R_OK)
        for (size_t i = 0; i < n; i++) {
            struct model_row *row = model_find(m, got[i].row.uid);
            assert_int_equal(got[i].seq, ++seq);
            assert_int_equal(got[i].row.uid, c->uids[seq - 1]);
            assert_int_equal(got[i].expunged, row == NULL);
            if (row)
                assert_int_equal(got[i].row.flags, row->flags);
            if (row)
                assert_int_equal(got[i].row.keywords != 0, row->work);
        }
    assert_int_equal(seq, c->exists);
}

static void
sync_client(struct model *m, struct client *c, bool expunge)
{
    struct arena *a = arena_new();
    struct view_delta d;
    struct fault f = {0};
    assert_int_equal(view_sync(c->view, expunge ? VIEW_EXPUNGE : 0, a, &d, &f), R_OK);
    for (size_t i = 0; i < d.expunged_count; i++) {
        assert_in_range(d.expunged[i], 1, c->exists);
        assert_int_equal(c->uids[d.expunged[i] - 1], d.expunged_uids[i]);
        memmove(c->uids + d.expunged[i] - 1, c->uids + d.expunged[i],
                (c->exists - d.expunged[i]) * sizeof *c->uids);
        c->exists--;
    }
    assert_true(d.exists >= c->exists);
    struct view_cursor cursor;
    struct view_message got;
    size_t n;
    assert_int_equal(view_cursor_init(&cursor, c->view, NULL, true, &f), R_OK);
    cursor.next_seq = c->exists + 1;
    while (view_next(&cursor, &got, 1, &n, &f) == R_OK)
        c->uids[c->exists++] = got.row.uid;
    assert_int_equal(d.exists, c->exists);
    compare(m, c);
    arena_free(&a);
}

static void
op_append(struct model *m)
{
    uint16_t flags = (uint16_t)pick(m, 32);
    bool work = pick(m, 4) == 0;
    if (m->count > 100)
        return;
    struct intake_result r =
        fixture_append(m->x, &m->ref, FIXTURE_HELLO, flags, work ? "Work" : NULL);
    assert_int_equal(r.uid, m->uidnext++);
    m->rows[m->count++] = (struct model_row){r.uid, flags, work};
}

static void
pick_set(struct model *m, struct client *c, struct arena *a, struct seqset *set)
{
    seqset_init(set, a);
    for (unsigned i = 0; i < 1 + pick(m, 5) && c->exists > 0; i++)
        seqset_add(set, 1 + pick(m, c->exists));
}

static void
op_store(struct model *m, struct client *c)
{
    struct arena *a = arena_new();
    struct seqset set;
    struct flag_result result;
    struct fault f = {0};
    struct span work = SPAN("wORK");
    struct flag_change change = {.op = (enum flag_op)pick(m, 3),
                                 .flags = (uint16_t)pick(m, 32),
                                 .keywords = &work,
                                 .keyword_count = pick(m, 2)};
    pick_set(m, c, a, &set);
    assert_int_equal(
        change_flags(&(struct selection){c->view, &set, false}, &change, a, &result, &f),
        R_OK);
    for (uint32_t seq = 1; seq <= c->exists; seq++) {
        struct model_row *r =
            seqset_contains(&set, seq) ? model_find(m, c->uids[seq - 1]) : NULL;
        if (!r)
            continue;
        uint16_t now = change.op == FLAG_OP_SET ? 0 : r->flags;
        r->flags = change.op == FLAG_OP_REMOVE ? now & (uint16_t)~change.flags
                                               : now | change.flags;
        if (change.op == FLAG_OP_SET || change.keyword_count > 0)
            r->work = change.keyword_count > 0 && change.op != FLAG_OP_REMOVE;
    }
    for (size_t i = 0; i < result.count; i++)
        assert_int_equal(result.messages[i].row.flags,
                         model_find(m, result.messages[i].row.uid)->flags);
    arena_free(&a);
}

static void
op_expunge(struct model *m, struct client *c)
{
    struct fault f = {0};
    assert_int_equal(change_expunge(c->view, NULL, &(uint64_t){0}, &f), R_OK);
    for (uint32_t seq = 1; seq <= c->exists; seq++) {
        struct model_row *r = model_find(m, c->uids[seq - 1]);
        if (r && (r->flags & FLAG_DELETED))
            model_remove(m, r->uid);
    }
}

static void
op_copy(struct model *m, struct client *c)
{
    struct arena *a = arena_new();
    struct seqset set;
    struct copy_result result = {0};
    struct fault f = {0};
    if (m->count < 100) {
        pick_set(m, c, a, &set);
        bool move = pick(m, 2);
        struct selection sel = {c->view, &set, false};
        if (change_copy(&sel, &m->ref, move, a, &result, &f) != R_OK)
            assert_int_equal(f.kind, FAULT_EXPUNGEISSUED);
        struct seqset_iter i = {0}, k = {0};
        uint32_t from, to;
        while (seqset_next(&result.source, &i, &from) &&
               seqset_next(&result.target, &k, &to)) {
            m->rows[m->count] = *model_find(m, from);
            m->rows[m->count++].uid = to;
            assert_int_equal(to, m->uidnext++);
            if (move)
                model_remove(m, from);
        }
    }
    arena_free(&a);
}

static void
step(struct model *m)
{
    struct client *c = &m->clients[pick(m, VIEWS)];
    switch (pick(m, 8)) {
    case 0:
    case 1:
        op_append(m);
        break;
    case 2:
    case 3:
        op_store(m, c);
        break;
    case 4:
        op_expunge(m, c);
        break;
    case 5:
        op_copy(m, c);
        break;
    default:
        sync_client(m, c, pick(m, 2));
    }
    compare(m, c);
}

static void
sessions(struct fixture *x)
{
    struct model *m = calloc(1, sizeof *m);
    struct mail_user *u = fixture_user(x, 8, "bob");
    struct fault f = {0};
    m->x = x;
    m->ref = fixture_ref(u, "INBOX");
    m->uidnext = 1;
    m->seed = 42;
    for (int i = 0; i < VIEWS; i++)
        assert_int_equal(view_open(&m->ref, false, NULL, NULL, &m->clients[i].view, &f),
                         R_OK);
    for (int i = 0; i < STEPS; i++)
        step(m);
    for (int i = 0; i < VIEWS; i++)
        sync_client(m, &m->clients[i], true);
    for (int i = 0; i < VIEWS; i++)
        view_close(&m->clients[i].view);
    mail_user_close(&u);
    free(m);
}

#define TEST(name)                                                                         \
    static void test_##name(void **state)                                                  \
    {                                                                                      \
        (void)state;                                                                       \
        fixture_run(NULL, name);                                                           \
    }
TEST(hostile_structure)
TEST(new_account)
TEST(tree_changes)
TEST(names)
TEST(threads)
TEST(message_back)
TEST(to_another_account)
TEST(large_change_is_told_once)
TEST(sessions)

// Caches written before hold BODY itself.
// An intent is one stored value: one that could not be read again is refused. Every second message of the largest mailbox
// is no such case.
static void
intents(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 8, "alice");
    struct account *account = fixture_ref(u, "INBOX").account;
    struct move_intent i = {.source = 8, .target = 9};
    struct arena *a = arena_new();
    struct seqset many, sparse;
    struct fault f;
    seqset_init(&many, a);
    seqset_init(&sparse, a);
    for (uint32_t n = 0; n < 1000000; n++)
        seqset_add(&many, 1 + 2 * n);
    for (uint32_t n = 0; n < 2000000; n++)
        seqset_add(&sparse, 1 + 2000 * n);
    assert_int_equal(move_begin(account, 1, &many, &i, &f), R_OK);
    move_abandon(account, &i);
    assert_int_equal(move_begin(account, 1, &sparse, &i, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    arena_free(&a);
    mail_user_close(&u);
}

static void
test_intents(void **state)
{
    (void)state;
    fixture_run(NULL, intents);
}

static void
test_cache_versions(void **state)
{
    (void)state;
    static const char old[] = "\3\1\1\2\1\3sebbixyz";
    static const char new[] = "\4\1\1\2\1\2sebbi\1\1";
    struct message_cache c;
    struct fault f;
    struct buf body;
    buf_init(&body, 64);
    assert_int_equal(message_cache_get(span_of(old, sizeof old - 1), &c), R_OK);
    assert_int_equal(message_cache_body(&body, &c, &f), R_OK);
    assert_true(span_eq(buf_span(&body), SPAN("xyz")));
    buf_reset(&body);
    assert_int_equal(message_cache_get(span_of(new, sizeof new - 1), &c), R_OK);
    assert_int_equal(message_cache_body(&body, &c, &f), R_OK);
    assert_true(span_eq(buf_span(&body), SPAN("b")));
    c.extensions = SPAN("\1\2");
    assert_int_equal(message_cache_body(&body, &c, &f), R_FAIL);
    assert_int_equal(message_cache_get(SPAN("\5\0\0\0\0\0"), &c), R_FAIL);
    buf_done(&body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_structure),
        cmocka_unit_test(test_new_account),
        cmocka_unit_test(test_tree_changes),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_message_back),
        cmocka_unit_test(test_to_another_account),
        cmocka_unit_test(test_large_change_is_told_once),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_intents),
        cmocka_unit_test(test_cache_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
