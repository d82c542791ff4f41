#include "relay/queue_file.h"
#include "relay/reply.h"
#include "relay/text.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
test_replies(void **unused)
{
    (void)unused;
    static const struct {
        const char *in;
        enum result want;
        size_t want_used;
        unsigned want_code;
        const char *want_status, *want_words;
    } rows[] = {
        {"250 ok\r\n", R_OK, 8, 250, "2.0.0", "ok"},
        {"250\r\n", R_OK, 5, 250, "2.0.0", ""},
        {"550 5.1.1 no\r\nrest", R_OK, 14, 550, "5.1.1", "5.1.1 no"},
        {"550-5.7.1 a\r\n550 5.7.1 b\r\n", R_OK, 26, 550, "5.7.1", "5.7.1 a 5.7.1 b"},
        {"550 4.1.1 wrong class\r\n", R_OK, 23, 550, "5.0.0", "4.1.1 wrong class"},
        {"250 \x01\xff\n", R_OK, 7, 250, "2.0.0", "??"},
        {"250-more\r\n", R_OK, 0, 0, "", ""},
        {"25", R_OK, 0, 0, "", ""},
        {"", R_OK, 0, 0, "", ""},
        {"250-a\r\n251 b\r\n", R_FAIL, 0, 0, "", ""},
        {"xyz\r\n", R_FAIL, 0, 0, "", ""},
        {"199 x\r\n", R_FAIL, 0, 0, "", ""},
        {"600 x\r\n", R_FAIL, 0, 0, "", ""},
        {"2500 x\r\n", R_FAIL, 0, 0, "", ""},
        {"\r\n", R_FAIL, 0, 0, "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct smtp_reply r = {0};
        size_t used = 99;
        struct fault f;
        assert_int_equal(smtp_reply_take(span_str(rows[i].in), &r, &used, &f),
                         rows[i].want);
        if (rows[i].want != R_OK)
            continue;
        assert_int_equal(used, rows[i].want_used);
        if (used == 0)
            continue;
        assert_int_equal(r.code, rows[i].want_code);
        assert_string_equal(r.status, rows[i].want_status);
        assert_string_equal(r.words, rows[i].want_words);
    }
}

static void
test_endless_replies(void **unused)
{
    (void)unused;
    struct buf b;
    struct smtp_reply r;
    struct fault f;
    size_t used;
    buf_init(&b, 1 << 20);
    for (int i = 0; i <= LIMIT_relay_lines; i++)
        buf_put_str(&b, "250-x\r\n");
    assert_int_equal(smtp_reply_take(buf_span(&b), &r, &used, &f), R_FAIL);
    buf_reset(&b);
    for (int i = 0; i <= LIMIT_relay_line; i++)
        buf_put_char(&b, '2');
    assert_int_equal(smtp_reply_take(buf_span(&b), &r, &used, &f), R_FAIL);
    buf_done(&b);
}

static void
test_offers(void **unused)
{
    (void)unused;
    struct smtp_offer o;
    smtp_offer_read(
        SPAN("250-host PIPELINING\r\n250-SIZE 123\r\n250-auth PLAIN scram-sha-256\r\n"
             "250-DELIVERBY 60\r\n250-SIZEX\r\n250 8bitmime\r\n"),
        &o);
    assert_int_equal(o.caps, SMTP_SIZE | SMTP_AUTH | SMTP_DELIVERBY | SMTP_8BITMIME);
    assert_int_equal(o.size_max, 123);
    assert_int_equal(o.by_min, 60);
    assert_true(smtp_offer_has(&o, "SCRAM-SHA-256") && smtp_offer_has(&o, "PLAIN"));
    assert_false(smtp_offer_has(&o, "LOGIN") || smtp_offer_has(&o, "SCRAM-SHA"));
}

static void
lines_of(struct span in, size_t cut, struct buf *out, struct relay_lines *l)
{
    relay_lines_init(l, true);
    for (; in.n > 0; in = span_skip(in, cut))
        relay_lines_feed(l, span_slice(in, 0, cut), out);
    relay_lines_end(l, out);
}

static void
test_texts(void **unused)
{
    (void)unused;
    static const struct {
        const char *in, *want;
        unsigned traits;
    } rows[] = {
        {"a\r\nb\r\n", "a\r\nb\r\n", 0},
        {"a\nb", "a\r\nb\r\n", RELAY_TRAIT_BARE},
        {".\r\n..\r\na.", "..\r\n...\r\na.\r\n", 0},
        {"a\n.\nb\r\n", "a\r\n..\r\nb\r\n", RELAY_TRAIT_BARE},
        {"a\r.\rb\r\n", "a . b\r\n", RELAY_TRAIT_BARE},
        {"a\r\r\n", "a \r\n", RELAY_TRAIT_BARE},
        {"a\r", "a\r\n", 0},
        {"", "", 0},
        {"\r\n\r\n", "\r\n\r\n", 0},
        {"h: \xc3\xa4\r\n\r\n", "h: \xc3\xa4\r\n\r\n",
         RELAY_TRAIT_8BIT | RELAY_TRAIT_HEADER8},
        {"h:\r\n\r\n\xc3\xa4\r\n", "h:\r\n\r\n\xc3\xa4\r\n", RELAY_TRAIT_8BIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t cut = 1; cut < 4; cut++) {
            struct relay_lines l;
            struct buf out;
            buf_init(&out, 1000);
            lines_of(span_str(rows[i].in), cut, &out, &l);
            assert_true(span_eq(buf_span(&out), span_str(rows[i].want)));
            assert_int_equal(l.traits, rows[i].traits);
            buf_done(&out);
        }
}

// ---- envelopes and files ----

static const struct relay_recipient two[] = {
    {SPAN("a@b.c"), RELAY_NOTIFY_FAILURE | RELAY_NOTIFY_DELAY, SPAN("rfc822;x@y")},
    {SPAN("\"d e\"@f.g"), 0, SPAN("")},
};

static void
test_envelopes(void **unused)
{
    (void)unused;
    const struct relay_envelope e = {.from = SPAN("s@t.u"),
                                     .to = two,
                                     .to_count = 2,
                                     .ret = RELAY_RET_HDRS,
                                     .envid = SPAN("id"),
                                     .by_mode = RELAY_BY_NOTIFY,
                                     .by_s = 77,
                                     .why = SPAN("redirect"),
                                     .owner = SPAN("ann")};
    struct relay_envelope got;
    struct buf b;
    struct fault f;
    struct arena *a = arena_new();
    buf_init(&b, 10000);
    relay_envelope_put(&b, &e);
    assert_int_equal(relay_envelope_get(buf_span(&b), a, &got, &f), R_OK);
    assert_true(span_eq(got.from, e.from) && span_eq(got.to[1].address, two[1].address) &&
                span_eq(got.to[0].orcpt, two[0].orcpt) && got.by_s == 77 && !got.returning);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(relay_envelope_get(span_slice(buf_span(&b), 0, n), a, &got, &f),
                         R_FAIL);
    buf_done(&b);
    arena_free(&a);
}

static void
test_bad_envelopes(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "",      "a",     "a@b\r\nX", "a@b> X=1",  "a@b>",      "<a@b>", "@a:b@c",
        "a\n@b", "a b@c", "a@b c",    "\"a\r\"@b", "a@b\xff.c", "a@"};
    struct fault f;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(relay_address_check(span_str(bad[i]), &f), R_FAIL);
    struct relay_recipient to = {SPAN("a@b"), RELAY_NOTIFY_NEVER | RELAY_NOTIFY_DELAY,
                                 SPAN("")};
    struct relay_envelope e = {.to = &to, .to_count = 1};
    assert_int_equal(relay_envelope_check(&e, &f), R_FAIL);
    to = (struct relay_recipient){SPAN("a@b"), 0, SPAN("rfc822;a\r\nb")};
    assert_int_equal(relay_envelope_check(&e, &f), R_FAIL);
    to.orcpt = SPAN_NONE;
    assert_int_equal(relay_envelope_check(&e, &f), R_OK);
    e.envid = SPAN("a\nb");
    assert_int_equal(relay_envelope_check(&e, &f), R_FAIL);
}

static void
test_too_many(void **unused)
{
    (void)unused;
    struct fault f;
    struct relay_recipient *many = calloc(LIMIT_relay_recipients + 1, sizeof *many);
    must(many != NULL);
    for (size_t i = 0; i <= LIMIT_relay_recipients; i++)
        many[i].address = SPAN("a@b.c");
    struct relay_envelope e = {.to = many, .to_count = LIMIT_relay_recipients};
    assert_int_equal(relay_envelope_check(&e, &f), R_OK);
    e.to_count++;
    assert_int_equal(relay_envelope_check(&e, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_TOOMANY);
    free(many);
}

static void
put_note(struct buf *notes, const struct buf *note)
{
    pack_u32(notes, (uint32_t)note->n);
    buf_put(notes, buf_span(note));
    pack_u64(notes, hash64(buf_span(note)));
}

// However short the last one was cut: what is before it counts.
static void
test_notes(void **unused)
{
    (void)unused;
    struct queue_recipient to[2] = {
        {.state = QUEUE_FAILED, .code = 550, .status = SPAN("5.1.1"), .reply = SPAN("no")}};
    struct queue_mail m = {.envelope = {.to = two, .to_count = 2}, .to = to}, got;
    struct buf notes, note;
    struct fault f;
    struct arena *a = arena_new();
    size_t used, ends[3], zero = 0;
    buf_init(&notes, 1000);
    buf_init(&note, 1000);
    queue_note_outcome(&note, &m, &zero, 1);
    put_note(&notes, &note);
    ends[0] = notes.n;
    buf_reset(&note);
    queue_note_schedule(&note, 3, 99);
    put_note(&notes, &note);
    ends[1] = notes.n;
    buf_reset(&note);
    queue_note_told(&note, &zero, 1, false);
    put_note(&notes, &note);
    ends[2] = notes.n;
    for (size_t n = 0; n <= notes.n; n++) {
        struct queue_recipient fresh[2] = {{0}};
        got = (struct queue_mail){.envelope = m.envelope, .to = fresh};
        assert_int_equal(
            queue_notes_fold(span_slice(buf_span(&notes), 0, n), a, &got, &used, &f), R_OK);
        assert_int_equal(used, n >= ends[2]   ? ends[2]
                               : n >= ends[1] ? ends[1]
                               : n >= ends[0] ? ends[0]
                                              : 0);
        assert_int_equal(fresh[0].state, n >= ends[0] ? QUEUE_FAILED : QUEUE_WAITING);
        assert_int_equal(got.tries, n >= ends[1] ? 3 : 0);
        assert_int_equal(fresh[0].told, n >= ends[2]);
    }
    buf_done(&note);
    buf_done(&notes);
    arena_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),   cmocka_unit_test(test_endless_replies),
        cmocka_unit_test(test_offers),    cmocka_unit_test(test_texts),
        cmocka_unit_test(test_envelopes), cmocka_unit_test(test_bad_envelopes),
        cmocka_unit_test(test_too_many),  cmocka_unit_test(test_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
