#include "relay/recode.h"
#include "relay/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

// Texts in the form that a lesser smarthost takes (RFC 6152 section 3, RFC 3030 section 3).

struct outcome {
    enum result result;
    struct recoded is;
    char *text;
};

static int
file_of(struct span text)
{
    static const char head[QUEUE_HEAD];
    int fd = memfd_create("queue", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, head, sizeof head), sizeof head);
    assert_int_equal(write(fd, text.p, text.n), text.n);
    return fd;
}

static struct outcome
recode(struct span text, uint8_t body, enum recode_aim aim)
{
    struct queue_mail m = {.head = {.text_n = text.n}, .envelope = {.body = body}};
    struct outcome o = {.text = NULL};
    struct fault f = {0};
    int from = file_of(text), to = memfd_create("recoded", MFD_CLOEXEC);
    o.result = relay_recode(from, &m, aim, to, &o.is, &f);
    if (o.result == R_OK) {
        o.text = calloc(1, o.is.n + 1);
        assert_int_equal(pread(to, o.text, o.is.n, 0), o.is.n);
    }
    close(from);
    close(to);
    return o;
}

#define MULTI                                                                              \
    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"                   \
    "Content-Transfer-Encoding: 8bit\r\nSubject: s\r\n\r\n"
#define MULTI7                                                                             \
    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"                   \
    "Subject: s\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"

static const struct {
    const char *in;
    uint8_t body;
    enum recode_aim aim;
    const char *want, *want_why;
} rows[] = {
    // text becomes quoted-printable, and a message that is no MIME becomes one
    {"Subject: x\n\nein \xc3\xa4rgernis hier und da\n", RELAY_BODY_8BITMIME, RECODE_7BIT,
     "Subject: x\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
     "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
     "ein =C3=A4rgernis hier und da\r\n",
     NULL},
    // no line end at the end stays none
    {MULTI "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
           "8bit\r\n\r\nall you need is love \xc3\xa4\r\n--b\r\n\r\nplain\r\n--b--\r\n",
     RELAY_BODY_8BITMIME, RECODE_7BIT,
     MULTI7 "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
            "quoted-printable\r\n\r\nall you need is love =C3=A4\r\n--b\r\n\r\nplain\r\n"
            "--b--\r\n",
     NULL},
    // what is not text, or mostly beyond ASCII, becomes base64
    {MULTI "--b\r\nContent-Type: application/x\r\n\r\n\xff\xfe\r\n\r\n--b--\r\n",
     RELAY_BODY_8BITMIME, RECODE_7BIT,
     MULTI7
     "--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n"
     "//4NCg==\r\n\r\n--b--\r\n",
     NULL},
    {"MIME-Version: 1.0\r\n\r\n\xd0\x9f\xd1\x80\n", RELAY_BODY_8BITMIME, RECODE_7BIT,
     "MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n0J/RgA0K\r\n", NULL},
    // a header that ends with its boundary, without an empty line
    {MULTI "--b\r\nContent-Transfer-Encoding: 8bit\r\nX: y\r\n--b--\r\n",
     RELAY_BODY_8BITMIME, RECODE_7BIT,
     MULTI7 "--b\r\nX: y\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\r\n--b--\r\n", NULL},
    // what stands between parts
    {MULTI "pre\xe4mble\r\n--b\r\n\r\nplain\r\n--b--\r\nepi\xe4\r\n", RELAY_BODY_8BITMIME,
     RECODE_7BIT, MULTI7 "pre?mble\r\n--b\r\n\r\nplain\r\n--b--\r\nepi?\r\n", NULL},
    // nested messages, and what is signed in ASCII
    {MULTI "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
           "Subject: in\r\nMIME-Version: 1.0\r\n\r\nfour and twenty \xe4\r\n--b--\r\n",
     RELAY_BODY_8BITMIME, RECODE_7BIT,
     MULTI7 "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
            "Subject: in\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: "
            "quoted-printable\r\n\r\nfour and twenty =E4\r\n--b--\r\n",
     NULL},
    {MULTI "--b\r\nContent-Type: multipart/signed; boundary=c\r\n\r\n--c\r\n"
           "Content-Transfer-Encoding: 8bit\r\n\r\nplain\r\n--c--\r\n--b\r\n\r\nwhat is "
           "this \xe4\r\n--b--\r\n",
     RELAY_BODY_8BITMIME, RECODE_7BIT,
     MULTI7 "--b\r\nContent-Type: multipart/signed; boundary=c\r\n\r\n--c\r\n"
            "Content-Transfer-Encoding: 8bit\r\n\r\nplain\r\n--c--\r\n--b\r\n"
            "Content-Transfer-Encoding: quoted-printable\r\n\r\nwhat is this "
            "=E4\r\n--b--\r\n",
     NULL},
    {MULTI "--b\r\nContent-Type: multipart/signed; boundary=c\r\n\r\n--c\r\n\r\n\xe4\r\n"
           "--c--\r\n--b--\r\n",
     RELAY_BODY_8BITMIME, RECODE_7BIT, NULL, "a part is signed as it is"},
    {"Subject: \xc3\xa4\r\n\r\nx\r\n", RELAY_BODY_8BITMIME, RECODE_7BIT, NULL,
     "a header has octets beyond ASCII"},
    {"MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n\xe4\r\n",
     RELAY_BODY_8BITMIME, RECODE_7BIT, NULL, "a part is not in the encoding that it names"},
    {"MIME-Version: 1.0\r\nContent-Type: message/partial; id=a\r\n\r\n\xe4\r\n",
     RELAY_BODY_8BITMIME, RECODE_7BIT, NULL, "a part may not be encoded"},
    // binary: as it is, octet for octet; 8-bit lines may stay
    {"MIME-Version: 1.0\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: "
     "binary\r\n\r\na\nb",
     RELAY_BODY_BINARYMIME, RECODE_NO_BINARY,
     "MIME-Version: 1.0\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: "
     "base64\r\n\r\nYQpi\r\n",
     NULL},
    {"MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: "
     "binary\r\n\r\nstill \xe4 line\r\n",
     RELAY_BODY_BINARYMIME, RECODE_NO_BINARY,
     "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: "
     "8bit\r\n\r\nstill \xe4 line\r\n",
     NULL},
    {"MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: "
     "binary\r\n\r\n\xe4 bare\ncr\r\n",
     RELAY_BODY_BINARYMIME, RECODE_7BIT,
     "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: "
     "base64\r\n\r\n5CBiYXJlCmNyDQo=\r\n",
     NULL},
};

static void
test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct outcome o = recode(span_str(rows[i].in), rows[i].body, rows[i].aim);
        if (rows[i].want == NULL) {
            if (o.result != R_NONE || strcmp(o.is.why, rows[i].want_why) != 0)
                fail_msg("row %zu: %d, %s", i, o.result, o.is.why ? o.is.why : "");
        } else if (o.result != R_OK || strcmp(o.text, rows[i].want) != 0) {
            fail_msg("row %zu: %d (%s)\n%s", i, o.result, o.is.why ? o.is.why : "",
                     o.text ? o.text : "");
        }
        free(o.text);
    }
}

// Lines longer than a piece, and cut in the middle of everything: nothing is lost, no line is too long.
static void
test_long(void **state)
{
    enum { N = 400000 };
    static const char head[] = "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n";
    (void)state;
    char *text = calloc(1, N + sizeof head);
    size_t n = strlen(head);
    memcpy(text, head, n);
    for (size_t i = 0; i < N; i++)
        text[n + i] = i % 5 == 0 ? '\xe4' : i > N / 2 && i % 1000 == 1 ? '\n' : 'x';
    struct outcome o = recode(span_of(text, n + N), RELAY_BODY_8BITMIME, RECODE_7BIT);
    assert_int_equal(o.result, R_OK);
    assert_false(o.is.traits & (RELAY_TRAIT_8BIT | RELAY_TRAIT_LONG | RELAY_TRAIT_BARE));
    size_t eight = 0;
    for (const char *p = o.text; (p = strstr(p, "=E4")) != NULL; p++)
        eight++;
    assert_int_equal(eight, N / 5);
    assert_int_equal(o.is.wire_n, o.is.n + (o.text[o.is.n - 1] == '\n' ? 0 : 2));
    for (const char *p = o.text, *end; (end = strchr(p, '\n')) != NULL; p = end + 1)
        assert_true(end - p <= 78);
    free(o.text);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
