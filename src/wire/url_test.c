#include "wire/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct {
    const char *text;
    const char *want_mailbox;  // NULL: the selected one
    uint32_t want_uidvalidity, want_uid;
    const char *want_section;
    uint64_t want_at, want_count;  // 0, 0: no partial
} good[] = {
    {"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER", "Drafts", 385759045, 20,
     "HEADER", 0, 0},
    {"/Drafts/;UID=3002", "Drafts", 0, 3002, "", 0, 0},
    {"/a/b%20c/;uid=1/;section=1.2.MIME", "a/b c", 0, 1, "1.2.MIME", 0, 0},
    {"/gray%20council;UIDVALIDITY=1/;UID=20/;PARTIAL=0.1024", "gray council", 1, 20, "", 0,
     1024},
    {"/x/;UID=20/;SECTION=1/;PARTIAL=7", "x", 0, 20, "1", 7, UINT64_MAX},
    {"/x/;UID=1/;SECTION=HEADER.FIELDS%20(Date%20From)", "x", 0, 1,
     "HEADER.FIELDS (Date From)", 0, 0},
    {"/%E2%82%AC/;UID=1", "\xe2\x82\xac", 0, 1, "", 0, 0},
    {";UID=4294967295", NULL, 0, 4294967295, "", 0, 0},
    {";UIDVALIDITY=5/;UID=2/;SECTION=TEXT", NULL, 5, 2, "TEXT", 0, 0},
};

static const char *const bad[] = {
    "",
    "/",
    "/INBOX",
    "/INBOX/",
    "/INBOX;UIDVALIDITY=7",
    "/INBOX;UID=1",
    "/INBOX/;UIDVALIDITY=7/;UID=1",
    "/INBOX;UIDVALIDITY=7;UID=1",
    "//host/INBOX/;UID=1",
    "/;UID=1",
    "INBOX/;UID=1",
    "imap://host",
    "imap://host/",
    "imap://host/INBOX",
    "imap://host/INBOX?TEXT",
    "imap://host/;UID=1",
    "imap:///INBOX/;UID=1",
    "imap://@host/INBOX/;UID=1",
    "imap://a:b@host/INBOX/;UID=1",
    "imap://a@b@host/INBOX/;UID=1",
    "imap://a;AUTH=@host/INBOX/;UID=1",
    "imap://a;PLAIN@host/INBOX/;UID=1",
    "imap://a@/INBOX/;UID=1",
    "imap://a@h st/INBOX/;UID=1",
    "imap://a@host:0/INBOX/;UID=1",
    "imap://a@host:/INBOX/;UID=1",
    "imap://a@host:65536/INBOX/;UID=1",
    "imap://a@::1/INBOX/;UID=1",
    "imap://a%00@host/INBOX/;UID=1",
    "imap://a@host/INBOX/;UID=1;URLAUTH",
    "imap://a@host/INBOX/;UID=1;URLAUTH=",
    "imap://a@host/INBOX/;UID=1;URLAUTH=nobody",
    "imap://a@host/INBOX/;UID=1;URLAUTH=user+",
    "imap://a@host/INBOX/;UID=1;URLAUTH=authuser+a",
    "imap://a@host/INBOX/;UID=1;URLAUTH=anonymous/",
    "imap://a@host/INBOX/;UID=1/;URLAUTH=anonymous",
    "imap://a@host/INBOX/;UID=1;URLAUTH=anonymous;EXPIRE=2026-01-31T12:00:00Z",
    "imap://a@host/INBOX/;UID=1;EXPIRE=2026-01-31T12:00:00Z",
    "imap://a@host/INBOX/;UID=1;EXPIRE=2026-02-30T12:00:00Z;URLAUTH=anonymous",
    "imap://a@host/INBOX/;UID=1;EXPIRE=2026-01-31 12:00:00;URLAUTH=anonymous",
    "imap://a@host/INBOX/;UID=1;URLAUTH=anonymous:",
    "imap://a@host/INBOX/;UID=1;URLAUTH=anonymous:internal",
    "imap://a@host/INBOX/;UID=1;URLAUTH=anonymous:internal:",
    "imap://a@host/INBOX/;UID=1;URLAUTH=anonymous:internal:1234567890123456789012345678901",
    "imap://a@host/INBOX/"
    ";UID=1;URLAUTH=anonymous:internal:1234567890123456789012345678901g",
    "imap://a@host/INBOX/"
    ";UID=1;URLAUTH=anonymous:in_ternal:12345678901234567890123456789012",
    "imap://a@host/INBOX;URLAUTH=anonymous",
    "http://host/;UID=1",
    "/INBOX/;UID=0",
    "/INBOX/;UID=01",
    "/INBOX/;UID=-1",
    "/INBOX/;UID=4294967296",
    "/INBOX/;UID=1/",
    "/INBOX/;UID=1/;UID=2",
    "/INBOX/;UID=1/;SECTION=",
    "/INBOX/;UID=1/;SECTION=1.",
    "/INBOX/;UID=1/;SECTION=1]",
    "/INBOX/;UID=1/;SECTION=1%5D",
    "/INBOX/;UID=1/;SECTION=1%0D%0A",
    "/INBOX/;UID=1/;SECTION=HEADER.FIELDS (Date)",
    "/INBOX/;UID=1/;PARTIAL=0/;SECTION=1",
    "/INBOX/;UID=1/;PARTIAL=",
    "/INBOX/;UID=1/;PARTIAL=.5",
    "/INBOX/;UID=1/;PARTIAL=1.0",
    "/INBOX/;UID=1/;PARTIAL=9223372036854775808",
    "/INBOX/;UID=1;URLAUTH=anonymous",
    "/INBOX?TEXT%20x",
    "/IN%BOX/;UID=1",
    "/INBOX%2/;UID=1",
    "/INBOX%00/;UID=1",
    "/INBOX%FF/;UID=1",
    "/IN BOX/;UID=1",
    "/INBOX//;UID=1",
};

static void
parse_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct arena *a = arena_new();
        struct url u;
        struct fault f = {0};
        assert_int_equal(url_parse(span_str(good[i].text), a, &u, &f), R_OK);
        assert_true(span_eq(u.mailbox, span_str(good[i].want_mailbox)));
        assert_int_equal(u.uidvalidity, good[i].want_uidvalidity);
        assert_int_equal(u.uid, good[i].want_uid);
        assert_true(span_eq(u.section.text, span_str(good[i].want_section)));
        assert_int_equal(u.has_partial, good[i].want_count > 0);
        assert_int_equal(u.at, good[i].want_at);
        assert_int_equal(u.count, good[i].want_count);
        arena_free(&a);
    }
}

static void
parse_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct arena *a = arena_new();
        struct url u;
        struct fault f = {0};
        if (url_parse(span_str(bad[i]), a, &u, &f) == R_OK)
            fail_msg("%s was taken", bad[i]);
        assert_int_equal(f.kind, FAULT_BAD);
        arena_free(&a);
    }
}

#define TOKEN "91354a473744909de610943775f92038"

static const struct {
    const char *text;
    const char *want_user, *want_host;
    uint16_t want_port;
    enum url_access want_access;
    const char *want_name;
    int64_t want_expire;
    size_t want_rump;  // 0: all of it
} with_server[] = {
    {"imap://host/a/;UID=1", NULL, "host", 0, URL_ACCESS_NONE, NULL, 0, 0},
    {"IMAP://j%40x;AUTH=*@h.example:143/a/;UID=1", "j@x", "h.example", 143, URL_ACCESS_NONE,
     NULL, 0, 0},
    {"imap://joe@[::1]:993/a/;UID=1", "joe", "[::1]", 993, URL_ACCESS_NONE, NULL, 0, 0},
    {"imap://joe@[::1]/a/;UID=1", "joe", "[::1]", 0, URL_ACCESS_NONE, NULL, 0, 0},
    {"imap://joe@h/a/;uid=20/;section=1.2;urlauth=submit+fred", "joe", "h", 0,
     URL_ACCESS_SUBMIT, "fred", 0, 0},
    {"imap://joe@h/a/;uid=20;urlauth=user+f%40x:internal:" TOKEN, "joe", "h", 0,
     URL_ACCESS_USER, "f@x", 0, 41},
    {"imap://joe@h/a/"
     ";UID=2;EXPIRE=2006-01-02T03:04:05.25-01:30;URLAUTH=authuser:INTERNAL:" TOKEN TOKEN,
     "joe", "h", 0, URL_ACCESS_AUTHUSER, NULL, 1136176445, 74},
    {"imap://joe@h/a;UIDVALIDITY=3/;UID=2/;PARTIAL=0.5;URLAUTH=anonymous:x-y.1:" TOKEN,
     "joe", "h", 0, URL_ACCESS_ANONYMOUS, NULL, 0, 66},
};

static void
parse_server(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof with_server / sizeof *with_server; i++) {
        struct arena *a = arena_new();
        struct span text = span_str(with_server[i].text);
        size_t rump = with_server[i].want_rump;
        struct url u;
        struct fault f = {0};
        assert_int_equal(url_parse(text, a, &u, &f), R_OK);
        assert_true(span_eq(u.user, span_str(with_server[i].want_user)));
        assert_true(span_eq(u.host, span_str(with_server[i].want_host)));
        assert_int_equal(u.port, with_server[i].want_port);
        assert_int_equal(u.auth.access, with_server[i].want_access);
        assert_true(span_eq(u.auth.user, span_str(with_server[i].want_name)));
        assert_int_equal(u.auth.has_expire, with_server[i].want_expire != 0);
        assert_int_equal(u.auth.expire_s, with_server[i].want_expire);
        assert_int_equal(u.auth.rump.n, rump > 0 ? rump : text.n);
        assert_int_equal(u.auth.token.n > 0, rump > 0);
        arena_free(&a);
    }
}

static void
safe_text(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    url_put_safe(&b, SPAN("/a;UID=1/;s=]\r\n\\\"\xff x\0"));
    assert_true(span_eq(buf_span(&b), SPAN("/a;UID=1/;s=%5D%0D%0A%5C%22%FF%20x%00")));
    buf_done(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_good),
        cmocka_unit_test(parse_bad),
        cmocka_unit_test(parse_server),
        cmocka_unit_test(safe_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
