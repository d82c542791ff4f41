// A session against the real mail floor on the mem engine, over a socketpair.
#include "imap/session.h"

#include "io/task.h"
#include "mail/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/socket.h>

// What is sent, and the lines that come: each wanted line is a prefix of the one received.
struct row {
    const char *send, *want;
};

struct client {
    struct conn *conn;
    struct mail_user *user;
};

static void
on_input(struct conn *c, void *arg)
{
    (void)c;
    (void)arg;
}

static const struct imap_host_ops nothing = {0};

static struct client
client_new(struct fixture *x)
{
    struct client c;
    struct fault f;
    int fds[2];
    struct mail_user *user;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    c.conn = conn_new(fds[0], on_input, NULL);
    // 8: its home is this loop, where a session runs
    assert_int_equal(mail_user_open(x->mail, 8, SPAN("alice"), &user, &f), R_OK);
    struct handover h = {.tag = SPAN("t"), .unread = SPAN("u noop\r\n")};
    imap_session_start(conn_new(fds[1], on_input, NULL), user, &h,
                       &(struct imap_host){.ops = &nothing});
    return c;
}

static struct span
next_line(struct client *c)
{
    for (;;) {
        struct span in = conn_input(c->conn);
        size_t n = span_find_char(in, '\n');
        if (n < in.n)
            return span_slice(in, 0, n + 1);
        if (conn_wait_input(c->conn, in.n + 1, 5000) != R_OK)
            return SPAN("(end)\n");
    }
}

static void
expect(struct client *c, const char *want)
{
    struct span rest = span_str(want), line;
    while (rest.n > 0 && span_next_field(&rest, '\n', &line) == R_OK) {
        struct span got = next_line(c);
        if (!span_starts(got, line))
            fail_msg("want %.*s, got %.*s", SPAN_ARG(line), SPAN_ARG(got));
        if (conn_input(c->conn).n > 0)
            conn_consume(c->conn, got.n);
    }
}

static void
play(struct client *c, const struct row *rows, size_t count, size_t step)
{
    expect(c, "t OK [CAPABILITY IMAP4rev1 IMAP4rev2 \nu OK\n");
    for (size_t i = 0; i < count; i++) {
        struct span send = span_str(rows[i].send);
        for (size_t at = 0; at < send.n; at += step) {
            conn_write(c->conn, span_slice(send, at, at + step));
            if (step < send.n)
                task_sleep(1);
        }
        expect(c, rows[i].want);
    }
}

static void
play_to_the_end(struct fixture *x, const struct row *rows, size_t count)
{
    static const size_t steps[] = {4096, 9};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct client c = client_new(x);
        play(&c, rows, count, steps[i]);
        conn_close(&c.conn);
    }
    while (imap_session_count() > 0)
        task_sleep(10);
}

#define PLAY(name, ...)                                                                    \
    static void name##_task(struct fixture *x)                                             \
    {                                                                                      \
        static const struct row rows[] = {__VA_ARGS__};                                    \
        play_to_the_end(x, rows, sizeof rows / sizeof *rows);                              \
    }                                                                                      \
    static void name(void **unused)                                                        \
    {                                                                                      \
        (void)unused;                                                                      \
        fixture_run(NULL, name##_task);                                                    \
    }

// clang-format off
PLAY(test_framing,
     {"a NOOP\r\nb NOOP\r\n", "a OK\nb OK\n"},
     {"c SELECT {5}\r\n", "+ \n"},
     {"inbox\r\n", "* FLAGS\n* OK [PERMANENTFLAGS\n* 0 EXISTS\n* 0 RECENT\n* OK [UIDVALIDITY\n"
                   "* OK [UIDNEXT 1]\n* OK [HIGHESTMODSEQ\n* OK [MAILBOXID (M\nc OK [READ-WRITE]\n"},
     {"\r\n", "* BAD\n"},
     {"e FOO\r\nf LOGIN a b\r\n", "e BAD\nf BAD [CLIENTBUG]\n"},
     {"g FOO {4294967296}\r\nh NOOP\r\n", "g BAD [TOOBIG]\nh OK\n"},
     {"i FOO {4000000000+}\r\n", "* BYE [TOOBIG]\n(end)\n"})

PLAY(test_dropped_streams,
     {"a APPEND none {5+}\r\nhello\r\nb NOOP\r\n", "a NO [TRYCREATE]\nb OK\n"},
     {"c APPEND none {5}\r\nd NOOP\r\n", "c NO [TRYCREATE]\nd OK\n"},
     {"e LOGOUT\r\n", "* BYE\ne OK\n(end)\n"})

PLAY(test_idle,
     {"a SELECT INBOX\r\n", "* FLAGS\n* OK\n* 0 EXISTS\n* 0 RECENT\n* OK\n* OK\n* OK\n* OK\na OK\n"},
     {"b IDLE\r\n", "+ idling\n"},
     {"DONE\r\nc NOOP\r\nd IDLE\r\n", "b OK\nc OK\n+ idling\n"},
     {"enough\r\ne NOOP\r\n", "d BAD\ne OK\n"})

PLAY(test_list,
     {"a LIST \"\" \"\"\r\n", "* LIST (\\Noselect) \"/\" \"\"\na OK\n"},
     {"b LIST \"\" (inbox S%)\r\n", "* LIST (\\HasNoChildren) \"/\" INBOX\n"
                                    "* LIST (\\HasNoChildren \\Sent) \"/\" Sent\nb OK\n"},
     {"c SUBSCRIBE gone/x\r\nd LSUB \"\" g%\r\n", "c OK\n* LSUB (\\Noselect \\HasChildren) \"/\" gone\nd OK\n"},
     {"e LIST (SUBSCRIBED RECURSIVEMATCH) \"\" g%\r\n",
      "* LIST (\\NonExistent \\HasChildren) \"/\" gone (\"CHILDINFO\" (\"SUBSCRIBED\"))\ne OK\n"},
     {"f LIST \"\" Sent RETURN (STATUS (MESSAGES UIDNEXT))\r\n",
      "* LIST (\\HasNoChildren \\Sent) \"/\" Sent\n* STATUS Sent (MESSAGES 0 UIDNEXT 1)\nf OK\n"},
     {"g LIST (RECURSIVEMATCH) \"\" *\r\nh LIST (FOO) \"\" *\r\n", "g BAD\nh BAD\n"},
     {"i LIST \"\" \"a&\"\r\n", "i OK\n"})

PLAY(test_tree,
     {"a CREATE one/\r\nb CREATE one\r\n", "a OK\nb NO [ALREADYEXISTS]\n"},
     {"c RENAME one two\r\nd STATUS two (SIZE RECENT)\r\n", "c OK\n* STATUS two (SIZE 0 RECENT 0)\nd OK\n"},
     {"e SELECT two\r\n", "* FLAGS\n* OK\n* 0 EXISTS\n* 0 RECENT\n* OK\n* OK\n* OK\n* OK\ne OK\n"},
     {"f DELETE two\r\ng NOOP\r\n", "* OK [CLOSED]\nf OK\ng OK\n"},
     {"h CREATE x (USE (\\Nonsense))\r\ni CREATE x (FOO)\r\n", "h NO [USEATTR]\ni BAD\n"},
     {"j DELETE INBOX\r\nk STATUS none (MESSAGES)\r\n", "j NO [CANNOT]\nk NO [NONEXISTENT]\n"})

PLAY(test_rev2,
     {"a ENABLE foo IMAP4rev2\r\n", "* ENABLED IMAP4rev2\na OK\n"},
     {"b ENABLE IMAP4rev2\r\n", "* ENABLED\nb OK\n"},
     {"c EXAMINE inbox\r\n", "* FLAGS\n* OK [PERMANENTFLAGS ()]\n* 0 EXISTS\n* OK [UIDVALIDITY\n* OK [UIDNEXT\n"
                             "* LIST (\\Subscribed \\HasNoChildren) \"/\" INBOX (\"OLDNAME\" (inbox))\n* OK [HIGHESTMODSEQ\n* OK [MAILBOXID\nc OK [READ-ONLY]\n"},
     {"d SELECT none\r\ne CLOSE\r\n", "* OK [CLOSED]\nd NO [NONEXISTENT]\ne BAD [CLIENTBUG]\n"})
// clang-format on

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing), cmocka_unit_test(test_dropped_streams),
        cmocka_unit_test(test_idle),    cmocka_unit_test(test_list),
        cmocka_unit_test(test_tree),    cmocka_unit_test(test_rev2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
