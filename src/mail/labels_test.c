#include "mail/fixture.h"
#include "mail/home.h"
#include "mail/label_index.h"
#include "mail/label_mode.h"
#include "mail/labels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { FOLDERS = 4, STEPS = 600 };
static const char *const names[FOLDERS] = {"INBOX", "a", "b", "c"};

static uint32_t
pick(uint32_t *seed, uint32_t n)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 8) % n;
}

static struct view *
open_folder(struct mail_user *u, const char *name)
{
    struct mailbox_ref ref = fixture_ref(u, name);
    struct view *v;
    struct fault f;
    assert_int_equal(view_open(&ref, false, NULL, NULL, &v, &f), R_OK);
    return v;
}

// ---- the index tells what the tables tell ----

static size_t
copies_in(const struct mailbox_state *m, uint64_t emailid, uint32_t *uid_out)
{
    size_t n = 0;
    for (uint32_t i = 0; i < m->counts.exists; i++)
        if (m->rows[i].emailid == emailid) {
            *uid_out = m->rows[i].uid;
            n++;
        }
    return n;
}

static void
compare_message(struct account *a, uint64_t emailid)
{
    size_t places = 0, expected = 0;
    uint32_t uid = 0;
    for (const struct label_place *p = label_places(a, emailid); p;
         p = label_places_next(a, p)) {
        const struct mailbox_state *m =
            state_mailbox(account_state(a), label_slot_mailbox(a, p->slot));
        assert_non_null(m);
        assert_int_equal(p->emailid, emailid);
        assert_int_equal(p->count, copies_in(m, emailid, &uid));
        if (p->count == 1 && p->uid != 0)
            assert_int_equal(p->uid, uid);
        assert_true(label_held(a, emailid, m->id));
        places++;
    }
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++)
        expected += copies_in(account_state(a)->mailboxes[i], emailid, &uid) > 0;
    assert_int_equal(places, expected);
}

struct check {
    struct account *account;
    struct fault f;
};

static void
compare_run(void *arg)
{
    struct check *c = arg;
    struct account *a = c->account;
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++)
        assert_int_equal(
            mailbox_load(a, mailbox_of(a, account_state(a)->mailboxes[i]->id), &c->f),
            R_OK);
    assert_int_equal(label_index_ready(a, &c->f), R_OK);
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++)
        for (uint32_t k = 0; k < account_state(a)->mailboxes[i]->counts.exists; k++)
            compare_message(a, account_state(a)->mailboxes[i]->rows[k].emailid);
}

static void
compare(struct mail_user *u)
{
    struct check c = {.account = mail_user_account(u)};
    account_run(c.account, compare_run, &c);
}

static void
forget_run(void *arg)
{
    label_index_drop(arg, UINT64_MAX, 0);
}

static void
some(struct view *v, uint32_t *seed, struct arena *a, struct seqset *out)
{
    struct view_delta d;
    struct fault f;
    assert_int_equal(view_sync(v, VIEW_EXPUNGE, a, &d, &f), R_OK);
    seqset_init(out, a);
    for (uint32_t seq = 1; seq <= view_exists(v); seq++)
        if (pick(seed, 3) == 0)
            seqset_add(out, seq);
}

static void
op_labels(struct mail_user *u, struct view *v, const struct seqset *set, uint32_t *seed)
{
    struct label_target targets[FOLDERS];
    struct label_change change = {.op = (enum flag_op)pick(seed, 3),
                                  .targets = targets,
                                  .starred = pick(seed, 2) == 0,
                                  .important = pick(seed, 2) == 0};
    struct label_result done;
    struct fault f;
    struct arena *a = arena_new();
    for (size_t i = 0; i < FOLDERS; i++)
        if (pick(seed, 2) == 0)
            targets[change.target_count++] =
                (struct label_target){fixture_ref(u, names[i]).mailbox, RIGHTS_ALL};
    enum result r =
        change_labels(&(struct selection){v, set, false}, &change, a, &done, &f);
    assert_true(r == R_OK || f.kind == FAULT_CANNOT);
    arena_free(&a);
}

static void
op_copy(struct mail_user *u, struct view *v, const struct seqset *set, uint32_t *seed)
{
    struct mailbox_ref to = fixture_ref(u, names[pick(seed, FOLDERS)]);
    struct copy_result done;
    struct fault f;
    struct arena *a = arena_new();
    assert_int_equal(change_copy(&(struct selection){v, set, false}, &to,
                                 pick(seed, 2) == 0, a, &done, &f),
                     R_OK);
    arena_free(&a);
}

static void
op_expunge(struct view *v, const struct seqset *set)
{
    struct flag_change change = {.op = FLAG_OP_ADD, .flags = FLAG_DELETED};
    struct flag_result done;
    struct fault f;
    struct arena *a = arena_new();
    assert_int_equal(
        change_flags(&(struct selection){v, set, false}, &change, a, &done, &f), R_OK);
    assert_int_equal(change_expunge(v, NULL, &(uint64_t){0}, &f), R_OK);
    arena_free(&a);
}

static void
op_tree(struct mail_user *u, const char *name)
{
    struct mailbox_ref ref;
    struct fault f;
    assert_int_equal(tree_delete(u, span_str(name), &f), R_OK);
    assert_int_equal(tree_create(u, span_str(name), USE_NONE, &ref, &f), R_OK);
}

static void
step(struct fixture *x, struct mail_user *u, uint32_t *seed)
{
    uint32_t at = pick(seed, FOLDERS);
    struct view *v = open_folder(u, names[at]);
    struct mailbox_ref ref = fixture_ref(u, names[at]);
    struct arena *a = arena_new();
    struct seqset set;
    some(v, seed, a, &set);
    switch (pick(seed, 12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        fixture_append(x, &ref, FIXTURE_HELLO, 0, "k");
        break;
    case 4:
        op_expunge(v, &set);
        break;
    case 5:
        if (view_exists(v) < 30)
            op_copy(u, v, &set, seed);
        break;
    case 6:
        account_run(mail_user_account(u), forget_run, mail_user_account(u));
        break;
    case 7:
        if (at > 0 && pick(seed, 8) == 0)
            op_tree(u, names[at]);
        break;
    default:
        op_labels(u, v, &set, seed);
    }
    view_close(&v);
    arena_free(&a);
}

static void
index_is_the_tables(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice");
    struct mailbox_ref ref;
    struct fault f;
    uint32_t seed = 7;
    for (size_t i = 1; i < FOLDERS; i++)
        assert_int_equal(tree_create(u, span_str(names[i]), USE_NONE, &ref, &f), R_OK);
    for (int i = 0; i < STEPS; i++) {
        step(x, u, &seed);
        compare(u);
    }
    mail_user_close(&u);
}

// ---- labels mode ----

static bool
same_words(const struct mailbox_state *m, uint32_t set, const struct mailbox_state *to,
           uint32_t other)
{
    size_t n, k, hits = 0;
    const uint32_t *mine = keyword_sets_get(m->sets, set, &n);
    const uint32_t *theirs = keyword_sets_get(to->sets, other, &k);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j++)
            hits += span_ieq(m->keywords[mine[i]], to->keywords[theirs[j]]);
    return n == k && hits == n;
}

// \All has the message once, with the same flags.
static void
check_row(const struct mailbox_state *all, const struct mailbox_state *m, uint32_t i)
{
    uint32_t uid = 0, again = 0;
    const struct message_row *row = &m->rows[i];
    assert_int_equal(copies_in(all, row->emailid, &uid), 1);
    assert_int_equal(copies_in(m, row->emailid, &again), 1);
    const struct message_row *mine = &all->rows[state_row_at(all, uid)];
    assert_int_equal(mine->flags & ~FLAG_DELETED, row->flags & ~FLAG_DELETED);
    assert_true(same_words(m, row->keywords, all, mine->keywords));
    assert_int_equal(mine->blob, row->blob);
}

static void
check_counts(const struct mailbox_state *m)
{
    uint32_t unseen = 0, deleted = 0;
    uint64_t size = 0;
    for (uint32_t i = 0; i < m->counts.exists; i++) {
        unseen += !(m->rows[i].flags & FLAG_SEEN);
        deleted += (m->rows[i].flags & FLAG_DELETED) != 0;
        size += m->rows[i].size;
        assert_true(m->rows[i].modseq <= m->counts.modseq);
    }
    assert_int_equal(unseen, m->counts.unseen);
    assert_int_equal(deleted, m->counts.deleted);
    assert_int_equal(size, m->counts.size);
}

static void
mode_run(void *arg)
{
    struct check *c = arg;
    struct account *a = c->account;
    uint64_t id;
    assert_true(label_mode(a, &id));
    compare_run(arg);
    const struct mailbox_state *all = state_mailbox(account_state(a), id);
    assert_non_null(all);
    assert_int_equal(all->special_use, USE_ALL);
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++) {
        const struct mailbox_state *m = account_state(a)->mailboxes[i];
        check_counts(m);
        for (uint32_t k = 0; k < m->counts.exists; k++)
            check_row(all, m, k);
    }
}

static void
check_mode(struct mail_user *u)
{
    struct check c = {.account = mail_user_account(u)};
    account_run(c.account, mode_run, &c);
}

static struct label_switch
turn(struct mail_user *u, bool on, bool dry_run)
{
    struct label_switch done;
    struct fault f;
    struct arena *a = arena_new();
    if (label_switch(u, on, dry_run, a, &done, &f) != R_OK)
        fail_msg("switch: %s", f.why);
    arena_free(&a);
    return done;
}

static void
op_flags(struct view *v, const struct seqset *set, uint32_t *seed)
{
    static const struct span words[] = {{"k", 1}, {"l", 1}, {"M", 1}};
    struct flag_change change = {.op = (enum flag_op)pick(seed, 3),
                                 .flags = (uint16_t)pick(seed, FLAG_ALL + 1),
                                 .keywords = words,
                                 .keyword_count = pick(seed, 4)};
    struct flag_result done;
    struct fault f;
    struct arena *a = arena_new();
    assert_int_equal(
        change_flags(&(struct selection){v, set, false}, &change, a, &done, &f), R_OK);
    arena_free(&a);
}

static void
random_flags(struct mail_user *u, const char *name, uint32_t *seed)
{
    struct view *v = open_folder(u, name);
    struct arena *a = arena_new();
    struct seqset set;
    some(v, seed, a, &set);
    op_flags(v, &set, seed);
    if (pick(seed, 5) == 0)
        op_expunge(v, &set);
    view_close(&v);
    arena_free(&a);
}

// EMAILIDs of all messages, each once: the same before and after.
struct census {
    struct account *account;
    uint64_t sum;
    size_t messages, rows;
};

static void
census_run(void *arg)
{
    struct census *c = arg;
    struct check check = {.account = c->account};
    compare_run(&check);
    struct account *a = c->account;
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++)
        for (uint32_t k = 0; k < account_state(a)->mailboxes[i]->counts.exists; k++) {
            uint64_t emailid = account_state(a)->mailboxes[i]->rows[k].emailid;
            const struct label_place *first = label_places(a, emailid);
            uint32_t slot = first->slot;
            for (const struct label_place *p = first; p; p = label_places_next(a, p))
                slot = p->slot < slot ? p->slot : slot;
            c->rows++;
            if (label_slot_mailbox(a, slot) != account_state(a)->mailboxes[i]->id)
                continue;
            c->sum += emailid * 0x9e3779b97f4a7c15;
            c->messages++;
        }
}

static struct census
census(struct mail_user *u)
{
    struct census c = {.account = mail_user_account(u)};
    account_run(c.account, census_run, &c);
    return c;
}

static void
folders_story(struct fixture *x, struct mail_user *u, uint32_t *seed)
{
    struct mailbox_ref ref;
    struct fault f;
    for (size_t i = 1; i < FOLDERS; i++)
        assert_int_equal(tree_create(u, span_str(names[i]), USE_NONE, &ref, &f), R_OK);
    for (int i = 0; i < STEPS / 4; i++) {
        step(x, u, seed);
        random_flags(u, names[pick(seed, FOLDERS)], seed);
    }
}

// Every change keeps what labels mode promises; there and back nothing is lost.
static void
mode_story(struct fixture *x)
{
    static const char *const all[] = {"INBOX", "a", "b", "c", "All Mail", "Trash"};
    struct mail_user *u = fixture_user(x, 7, "alice");
    uint32_t seed = 11;
    folders_story(x, u, &seed);
    struct census before = census(u);
    struct label_switch dry = turn(u, true, true);
    assert_int_equal(census(u).rows, before.rows);
    struct label_switch done = turn(u, true, false);
    assert_int_equal(dry.added, done.added);
    assert_int_equal(dry.messages, done.messages);
    assert_int_equal(done.messages, before.messages);
    assert_int_equal(census(u).sum, before.sum);
    check_mode(u);
    for (int i = 0; i < STEPS; i++) {
        step(x, u, &seed);
        check_mode(u);
        random_flags(u, all[pick(&seed, 6)], &seed);
        check_mode(u);
    }
    before = census(u);
    assert_true(before.messages > 10);
    done = turn(u, false, false);
    assert_int_equal(census(u).sum, before.sum);
    assert_int_equal(done.kept, done.alone > 0);
    done = turn(u, true, false);
    assert_false(done.was);
    assert_int_equal(census(u).sum, before.sum);
    check_mode(u);
    mail_user_close(&u);
}

static void
mode_again(struct fixture *x)
{
    struct mail_user *u = fixture_user(x, 7, "alice");
    struct store_verify_result r;
    struct fault f;
    check_mode(u);
    assert_int_equal(store_verify(x->store, NULL, NULL, &r, &f), R_OK);
    assert_int_equal(r.errors, 0);
    mail_user_close(&u);
}

// On disk, after a restart, and of an index made anew from the journal.
static void
test_mode_survives(void **state)
{
    char path[] = "/tmp/posthorn-labels-XXXXXX", command[96];
    struct store_options o = {.path = path, .engine = "embedded", .codec = "identity"};
    struct fault f;
    (void)state;
    assert_non_null(mkdtemp(path));
    fixture_run(path, mode_story);
    fixture_run(path, mode_again);
    assert_int_equal(store_rebuild(&o, NULL, NULL, &f), R_OK);
    fixture_run(path, mode_again);
    snprintf(command, sizeof command, "rm -r %s", path);
    assert_int_equal(system(command), 0);
}

// ---- STORE of labels ----

struct story {
    struct mail_user *user;
    struct view *view;
    struct arena *arena;
};

static enum result
change(struct story *s, enum flag_op op, const char *name, struct label_result *out,
       struct fault *f)
{
    struct label_target target = {fixture_ref(s->user, name).mailbox, RIGHTS_ALL};
    struct label_change c = {.op = op, .targets = &target, .target_count = 1};
    return change_labels(&(struct selection){s->view, NULL, true}, &c, s->arena, out, f);
}

static struct mailbox_counts
counts(struct story *s, const char *name)
{
    struct tree_entry e;
    struct fault f;
    assert_int_equal(tree_status(s->user, s->arena, span_str(name), &e, &f), R_OK);
    return e.counts;
}

// A modseq rises where the labels of a message change, and only there.
static void
modseqs(struct fixture *x)
{
    struct story s = {fixture_user(x, 7, "alice"), NULL, arena_new()};
    struct mailbox_ref inbox = fixture_ref(s.user, "INBOX"), made;
    struct label_result r;
    struct fault f;
    assert_int_equal(tree_create(s.user, SPAN("a"), USE_NONE, &made, &f), R_OK);
    assert_int_equal(tree_create(s.user, SPAN("b"), USE_NONE, &made, &f), R_OK);
    fixture_append(x, &inbox, FIXTURE_HELLO, 0, NULL);
    s.view = open_folder(s.user, "INBOX");
    assert_int_equal(change(&s, FLAG_OP_ADD, "a", &r, &f), R_OK);
    uint64_t here = counts(&s, "INBOX").modseq, there = counts(&s, "a").modseq;
    assert_int_equal(r.flags.messages[0].row.modseq, here);
    assert_int_equal(change(&s, FLAG_OP_ADD, "a", &r, &f), R_OK);
    assert_int_equal(counts(&s, "INBOX").modseq, here);
    assert_int_equal(change(&s, FLAG_OP_ADD, "b", &r, &f), R_OK);
    assert_true(counts(&s, "INBOX").modseq > here);
    assert_true(counts(&s, "a").modseq > there);
    here = counts(&s, "INBOX").modseq;
    assert_int_equal(change(&s, FLAG_OP_REMOVE, "b", &r, &f), R_OK);
    assert_true(counts(&s, "INBOX").modseq > here);
    assert_int_equal(counts(&s, "b").exists, 0);
    view_close(&s.view);
    mail_user_close(&s.user);
    arena_free(&s.arena);
}

// The last one stays, and then nothing of the command is done.
static void
last_label(struct fixture *x)
{
    struct story s = {fixture_user(x, 7, "alice"), NULL, arena_new()};
    struct mailbox_ref inbox = fixture_ref(s.user, "INBOX"), made;
    struct label_result r;
    struct fault f;
    assert_int_equal(tree_create(s.user, SPAN("a"), USE_NONE, &made, &f), R_OK);
    fixture_append(x, &inbox, FIXTURE_HELLO, 0, NULL);
    s.view = open_folder(s.user, "INBOX");
    assert_int_equal(change(&s, FLAG_OP_REMOVE, "INBOX", &r, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_CANNOT);
    assert_int_equal(change(&s, FLAG_OP_ADD, "a", &r, &f), R_OK);
    fixture_append(x, &inbox, FIXTURE_OTHER, 0, NULL);
    view_close(&s.view);
    s.view = open_folder(s.user, "INBOX");
    uint64_t modseq = counts(&s, "INBOX").modseq;
    assert_int_equal(change(&s, FLAG_OP_REMOVE, "INBOX", &r, &f), R_FAIL);
    assert_int_equal(counts(&s, "INBOX").exists, 2);
    assert_int_equal(counts(&s, "INBOX").modseq, modseq);
    view_close(&s.view);
    s.view = open_folder(s.user, "a");
    assert_int_equal(change(&s, FLAG_OP_REMOVE, "a", &r, &f), R_OK);
    assert_true(r.left);
    assert_int_equal(counts(&s, "a").exists, 0);
    view_close(&s.view);
    mail_user_close(&s.user);
    arena_free(&s.arena);
}

// Without a right that is needed nothing is done.
static void
rights(struct fixture *x)
{
    static const struct {
        uint32_t rights;
        enum flag_op op;
        enum result want;
    } rows[] = {
        {RIGHTS_ALL & ~RIGHT_INSERT, FLAG_OP_ADD, R_FAIL},
        {RIGHTS_ALL & ~RIGHT_EXPUNGE, FLAG_OP_ADD, R_OK},
        {RIGHTS_ALL & ~RIGHT_EXPUNGE, FLAG_OP_REMOVE, R_FAIL},
        {RIGHTS_ALL & ~RIGHT_DELETED, FLAG_OP_REMOVE, R_FAIL},
        {RIGHTS_ALL & ~RIGHT_INSERT, FLAG_OP_REMOVE, R_OK},
        {RIGHTS_ALL & ~RIGHT_READ, FLAG_OP_REMOVE, R_FAIL},
    };
    struct mail_user *u = fixture_user(x, 7, "alice");
    struct mailbox_ref inbox = fixture_ref(u, "INBOX"), to;
    struct fault f;
    struct arena *a = arena_new();
    assert_int_equal(tree_create(u, SPAN("a"), USE_NONE, &to, &f), R_OK);
    fixture_append(x, &inbox, FIXTURE_HELLO, 0, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct label_target target = {to.mailbox, rows[i].rights};
        struct label_change c = {.op = rows[i].op, .targets = &target, .target_count = 1};
        struct label_result r;
        struct view *v;
        inbox.rights = rows[i].rights;
        assert_int_equal(view_open(&inbox, false, NULL, NULL, &v, &f), R_OK);
        assert_int_equal(change_labels(&(struct selection){v, NULL, true}, &c, a, &r, &f),
                         rows[i].want);
        if (rows[i].want == R_FAIL)
            assert_int_equal(f.kind, FAULT_NOPERM);
        view_close(&v);
    }
    mail_user_close(&u);
    arena_free(&a);
}

#define TEST(name)                                                                         \
    static void test_##name(void **state)                                                  \
    {                                                                                      \
        (void)state;                                                                       \
        fixture_run(NULL, name);                                                           \
    }
TEST(index_is_the_tables)
TEST(mode_story)
TEST(modseqs)
TEST(last_label)
TEST(rights)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_is_the_tables), cmocka_unit_test(test_mode_story),
        cmocka_unit_test(test_mode_survives),       cmocka_unit_test(test_modseqs),
        cmocka_unit_test(test_last_label),          cmocka_unit_test(test_rights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
