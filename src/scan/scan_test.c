#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "scan/service.h"

#include "base/clock.h"

#include <netdb.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

// ---- rspamd's answers ----

static const struct {
    const char *json;
    bool want_ok, want_scored;
    int64_t want_score;
    uint8_t want_judgement, want_virus;
    const char *want_name, *want_symbols;
} answers[] = {
    {"{\"score\":5.34,\"required_score\":15,\"action\":\"add "
     "header\",\"symbols\":{\"A\":{\"score\":5.34}}}",
     true, true, 5340, SCAN_SPAM, SCAN_VIRUS_UNKNOWN, "", "A(5.34)"},
    {"{\"score\":-1,\"required_score\":15,\"action\":\"no action\",\"symbols\":{}}", true,
     true, -1000, SCAN_HAM, SCAN_VIRUS_UNKNOWN, "", ""},
    {"{\"score\":3,\"action\":\"greylist\"}", true, true, 3000, SCAN_HAM,
     SCAN_VIRUS_UNKNOWN, "", ""},
    {"{\"score\":3,\"action\":\"rewrite subject\"}", true, true, 3000, SCAN_SPAM,
     SCAN_VIRUS_UNKNOWN, "", ""},
    {"{\"score\":1e308,\"action\":\"reject\"}", true, true, 1000000000000, SCAN_SURELY_SPAM,
     SCAN_VIRUS_UNKNOWN, "", ""},
    {"{\"score\":2,\"action\":\"no action\",\"symbols\":{\"CLAM_VIRUS\":{\"score\":0,"
     "\"options\":[\"Eicar\\r\\nX: y\"]},\"B\":{\"score\":2}}}",
     true, true, 2000, SCAN_HAM, SCAN_VIRUS_FOUND, "Eicar??X:?y",
     "CLAM_VIRUS(0.00), B(2.00)"},
    {"{\"score\":0,\"action\":\"no action\",\"is_skipped\":true}", true, false, 0, SCAN_HAM,
     SCAN_VIRUS_UNKNOWN, "", ""},
    {"{\"is_skipped\":true,\"score\":15.0,\"required_score\":15.0,\"action\":\"reject\","
     "\"symbols\":{\"GTUBE\":{"
     "\"name\":\"GTUBE\",\"score\":0.0}}}",
     true, true, 15000, SCAN_SURELY_SPAM, SCAN_VIRUS_UNKNOWN, "", "GTUBE(0.00)"},
    {"{\"score\":\"5\",\"action\":\"reject\"}", false, false, 0, 0, 0, "", ""},
    {"{\"action\":\"reject\"}", false, false, 0, 0, 0, "", ""},
    {"[]", false, false, 0, 0, 0, "", ""},
    {"", false, false, 0, 0, 0, "", ""},
    {"{\"score\":5,\"action\":\"reject\"", false, false, 0, 0, 0, "", ""},
    {"{\"score\":5,\"action\":\"reject\",\"symbols\":[1,2]}", true, true, 5000,
     SCAN_SURELY_SPAM, SCAN_VIRUS_UNKNOWN, "", ""},
};

static void
rspamd_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct scan_verdict v = {0};
        struct buf names;
        struct fault f;
        scan_names_init(&names);
        enum result r = scan_rspamd_read(span_str(answers[i].json), &names, &v, &f);
        assert_int_equal(r == R_OK, answers[i].want_ok);
        assert_int_equal(v.scored, answers[i].want_scored);
        assert_int_equal(v.score, answers[i].want_score);
        assert_int_equal(v.judgement, answers[i].want_judgement);
        assert_int_equal(v.virus, answers[i].want_virus);
        assert_true(span_eq(v.virus_name, span_str(answers[i].want_name)));
        assert_true(span_eq(v.symbols, span_str(answers[i].want_symbols)));
        buf_done(&names);
    }
}

// Thousands of symbols, and one that has no end: what is kept is capped.
static void
rspamd_has_much_to_say(void **state)
{
    struct scan_verdict v = {0};
    struct buf json, names;
    struct fault f;
    (void)state;
    buf_init(&json, 1 << 22);
    buf_put_str(&json, "{\"score\":1,\"action\":\"no action\",\"symbols\":{");
    for (int i = 0; i < 20000; i++)
        buf_printf(&json, "%s\"SYMBOL_WITH_A_NAME_%d\":{\"score\":1}", i ? "," : "", i);
    buf_put_str(&json, ",\"");
    for (int i = 0; i < 100000; i++)
        buf_put_char(&json, 'X');
    buf_put_str(&json, "_VIRUS\":{}}}");
    scan_names_init(&names);
    assert_int_equal(scan_rspamd_read(buf_span(&json), &names, &v, &f), R_OK);
    assert_int_equal(v.virus, SCAN_VIRUS_FOUND);
    assert_int_equal(v.virus_name.n, 200);
    assert_true(v.symbols.n > 900 && v.symbols.n <= 1000);
    assert_true(span_starts(v.symbols, SPAN("SYMBOL_WITH_A_NAME_0(1.00), ")));
    buf_done(&names);
    buf_done(&json);
}

// ---- clamd's answers ----

static const struct {
    const char *line;
    bool want_ok;
    uint8_t want_virus;
    const char *want_name;
} lines[] = {
    {"stream: OK", true, SCAN_VIRUS_NONE, ""},
    {"stream: Win.Test.EICAR_HDB-1 FOUND", true, SCAN_VIRUS_FOUND, "Win.Test.EICAR_HDB-1"},
    {"stream: a\nb FOUND", true, SCAN_VIRUS_FOUND, "a?b"},
    {"INSTREAM size limit exceeded. ERROR", true, SCAN_VIRUS_UNKNOWN, ""},
    {"stream:  FOUND", false, SCAN_VIRUS_UNKNOWN, ""},
    {"UNKNOWN COMMAND", false, SCAN_VIRUS_UNKNOWN, ""},
    {"stream: OK and more", false, SCAN_VIRUS_UNKNOWN, ""},
    {"", false, SCAN_VIRUS_UNKNOWN, ""},
};

static void
clamd_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct scan_verdict v = {0};
        struct buf names;
        struct fault f;
        scan_names_init(&names);
        enum result r = scan_clamd_read(span_str(lines[i].line), &names, &v, &f);
        assert_int_equal(r == R_OK, lines[i].want_ok);
        assert_int_equal(v.virus, lines[i].want_virus);
        assert_int_equal(v.large, strstr(lines[i].line, "size limit") != NULL);
        assert_true(span_eq(v.virus_name, span_str(lines[i].want_name)));
        buf_done(&names);
    }
}

// ---- clamd by a name ----

static atomic_bool name_server_is_back;

// No name server answers.
int
getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
            struct addrinfo **out)
{
    (void)host, (void)port, (void)hints, (void)out;
    while (!name_server_is_back)
        usleep(1000);
    return EAI_AGAIN;
}

static void
clamd_without_a_name_server(void **state)
{
    (void)state;
    struct scan_services s = {.clamd = "clamd.example.org:3310", .timeout_ms = 200};
    const struct scan_text text = {.fd = -1};
    struct scan_verdict v = {0};
    struct buf names;
    struct fault f;
    uint64_t from_ms = clock_mono_ms();
    scan_names_init(&names);
    alarm(20);
    assert_int_equal(scan_clamd(&s, &text, &names, &v, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_UNAVAILABLE);
    assert_true(clock_mono_ms() - from_ms < 10000);
    name_server_is_back = true;
    s.timeout_ms = 20000;
    assert_int_equal(scan_clamd(&s, &text, &names, &v, &f), R_FAIL);  // it was looked up
    alarm(0);
    buf_done(&names);
}

// ---- between the roles ----

static void
verdicts_travel(void **state)
{
    const struct scan_verdict v = {.missing = true,
                                   .large = true,
                                   .scored = true,
                                   .score = -1230,
                                   .required = 15000,
                                   .judgement = SCAN_SPAM,
                                   .virus = SCAN_VIRUS_FOUND,
                                   .virus_name = SPAN("Eicar"),
                                   .symbols = SPAN("A(1.00)")};
    struct scan_verdict got;
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    scan_verdict_put(&b, &v);
    assert_int_equal(scan_verdict_get(buf_span(&b), &got), R_OK);
    assert_true(got.missing && got.large && got.scored);
    assert_int_equal(got.score, -1230);
    assert_int_equal(got.judgement, SCAN_SPAM);
    assert_true(span_eq(got.virus_name, SPAN("Eicar")));
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(scan_verdict_get(span_of(b.p, n), &got), R_FAIL);
    b.p[19] = SCAN_JUDGEMENTS;
    assert_int_equal(scan_verdict_get(buf_span(&b), &got), R_FAIL);
    buf_done(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rspamd_answers),  cmocka_unit_test(rspamd_has_much_to_say),
        cmocka_unit_test(clamd_answers),   cmocka_unit_test(clamd_without_a_name_server),
        cmocka_unit_test(verdicts_travel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
