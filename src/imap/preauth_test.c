#include "imap/preauth.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

// A gate that writes down what it is asked, and answers authentications from a list: 'c' a challenge,
// '+' success, any other letter a refusal.
struct gate {
    struct preauth_facts facts;
    struct preauth *m;
    struct buf said;
    const char *answers;
    bool closed, tls_wanted, auth_wanted;
};

static const char capabilities[] =
    "CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR LITERAL- ID ENABLE LANGUAGE";

static void
on_write(void *arg, struct span s)
{
    struct gate *g = arg;
    buf_put(&g->said, s);
}

static void
on_start_tls(void *arg)
{
    struct gate *g = arg;
    buf_put_str(&g->said, "<tls>");
    g->tls_wanted = true;
}

static void
on_authenticate(void *arg, const struct auth_start *s)
{
    struct gate *g = arg;
    buf_printf(&g->said, "<auth %.*s %s%.*s %.*s %.*s>", SPAN_ARG(s->mechanism),
               s->has_initial ? "=" : "", SPAN_ARG(s->initial), SPAN_ARG(s->user),
               SPAN_ARG(s->password));
    g->auth_wanted = true;
}

static void
on_step(void *arg, struct span response)
{
    struct gate *g = arg;
    buf_printf(&g->said, "<step %.*s>", SPAN_ARG(response));
    g->auth_wanted = true;
}

static void
on_abort(void *arg)
{
    struct gate *g = arg;
    buf_put_str(&g->said, "<abort>");
}

static void
on_close(void *arg)
{
    struct gate *g = arg;
    buf_put_str(&g->said, "<close>");
    g->closed = true;
}

static void
on_speaks_for(void *arg, struct span remote, struct span local, struct span session)
{
    struct gate *g = arg;
    buf_printf(&g->said, "<for %.*s %.*s %.*s>", SPAN_ARG(remote), SPAN_ARG(local),
               SPAN_ARG(session));
}

static const struct preauth_ops ops = {on_write, on_start_tls, on_authenticate, on_step,
                                       on_abort, on_close,     on_speaks_for};

static void
answer(struct gate *g)
{
    struct auth_reply r = {0};
    g->auth_wanted = false;
    char what = *g->answers ? *g->answers++ : 'f';
    r.verdict = what == 'c' ? AUTH_CONTINUE : what == '+' ? AUTH_OK : AUTH_REFUSED;
    r.data = SPAN("more");
    r.fault = what == 'z'   ? FAULT_AUTHZFAILED
              : what == 'u' ? FAULT_DISK
              : what == 'b' ? FAULT_BAD
              : what == 'm' ? FAULT_CANNOT
                            : FAULT_AUTHFAILED;
    preauth_auth_reply(g->m, &r);
}

// What the gate's loop does: feeds what it has, `step` octets more each time (0: all at once).
static size_t
feed(struct gate *g, struct span in, size_t step)
{
    size_t have = step ? 0 : in.n, done = 0;
    while (g->m->state == PREAUTH_READING && (done < have || have < in.n)) {
        size_t n = imap_preauth_service.input(g->m, span_slice(in, done, have));
        done += n;
        if (g->auth_wanted)
            answer(g);
        if (g->tls_wanted) {
            assert_int_equal(done, have);
            g->tls_wanted = false;
            g->facts.tls = true;
            preauth_tls_started(g->m);
        }
        if (n == 0 && have == in.n)
            break;
        if (n == 0)
            have = have + step < in.n ? have + step : in.n;
    }
    return done;
}

static void
open_gate(struct gate *g, const char *answers, bool tls, bool plaintext)
{
    *g = (struct gate){.answers = answers};
    g->facts = (struct preauth_facts){.tls = tls,
                                      .can_starttls = true,
                                      .plaintext_auth = plaintext,
                                      .mechanisms = SPAN("SCRAM-SHA-256-PLUS PLAIN LOGIN")};
    buf_init(&g->said, 1 << 20);
    g->m = preauth_open(&imap_preauth_service, &g->facts, &ops, g);
}

static struct handover
told(const struct gate *g)
{
    struct handover h = {0};
    imap_preauth_service.tell(g->m, &h);
    return h;
}

static void
close_gate(struct gate *g)
{
    preauth_free(&g->m);
    buf_done(&g->said);
}

enum listener { PLAIN, TLS, INSECURE };

static const struct {
    enum listener listener;
    struct span in;
    const char *answers, *want;
    enum preauth_state want_state;
} rows[] = {
    {TLS, SPAN("a NOOP\r\n"), "", "a OK NOOP completed.\r\n", PREAUTH_READING},
    {TLS, SPAN("a noop\n"), "", "a OK NOOP completed.\r\n", PREAUTH_READING},
    {TLS, SPAN("a noop x\r\n"), "", "a BAD Invalid arguments.\r\n", PREAUTH_READING},
    {TLS, SPAN("a LOGOUT\r\n"), "",
     "* BYE Logging out.\r\na OK Logout completed.\r\n<close>", PREAUTH_CLOSED},
    {TLS, SPAN("a SELECT INBOX\r\n"), "", "a BAD Unknown command, or not before login.\r\n",
     PREAUTH_READING},
    {TLS, SPAN("a ENABLE IMAP4rev2\r\n"), "",
     "a BAD Unknown command, or not before login.\r\n", PREAUTH_READING},
    {TLS, SPAN("x\r\n\r\ny z\r\na NOOP\r\n"), "",
     "x BAD Not a command.\r\n* BAD Not a command.\r\ny BAD Unknown command, or not before "
     "login.\r\n"
     "* BYE Too many bad commands.\r\n<close>",
     PREAUTH_CLOSED},
    // LOGIN
    {TLS, SPAN("a LOGIN ann secret\r\nb NOOP\r\n"), "+", "<auth   ann secret>",
     PREAUTH_DONE},
    {TLS, SPAN("a login \"a\\\"n\" \"se cret\"\r\n"), "+", "<auth   a\"n se cret>",
     PREAUTH_DONE},
    {TLS, SPAN("a LOGIN {3}\r\nann {6}\r\nse\r\net\r\n"), "+",
     "+ OK\r\n+ OK\r\n<auth   ann se\r\net>", PREAUTH_DONE},
    {TLS, SPAN("a LOGIN {3+}\r\nann {6+}\r\nsecret\r\n"), "+", "<auth   ann secret>",
     PREAUTH_DONE},
    {TLS, SPAN("a LOGIN ann \"gr\xc3\xbc\xc3\x9f\"\r\n"), "+",
     "<auth   ann gr\xc3\xbc\xc3\x9f>", PREAUTH_DONE},
    {TLS, SPAN("a LOGIN ann x\r\nb NOOP\r\n"), "f",
     "<auth   ann x>a NO [AUTHENTICATIONFAILED] Authentication failed.\r\nb OK NOOP "
     "completed.\r\n",
     PREAUTH_READING},
    {TLS, SPAN("a LOGIN ann x\r\n"), "u",
     "<auth   ann x>a NO [UNAVAILABLE] Temporary authentication failure.\r\n",
     PREAUTH_READING},
    {TLS, SPAN("a LOGIN ann\r\n"), "", "a BAD Invalid arguments.\r\n", PREAUTH_READING},
    {TLS, SPAN("a LOGIN ann x y\r\n"), "", "a BAD Invalid arguments.\r\n", PREAUTH_READING},
    {TLS, SPAN("a LOGIN \"al\0ice\" pa\r\n"), "", "a BAD Invalid command.\r\n",
     PREAUTH_READING},
    {PLAIN, SPAN("a LOGIN ann x\r\n"), "",
     "a NO [PRIVACYREQUIRED] Passwords are accepted under TLS only.\r\n", PREAUTH_READING},
    {PLAIN, SPAN("a AUTHENTICATE PLAIN\r\n"), "",
     "a NO [PRIVACYREQUIRED] Passwords are accepted under TLS only.\r\n", PREAUTH_READING},
    {INSECURE, SPAN("a LOGIN ann x\r\n"), "+", "<auth   ann x>", PREAUTH_DONE},
    // Literals: sizes nobody allocates (CVE-2024-37358), LITERAL- (RFC 7888 section 5)
    {TLS, SPAN("a LOGIN {4294967296}\r\nb NOOP\r\n"), "",
     "a BAD [TOOBIG] Literal too large.\r\nb OK NOOP completed.\r\n", PREAUTH_READING},
    {TLS, SPAN("a LOGIN {99999999999999999999}\r\n"), "",
     "a BAD [TOOBIG] Literal too large.\r\n", PREAUTH_READING},
    {TLS, SPAN("a LOGIN {4000000000+}\r\n"), "",
     "* BYE [TOOBIG] Command too long.\r\n<close>", PREAUTH_CLOSED},
    {TLS, SPAN("a LOGIN {4097+}\r\n"), "", "* BYE [TOOBIG] Command too long.\r\n<close>",
     PREAUTH_CLOSED},
    {TLS, SPAN("a LOGIN {-1}\r\n"), "", "a BAD Invalid arguments.\r\n", PREAUTH_READING},
    {TLS, SPAN("a APPEND INBOX {10}\r\n"), "", "a BAD Invalid command.\r\n",
     PREAUTH_READING},
    {TLS, SPAN("a APPEND INBOX {3+}\r\nabc\r\n"), "",
     "a BAD Unknown command, or not before login.\r\n", PREAUTH_READING},
    // AUTHENTICATE
    {TLS, SPAN("a AUTHENTICATE PLAIN\r\nAGFubgB4\r\n"), "c+",
     "<auth PLAIN   >+ bW9yZQ==\r\n<step \0", PREAUTH_DONE},
    {TLS, SPAN("a AUTHENTICATE X aGk=\r\n"), "+", "<auth X =hi  >", PREAUTH_DONE},
    {TLS, SPAN("a AUTHENTICATE X =\r\n"), "+", "<auth X =  >", PREAUTH_DONE},
    {TLS, SPAN("a AUTHENTICATE X\r\naGk=\r\n\r\n"), "cc+",
     "<auth X   >+ bW9yZQ==\r\n<step hi>+ bW9yZQ==\r\n<step >", PREAUTH_DONE},
    {TLS, SPAN("a AUTHENTICATE X\r\n*\r\nb NOOP\r\n"), "c",
     "<auth X   >+ bW9yZQ==\r\n<abort>a BAD Authentication cancelled.\r\nb OK NOOP "
     "completed.\r\n",
     PREAUTH_READING},
    {TLS, SPAN("a AUTHENTICATE X\r\n=\x80%%\r\n"), "c",
     "<auth X   >+ bW9yZQ==\r\n<abort>a BAD Invalid base64.\r\n", PREAUTH_READING},
    {TLS, SPAN("a AUTHENTICATE X a\r\n"), "",
     "a BAD Invalid base64 in the initial response.\r\n", PREAUTH_READING},
    {TLS, SPAN("a AUTHENTICATE X aGk=\r\n"), "z",
     "<auth X =hi  >a NO [AUTHORIZATIONFAILED] Authorization failed.\r\n", PREAUTH_READING},
    {TLS, SPAN("a AUTHENTICATE X aGk=\r\n"), "m",
     "<auth X =hi  >a NO [CANNOT] Unsupported authentication mechanism.\r\n",
     PREAUTH_READING},
    {TLS, SPAN("a AUTHENTICATE X aGk=\r\n"), "b",
     "<auth X =hi  >a BAD Invalid SASL response.\r\n", PREAUTH_READING},
    {TLS, SPAN("a AUTHENTICATE\r\n"), "", "a BAD Invalid arguments.\r\n", PREAUTH_READING},
    // STARTTLS
    {TLS, SPAN("a STARTTLS\r\n"), "", "a BAD TLS is active already.\r\n", PREAUTH_READING},
    {PLAIN, SPAN("a STARTTLS x\r\n"), "", "a BAD Invalid arguments.\r\n", PREAUTH_READING},
    // LANGUAGE (RFC 5255 section 3)
    {TLS, SPAN("a LANGUAGE\r\n"), "",
     "* LANGUAGE (i-default en de)\r\na OK These languages are spoken\r\n",
     PREAUTH_READING},
    {TLS,
     SPAN("a LANGUAGE fr-CA \"DE-AT-1996\" en\r\nb NOOP\r\nc LANGUAGE MUL\r\nd FOO\r\n"),
     "",
     "* LANGUAGE (de)\r\na OK Ab jetzt auf Deutsch\r\nb OK NOOP ausgef\u00FChrt.\r\nc NO "
     "Keine dieser "
     "Sprachen wird unterst\u00FCtzt\r\nd BAD Unbekannter oder erst nach der Anmeldung "
     "m\u00F6glicher "
     "Befehl.\r\n",
     PREAUTH_READING},
    {TLS, SPAN("a LANGUAGE de\r\nb LOGIN ann x\r\nc LOGOUT\r\n"), "f",
     "* LANGUAGE (de)\r\na OK Ab jetzt auf Deutsch\r\n<auth   ann x>b NO "
     "[AUTHENTICATIONFAILED] Anmeldung "
     "fehlgeschlagen.\r\n* BYE Abgemeldet.\r\nc OK LOGOUT ausgef\u00FChrt.\r\n<close>",
     PREAUTH_CLOSED},
    {TLS, SPAN("a LANGUAGE de\r\nb LANGUAGE {7+}\r\ndefault\r\n"), "",
     "* LANGUAGE (de)\r\na OK Ab jetzt auf Deutsch\r\n* LANGUAGE (i-default)\r\nb OK Now "
     "speaking English\r\n",
     PREAUTH_READING},
    {TLS, SPAN("a LANGUAGE \"\"\r\nb LANGUAGE de--x\r\n"), "",
     "a BAD Invalid arguments.\r\nb BAD Invalid arguments.\r\n", PREAUTH_READING},
    {TLS, SPAN("a LANGUAGE fr *\r\nb LANGUAGE * en-x-y\r\n"), "",
     "a BAD Invalid arguments.\r\nb BAD Invalid arguments.\r\n", PREAUTH_READING},
    {TLS, SPAN("a LANGUAGE fr \"*\"\r\nb LANGUAGE \"*\" en-x-y\r\n"), "",
     "* LANGUAGE (i-default)\r\na OK Now speaking English\r\n* LANGUAGE (en)\r\nb OK Now "
     "speaking English\r\n",
     PREAUTH_READING},
    // ALPACA
    {TLS, SPAN("GET / HTTP/1.1\r\nHost: x\r\n"), "",
     "* BYE This is an IMAP server.\r\n<close>", PREAUTH_CLOSED},
    {TLS, SPAN("POST /x HTTP/1.1\r\n\r\na NOOP\r\n"), "",
     "* BYE This is an IMAP server.\r\n<close>", PREAUTH_CLOSED},
};

static void
check_row(size_t i, size_t step)
{
    struct gate g;
    open_gate(&g, rows[i].answers, rows[i].listener == TLS, rows[i].listener == INSECURE);
    feed(&g, rows[i].in, step);
    struct span want = span_str(rows[i].want);
    bool prefix = span_ends(want, SPAN("<step "));
    if (prefix ? !span_starts(buf_span(&g.said), want) : !span_eq(buf_span(&g.said), want))
        fail_msg("row %zu step %zu: %.*s", i, step, SPAN_ARG(buf_span(&g.said)));
    assert_int_equal(g.m->state, rows[i].want_state);
    close_gate(&g);
}

static void
test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t step = 0; step < 4; step++)
            check_row(i, step);
}

static void
test_greeting(void **state)
{
    (void)state;
    static const struct {
        enum listener listener;
        const char *want;
    } wants[] = {
        {PLAIN, " STARTTLS LOGINDISABLED"},
        {TLS, " AUTH=SCRAM-SHA-256-PLUS AUTH=PLAIN AUTH=LOGIN"},
        {INSECURE, " STARTTLS AUTH=PLAIN AUTH=LOGIN"},
    };
    for (size_t i = 0; i < sizeof wants / sizeof wants[0]; i++) {
        struct gate g;
        char want[400];
        open_gate(&g, "", wants[i].listener == TLS, wants[i].listener == INSECURE);
        imap_preauth_service.greet(g.m);
        feed(&g, SPAN("a CAPABILITY\r\n"), 0);
        snprintf(want, sizeof want,
                 "* OK [%s%s] Posthorn ready.\r\n* %s%s\r\na OK Capability completed.\r\n",
                 capabilities, wants[i].want, capabilities, wants[i].want);
        assert_true(span_eq(buf_span(&g.said), span_str(want)));
        close_gate(&g);
    }
}

static void
test_starttls_forgets(void **state)
{
    (void)state;
    struct gate g;
    open_gate(&g, "+", false, false);
    feed(&g, SPAN("a ID (\"name\" \"x\")\r\n"), 0);
    assert_true(told(&g).client_id.n > 0);
    feed(&g, SPAN("b STARTTLS\r\n"), 0);
    assert_int_equal(told(&g).client_id.n, 0);
    assert_int_equal(g.m->state, PREAUTH_READING);
    feed(&g, SPAN("c LOGIN ann x\r\n"), 0);
    assert_int_equal(g.m->state, PREAUTH_DONE);
    assert_true(span_eq(told(&g).tag, SPAN("c")));
    close_gate(&g);
}

// CVE-2021-33515 and its kin: nothing of this may be answered, before or in TLS.
static void
test_starttls_injection(void **state)
{
    (void)state;
    static const char *const ins[] = {"a STARTTLS\r\nb NOOP\r\n", "a starttls\r\n ",
                                      "a STARTTLS\n\x16\x03\x01"};
    for (size_t i = 0; i < sizeof ins / sizeof ins[0]; i++) {
        struct gate g;
        open_gate(&g, "", false, false);
        feed(&g, span_str(ins[i]), 0);
        assert_true(span_eq(buf_span(&g.said), SPAN("<close>")));
        assert_int_equal(g.m->state, PREAUTH_CLOSED);
        close_gate(&g);
    }
}

static void
test_endless_input_ends(void **state)
{
    (void)state;
    static char junk[LIMIT_line_preauth + 1];
    static const struct {
        const char *first, *answers;
    } starts[] = {
        {"", ""}, {"a ID ((((((", ""}, {"a LOGIN \"", ""}, {"a AUTHENTICATE X\r\n", "c"}};
    memset(junk, '(', sizeof junk);
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        struct gate g;
        struct buf in;
        buf_init(&in, 2 * sizeof junk);
        buf_put_str(&in, starts[i].first);
        buf_put(&in, span_of(junk, sizeof junk));
        open_gate(&g, starts[i].answers, true, false);
        feed(&g, buf_span(&in), 0);
        assert_true(g.closed);
        assert_true(span_find(buf_span(&g.said), SPAN("* BYE [TOOBIG]")) < g.said.n);
        close_gate(&g);
        buf_done(&in);
    }
}

static void
test_id(void **state)
{
    (void)state;
    static const char reply[] =
        "* ID (\"name\" \"Posthorn\" \"version\" \"" POSTHORN_VERSION
        "\")\r\na OK ID completed.\r\n";
    static const struct {
        const char *in, *want_id, *want;
    } ids[] = {
        {"a ID NIL\r\n", "", reply},
        {"a ID (\"name\" \"Mail\" \"os\" NIL)\r\n", "\"name\" \"Mail\" \"os\" NIL", reply},
        {"a ID (\"name\" {3+}\r\na\nb)\r\n", "\"name\" \"a?b\"", reply},
        {"a ID (\"name\" \"\x1b[2J\")\r\n", "\"name\" \"?[2J\"", reply},
        {"a ID ()\r\n", "", reply},
        {"a ID (\"name\")\r\n", "", "a BAD Invalid arguments.\r\n"},
        {"a ID\r\n", "", "a BAD Invalid arguments.\r\n"},
        {"a ID ((((\r\n", "", "a BAD Invalid arguments.\r\n"},
    };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        struct gate g;
        open_gate(&g, "", true, false);
        feed(&g, span_str(ids[i].in), 0);
        if (!span_eq(buf_span(&g.said), span_str(ids[i].want)))
            fail_msg("%s: %.*s", ids[i].in, SPAN_ARG(buf_span(&g.said)));
        assert_true(span_eq(told(&g).client_id, span_str(ids[i].want_id)));
        close_gate(&g);
    }
}

static void
test_id_is_capped(void **state)
{
    (void)state;
    struct gate g;
    struct buf in;
    buf_init(&in, 4096);
    buf_put_str(&in, "a ID (\"name\" \"x\" \"version\" \"");
    for (int i = 0; i < LIMIT_client_id; i++)
        buf_put_char(&in, 'v');
    buf_put_str(&in, "\" \"os\" \"y\")\r\n");
    open_gate(&g, "", true, false);
    feed(&g, buf_span(&in), 0);
    assert_true(span_eq(told(&g).client_id, SPAN("\"name\" \"x\" \"os\" \"y\"")));
    close_gate(&g);
    buf_done(&in);
}

// Auth dies or times out while the client has the word: it is told with its next line, which is no command.
static void
test_exchange_lost(void **unused)
{
    (void)unused;
    struct gate g;
    const struct auth_reply gone = {.verdict = AUTH_REFUSED, .fault = FAULT_UNAVAILABLE};
    open_gate(&g, "c+", true, false);
    feed(&g, SPAN("a AUTHENTICATE PLAIN\r\n"), 0);
    preauth_auth_reply(g.m, &gone);
    buf_reset(&g.said);
    feed(&g, SPAN("AAAA\r\n"), 0);
    assert_true(span_starts(buf_span(&g.said), SPAN("a NO [UNAVAILABLE]")));
    feed(&g, SPAN("b LOGIN x y\r\n"), 0);
    assert_int_equal(g.m->state, PREAUTH_DONE);
    close_gate(&g);
}

static void
test_ends(void **state)
{
    (void)state;
    for (enum preauth_end why = PREAUTH_END_TIMEOUT; why <= PREAUTH_END_CROWDED; why++) {
        struct gate g;
        open_gate(&g, "", true, false);
        preauth_end(g.m, why);
        assert_true(g.closed && span_starts(buf_span(&g.said), SPAN("* BYE ")));
        close_gate(&g);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_greeting),
        cmocka_unit_test(test_starttls_forgets),
        cmocka_unit_test(test_starttls_injection),
        cmocka_unit_test(test_endless_input_ends),
        cmocka_unit_test(test_id),
        cmocka_unit_test(test_id_is_capped),
        cmocka_unit_test(test_exchange_lost),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
