#include "io/message.h"
#include "base/limits.h"
#include "base/seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

typedef void put_fn(struct buf *b, const void *m);
typedef enum result get_fn(struct span body, void *m_out);

union any {
    struct auth_start auth_start;
    struct auth_step auth_step;
    struct auth_reply auth_reply;
    struct handover handover;
    struct ticket ticket;
    struct lookup lookup;
    struct lookup_reply lookup_reply;
    struct resolve_request resolve_request;
    struct admin_request admin_request;
    struct admin_reply admin_reply;
    struct listen_socket listen_socket;
    struct peer peer;
    struct secret secret;
    struct ping ping;
    struct revoked revoked;
    struct token_fetch token_fetch;
    struct directory_ask directory_ask;
    struct directory_answer directory_answer;
    struct directory_list directory_list;
    struct directory_names directory_names;
    struct directory_changed directory_changed;
    struct identity_changed identity_changed;
};

#define ADAPT(type)                                                                        \
    static void put_##type(struct buf *b, const void *m)                                   \
    {                                                                                      \
        type##_put(b, m);                                                                  \
    }                                                                                      \
    static enum result get_##type(struct span body, void *m)                               \
    {                                                                                      \
        return type##_get(body, m);                                                        \
    }
ADAPT(auth_start)
ADAPT(auth_step)
ADAPT(auth_reply)
ADAPT(handover)
ADAPT(ticket)
ADAPT(lookup)
ADAPT(lookup_reply)
ADAPT(resolve_request)
ADAPT(admin_request)
ADAPT(admin_reply)
ADAPT(listen_socket)
ADAPT(peer)
ADAPT(secret)
ADAPT(ping)
ADAPT(revoked)
ADAPT(token_fetch)
ADAPT(directory_ask)
ADAPT(directory_answer)
ADAPT(directory_list)
ADAPT(directory_names)
ADAPT(directory_changed)
ADAPT(identity_changed)

#define ROW(type)                                                                          \
    {                                                                                      \
#type, put_##type, get_##type                                                      \
    }
static const struct {
    const char *name;
    put_fn *put;
    get_fn *get;
} rows[] = {
    ROW(auth_start),
    ROW(auth_step),
    ROW(auth_reply),
    ROW(handover),
    ROW(ticket),
    ROW(lookup),
    ROW(lookup_reply),
    ROW(admin_request),
    ROW(admin_reply),
    ROW(listen_socket),
    ROW(peer),
    ROW(secret),
    ROW(ping),
    ROW(revoked),
    ROW(token_fetch),
    ROW(resolve_request),
    ROW(directory_ask),
    ROW(directory_answer),
    ROW(directory_list),
    ROW(directory_names),
    ROW(directory_changed),
    ROW(identity_changed),
};
enum { ROWS = sizeof rows / sizeof rows[0] };

// Messages that look like chance: whatever get accepts, put must print back octet for octet.
// Bytes are drawn small, so that varint lengths often fit.
static struct span
some_body(uint64_t *seed, char *p, size_t max)
{
    uint64_t r = seeded_u64(seed);
    size_t n = r % max;
    for (size_t i = 0; i < n; i++)
        p[i] = (char)seeded_below(seed, r % 5 == 0 ? 256 : 3);
    return span_of(p, n);
}

static void
test_print_of_parse_is_the_same(void **state)
{
    (void)state;
    char body[160];
    struct buf b, second;
    buf_init(&b, LIMIT_channel_message);
    buf_init(&second, LIMIT_channel_message);
    int accepted[ROWS] = {0};
    uint64_t seed = 1;
    for (int round = 0; round < 60000; round++) {
        size_t row = (size_t)round % ROWS;
        union any m;
        struct span s = some_body(&seed, body, 1 + (size_t)round / 400);
        if (rows[row].get(s, &m) != R_OK)
            continue;
        accepted[row]++;
        buf_reset(&b);
        rows[row].put(&b, &m);
        // A varint may be longer than needed: compare by a second round.
        union any again;
        assert_int_equal(rows[row].get(buf_span(&b), &again), R_OK);
        buf_reset(&second);
        rows[row].put(&second, &again);
        assert_true(span_eq(buf_span(&b), buf_span(&second)));
    }
    for (size_t i = 0; i < ROWS; i++)
        assert_true(accepted[i] > 0);
    buf_done(&b);
    buf_done(&second);
}

static struct handover
sample_handover(void)
{
    return (struct handover){
        .service = SPAN("imap"),
        .ticket = SPAN("ticket"),
        .session = 77,
        .tag = SPAN("a1"),
        .remote = SPAN("192.0.2.1:5000"),
        .local = SPAN("[2001:db8::1]:993"),
        .tls = {TLS_IMPLICIT, SPAN("TLSv1.3"), SPAN("TLS_AES_256_GCM_SHA384"),
                SPAN("0123456789"), SPAN("CN=x"), SPAN("mail.example")},
        .client_id = SPAN("(\"name\" \"x\")"),
        .language = 2,
        .mode = 1,
        .offered = SPAN("STLS\r\n"),
        .unread = SPAN("a2 noop\r\n"),
        .sasl_final = SPAN("v=abc"),
    };
}

static void
test_every_field_arrives(void **state)
{
    (void)state;
    struct handover h = sample_handover(), out;
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    handover_put(&b, &h);
    assert_int_equal(handover_get(buf_span(&b), &out), R_OK);
    assert_true(span_eq(out.service, h.service) && span_eq(out.ticket, h.ticket));
    assert_int_equal(out.session, 77);
    assert_int_equal(out.language, 2);
    assert_int_equal(out.mode, 1);
    assert_true(span_eq(out.offered, h.offered));
    assert_true(span_eq(out.tag, h.tag) && span_eq(out.remote, h.remote));
    assert_true(span_eq(out.local, h.local) && span_eq(out.unread, h.unread));
    assert_true(span_eq(out.client_id, h.client_id) &&
                span_eq(out.sasl_final, h.sasl_final));
    assert_int_equal(out.tls.kind, TLS_IMPLICIT);
    assert_true(span_eq(out.tls.protocol, h.tls.protocol) &&
                span_eq(out.tls.cipher, h.tls.cipher));
    assert_true(span_eq(out.tls.exporter, h.tls.exporter));
    assert_true(span_eq(out.tls.certificate, h.tls.certificate));
    assert_true(span_eq(out.tls.server_name, h.tls.server_name));
    buf_done(&b);
}

static void
test_every_truncation_is_refused(void **state)
{
    (void)state;
    static union any zero;
    struct handover h = sample_handover();
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    for (size_t row = 0; row < ROWS; row++) {
        union any m, untouched;
        memset(&m, 0x55, sizeof m);
        untouched = m;
        buf_reset(&b);
        rows[row].put(&b, rows[row].put == put_handover ? (const void *)&h : &zero);
        for (size_t n = 0; n < b.n; n++)
            assert_int_equal(rows[row].get(span_of(b.p, n), &m), R_FAIL);
        buf_put_char(&b, 0);  // left-over bytes are as bad
        assert_int_equal(rows[row].get(buf_span(&b), &m), R_FAIL);
        assert_memory_equal(&m, &untouched, sizeof m);
    }
    buf_done(&b);
}

static void
test_bounded_numbers(void **state)
{
    (void)state;
    static const struct {
        uint8_t verdict, fault;
        enum result want;
    } cases[] = {
        {AUTH_OK, 0, R_OK},
        {AUTH_REFUSED, FAULT_COUNT - 1, R_OK},
        {AUTH_REFUSED + 1, 0, R_FAIL},
        {AUTH_OK, FAULT_COUNT, R_FAIL},
    };
    struct buf b;
    buf_init(&b, 1024);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct auth_reply r = {.verdict = cases[i].verdict, .fault = cases[i].fault}, out;
        buf_reset(&b);
        auth_reply_put(&b, &r);
        assert_int_equal(auth_reply_get(buf_span(&b), &out), cases[i].want);
    }
    buf_done(&b);
}

static void
test_ticket(void **state)
{
    (void)state;
    struct span key = SPAN("0123456789abcdef0123456789abcdef"),
                other = SPAN("X123456789abcdef0123456789abcdef");
    struct ticket t = {.account = 5,
                       .session = 9,
                       .expiry_ms = 1000000,
                       .serial = 3,
                       .user = SPAN("jane"),
                       .master_account = 7},
                  out = {0};
    struct buf b;
    buf_init(&b, 1024);
    ticket_seal(&b, &t, key);
    assert_int_equal(ticket_open(buf_span(&b), other, 0, &out), R_FAIL);
    assert_int_equal(ticket_open(buf_span(&b), key, 1000001, &out), R_NONE);
    assert_int_equal(ticket_open(SPAN_NONE, key, 0, &out), R_FAIL);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(ticket_open(span_of(b.p, n), key, 0, &out), R_FAIL);
    for (size_t i = 0; i < b.n * 8; i++) {  // every flipped bit
        b.p[i / 8] ^= (char)(1 << i % 8);
        assert_int_equal(ticket_open(buf_span(&b), key, 0, &out), R_FAIL);
        b.p[i / 8] ^= (char)(1 << i % 8);
    }
    assert_int_equal(out.account, 0);
    assert_int_equal(ticket_open(buf_span(&b), key, 1000000, &out), R_OK);
    assert_int_equal(out.account, 5);
    assert_int_equal(out.session, 9);
    assert_int_equal(out.serial, 3);
    assert_int_equal(out.master_account, 7);
    assert_true(span_eq(out.user, t.user));
    buf_done(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_print_of_parse_is_the_same),
        cmocka_unit_test(test_every_field_arrives),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_bounded_numbers),
        cmocka_unit_test(test_ticket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
