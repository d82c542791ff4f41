#include "mime/mail_test.h"

#include "mime/index.h"
#include "mime/render.h"
#include "mime/summary.h"

// "multipart/mixed 0+80 80+120(text/plain ...)": type, header at+size, body at+size/lines,
// children.
static void
dump(struct buf *b, const struct mime_part *part)
{
    buf_printf(b, "%.*s/%.*s %llu+%llu %llu+%llu/%u", SPAN_ARG(part->type),
               SPAN_ARG(part->subtype), (unsigned long long)part->header.at,
               (unsigned long long)part->header.size, (unsigned long long)part->body.at,
               (unsigned long long)part->body.size, part->body.lines);
    if (part->child)
        buf_put_char(b, '(');
    for (const struct mime_part *child = part->child; child; child = child->next) {
        dump(b, child);
        buf_put_char(b, child->next ? ' ' : ')');
    }
}

static void
test_scan_finds_parts(void **state)
{
    (void)state;
#define MIXED                                                                              \
    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"  // 64 octets
    static const struct {
        const char *message, *want;
    } rows[] = {
        {"", "/ 0+0 0+0/0"},
        {"\r\nx\r\n", "/ 0+2 2+3/1"},
        {"\nx\n", "/ 0+1 1+2/1"},
        {"A: b\r\n\r\none\r\ntwo", "/ 0+8 8+8/1"},
        {"A: b\r\n", "/ 0+6 6+0/0"},
        {"A: b", "/ 0+4 4+0/0"},
        {MIXED "--b\r\n\r\none\r\n--b--\r\n",
         "multipart/mixed 0+64 64+19/4(/ 69+2 71+3/0)"},
        {MIXED "--b\r\n\r\n\r\n--b--\r\n", "multipart/mixed 0+64 64+16/4(/ 69+2 71+0/0)"},
        {MIXED "--b\r\n\r\n--b--", "multipart/mixed 0+64 64+12/2(/ 69+2 71+0/0)"},
        {MIXED "--b\r\nA: b\r\n--b--", "multipart/mixed 0+64 64+16/2(/ 69+4 73+0/0)"},
        {MIXED "--b", "multipart/mixed 0+64 64+3/0(/ 67+0 67+0/0)"},
        {MIXED "pre\r\n--b--\r\nepi\r\n--b\r\n", "multipart/mixed 0+64 64+22/4"},
        {MIXED "--b\n\none\n--b\n\ntwo\n--b--\n",
         "multipart/mixed 0+64 64+24/7(/ 68+1 69+3/0 / 77+1 78+3/0)"},
        {MIXED "--b\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\nin\r\n--b--",
         "multipart/mixed 0+64 64+54/6(message/rfc822 69+32 101+10/2(/ 101+8 109+2/0))"},
        {MIXED "--b \t\r\n\r\none\r\n--b-- x\r\n",
         "multipart/mixed 0+64 64+23/4(/ 71+2 73+3/0)"},
        {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n1\r\n--b--",
         "multipart/mixed 0+45 45+15/3(/ 50+2 52+1/0)"},
        {"Content-Type: multipart/mixed; boundary=----=_1 x\r\n\r\n------=_1\r\n"
         "Content-Type: multipart/mixed; boundary=----=_2 (c)\r\n\r\n------=_2\r\n\r\n1\r\n"
         "------=_2--\r\n------=_1\r\n\r\n2\r\n------=_1--",
         "multipart/mixed 0+53 53+122/10(multipart/mixed 64+55 119+27/3(/ 130+2 132+1/0) "
         "/ 159+2 161+1/0)"},
        {"Content-Type: Multipart/Digest; boundary=b\r\n\r\n--b\r\n\r\nA: "
         "b\r\n\r\n1\r\n--b--",
         "Multipart/Digest 0+46 46+23/5(/ 51+2 53+9/2(/ 53+8 61+1/0))"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena *a = arena_new();
        struct buf got;
        buf_init(&got, 4096);
        dump(&got, scan_in_cuts(a, span_str(rows[i].message), 4096));
        buf_put_char(&got, '\0');
        assert_string_equal(got.p, rows[i].want);
        buf_done(&got);
        arena_free(&a);
    }
}

// BODY is BODYSTRUCTURE without its extensions; other octets than the right ones are refused or cut, never read behind.
static void
check_body(const struct mime_part *root, bool utf8)
{
    struct buf want, structure, extensions, got;

    buf_init(&want, 1 << 26);
    buf_init(&structure, 1 << 26);
    buf_init(&extensions, 1 << 26);
    buf_init(&got, 1 << 26);
    mime_render_body(&got, root, true, utf8);
    buf_put(&structure, SPAN("before"));
    mime_render_structure(&structure, &extensions, root, utf8);
    struct span whole = span_skip(buf_span(&structure), 6);
    assert_true(span_eq(whole, buf_span(&got)));
    buf_reset(&got);
    mime_render_body(&want, root, false, utf8);
    assert_int_equal(mime_render_body_of(&got, whole, buf_span(&extensions)), R_OK);
    assert_true(span_eq(buf_span(&want), buf_span(&got)));
    buf_reset(&got);
    assert_int_equal(
        mime_render_body_of(&got, span_slice(whole, 0, 5), buf_span(&extensions)), R_FAIL);
    assert_int_equal(got.n, 0);
    buf_done(&want);
    buf_done(&structure);
    buf_done(&extensions);
    buf_done(&got);
}

// All that is made of a message.
static void
describe(struct buf *b, struct span message, size_t cut)
{
    struct arena *a = arena_new();
    const struct mime_part *root = scan_in_cuts(a, message, cut);

    dump(b, root);
    for (int utf8 = 0; utf8 < 2; utf8++) {
        mime_render_envelope(b, root, utf8);
        mime_render_body(b, root, true, utf8);
        check_body(root, utf8);
    }
    assert_null(memchr(b->p, '\0', b->n));
    mime_index_put(b, root);
    mime_summary_put(b, root);
    assert_false(b->over);
    arena_free(&a);
}

static void
check_cuts(const char *name, struct span message)
{
    static const size_t cuts[] = {1, 2, 3, 7, 64, 301};
    struct buf whole, cut;

    buf_init(&whole, 1 << 26);
    buf_init(&cut, 1 << 26);
    describe(&whole, message, message.n + 1);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        buf_reset(&cut);
        describe(&cut, message, cuts[i]);
        if (!span_eq(buf_span(&whole), buf_span(&cut)))
            fail_msg("%s differs when cut to %zu octets", name, cuts[i]);
    }
    buf_done(&whole);
    buf_done(&cut);
}

static void
test_scan_is_the_same_in_any_cuts(void **state)
{
    (void)state;
    assert_true(each_mail(MAIL_DIR, check_cuts) > 60);
}

// Parts lie inside their parents, one after the other, and inside the message.
static void
check_inside(const struct mime_part *part, uint64_t from, uint64_t to)
{
    assert_true(part->header.at >= from);
    assert_true(part->body.at == part->header.at + part->header.size);
    assert_true(part->header.at + part->header.size <= to || part->body.size == 0);
    uint64_t at = part->body.at;
    for (const struct mime_part *child = part->child; child; child = child->next) {
        assert_ptr_equal(child->parent, part);
        check_inside(child, at, part->body.at + part->body.size);
        at = child->body.at + child->body.size;
    }
}

static void
check_order(const char *name, struct span message)
{
    struct arena *a = arena_new();

    (void)name;
    check_inside(scan_in_cuts(a, message, message.n + 1), 0, message.n);
    arena_free(&a);
}

static void
test_scan_parts_lie_in_order(void **state)
{
    (void)state;
    assert_true(each_mail(MAIL_DIR, check_order) > 60);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan_finds_parts),
        cmocka_unit_test(test_scan_is_the_same_in_any_cuts),
        cmocka_unit_test(test_scan_parts_lie_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
