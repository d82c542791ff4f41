#include "mail/acl.h"

#include "base/limits.h"
#include "io/task.h"
#include "mail/acl_fold.h"
#include "mail/fixture.h"
#include "mail/shares.h"
#include "mail/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { ALICE = 8, BOB = 9 };

// ---- the decision: all sets of entries, for all who may ask, in all places ----

static const struct {
    const char *identifier;
    unsigned means;  // bits of enum asker
} kinds[] = {
    {"anyone", 31},  {"authenticated", 31},  {"owner", 1},  {"bob", 2},  {"$staff", 4},
    {"-anyone", 31}, {"-authenticated", 31}, {"-owner", 1}, {"-bob", 2}, {"-$staff", 4},
};
enum { KINDS = sizeof kinds / sizeof *kinds };
enum asker { OWNER, NAMED, MEMBER, ADMIN, STRANGER, ASKERS };

static struct acl_who *
who_of(enum asker asker)
{
    static const char *const names[ASKERS] = {"alice", "bob", "carol", "root", "dave"};
    struct span group = SPAN("staff");
    struct acl_identity more = {&group, asker == MEMBER, asker == ADMIN, false};
    return acl_who_new(ALICE + asker, span_str(names[asker]), &more);
}

// Some of the kinds, with rights each.
struct set {
    struct acl_entry entries[KINDS];
    size_t kinds[KINDS];  // of the entries
    struct acl_list list;
};

// Another way to the same: right by right, in the words of mail/acl.h.
static bool
expected(enum asker asker, const struct acl_where *where, const struct set *s,
         uint32_t right)
{
    bool given = (where->granted & right) != 0, taken = false, named = false;
    for (size_t i = 0; i < s->list.n; i++) {
        size_t k = s->kinds[i];
        if (!(kinds[k].means & 1u << asker))
            continue;
        named |= k == 2;
        if (s->entries[i].rights & right)
            *(kinds[k].identifier[0] == '-' ? &taken : &given) = true;
    }
    return where->owner && (right & (RIGHT_LOOKUP | RIGHT_ADMIN))
               ? true
               : ((where->owner && !named) || given) && !taken;
}

static uint32_t
rights_expected(enum asker asker, const struct acl_where *where, const struct set *s)
{
    uint32_t rights = 0;
    for (uint32_t right = 1; right < RIGHTS_ALL; right <<= 1)
        if (expected(asker, where, s, right))
            rights |= right;
    if (asker == ADMIN && !where->owner && (where->common || (rights & RIGHT_LOOKUP)))
        return RIGHTS_ALL;
    return rights & RIGHT_LOOKUP ? rights : 0;
}

// Entry k of the set has one of three values, by the digits of `set` in base 3.
static void
set_of(unsigned set, struct set *out)
{
    static const uint32_t given[] = {0, RIGHT_LOOKUP | RIGHT_READ,
                                     RIGHTS_ALL & ~RIGHT_READ};
    out->list = (struct acl_list){out->entries, 0};
    for (size_t k = 0; k < KINDS; k++, set /= 3) {
        if (set % 3 == 0)
            continue;
        out->kinds[out->list.n] = k;
        out->entries[out->list.n++] =
            (struct acl_entry){span_str(kinds[k].identifier), given[set % 3]};
    }
}

static void
test_decision(void **state)
{
    static const struct acl_where places[] = {
        {.owner = false}, {.common = true}, {.granted = RIGHT_LOOKUP | RIGHT_INSERT}};
    struct acl_who *whos[ASKERS];
    struct set s;
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip();  // 80 s of one thread
#endif
    for (enum asker a = 0; a < ASKERS; a++)
        whos[a] = who_of(a);
    for (unsigned set = 0; set < 59049; set++) {  // 3 to the 10
        set_of(set, &s);
        for (unsigned i = 0; i < ASKERS * 3; i++) {
            enum asker a = i % ASKERS;
            struct acl_where where = places[i / ASKERS];
            where.owner = a == OWNER && !where.common;
            if (a == OWNER && where.common)
                continue;  // nobody owns it
            if (acl_decide(whos[a], &where, &s.list) != rights_expected(a, &where, &s))
                fail_msg("set %u, asker %u, place %u", set, a, i / ASKERS);
        }
    }
    for (enum asker a = 0; a < ASKERS; a++)
        acl_who_unref(&whos[a]);
}

// ---- texts ----

static void
test_texts(void **state)
{
    static const struct {
        const char *given, *want_shown;
    } rows[] = {{"", ""},         {"lr", "lr"},        {"c", "kxc"},
                {"d", "ted"},     {"k", "kc"},         {"e", "ed"},
                {"cd", "kxtecd"}, {"rdlx", "lrxtecd"}, {"lrswipkxtea", "lrswipkxteacd"}};
    static const char *const bad[] = {"q", "L", "lrS", "0", "l r", "+l"};
    char text[ACL_TEXT];
    uint32_t rights;
    struct fault f;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(acl_rights_parse(span_str(rows[i].given), &rights, &f), R_OK);
        acl_rights_put(rights, text);
        assert_string_equal(text, rows[i].want_shown);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(acl_rights_parse(span_str(bad[i]), &rights, &f), R_FAIL);
}

static void
test_identifiers(void **state)
{
    static const struct {
        const char *given, *want;  // NULL: refused
    } rows[] = {{"bob", "bob"},
                {"Bob", "bob"},
                {"ANYONE", "anyone"},
                {"-Bob", "-bob"},
                {"$Staff", "$staff"},
                {"-$Staff", "-$staff"},
                {"\xef\xbd\x82ob", "bob"},  // full-width b
                {"b\xc2\xad"
                 "ob",
                 "bob"},  // a soft hyphen is mapped to nothing
                {"", NULL},
                {"-", NULL},
                {"$", NULL},
                {"\xc2\xad", NULL},
                {"a\x07"
                 "b",
                 NULL},
                {"a b", NULL},
                {"\xff", NULL},
                {"a/b", NULL}};
    struct arena *a = arena_new();
    struct span out;
    struct fault f;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum result r = acl_identifier(a, span_str(rows[i].given), &out, &f);
        assert_int_equal(r, rows[i].want ? R_OK : R_FAIL);
        if (r == R_OK)
            assert_true(span_eq(out, span_str(rows[i].want)));
        else
            assert_int_equal(f.kind, FAULT_BAD);
    }
    arena_free(&a);
}

// ---- stored, and seen by another ----

static void
set(const struct mailbox_ref *ref, const char *identifier, enum acl_op op, uint32_t rights)
{
    struct acl_change change = {span_str(identifier), op, rights, 0, 0};
    struct fault f;
    assert_int_equal(acl_change(ref, &change, &f), R_OK);
}

static uint32_t
rights_on(struct mail_user *u, const char *name)
{
    struct mailbox_ref ref;
    struct fault f;
    if (mail_access(u, span_str(name), 0, &ref, &f) == R_OK)
        return ref.rights;
    assert_int_equal(f.kind, FAULT_NONEXISTENT);
    return 0;
}

static void
shared(struct fixture *x)
{
    struct mail_user *alice = fixture_user(x, ALICE, "alice"),
                     *bob = fixture_user(x, BOB, "bob");
    struct mailbox_ref inbox = fixture_ref(alice, "INBOX"), theirs;
    struct span staff = SPAN("staff");
    struct fault f;
    assert_int_equal(rights_on(bob, "Shared/alice/INBOX"), 0);
    set(&inbox, "bob", ACL_SET, RIGHT_LOOKUP | RIGHT_READ | RIGHT_ADMIN);
    assert_int_equal(rights_on(bob, "Shared/alice/inbox"),
                     RIGHT_LOOKUP | RIGHT_READ | RIGHT_ADMIN);
    assert_int_equal(mail_access(bob, SPAN("Shared/alice/INBOX"), 0, &theirs, &f), R_OK);
    // who may administer may do so; without a no more, with the ref of before
    set(&theirs, "$staff", ACL_SET, RIGHT_LOOKUP | RIGHT_INSERT);
    set(&inbox, "bob", ACL_REMOVE, RIGHT_ADMIN);
    struct acl_change again = {SPAN("bob"), ACL_ADD, RIGHT_ADMIN, 0, 0};
    assert_int_equal(acl_change(&theirs, &again, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_NOPERM);
    mail_user_identify(bob, &(struct acl_identity){&staff, 1, false, false});
    assert_int_equal(rights_on(bob, "Shared/alice/INBOX"),
                     RIGHT_LOOKUP | RIGHT_READ | RIGHT_INSERT);
    set(&inbox, "bob", ACL_DELETE, 0);
    assert_int_equal(rights_on(bob, "Shared/alice/INBOX"), RIGHT_LOOKUP | RIGHT_INSERT);
    mail_user_identify(bob, &(struct acl_identity){NULL, 0, false, false});
    assert_int_equal(rights_on(bob, "Shared/alice/INBOX"), 0);
    mail_user_close(&bob);
    mail_user_close(&alice);
}

static size_t
hints_for(struct fixture *x, const char *name)
{
    struct acl_who *who =
        acl_who_new(BOB, span_str(name), &(struct acl_identity){NULL, 0, false, false});
    struct arena *a = arena_new();
    struct share *list;
    struct fault f;
    size_t n;
    assert_int_equal(shares_find(x->mail, who, a, &list, &n, &f), R_OK);
    arena_free(&a);
    acl_who_unref(&who);
    return n;
}

// What was refused leaves no hint, and takes none that is needed.
static void
refused(struct fixture *x)
{
    struct mail_user *alice = fixture_user(x, ALICE, "alice");
    struct mailbox_ref inbox = fixture_ref(alice, "INBOX"), other;
    struct acl_change late = {SPAN("late"), ACL_SET, RIGHT_LOOKUP, 0, 0}, bob = late;
    struct fault f;
    bob.identifier = SPAN("bob");
    assert_int_equal(tree_create(alice, SPAN("other"), USE_NONE, &other, &f), R_OK);
    set(&other, "bob", ACL_SET, RIGHT_LOOKUP);
    for (int i = 0; i < LIMIT_acl_entries; i++) {
        char name[16];
        snprintf(name, sizeof name, "$g%d", i);
        set(&inbox, name, ACL_SET, RIGHT_LOOKUP);
    }
    assert_int_equal(acl_change(&inbox, &late, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    assert_int_equal(acl_change(&inbox, &bob, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    assert_int_equal(hints_for(x, "late"), 0);
    assert_int_equal(hints_for(x, "bob"), 1);
    mail_user_close(&alice);
}

// RENAME INBOX gives the new mailbox the list of INBOX, also where a level between is missing.
static void
renamed(struct fixture *x)
{
    struct mail_user *alice = fixture_user(x, ALICE, "alice"),
                     *bob = fixture_user(x, BOB, "bob");
    struct mailbox_ref inbox = fixture_ref(alice, "INBOX"), top;
    struct fault f;
    set(&inbox, "carol", ACL_SET, RIGHT_LOOKUP);
    assert_int_equal(tree_create(alice, SPAN("a"), USE_NONE, &top, &f), R_OK);
    set(&top, "bob", ACL_SET, RIGHT_LOOKUP | RIGHT_READ);
    assert_int_equal(tree_rename(alice, SPAN("INBOX"), SPAN("a/b/c"), &f), R_OK);
    assert_int_equal(rights_on(bob, "Shared/alice/a/b"), RIGHT_LOOKUP | RIGHT_READ);
    assert_int_equal(rights_on(bob, "Shared/alice/a/b/c"), 0);
    mail_user_close(&bob);
    mail_user_close(&alice);
}

// The list of INBOX counts where it is copied.
static void
renamed_full(struct fixture *x)
{
    struct mail_user *alice = fixture_user(x, ALICE, "alice");
    struct mailbox_ref inbox = fixture_ref(alice, "INBOX");
    struct fault f;
    for (int i = 0; i < LIMIT_acl_entries; i++) {
        char name[16];
        snprintf(name, sizeof name, "$g%d", i);
        set(&inbox, name, ACL_SET, RIGHT_LOOKUP);
    }
    for (int i = 1; i <= LIMIT_acl_account / LIMIT_acl_entries; i++) {
        char name[16];
        snprintf(name, sizeof name, "old%d", i);
        bool room = i < LIMIT_acl_account / LIMIT_acl_entries;
        assert_int_equal(tree_rename(alice, SPAN("INBOX"), span_str(name), &f),
                         room ? R_OK : R_FAIL);
    }
    assert_int_equal(f.kind, FAULT_LIMIT);
    mail_user_close(&alice);
}

// Only administrators begin the public tree; what they make is theirs, and everybody's by its list.
static void
common(struct fixture *x)
{
    struct mail_user *alice = fixture_user(x, ALICE, "alice"),
                     *root = fixture_user(x, BOB, "root");
    struct mailbox_ref ref;
    struct fault f;
    assert_int_equal(tree_create(alice, SPAN("Public/news"), USE_NONE, &ref, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_NOPERM);
    mail_user_identify(root, &(struct acl_identity){NULL, 0, true, false});
    assert_int_equal(tree_create(root, SPAN("Public/news"), USE_NONE, &ref, &f), R_OK);
    assert_int_equal(ref.rights, RIGHTS_ALL);
    assert_int_equal(rights_on(alice, "Public/news"), 0);
    set(&ref, "authenticated", ACL_SET, RIGHT_LOOKUP | RIGHT_READ);
    assert_int_equal(rights_on(alice, "Public/news"), RIGHT_LOOKUP | RIGHT_READ);
    assert_int_equal(rights_on(root, "Public/news"), RIGHTS_ALL);
    struct acl_change owner = {SPAN("owner"), ACL_SET, RIGHT_LOOKUP, 0, 0};
    assert_int_equal(acl_change(&ref, &owner, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_CANNOT);
    mail_user_close(&root);
    mail_user_close(&alice);
}

// A view follows the rights: it ends without r, and with the group that gave it.
static void
views(struct fixture *x)
{
    struct mail_user *alice = fixture_user(x, ALICE, "alice"),
                     *bob = fixture_user(x, BOB, "bob");
    struct mailbox_ref inbox = fixture_ref(alice, "INBOX"), theirs;
    struct span staff = SPAN("staff");
    struct view *v;
    struct view_info info;
    struct fault f;
    set(&inbox, "$staff", ACL_SET, RIGHT_LOOKUP | RIGHT_READ | RIGHT_WRITE);
    mail_user_identify(bob, &(struct acl_identity){&staff, 1, false, false});
    for (int group = 0; group < 2; group++) {
        assert_int_equal(
            mail_access(bob, SPAN("Shared/alice/INBOX"), RIGHT_READ, &theirs, &f), R_OK);
        assert_int_equal(view_open(&theirs, false, NULL, NULL, &v, &f), R_OK);
        set(&inbox, "$staff", ACL_REMOVE, RIGHT_WRITE);
        view_info(v, &info);
        assert_int_equal(info.rights, RIGHT_LOOKUP | RIGHT_READ);
        assert_false(view_gone(v));
        if (group) {
            mail_user_identify(bob, &(struct acl_identity){NULL, 0, false, false});
            for (int i = 0; i < 100 && !view_gone(v); i++)
                task_sleep(10);
        } else {
            set(&inbox, "-bob", ACL_SET, RIGHT_READ);
            set(&inbox, "-anyone", ACL_SET, RIGHT_POST);
        }
        assert_true(view_gone(v));
        view_close(&v);
        set(&inbox, "-bob", ACL_DELETE, 0);
    }
    mail_user_close(&bob);
    mail_user_close(&alice);
}

static void
test_shared(void **state)
{
    (void)state;
    fixture_run(NULL, shared);
    fixture_run_on_disk(shared);
}

static void
test_refused(void **state)
{
    (void)state;
    fixture_run(NULL, refused);
}

static void
test_renamed(void **state)
{
    (void)state;
    fixture_run(NULL, renamed);
    fixture_run(NULL, renamed_full);
}

static void
test_common(void **state)
{
    (void)state;
    fixture_run(NULL, common);
}

static void
test_views(void **state)
{
    (void)state;
    fixture_run(NULL, views);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decision),    cmocka_unit_test(test_texts),
        cmocka_unit_test(test_identifiers), cmocka_unit_test(test_shared),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_renamed),
        cmocka_unit_test(test_common),      cmocka_unit_test(test_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
