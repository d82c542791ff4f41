#include "wire/auth_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define HELLO "AUTH\t1\tPLAIN\tservice=smtp"

static const struct {
    struct span line;
    enum result want;
    struct auth_line want_line;
} line_rows[] = {
    {SPAN("VERSION\t1\t2"), R_OK, {.kind = AUTH_LINE_VERSION, .major = 1, .minor = 2}},
    {SPAN("VERSION\t2\t0\tmore"), R_OK, {.kind = AUTH_LINE_VERSION, .major = 2}},
    {SPAN("VERSION\t1"), R_FAIL, {0}},
    {SPAN("VERSION"), R_FAIL, {0}},
    {SPAN("VERSION\tx\t1"), R_FAIL, {0}},
    {SPAN("version\t1\t2"), R_FAIL, {0}},
    {SPAN("CPID\t77"), R_OK, {.kind = AUTH_LINE_CPID, .id = 77}},
    {SPAN("CPID\t4294967296"), R_FAIL, {0}},
    {SPAN("CPID\t-1"), R_FAIL, {0}},
    {SPAN("CPID "), R_FAIL, {0}},
    {SPAN("CANCEL\t4294967295"), R_OK, {.kind = AUTH_LINE_CANCEL, .id = UINT32_MAX}},
    {SPAN("CANCEL\t"), R_FAIL, {0}},
    {SPAN("CONT\t3\tAAA="),
     R_OK,
     {.kind = AUTH_LINE_CONT, .id = 3, .response = SPAN("AAA=")}},
    {SPAN("CONT\t3\t"), R_OK, {.kind = AUTH_LINE_CONT, .id = 3, .response = SPAN("")}},
    {SPAN("CONT\t3"), R_OK, {.kind = AUTH_LINE_CONT, .id = 3, .response = SPAN("")}},
    {SPAN("CONT\t\tAAA="), R_FAIL, {0}},
    {SPAN(HELLO),
     R_OK,
     {.kind = AUTH_LINE_AUTH,
      .id = 1,
      .mechanism = SPAN("PLAIN"),
      .service = SPAN("smtp")}},
    {SPAN(HELLO "\tsecured\tnologin\tlip=127.0.0.1\trip=::1\tlport=25\tresp=AG=="),
     R_OK,
     {.kind = AUTH_LINE_AUTH,
      .id = 1,
      .mechanism = SPAN("PLAIN"),
      .service = SPAN("smtp"),
      .secured = true,
      .remote = SPAN("::1"),
      .local = SPAN("127.0.0.1"),
      .response = SPAN("AG==")}},
    {SPAN(HELLO "\tsecured=tls\tfinal-resp-ok\tsession=a\001tb\tlocal_name=mx"),
     R_OK,
     {.kind = AUTH_LINE_AUTH,
      .id = 1,
      .mechanism = SPAN("PLAIN"),
      .service = SPAN("smtp"),
      .secured = true,
      .final_ok = true,
      .session = SPAN("a\tb"),
      .server_name = SPAN("mx")}},
    {SPAN(HELLO "\tresp=AA==\tsecured\trip=10.0.0.1\tresp=BB=="),
     R_OK,
     {.kind = AUTH_LINE_AUTH,
      .id = 1,
      .mechanism = SPAN("PLAIN"),
      .service = SPAN("smtp"),
      .response = SPAN("AA==")}},
    {SPAN(HELLO "\tresp="),
     R_OK,
     {.kind = AUTH_LINE_AUTH,
      .id = 1,
      .mechanism = SPAN("PLAIN"),
      .service = SPAN("smtp"),
      .response = SPAN("")}},
    {SPAN(HELLO "\tresponse=x\tsecure\tRIP=1\t=\t\tservice=sub\001001"),
     R_OK,
     {.kind = AUTH_LINE_AUTH,
      .id = 1,
      .mechanism = SPAN("PLAIN"),
      .service = SPAN("sub\0"
                      "01")}},
    {SPAN("AUTH\t1\tPLAIN"), R_FAIL, {0}},
    {SPAN("AUTH\t1\tPLAIN\tresp=AA==\tservice=smtp"), R_FAIL, {0}},
    {SPAN("AUTH\t1\t\tservice=smtp"), R_FAIL, {0}},
    {SPAN("AUTH\t1\t\001\tservice=smtp"), R_FAIL, {0}},
    {SPAN("AUTH\tone\tPLAIN\tservice=smtp"), R_FAIL, {0}},
    {SPAN("AUTH\t1\tPLAIN\tservice=sm\0tp"), R_FAIL, {0}},
    {SPAN("REQUEST\t1\t2\t3\t4"), R_FAIL, {0}},
    {SPAN(""), R_FAIL, {0}},
    {SPAN("\t"), R_FAIL, {0}},
};

static void
lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof line_rows / sizeof line_rows[0]; i++) {
        struct arena *a = arena_new();
        struct auth_line l = {.id = 0};
        const struct auth_line *want = &line_rows[i].want_line;
        struct fault f;
        assert_int_equal(auth_line_parse(line_rows[i].line, a, &l, &f), line_rows[i].want);
        assert_int_equal(l.kind, want->kind);
        assert_true(l.major == want->major && l.minor == want->minor && l.id == want->id);
        assert_true(span_eq(l.mechanism, want->mechanism) &&
                    span_eq(l.service, want->service));
        assert_true(span_eq(l.remote, want->remote) && span_eq(l.local, want->local));
        assert_true(span_eq(l.session, want->session) &&
                    span_eq(l.server_name, want->server_name));
        assert_true(l.secured == want->secured && l.final_ok == want->final_ok);
        assert_true(span_eq(l.response, want->response));
        assert_int_equal(l.response.p != NULL, want->response.p != NULL);
        arena_free(&a);
    }
}

static void
escaping(void **state)
{
    (void)state;
    static const struct {
        struct span text, want;
    } rows[] = {
        {SPAN("plain"), SPAN("plain")},
        {SPAN("\0\001\t\r\n"), SPAN("\0010\0011\001t\001r\001n")},
        {SPAN(""), SPAN("")},
        {SPAN("\xff=\x7f"), SPAN("\xff=\x7f")},
    };
    struct arena *a = arena_new();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b;
        buf_init(&b, 64);
        auth_line_escape(rows[i].text, &b);
        assert_true(span_eq(buf_span(&b), rows[i].want));
        assert_true(span_eq(auth_line_unescape(buf_span(&b), a), rows[i].text));
        buf_done(&b);
    }
    assert_true(span_eq(auth_line_unescape(SPAN("a\001x\001"), a), SPAN("ax")));
    arena_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(escaping)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
