#include "submission/envelope.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOW 1000000000
static const struct submission_limits limits = {1000, NOW, {"example.test", 12}};

// RFC 1870, 6152, 6531, 3461, 4954, 2852, 4865
static const struct {
    const char *args;
    int want_code;  // 0: taken
    const char *want_from;
    int64_t want_by, want_hold;
    const char *want_envid;
} mails[] = {
    {"FROM:<ann@example.test>", 0, "ann@example.test", 0, 0, ""},
    {"FROM: <ann@example.test>", 0, "ann@example.test", 0, 0, ""},
    {"from:<> SIZE=1000", 0, "", 0, 0, ""},
    {"FROM:<\"a b\"@example.test>", 0, "\"a b\"@example.test", 0, 0, ""},
    {"FROM:<a@b.c> SIZE=1001", 552, "", 0, 0, ""},
    {"FROM:<a@b.c> SIZE=99999999999999999999", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> SIZE=-1", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> SIZE", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> SIZE=1 SIZE=2", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> BODY=8BITMIME SMTPUTF8", 0, "a@b.c", 0, 0, ""},
    {"FROM:<a@b.c> BODY=BINARYMIME", 0, "a@b.c", 0, 0, ""},
    {"FROM:<a@b.c> BODY=", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> SMTPUTF8=1", 501, "", 0, 0, ""},
    {"FROM:<\xc3\xa4@b.c>", 553, "", 0, 0, ""},
    {"FROM:<\xc3\xa4@b.c> SMTPUTF8", 0, "\xc3\xa4@b.c", 0, 0, ""},
    {"FROM:<a>", 553, "", 0, 0, ""},
    {"FROM:a@b.c", 501, "", 0, 0, ""},
    {"FROM:<a@b.c", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> RET=FULL ENVID=a+2Bb", 0, "a@b.c", 0, 0, "a+b"},
    {"FROM:<a@b.c> RET=HALF", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> RET", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> ENVID=a+0", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> AUTH=<>", 0, "a@b.c", 0, 0, ""},
    {"FROM:<a@b.c> AUTH=a@b.c", 0, "a@b.c", 0, 0, ""},
    {"FROM:<a@b.c> MT-PRIORITY=3", 555, "", 0, 0, ""},
    {"FROM:<a@b.c> BY=60;R", 0, "a@b.c", NOW + 60, 0, ""},
    {"FROM:<a@b.c> BY=-60;NT", 0, "a@b.c", NOW - 60, 0, ""},
    {"FROM:<a@b.c> BY=+0;n", 0, "a@b.c", NOW, 0, ""},
    {"FROM:<a@b.c> BY=0;R", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> BY=-1;R", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> BY=1234567890;N", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> BY=60", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> BY=60;", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> BY=60;X", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> BY=60;RX", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> HOLDFOR=60", 0, "a@b.c", 0, NOW + 60, ""},
    {"FROM:<a@b.c> HOLDFOR=31536000", 0, "a@b.c", 0, NOW + 31536000, ""},
    {"FROM:<a@b.c> HOLDFOR=31536001", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> HOLDFOR=x", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> HOLDUNTIL=2001-09-09T01:47:40Z", 0, "a@b.c", 0, NOW + 60, ""},
    {"FROM:<a@b.c> HOLDUNTIL=2001-09-09T03:47:40+02:00", 0, "a@b.c", 0, NOW + 60, ""},
    {"FROM:<a@b.c> HOLDUNTIL=1999-01-01T00:00:00Z", 0, "a@b.c", 0, 0, ""},
    {"FROM:<a@b.c> HOLDUNTIL=2003-09-09T01:47:40Z", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> HOLDUNTIL=tomorrow", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> HOLDFOR=1 HOLDUNTIL=2001-09-09T01:47:40Z", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> HOLDFOR=1 HOLDFOR=2", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> BY=60;R HOLDFOR=61", 501, "", 0, 0, ""},
    {"FROM:<a@b.c> BY=60;R HOLDFOR=60", 0, "a@b.c", NOW + 60, NOW + 60, ""},
};

static void
test_mail(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mails / sizeof mails[0]; i++) {
        struct arena *a = arena_new();
        struct relay_envelope e = {0};
        struct submission_answer why = {0, "", ""};
        enum result r = submission_mail_read(span_str(mails[i].args), &limits, a, &e, &why);
        if ((r == R_OK ? 0 : why.code) != mails[i].want_code)
            fail_msg("%s: %d %s", mails[i].args, why.code, why.text);
        if (r == R_OK &&
            (!span_eq(e.from, span_str(mails[i].want_from)) || e.by_s != mails[i].want_by ||
             e.hold_until_s != mails[i].want_hold ||
             !span_eq(e.envid, span_str(mails[i].want_envid))))
            fail_msg("%s: another envelope", mails[i].args);
        arena_free(&a);
    }
}

// RFC 3461 section 4.1, 4.2; RFC 5321 section 4.5.1
static void
test_rcpt(void **state)
{
    static const struct {
        const char *args;
        bool utf8;
        int want_code;
        const char *want_to;
        uint8_t want_notify;
        const char *want_orcpt;
    } rows[] = {
        {"TO:<bob@example.org>", false, 0, "bob@example.org", 0, ""},
        {"TO:<@x,@y:bob@example.org>", false, 0, "bob@example.org", 0, ""},
        {"TO:<PostMaster>", false, 0, "PostMaster@example.test", 0, ""},
        {"TO:<bob>", false, 553, "", 0, ""},
        {"TO:<>", false, 501, "", 0, ""},
        {"TO:<\"\"@x.org>", false, 501, "", 0, ""},
        {"TO:<bob@[127.0.0.1]>", false, 0, "bob@[127.0.0.1]", 0, ""},
        {"TO:<b\xc3\xb6@x.org>", false, 553, "", 0, ""},
        {"TO:<b\xc3\xb6@x.org>", true, 0, "b\xc3\xb6@x.org", 0, ""},
        {"TO:<a@x.org> NOTIFY=SUCCESS,DELAY", false, 0, "a@x.org",
         RELAY_NOTIFY_SUCCESS | RELAY_NOTIFY_DELAY, ""},
        {"TO:<a@x.org> NOTIFY=never", false, 0, "a@x.org", RELAY_NOTIFY_NEVER, ""},
        {"TO:<a@x.org> NOTIFY=NEVER,FAILURE", false, 501, "", 0, ""},
        {"TO:<a@x.org> NOTIFY=", false, 501, "", 0, ""},
        {"TO:<a@x.org> NOTIFY=SUCCESS,,DELAY", false, 501, "", 0, ""},
        {"TO:<a@x.org> NOTIFY=SOON", false, 501, "", 0, ""},
        {"TO:<a@x.org> ORCPT=rfc822;a+2Bb@x.org", false, 0, "a@x.org", 0,
         "rfc822;a+b@x.org"},
        {"TO:<a@x.org> ORCPT=rfc822", false, 501, "", 0, ""},
        {"TO:<a@x.org> ORCPT=;x", false, 501, "", 0, ""},
        {"TO:<a@x.org> ORCPT=rfc822;a+0Ab", false, 501, "", 0, ""},
        {"TO:<a@x.org> SIZE=1", false, 555, "", 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena *a = arena_new();
        struct submission_rcpt got;
        struct submission_answer why = {0, "", ""};
        enum result r = submission_rcpt_read(span_str(rows[i].args), &limits, rows[i].utf8,
                                             a, &got, &why);
        if ((r == R_OK ? 0 : why.code) != rows[i].want_code)
            fail_msg("%s: %d %s", rows[i].args, why.code, why.text);
        if (r == R_OK && (!span_eq(got.to.address, span_str(rows[i].want_to)) ||
                          got.to.notify != rows[i].want_notify ||
                          !span_eq(got.to.orcpt, span_str(rows[i].want_orcpt))))
            fail_msg("%s: another recipient", rows[i].args);
        arena_free(&a);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mail),
                                       cmocka_unit_test(test_rcpt)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
