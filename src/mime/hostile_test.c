// Mail that anyone on the internet may send: every class ends in bounded time and memory.

#include "mime/mail_test.h"

#include <time.h>

#include "base/limits.h"
#include "mime/address.h"
#include "mime/encoded_word.h"
#include "mime/header.h"
#include "mime/index.h"
#include "mime/render.h"
#include "mime/summary.h"
#include "mime/text.h"

enum {
    SECONDS_MAX = 20
};  // of CPU, with sanitizers, on a slow machine; quadratic work takes minutes

static void
put_times(struct buf *b, const char *piece, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_put_str(b, piece);
}

static const struct mime_part *
run(struct arena *a, struct span message)
{
    clock_t start = clock();
    const struct mime_part *root = scan_in_cuts(a, message, 65536);
    struct span needles[] = {SPAN("not there")};
    struct mime_text_search *search = mime_text_search_new(needles, 1, COLLATION_CASEMAP);
    struct buf out;

    buf_init(&out, 1 << 28);
    mime_render_envelope(&out, root, false);
    mime_render_body(&out, root, true, false);
    mime_index_put(&out, root);
    mime_summary_put(&out, root);
    assert_false(out.over);
    mime_text_header(search, span_slice(message, 0, root->header.size));
    mime_text_search_free(&search);
    buf_done(&out);
    if (getenv("TIMES"))
        printf("%.2f s %.20s\n", (double)(clock() - start) / CLOCKS_PER_SEC, message.p);
    assert_true((clock() - start) / CLOCKS_PER_SEC < SECONDS_MAX);
    assert_true(arena_used(a) < ((size_t)3 << 25));
    return root;
}

static void
test_hostile_depth(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    struct buf b;
    uint32_t depth = 0;

    buf_init(&b, 1 << 26);
    for (int i = 0; i < 20000; i++)
        buf_printf(&b, "Content-Type: multipart/mixed; boundary=b%05d\r\n\r\n--b%05d\r\n",
                   i, i);
    const struct mime_part *part = run(a, buf_span(&b));
    for (; part->child; part = part->child)
        depth++;
    assert_int_equal(depth, LIMIT_mime_depth - 1);
    assert_true(span_eq(part->type, SPAN("application")));  // the rest is an opaque body
    assert_true(part->body.at + part->body.size == b.n);

    buf_reset(&b);
    put_times(&b, "Content-Type: message/rfc822\r\n\r\n", 20000);
    depth = 0;
    for (part = run(a, buf_span(&b)); part->child; part = part->child)
        depth++;
    assert_int_equal(depth, LIMIT_mime_depth - 1);
    buf_done(&b);
    arena_free(&a);
}

static void
test_hostile_parts(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    struct buf b;

    buf_init(&b, 1 << 26);
    buf_put_str(&b, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    put_times(&b, "--b\r\n", 200000);
    buf_put_str(&b, "--b--\r\nepilogue\r\n");
    const struct mime_part *root = run(a, buf_span(&b));
    assert_int_equal(root->children, LIMIT_mime_parts - 1);
    buf_done(&b);
    arena_free(&a);
}

static void
test_hostile_addresses(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a@b,", "a:", "g:a@b;,", "(", "\"",
                                         "<",    "a ", "<@a,",    ","};
    struct arena *a = arena_new();
    struct buf b;

    buf_init(&b, 1 << 26);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        buf_reset(&b);
        buf_put_str(&b, "From: ");
        put_times(&b, pieces[i], 300000);
        buf_put_str(&b, "\r\n\r\n");
        run(a, buf_span(&b));
        arena_reset(a);
    }
    buf_reset(&b);
    put_times(&b, "a@b,", 300000);
    size_t n = 0;
    for (const struct mime_address *at = mime_address_parse(a, buf_span(&b)); at;
         at = at->next)
        n++;
    assert_int_equal(n, LIMIT_mime_addresses);
    buf_done(&b);
    arena_free(&a);
}

static void
test_hostile_headers(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "X: y\r\n",     "To: a@b\r\n",           "Subject: x\r\n",
        "no colon\r\n", "Content-Type: x/y\r\n", " folded\r\n",
        ":\r\n"};
    struct arena *a = arena_new();
    struct span names[] = {SPAN("Subject")};
    struct buf b, out;

    buf_init(&b, 1 << 26);
    buf_init(&out, 1 << 26);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        buf_reset(&b);
        put_times(&b, pieces[i], 500000);
        const struct mime_part *root = run(a, buf_span(&b));
        assert_int_equal(root->header.lines, 500000);
        buf_reset(&out);
        mime_header_filter(&out, buf_span(&b), names, 1, true);
        arena_reset(a);
    }
    buf_done(&b);
    buf_done(&out);
    arena_free(&a);
}

// One field of 30 MB: cut for interpretation, offsets stay right.
static void
test_hostile_long_field(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    struct buf b;

    buf_init(&b, 1 << 26);
    buf_put_str(&b, "Subject: ");
    put_times(&b, "0123456789", 3000000);
    buf_put_str(&b, "\r\nTo: a@b\r\n\r\nbody\r\n");
    const struct mime_part *root = run(a, buf_span(&b));
    assert_true(root->envelope->field[MIME_SUBJECT]->text.n <= LIMIT_mime_header);
    assert_true(span_eq(root->envelope->field[MIME_TO]->text, SPAN("a@b")));
    assert_true(root->body.at == b.n - 6);
    buf_done(&b);
    arena_free(&a);
}

static void
test_hostile_parameters(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    struct buf b;

    buf_init(&b, 1 << 26);
    buf_put_str(&b, "Content-Type: text/plain");
    for (int i = 0; i < 100000; i++)
        buf_printf(&b, "; n*%d*=a", i);
    buf_put_str(&b, "\r\n\r\n");
    run(a, buf_span(&b));
    buf_reset(&b);
    buf_put_str(&b, "Content-Type: text/plain");
    put_times(&b, "; n*0*=a;\"(", 100000);
    buf_put_str(&b, "\r\n\r\n");
    run(a, buf_span(&b));
    buf_done(&b);
    arena_free(&a);
}

static void
test_hostile_encoded_words(void **state)
{
    (void)state;
    static const char *const pieces[] = {"=?utf-7?Q?+?= ",
                                         "=?a?Q?",
                                         "=?utf-8?B?4oI=?= ",
                                         "=?gb18030?Q?=81?=",
                                         "=?utf-8?Q?=E2?=",
                                         "=?nope?B?AAAA?=",
                                         "=?",
                                         "\xe2\x82"};
    struct arena *a = arena_new();
    struct buf b;

    buf_init(&b, 1 << 26);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        buf_reset(&b);
        buf_put_str(&b, "Subject: ");
        put_times(&b, pieces[i], 1000000);
        buf_put_str(&b, "\r\n\r\n");
        run(a, buf_span(&b));
        arena_reset(a);
    }
    buf_done(&b);
    arena_free(&a);
}

static void
test_hostile_comments(void **state)
{
    (void)state;
    static const char *const values[] = {"(((((",   "a (b\\", "\"a\\",
                                         "<a@[b\\", "g:\"",   "(a)(b)(c\\)"};
    struct arena *a = arena_new();

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        for (const struct mime_address *at = mime_address_parse(a, span_str(values[i])); at;
             at = at->next)
            assert_true(at->kind != MIME_ADDRESS || (at->mailbox.p && at->host.n > 0));
    arena_free(&a);
}

// Lines that begin like delimiters of many nested multiparts.
static void
test_hostile_delimiters(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    struct buf b;

    buf_init(&b, 1 << 26);
    for (int i = 0; i < 99; i++)
        buf_printf(&b, "Content-Type: multipart/mixed; boundary=%c%c\r\n\r\n--%c%c\r\n",
                   'A' + i % 26, 'a' + i / 26, 'A' + i % 26, 'a' + i / 26);
    put_times(&b, "\r\n--?x\r\n--\r\n", 200000);
    run(a, buf_span(&b));
    buf_done(&b);
    arena_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_depth),
        cmocka_unit_test(test_hostile_parts),
        cmocka_unit_test(test_hostile_addresses),
        cmocka_unit_test(test_hostile_headers),
        cmocka_unit_test(test_hostile_long_field),
        cmocka_unit_test(test_hostile_parameters),
        cmocka_unit_test(test_hostile_encoded_words),
        cmocka_unit_test(test_hostile_comments),
        cmocka_unit_test(test_hostile_delimiters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
