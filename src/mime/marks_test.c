#include "mime/marks.h"
#include "mime/mail_test.h"

// A multipart of this subtype with these parts: "type/subtype|more header fields".
static void
put_multipart(struct buf *b, const char *subtype, const char *const *parts)
{
    buf_printf(b, "MIME-Version: 1.0\r\nContent-Type: multipart/%s; boundary=b\r\n\r\n",
               subtype);
    for (size_t i = 0; parts[i]; i++) {
        struct span rest = span_str(parts[i]), type;
        must(span_next_field(&rest, '|', &type) == R_OK);
        buf_printf(b, "--b\r\nContent-Type: %.*s\r\n%.*s%s\r\nx\r\n", SPAN_ARG(type),
                   SPAN_ARG(rest), rest.n > 0 ? "\r\n" : "");
    }
    buf_put_str(b, "--b--\r\n");
}

static bool
has_attachment(struct span message)
{
    struct arena *a = arena_new();
    bool has = mime_has_attachment(scan_in_cuts(a, message, 7));
    arena_free(&a);
    return has;
}

static const struct {
    const char *subtype;
    const char *parts[5];
    bool want;
} parts_rows[] = {
    {"mixed", {"text/plain"}, false},
    {"mixed", {"text/plain", "text/plain"}, false},
    {"mixed", {"text/plain", "text/plain; name=a.txt"}, true},
    {"mixed", {"text/plain; name=a.txt"}, false},
    {"mixed", {"text/plain|Content-Disposition: attachment"}, true},
    {"mixed", {"text/plain", "image/png"}, false},
    {"mixed", {"text/plain", "image/png|Content-Disposition: Attachment"}, true},
    {"mixed", {"text/plain", "application/pdf"}, true},
    {"mixed", {"text/plain", "application/pdf|Content-Disposition: inline"}, false},
    {"mixed", {"text/plain", "message/rfc822"}, true},
    {"mixed", {"text/plain", "text/calendar"}, true},
    {"alternative", {"text/plain", "text/html"}, false},
    {"alternative", {"text/plain", "text/html", "text/calendar"}, false},
    {"alternative", {"text/plain", "text/calendar|Content-Disposition: attachment"}, true},
    {"alternative", {"text/plain", "image/png"}, true},
    {"related", {"text/html", "image/png|Content-ID: <a>"}, false},
    {"related", {"text/html", "image/png"}, true},
    {"related",
     {"text/html", "image/png|Content-ID: <a>\r\nContent-Disposition: attachment"},
     true},
    {"signed", {"text/plain", "application/pgp-signature"}, false},
    {"signed", {"text/plain", "application/pkcs7-signature; name=smime.p7s"}, false},
    {"mixed", {"text/plain", "application/pgp-signature"}, true},
};

static void
test_attachments(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parts_rows / sizeof parts_rows[0]; i++) {
        struct buf b;
        buf_init(&b, 4096);
        put_multipart(&b, parts_rows[i].subtype, parts_rows[i].parts);
        if (has_attachment(buf_span(&b)) != parts_rows[i].want)
            fail_msg("%s: %s", parts_rows[i].parts[0], b.p);
        buf_done(&b);
    }
}

// Messages of one part, and one in another.
static void
test_other_structures(void **state)
{
    (void)state;
    assert_false(has_attachment(SPAN("")));
    assert_false(has_attachment(SPAN("A: b\r\n\r\ntext\r\n")));
    assert_false(has_attachment(SPAN("Content-Type: image/png\r\n\r\nx")));
    assert_true(has_attachment(SPAN("MIME-Version: 1.0\r\nContent-Type: application/pdf"
                                    "\r\n\r\nx")));
    assert_false(has_attachment(SPAN(
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        "Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c\r\n"
        "Content-Type: multipart/related; boundary=d\r\n\r\n--d\r\nContent-Type: "
        "text/html\r\n\r\nx\r\n--d\r\nContent-Type: image/png\r\nContent-ID: <1>\r\n\r\nx"
        "\r\n--d--\r\n--c--\r\n--b--\r\n")));
}

#define URI "List-Unsubscribe: <mailto:a@b>, <https://example.org/u?1>\r\n"
#define POST "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
#define SIGNED                                                                             \
    "DKIM-Signature: v=1; a=rsa-sha256; h=From:To :\r\n list-unsubscribe:"                 \
    "List-Unsubscribe-Post; b=x\r\n"

static const struct {
    const char *header;
    bool want;
} one_click_rows[] = {
    {URI POST SIGNED, true},
    {SIGNED URI POST "\r\n", true},
    {"LIST-UNSUBSCRIBE:\r\n <HTTPS://a>\r\nList-Unsubscribe-Post: "
     "list-unsubscribe=one-click\r\n" SIGNED,
     true},
    {"DKIM-Signature: h = list-unsubscribe : list-unsubscribe-post\r\n" URI POST, true},
    {"", false},
    {URI POST, false},
    {URI SIGNED, false},
    {POST SIGNED, false},
    {"\r\n" URI POST SIGNED, false},
    {"List-Unsubscribe: <mailto:a@b>\r\n" POST SIGNED, false},
    {"List-Unsubscribe: <http://a>\r\n" POST SIGNED, false},
    {"List-Unsubscribe: https://a\r\n" POST SIGNED, false},
    {URI "List-Unsubscribe-Post: List-Unsubscribe=One-Click;x=1\r\n" SIGNED, false},
    {URI POST "DKIM-Signature: v=1; h=From:List-Unsubscribe; b=x\r\n", false},
    {URI POST "DKIM-Signature: v=1; bh=list-unsubscribe:list-unsubscribe-post\r\n", false},
    {URI POST "DKIM-Signature: h;h ; ;=\r\n", false},
};

static void
test_one_click(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof one_click_rows / sizeof one_click_rows[0]; i++)
        if (mime_is_one_click(span_str(one_click_rows[i].header)) != one_click_rows[i].want)
            fail_msg("%s", one_click_rows[i].header);
}

static void
test_automatic(void **state)
{
    (void)state;
    assert_true(mime_is_automatic(SPAN("Auto-Submitted: auto-replied\r\n")));
    assert_true(
        mime_is_automatic(SPAN("A: b\r\nauto-submitted:\r\n (x) Auto-Generated; a=b\r\n")));
    assert_false(mime_is_automatic(SPAN("Auto-Submitted: No\r\n")));
    assert_false(mime_is_automatic(SPAN("Auto-Submitted: no (really)\r\n")));
    assert_false(mime_is_automatic(SPAN("Auto-Submitted:\r\n")));
    assert_false(mime_is_automatic(SPAN("A: b\r\n\r\nAuto-Submitted: auto-replied\r\n")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attachments),
        cmocka_unit_test(test_other_structures),
        cmocka_unit_test(test_one_click),
        cmocka_unit_test(test_automatic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
