// How fields of encoded words are folded; what is in them is text_test.c's.

#include "mime/mail_test.h"

#include "mime/encoded_word.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static void
check_span(struct span got, const char *want)
{
    if (!span_eq(got, span_str(want)))
        fail_msg("got \"%.*s\", want \"%s\"", SPAN_ARG(got), want);
}

// RFC 2047 section 2: 76 octets of a line with an encoded word; what is folded says the same.
static void
test_encoded_word_fold(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"plain", "Subject: plain"},
        {"=?utf-8?Q?=C3=A4?=", "Subject: =?utf-8?Q?=C3=A4?="},
        {"x =?utf-8?Q?=C3=A4?= y", "Subject: x\r\n =?utf-8?Q?=C3=A4?= y"},
        // a word of 75 octets does not fit behind the name
        {"=?utf-8?Q?abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij=C3?= b",
         "Subject: \r\n "
         "=?utf-8?Q?abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij=C3?=\r\n "
         "b"},
        // nor do all words behind an encoded one
        {"=?utf-8?Q?=C3=A4?= aaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbb  cccccccccc d",
         "Subject: =?utf-8?Q?=C3=A4?= aaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbb\r\n"
         "  cccccccccc d"},
        {"=?utf-8?Q?=C3=A4?= ", "Subject: =?utf-8?Q?=C3=A4?= "},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct buf got;
        buf_init(&got, 4096);
        buf_put_str(&got, "Before: x\r\nSubject: ");
        mime_fold_words(&got, span_str(rows[i].text));
        check_span(span_skip(buf_span(&got), 11), rows[i].want);
        buf_done(&got);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encoded_word_fold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
