#include "mime/message_id.h"

#include "mime/mail_test.h"

static const struct {
    const char *text, *want;  // ids, each with a space behind it
} rows[] = {
    {"", ""},
    {"<a@b>", "a@b "},
    {" <a@b>\t<c@d> ", "a@b c@d "},
    {"<a@b><c@d>", "a@b c@d "},
    {"<\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>", "01KF8JCEOCBS0045PS@xxx.yyy.com "},
    {"<\"a\\\"b\"@c>", "a\"b@c "},
    {"<\"a b\"@c> <a b@c>", "a b@c ab@c "},
    {"<\"a>b<c\"@d> <e@f>", "a>b<c@d e@f "},
    {"<\"a\r\n b\"@c>", "a b@c "},
    {"<a . b @ c>", "a.b@c "},
    {"<a@b (c <d@e>) >", "a@b "},
    {"(see <a@b> (and <c@d>)) <e@f>", "e@f "},
    {"(it does not end <a@b>", "a@b "},
    {"<(neither does this @b>", "(neitherdoesthis@b "},
    {"<\"nor this@b> <c@d>", "northis@b c@d "},
    {"<a@b", ""},
    {"<a@b <c@d>", "c@d "},
    {"<> <\"\"> < > <a@b>", "a@b "},
    {"words <a@b>, words", "a@b "},
    {"a@b", ""},
    {"<a@[1.2.3.4]>", "a@[1.2.3.4] "},
    {"<no-at>", "no-at "},
    {"((((((((((((((( <a(c)@b>", "a@b "},      // 15 that do not end
    {"(((((((((((((((( <a(c)@b>", "a(c)@b "},  // 16: they are not looked for any more
    {"<\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"@b> <a(c)@b>",
     "@b a(c)@b "},
};

static void
test_rows(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mime_message_ids ids = {.rest = span_str(rows[i].text)};
        while (mime_message_id_next(&ids, &b))
            buf_put_char(&b, ' ');
        if (!span_eq(buf_span(&b), span_str(rows[i].want)))
            fail_msg("%s: \"%.*s\"", rows[i].text, SPAN_ARG(buf_span(&b)));
        buf_reset(&b);
    }
    buf_done(&b);
}

static void
test_valid(void **state)
{
    (void)state;
    assert_true(mime_message_id_valid(SPAN("a@b")));
    assert_true(mime_message_id_valid(SPAN("a@b@c")));
    assert_false(mime_message_id_valid(SPAN("")));
    assert_false(mime_message_id_valid(SPAN("a")));
    assert_false(mime_message_id_valid(SPAN("@b")));
    assert_false(mime_message_id_valid(SPAN("a@")));
}

// What does not end is not looked for again and again.
static void
test_hostile(void **state)
{
    static const char *const parts[] = {"(",        "<(",  "<\"",   "<",
                                        "( <a@b> ", "<(>", "(((\\", "<\"\\\""};
    struct buf text, out;
    (void)state;
    buf_init(&text, 1 << 20);
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        while (text.n + 8 < 262144)
            buf_put_str(&text, parts[i]);
        struct mime_message_ids ids = {.rest = buf_span(&text)};
        while (mime_message_id_next(&ids, &out))
            continue;
        assert_false(out.over);
        buf_reset(&text);
        buf_reset(&out);
    }
    buf_done(&text);
    buf_done(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
