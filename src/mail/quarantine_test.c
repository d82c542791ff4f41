#include "mail/quarantine.h"
#include "base/clock.h"
#include "mail/account.h"
#include "mail/fixture.h"
#include "mail/system.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static enum result
put_noted(struct fixture *x, uint64_t account, const char *user, const char *text,
          const struct delivered_key *key, struct fault *f)
{
    const struct quarantine_entry e = {.account = account,
                                       .user = span_str(user),
                                       .from = SPAN("a@example.org"),
                                       .to = span_str(user),
                                       .reason = SPAN("spam, score 20.00")};
    struct intake *in = intake_begin(x->mail);
    assert_int_equal(intake_write(in, span_str(text), f), R_OK);
    assert_int_equal(intake_finish(in, f), R_OK);
    enum result r = quarantine_put(x->mail, &e, in, key, f);
    intake_free(&in);
    return r;
}

static enum result
put(struct fixture *x, uint64_t account, const char *user, const char *text,
    struct fault *f)
{
    return put_noted(x, account, user, text, NULL, f);
}

static size_t
count(struct fixture *x, uint64_t account, uint64_t *first)
{
    struct arena *a = arena_new();
    struct quarantine_entry *all;
    struct fault f;
    size_t n = 0;
    assert_int_equal(quarantine_list(x->mail, account, a, &all, &n, &f), R_OK);
    if (n > 0 && first)
        *first = all[0].id;
    arena_free(&a);
    return n;
}

static uint32_t
in_inbox(struct mail_user *u)
{
    struct mailbox_ref inbox = fixture_ref(u, "INBOX");
    struct view *v;
    struct fault f;
    assert_int_equal(view_open(&inbox, true, NULL, NULL, &v, &f), R_OK);
    uint32_t n = view_exists(v);
    view_close(&v);
    return n;
}

static void
life(struct fixture *x)
{
    struct mail_user *ann = fixture_user(x, 1, "ann");
    struct fault f = {0};
    struct arena *a = arena_new();
    struct quarantine_entry e;
    struct span header;
    uint64_t one = 0, two = 0, gone = 9;
    assert_int_equal(count(x, 0, NULL), 0);
    assert_int_equal(quarantine_delete(x->mail, 1, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_NONEXISTENT);
    assert_int_equal(put(x, 1, "ann", FIXTURE_HELLO, &f), R_OK);
    assert_int_equal(put(x, 2, "bob", FIXTURE_HELLO, &f), R_OK);
    assert_int_equal(count(x, 0, NULL), 2);
    assert_int_equal(count(x, 1, &one), 1);
    assert_int_equal(count(x, 2, &two), 1);
    assert_true(one != two);
    assert_int_equal(quarantine_show(x->mail, one, a, &e, &header, &f), R_OK);
    assert_true(span_eq(e.user, SPAN("ann")) &&
                span_eq(e.reason, SPAN("spam, score 20.00")));
    assert_true(span_eq(header, SPAN("Message-ID: <1@a>\r\nSubject: Hello")));
    assert_int_equal(e.octets, strlen(FIXTURE_HELLO));

    assert_int_equal(in_inbox(ann), 0);
    assert_int_equal(quarantine_release(x->mail, one, &f), R_OK);
    assert_int_equal(in_inbox(ann), 1);
    assert_int_equal(quarantine_release(x->mail, one, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_NONEXISTENT);
    assert_int_equal(in_inbox(ann), 1);

    // what came a moment ago stays, until its time is over
    assert_int_equal(quarantine_expire(x->mail, clock_wall_s() - 100, &gone, &f), R_OK);
    assert_int_equal(gone, 0);
    assert_int_equal(count(x, 0, NULL), 1);
    assert_int_equal(quarantine_expire(x->mail, clock_wall_s() + 100, &gone, &f), R_OK);
    assert_int_equal(gone, 1);
    assert_int_equal(count(x, 0, NULL), 0);
    arena_free(&a);
    mail_user_close(&ann);
}

// What comes again, since its transfer agent did not hear that all of its recipients have it, is one entry; once they have it is another.
static void
comes_again(struct fixture *x)
{
    struct arena *a = arena_new();
    struct delivered_digest *d = delivered_digest_new(a);
    struct delivered_key one, two;
    struct fault f = {0};
    delivered_digest_add(d, SPAN("octets"));
    one = delivered_key_of(d, SPAN("a@example.org"), SPAN("quarantine 1"));
    two = delivered_key_of(d, SPAN("a@example.org"), SPAN("quarantine 2"));
    for (int i = 0; i < 3; i++)
        assert_int_equal(put_noted(x, 1, "ann", FIXTURE_HELLO, &one, &f), R_OK);
    assert_int_equal(put_noted(x, 2, "bob", FIXTURE_HELLO, &two, &f), R_OK);
    assert_int_equal(count(x, 0, NULL), 2);
    quarantine_end(x->mail, &one);
    assert_int_equal(put_noted(x, 1, "ann", FIXTURE_HELLO, &one, &f), R_OK);
    assert_int_equal(put_noted(x, 2, "bob", FIXTURE_HELLO, &two, &f), R_OK);
    assert_int_equal(count(x, 0, NULL), 3);
    arena_free(&a);
}

static void
again_in_memory(void **state)
{
    (void)state;
    fixture_run(NULL, comes_again);
}

static void
in_memory(void **state)
{
    (void)state;
    fixture_run(NULL, life);
}

static void
on_disk(void **state)
{
    (void)state;
    fixture_run_on_disk(life);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_memory),
                                       cmocka_unit_test(again_in_memory),
                                       cmocka_unit_test(on_disk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
