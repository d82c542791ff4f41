#include "pull/frame.h"
#include "pull/response.h"
#include "base/arena_scene.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct response
read_one(const char *text)
{
    struct response r;
    struct fault f;
    assert_int_equal(response_read(span_str(text), arena, &r, &f), R_OK);
    return r;
}

static void
assert_is(struct span s, const char *want)
{
    assert_int_equal(s.n, strlen(want));
    assert_memory_equal(s.p, want, s.n);
}

static void
states(void **unused)
{
    (void)unused;
    struct response r = read_one("* OK [UIDVALIDITY 77] fine\r\n");
    assert_int_equal(r.kind, RESPONSE_STATE);
    assert_int_equal(r.code, CODE_UIDVALIDITY);
    assert_int_equal(r.number, 77);
    assert_is(r.text, "fine");
    r = read_one("P3 NO [INUSE] later\r\n");
    assert_int_equal(r.kind, RESPONSE_TAGGED);
    assert_int_equal(r.condition, SAYS_NO);
    assert_int_equal(r.code, CODE_UNAVAILABLE);
    assert_is(r.tag, "P3");
    r = read_one("* CAPABILITY IMAP4rev1 QRESYNC auth=plain X-OTHER\r\n");
    assert_int_equal(r.caps, PULL_CAP(QRESYNC) | PULL_CAP(CONDSTORE) | PULL_CAP(PLAIN));
    assert_int_equal(read_one("+ go on\r\n").kind, RESPONSE_CONTINUE);
    assert_int_equal(read_one("* 12 EXISTS\r\n").number, 12);
    assert_int_equal(read_one("* FLAGS (\\Seen)\r\n").kind, RESPONSE_OTHER);
}

static void
mailboxes(void **unused)
{
    (void)unused;
    struct response r = read_one("* LIST (\\HasNoChildren \\Sent) \".\" \"a \\\"b\"\r\n");
    assert_int_equal(r.kind, RESPONSE_LIST);
    assert_int_equal(r.delimiter, '.');
    assert_is(r.name, "a \"b");
    assert_is(r.use, "\\Sent");
    r = read_one("* LIST (\\Noselect \\Subscribed) NIL {3}\r\nabc\r\n");
    assert_int_equal(r.attributes, LIST_NOSELECT | LIST_SUBSCRIBED);
    assert_int_equal(r.delimiter, 0);
    assert_is(r.name, "abc");
    r = read_one(
        "* STATUS x (MESSAGES 3 SIZE 9 UIDNEXT 8 UIDVALIDITY 5 HIGHESTMODSEQ 99)\r\n");
    assert_int_equal(r.status.messages, 3);
    assert_int_equal(r.status.uidnext, 8);
    assert_int_equal(r.status.uidvalidity, 5);
    assert_int_equal(r.status.modseq, 99);
    r = read_one("* NAMESPACE ((\"INBOX.\" \".\" \"X\" (\"y\"))) ((\"~\" \"/\")) NIL\r\n");
    assert_int_equal(r.own.n, 1);
    assert_is(r.own.items[0], "INBOX.");
    assert_int_equal(r.others.n, 1);
    assert_is(r.others.items[0], "~");
}

static void
messages(void **unused)
{
    (void)unused;
    struct response r = read_one(
        "* 4 FETCH (FLAGS (\\Seen $a \\Odd) UID 9 RFC822.SIZE 4294967296 X (1 (2)) "
        "INTERNALDATE \" 1-Feb-2004 10:11:12 +0100\" EMAILID (M1) BODY[] NIL)\r\n");
    assert_int_equal(r.kind, RESPONSE_FETCH);
    assert_int_equal(r.number, 4);
    assert_true(r.has_uid && r.has_flags && r.has_size && r.has_body);
    assert_int_equal(r.message.uid, 9);
    assert_int_equal(r.message.flags, PULL_SEEN);
    assert_int_equal(r.message.keyword_count, 1);
    assert_is(r.message.keywords[0], "$a");
    assert_true(r.message.size == UINT64_C(4294967296));
    assert_true(r.message.has_date && r.message.zone_min == 60);
    assert_is(r.message.id, "M1");
    assert_null(r.body.p);
    r = read_one("* 4 FETCH (UID 9 X-GM-MSGID 18446744073709551615 FLAGS ($a) X-GM-LABELS "
                 "(\"\\\\Important\" \\Inbox \"a \\\"b\" {3}\r\nx/y) RFC822.SIZE 7)\r\n");
    assert_is(r.message.id, "18446744073709551615");
    assert_int_equal(r.message.label_count, 4);
    assert_is(r.message.labels[1], "\\Inbox");
    assert_is(r.message.labels[2], "a \"b");
    assert_is(r.message.labels[3], "x/y");
    assert_int_equal(r.message.keyword_count, 2);
    assert_is(r.message.keywords[1], "$Important");
    r = read_one("* 4 FETCH (UID 9 FLAGS ($important) X-GM-LABELS (\\important))\r\n");
    assert_int_equal(r.message.keyword_count, 1);
    assert_int_equal(read_one("* 4 FETCH (X-GM-LABELS ())\r\n").message.label_count, 0);
    assert_false(read_one("* 1 FETCH (INTERNALDATE \"soon\")\r\n").message.has_date);
}

static void
wrong(void **unused)
{
    (void)unused;
    static const char *const rows[] = {"",
                                       "\r\n",
                                       "P1\r\n",
                                       "P1 MAYBE\r\n",
                                       "* 4294967296 EXISTS\r\n",
                                       "* 1 FETCH (UID 0)\r\n",
                                       "* 1 FETCH (UID 1\r\n",
                                       "* 1 FETCH (FLAGS (a b)\r\n",
                                       "* LIST () \".\"\r\n",
                                       "* STATUS x (MESSAGES -1)\r\n",
                                       "* NAMESPACE ((\r\n"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct response r;
        struct fault f;
        if (response_read(span_str(rows[i]), arena, &r, &f) == R_OK)
            fail_msg("row %zu is taken", i);
    }
}

// Octet by octet the frame ends where it ends as a whole.
static void
check_frame(struct span in, enum frame_state want, size_t size)
{
    struct framer r;
    size_t got = 0;
    framer_init(&r);
    for (size_t n = 0; n < in.n; n++) {
        enum frame_state s = framer_feed(&r, span_slice(in, 0, n), &got);
        if (s != FRAME_MORE) {
            assert_int_equal(s, want);
            assert_int_equal(got, size);
            assert_int_equal(n, size);
            return;
        }
    }
    assert_int_equal(framer_feed(&r, in, &got), want);
    assert_true(want == FRAME_MORE || want == FRAME_BROKEN || got == size);
}

static void
frames(void **unused)
{
    (void)unused;
    check_frame(SPAN("* OK {5}\r\n* x"), FRAME_WHOLE, 10);  // text
    check_frame(SPAN("* LIST () NIL {3}\r\na\r\n\r\n+"), FRAME_WHOLE, 24);
    check_frame(SPAN("* LIST () NIL {3}\r\na\r"), FRAME_MORE, 0);
    check_frame(SPAN("* 1 FETCH (UID 2 BODY[] {12}\r\nabc"), FRAME_STREAM, 30);
    check_frame(SPAN("* 1 FETCH (BODY[] {99999999999999999999}\r\n"), FRAME_BROKEN, 0);
    check_frame(SPAN("* 1 FETCH (ENVELOPE {99999999}\r\n"), FRAME_BROKEN, 0);
    struct framer r;
    size_t size;
    struct span endless = {
        memset(arena_alloc(arena, LIMIT_pull_response), 'x', LIMIT_pull_response),
        LIMIT_pull_response};
    framer_init(&r);
    assert_int_equal(framer_feed(&r, endless, &size), FRAME_BROKEN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states), cmocka_unit_test(mailboxes), cmocka_unit_test(messages),
        cmocka_unit_test(wrong), cmocka_unit_test(frames)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
