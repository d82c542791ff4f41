#include "auth/encode.h"
#include "auth/sasl.h"
#include "base/limits.h"

#include <gsasl.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <cmocka.h>

static struct scram_set keys_of_pencil;
static const char exporter[32] = "0123456789abcdef0123456789abcdef";

static void
give_keys(void *arg, enum scram_hash hash, struct span user, struct scram_keys *out)
{
    (void)arg;
    *out = keys_of_pencil.of[hash];
    if (!span_eq(user, SPAN("user")))
        scram_decoy(hash, SPAN("secret"), user, &keys_of_pencil.of[hash], out);
}

static struct sasl *
open_sasl(const char *mechanism, bool tls)
{
    struct sasl *s = NULL;
    struct fault f = {0};
    const struct sasl_setup setup = {
        .mechanism = span_str(mechanism),
        .exporter = tls ? span_of(exporter, sizeof exporter) : SPAN_NONE,
        .plus_offered = tls,
        .keys = give_keys,
    };
    if (sasl_new(&setup, &s, &f))
        fail_msg("%s: %s", mechanism, f.why);
    return s;
}

// The examples of RFC 4616 section 4, and what must not pass.
static void
test_plain(void **state)
{
    (void)state;
    static const struct {
        struct span response;
        enum sasl_verdict want;
        const char *want_user, *want_password;
        enum fault_kind want_fault;
    } rows[] = {
        {SPAN("\0tim\0tanstaaftanstaaf"), SASL_CHECK, "tim", "tanstaaftanstaaf", 0},
        {SPAN("Ursel\0Kurt\0xipj3plmq"), SASL_CHECK, "Kurt", "xipj3plmq", 0},
        {SPAN("Kurt\0kurt\0xipj3plmq"), SASL_CHECK, "kurt", "xipj3plmq", 0},
        {SPAN("\0a\0"), SASL_CHECK, "a", "", 0},
        {SPAN("\0\0pw"), SASL_REFUSED, 0, 0, FAULT_BAD},
        {SPAN("\0user"), SASL_REFUSED, 0, 0, FAULT_BAD},
        {SPAN("user"), SASL_REFUSED, 0, 0, FAULT_BAD},
        {SPAN(""), SASL_REFUSED, 0, 0, FAULT_BAD},
        {SPAN("\0a\0b\0c"), SASL_REFUSED, 0, 0, FAULT_BAD},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sasl *s = open_sasl("plain", false);
        struct fault f = {0};
        assert_int_equal(sasl_step(s, SPAN_NONE, &f).verdict, SASL_CONTINUE);
        struct sasl_outcome o = sasl_step(s, rows[i].response, &f);
        assert_int_equal(o.verdict, rows[i].want);
        if (o.verdict == SASL_CHECK) {
            assert_true(span_eq(o.user, span_str(rows[i].want_user)));
            assert_true(span_eq(o.password, span_str(rows[i].want_password)));
            assert_true(span_eq(o.authzid, i == 1 ? SPAN("Ursel") : SPAN("")));
        } else {
            assert_int_equal(f.kind, rows[i].want_fault);
        }
        sasl_free(&s);
    }
}

static void
test_login(void **state)
{
    (void)state;
    for (int initial = 0; initial < 2; initial++) {
        struct sasl *s = open_sasl("LOGIN", false);
        struct fault f = {0};
        struct sasl_outcome o;
        if (!initial) {
            o = sasl_step(s, SPAN_NONE, &f);
            assert_true(span_eq(o.data, SPAN("Username:")));
        }
        o = sasl_step(s, SPAN("tim"), &f);
        assert_int_equal(o.verdict, SASL_CONTINUE);
        assert_true(span_eq(o.data, SPAN("Password:")));
        o = sasl_step(s, SPAN("secret"), &f);
        assert_int_equal(o.verdict, SASL_CHECK);
        assert_true(span_eq(o.user, SPAN("tim")));
        assert_true(span_eq(o.password, SPAN("secret")));
        sasl_free(&s);
    }
}

static void
test_too_long(void **state)
{
    (void)state;
    static char long_text[LIMIT_sasl_response + 1];
    struct fault f = {0};
    memset(long_text, 'a', sizeof long_text);
    for (size_t n = LIMIT_user_name + 1; n <= sizeof long_text;
         n += sizeof long_text - n > 0 ? sizeof long_text - n : 1) {
        struct sasl *s = open_sasl("LOGIN", false);
        assert_int_equal(sasl_step(s, span_of(long_text, n), &f).verdict, SASL_REFUSED);
        sasl_free(&s);
    }
}

static void
test_unknown_mechanisms(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",          "CRAM-MD5",          "PLAINX", "SCRAM-SHA-512", "EXTERNAL",
        "ANONYMOUS", "SCRAM-SHA-256-PLUS"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sasl *s = NULL;
        struct fault f;
        const struct sasl_setup setup = {.mechanism = span_str(rows[i]), .keys = give_keys};
        assert_int_equal(sasl_new(&setup, &s, &f), R_FAIL);
        assert_int_equal(f.kind, FAULT_CANNOT);
    }
}

// What a SCRAM client is and does, for libgsasl's client half.
struct client {
    const char *mechanism, *user, *password, *authzid, *binding;
};

static int
client_property(Gsasl *g, Gsasl_session *session, Gsasl_property p)
{
    const struct client *c = gsasl_session_hook_get(session);
    (void)g;
    const char *v = p == GSASL_AUTHID            ? c->user
                    : p == GSASL_PASSWORD        ? c->password
                    : p == GSASL_AUTHZID         ? c->authzid
                    : p == GSASL_CB_TLS_EXPORTER ? c->binding
                                                 : NULL;
    return v ? gsasl_property_set(session, p, v) : GSASL_NO_CALLBACK;
}

static struct sasl_outcome
play(size_t row, struct sasl *server, Gsasl_session *client, struct fault *f)
{
    struct sasl_outcome o = {.verdict = SASL_CONTINUE, .data = SPAN("")};
    while (o.verdict == SASL_CONTINUE) {
        char *out = NULL;
        size_t n = 0;
        int rc = gsasl_step(client, o.data.p, o.data.n, &out, &n);
        if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE)
            fail_msg("row %zu: client: %s", row, gsasl_strerror(rc));
        o = sasl_step(server, span_of(out, n), f);
        gsasl_free(out);
    }
    if (o.verdict == SASL_OK) {
        char *out = NULL;
        size_t n = 0;
        // server proven
        assert_int_equal(gsasl_step(client, o.data.p, o.data.n, &out, &n), GSASL_OK);
        gsasl_free(out);
    }
    return o;
}

static const char right[] = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
static const char other[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
static const struct {
    struct client client;
    const char *server;  // NULL: the client's mechanism
    bool tls;
    enum sasl_verdict want;
    enum fault_kind want_fault;
} scram_rows[] = {
    {{"SCRAM-SHA-256", "user", "pencil", NULL, NULL}, NULL, false, SASL_OK, 0},
    {{"SCRAM-SHA-256", "user", "pencil", NULL, NULL}, NULL, true, SASL_OK, 0},
    {{"SCRAM-SHA-256", "user", "pencil", "user", NULL}, NULL, false, SASL_OK, 0},
    {{"SCRAM-SHA-256", "user", "pencil", "bob", NULL}, NULL, false, SASL_OK, 0},
    {{"SCRAM-SHA-256", "user", "pencl", NULL, NULL},
     NULL,
     false,
     SASL_REFUSED,
     FAULT_AUTHFAILED},
    {{"SCRAM-SHA-256", "nobody", "pencil", NULL, NULL},
     NULL,
     false,
     SASL_REFUSED,
     FAULT_AUTHFAILED},
    {{"SCRAM-SHA-256-PLUS", "user", "pencil", NULL, right}, NULL, true, SASL_OK, 0},
    {{"SCRAM-SHA-256-PLUS", "user", "pencil", NULL, other},
     NULL,
     true,
     SASL_REFUSED,
     FAULT_AUTHFAILED},
    {{"SCRAM-SHA-256-PLUS", "user", "pencl", NULL, right},
     NULL,
     true,
     SASL_REFUSED,
     FAULT_AUTHFAILED},
    {{"SCRAM-SHA-256-PLUS", "user", "pencil", NULL, right},
     "SCRAM-SHA-256",
     true,
     SASL_REFUSED,
     FAULT_AUTHFAILED},
    {{"SCRAM-SHA-256", "user", "pencil", NULL, NULL},
     "SCRAM-SHA-256-PLUS",
     true,
     SASL_REFUSED,
     FAULT_AUTHFAILED},
    {{"SCRAM-SHA-1", "user", "pencil", NULL, NULL}, NULL, false, SASL_OK, 0},
    {{"SCRAM-SHA-1", "user", "pencil", NULL, NULL}, NULL, true, SASL_OK, 0},
    {{"SCRAM-SHA-1", "user", "pencil", "user", NULL}, NULL, false, SASL_OK, 0},
    {{"SCRAM-SHA-1", "user", "pencil", "bob", NULL}, NULL, false, SASL_OK, 0},
    {{"SCRAM-SHA-1", "user", "pencl", NULL, NULL},
     NULL,
     false,
     SASL_REFUSED,
     FAULT_AUTHFAILED},
    {{"SCRAM-SHA-1", "nobody", "pencil", NULL, NULL},
     NULL,
     false,
     SASL_REFUSED,
     FAULT_AUTHFAILED},
    {{"SCRAM-SHA-1-PLUS", "user", "pencil", NULL, right}, NULL, true, SASL_OK, 0},
    {{"SCRAM-SHA-1-PLUS", "user", "pencil", NULL, other},
     NULL,
     true,
     SASL_REFUSED,
     FAULT_AUTHFAILED},
    {{"SCRAM-SHA-1-PLUS", "user", "pencl", NULL, right},
     NULL,
     true,
     SASL_REFUSED,
     FAULT_AUTHFAILED},
    {{"SCRAM-SHA-1-PLUS", "user", "pencil", NULL, right},
     "SCRAM-SHA-1",
     true,
     SASL_REFUSED,
     FAULT_AUTHFAILED},
    {{"SCRAM-SHA-1", "user", "pencil", NULL, NULL},
     "SCRAM-SHA-1-PLUS",
     true,
     SASL_REFUSED,
     FAULT_AUTHFAILED},
    {{"SCRAM-SHA-1", "user", "pencil", NULL, NULL},
     "SCRAM-SHA-256",
     false,
     SASL_REFUSED,
     FAULT_BAD},
};

static void
test_scram(void **state)
{
    (void)state;
    Gsasl *g = NULL;
    assert_int_equal(gsasl_init(&g), GSASL_OK);
    gsasl_callback_set(g, client_property);
    for (size_t i = 0; i < sizeof scram_rows / sizeof scram_rows[0]; i++) {
        Gsasl_session *client = NULL;
        struct fault f = {0};
        struct sasl *server = open_sasl(
            scram_rows[i].server ? scram_rows[i].server : scram_rows[i].client.mechanism,
            scram_rows[i].tls);
        assert_int_equal(gsasl_client_start(g, scram_rows[i].client.mechanism, &client),
                         GSASL_OK);
        gsasl_session_hook_set(client, (void *)&scram_rows[i].client);
        struct sasl_outcome o = play(i, server, client, &f);
        if (o.verdict != scram_rows[i].want)
            fail_msg("row %zu: verdict %d, %s", i, o.verdict, f.why);
        if (o.verdict == SASL_REFUSED)
            assert_int_equal(f.kind, scram_rows[i].want_fault);
        else
            assert_true(span_eq(o.user, SPAN("user")));
        if (o.verdict == SASL_OK) {
            const char *as = scram_rows[i].client.authzid;
            bool foreign = as && strcmp(as, "user") != 0;
            assert_true(span_eq(o.authzid, foreign ? span_str(as) : SPAN("")));
        }
        gsasl_finish(client);
        sasl_free(&server);
    }
    gsasl_done(g);
}

// RFC 5802 section 6: a client that could bind but saw no -PLUS says "y"; where it was offered, somebody
// took it out.
static void
test_scram_downgrade(void **state)
{
    (void)state;
    struct fault f = {0};
    static const char *const names[] = {"SCRAM-SHA-256", "SCRAM-SHA-1"};
    for (int i = 0; i < 2; i++) {
        struct sasl *s = open_sasl(names[i], true);
        assert_int_equal(sasl_step(s, SPAN("y,,n=user,r=abc"), &f).verdict, SASL_REFUSED);
        assert_int_equal(f.kind, FAULT_AUTHFAILED);
        sasl_free(&s);
        s = open_sasl(names[i], false);
        assert_int_equal(sasl_step(s, SPAN("y,,n=user,r=abc"), &f).verdict, SASL_CONTINUE);
        sasl_free(&s);
    }
}

// RFC 7628 section 4.1, XOAUTH2 as Google has it, and what must not pass.
// RFC 4422 appendix A.
static void
test_external(void **state)
{
    (void)state;
    static const struct {
        struct span response;
        enum sasl_verdict want;
        const char *want_authzid;
    } rows[] = {{SPAN(""), SASL_EXTERNAL, ""},
                {SPAN("Ann@example.org"), SASL_EXTERNAL, ""},
                {SPAN("bob"), SASL_EXTERNAL, "bob"},
                {SPAN("b\0b"), SASL_REFUSED, ""}};
    const struct sasl_setup setup = {.mechanism = SPAN("external"),
                                     .certificate = SPAN("ann@example.org")};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sasl *s = NULL;
        struct fault f = {0};
        assert_int_equal(sasl_new(&setup, &s, &f), R_OK);
        assert_int_equal(sasl_step(s, SPAN_NONE, &f).verdict, SASL_CONTINUE);
        struct sasl_outcome o = sasl_step(s, rows[i].response, &f);
        assert_int_equal(o.verdict, rows[i].want);
        if (o.verdict == SASL_EXTERNAL) {
            assert_true(span_eq(o.user, SPAN("ann@example.org")));
            assert_true(span_eq(o.authzid, span_str(rows[i].want_authzid)));
        }
        sasl_free(&s);
    }
}

static void
test_bearer(void **state)
{
    (void)state;
    static const struct {
        const char *mechanism;
        struct span response;
        const char *want_user, *want_token;  // NULL: refused
    } rows[] = {
        {"OAUTHBEARER",
         SPAN("n,a=user@example.com,\1host=server.example.com\1port=143\1auth=Bearer "
              "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1"),
         "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="},
        {"OAUTHBEARER", SPAN("n,,\1auth=bearer x\1\1"), "", "x"},
        {"OAUTHBEARER", SPAN("y,a=a=2Cb=3Dc,\1auth=Bearer x\1\1"), "a,b=c", "x"},
        {"OAUTHBEARER", SPAN("n,,\1auth=Bearer x\1"), 0, 0},
        {"OAUTHBEARER", SPAN("n,,\1\1"), 0, 0},
        {"OAUTHBEARER", SPAN("n,,\1auth=Bearer x\1\1\1"), 0, 0},
        {"OAUTHBEARER", SPAN("n,,\1auth=Bearer x\1auth=Bearer x\1\1"), 0, 0},
        {"OAUTHBEARER", SPAN("n,a=b=,\1auth=Bearer x\1\1"), 0, 0},
        {"OAUTHBEARER", SPAN("p=tls-exporter,,\1auth=Bearer x\1\1"), 0, 0},
        {"OAUTHBEARER", SPAN("n,,\1auth=Basic x\1\1"), 0, 0},
        {"OAUTHBEARER", SPAN("n,,\1auth=Bearer \0\1\1"), 0, 0},
        {"OAUTHBEARER", SPAN(""), 0, 0},
        {"XOAUTH2", SPAN("user=ann\1auth=Bearer x.y.z\1\1"), "ann", "x.y.z"},
        {"XOAUTH2", SPAN("user=\1auth=Bearer x\1\1"), 0, 0},
        {"XOAUTH2", SPAN("auth=Bearer x\1\1"), 0, 0},
        {"XOAUTH2", SPAN("user=ann\1auth=Bearer x\1"), 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sasl *s = open_sasl(rows[i].mechanism, true);
        struct fault f = {0};
        struct buf json;
        struct sasl_outcome o = sasl_step(s, rows[i].response, &f);
        if (o.verdict != (rows[i].want_token ? SASL_TOKEN : SASL_REFUSED))
            fail_msg("row %zu: verdict %d", i, o.verdict);
        if (o.verdict == SASL_TOKEN) {
            assert_true(span_eq(o.user, span_str(rows[i].want_user)));
            assert_true(span_eq(o.password, span_str(rows[i].want_token)));
        }
        buf_init(&json, 1024);
        sasl_token_error(s, SPAN("a\"b"), SPAN("https://i/"), &json);
        assert_true(span_starts(buf_span(&json), SPAN("{\"status\":\"")));
        assert_true(span_find(buf_span(&json), SPAN("\"scope\":\"a\\\"b\"")) < json.n);
        buf_done(&json);
        sasl_free(&s);
    }
}

static void
test_scram_broken_messages(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "x",
        "n,,",
        "n,,n=,r=",
        "n,,n=user",
        "n,,r=abc",
        "n,,n=u=ser,r=abc",
        "n,,m=x,n=user,r=abc",
        ",,n=user,r=abc",
        "p=tls-exporter,,n=user,r=abc",
        "p=,,n=user,r=abc",
        "n,a=b=c,n=user,r=abc",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sasl *s = open_sasl("SCRAM-SHA-256", true);
        struct fault f = {0};
        struct sasl_outcome o = sasl_step(s, span_str(rows[i]), &f);
        if (o.verdict != SASL_REFUSED)
            fail_msg("accepted: %s", rows[i]);
        sasl_free(&s);
    }
}

int
main(void)
{
    struct fault f;
    uint8_t salt[16];
    size_t n = 0;
    must(sodium_init() >= 0);
    sasl_init();
    must(decode_base64(SPAN("W22ZaJ0SNY7soEsUEjb6gQ=="), salt, sizeof salt, &n) == R_OK);
    for (int h = 0; h < SCRAM_HASHES; h++)
        must(scram_derive((enum scram_hash)h, SPAN("pencil"), 4096, span_of(salt, n),
                          &keys_of_pencil.of[h], &f) == R_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_unknown_mechanisms),
        cmocka_unit_test(test_scram),
        cmocka_unit_test(test_scram_downgrade),
        cmocka_unit_test(test_scram_broken_messages),
        cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_external),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
