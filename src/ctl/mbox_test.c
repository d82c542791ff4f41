#include "ctl/mbox.h"
#include "ctl/uidlist.h"
#include "store/row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static enum result
on_begin(void *arg, const struct mbox_message *m, struct fault *f)
{
    (void)f;
    buf_printf(arg, "[%u %u %.*s]", m->uid, m->flags, SPAN_ARG(m->keywords));
    return R_OK;
}

static enum result
on_octets(void *arg, struct span bytes, struct fault *f)
{
    (void)f;
    buf_put(arg, bytes);
    return R_OK;
}

static enum result
on_end(void *arg, struct fault *f)
{
    (void)f;
    buf_put_str(arg, "|");
    return R_OK;
}

#define FROM "From a@b Mon Jan  5 10:00:00 2004\n"

static void
test_messages(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;  // want NULL: no mbox
    } rows[] = {
        {"", ""},
        {FROM "A: b\n\nx\n\n" FROM "C: d\n\ny\n",
         "[0 0 ]A: b\r\n\r\nx\r\n|[0 0 ]C: d\r\n\r\ny\r\n|"},
        {FROM "A: b\n\n>From x\n>>From y\n> From\n",
         "[0 0 ]A: b\r\n\r\nFrom x\r\n>From y\r\n> From\r\n|"},
        {FROM "A: b\n\nx\nFrom y\n\nFrom z\n",
         "[0 0 ]A: b\r\n\r\nx\r\nFrom y\r\n\r\nFrom z\r\n|"},
        {FROM "Status: RO\nA: b\nX-Status: AT\nX-UID: 7\nX-Keywords: k l\n\n",
         "[7 19 k l]A: b\r\n\r\n|"},
        {FROM "X-Posthorn: fields=1 ends=lf\nX-UID: 2\nStatus: RO\n\nx\n\n",
         "[2 0 ]Status: RO\r\n\r\nx\r\n|"},
        {FROM "X-Posthorn: fields=0 ends=kept final=none\n\na\nb\r\nc\n\n",
         "[0 0 ]\na\nb\r\nc|"},
        {FROM "X-Posthorn: fields=0 ends=lf body=none\nA: b\n\n", "[0 0 ]A: b\r\n|"},
        {FROM "X-IMAP: 5 9\n\ninternal\n\n" FROM "A: b\n\n", "[0 0 ]A: b\r\n\r\n|"},
        {"A: b\n", NULL},
    };
    static const struct mbox_ops ops = {on_begin, on_octets, on_end};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mbox m;
        struct buf out;
        struct fault f;
        buf_init(&out, 4096);
        mbox_init(&m, &ops, &out);
        enum result r = mbox_read(&m, span_str(rows[i].text), &f);
        if (r == R_OK)
            r = mbox_end(&m, &f);
        assert_int_equal(r, rows[i].want ? R_OK : R_FAIL);
        if (rows[i].want && !span_eq(buf_span(&out), span_str(rows[i].want)))
            fail_msg("row %zu: %.*s", i, SPAN_ARG(buf_span(&out)));
        mbox_done(&m);
        buf_done(&out);
    }
}

static void
test_from_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum result want;
        int64_t want_date;
    } rows[] = {
        {"From a Mon Jan  5 10:00:00 2004 +0000", R_OK, 1073296800},
        {"From a b c Mon Jan 5 10:00 +0100 2004\n", R_OK, 1073293200},
        {"From a Mon Jan 5 10:00:00 CET 2004 -0130", R_OK, 1073302200},
        {"From MAILER-DAEMON Wed Dec 31 20:00:00 1969 -0500", R_OK, 3600},
        {"From MAILER-DAEMON Fri Jan  1 00:00:00 1960 +0000", R_OK, -315619200},
        {"From a Mon Jan 5 10:00:00 +0000", R_FAIL, 0},
        {"From a Mon Jan 32 10:00:00 2004", R_FAIL, 0},
        {"From a Mon Jan 5 25:00:00 2004", R_FAIL, 0},
        {"From me to you", R_FAIL, 0},
        {"from a Mon Jan  5 10:00:00 2004", R_FAIL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t date = 0;
        int16_t zone = 0;
        assert_int_equal(mbox_from_line(span_str(rows[i].line), &date, &zone),
                         rows[i].want);
        if (rows[i].want == R_OK)
            assert_int_equal(date, rows[i].want_date);
    }
}

static void
test_names(void **state)
{
    (void)state;
    static const struct {
        const char *stored, *want,
            *want_back;  // want NULL: refused; want_back NULL: the same
    } rows[] = {
        {"Lists.C&AOQ-", "Lists/C\xc3\xa4", NULL},
        {"a&-b", "a&b", NULL},
        {"R&D", "R&D", "R&-D"},
        {"C\xc3\xa4", "C\xc3\xa4", "C&AOQ-"},
        {"v1&AC4-2.x", "v1.2/x", NULL},
        {"\xff", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf name, back;
        struct fault f;
        buf_init(&name, 1000);
        buf_init(&back, 1000);
        enum result r = storage_name_decode(span_str(rows[i].stored), '.', &name, &f);
        assert_int_equal(r, rows[i].want ? R_OK : R_FAIL);
        if (rows[i].want) {
            const char *back_want = rows[i].want_back ? rows[i].want_back : rows[i].stored;
            assert_true(span_eq(buf_span(&name), span_str(rows[i].want)));
            storage_name_encode(buf_span(&name), '.', &back);
            assert_true(span_eq(buf_span(&back), span_str(back_want)));
        }
        buf_done(&name);
        buf_done(&back);
    }
}

static void
test_uidlist(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    struct uidlist l;
    struct fault f;
    struct span text =
        SPAN("3 V12 N50 Gx\n10 :b.M1.h\n12 S5 Z-480 :a.M2.h,S=5:2,S\nnonsense\n");
    assert_int_equal(uidlist_parse(text, a, &l, &f), R_OK);
    assert_true(l.uidvalidity == 12 && l.uidnext == 50 && l.count == 2 && l.bad_lines == 1);
    const struct uidlist_entry *e = uidlist_find(&l, SPAN("a.M2.h,S=5"));
    assert_true(e != NULL && e->uid == 12 && e->has_zone && e->zone_min == -480);
    assert_null(uidlist_find(&l, SPAN("c")));
    assert_int_equal(uidlist_parse(SPAN("1 12 50\n10 b.M1.h\n"), a, &l, &f), R_OK);
    assert_true(l.uidnext == 50 && uidlist_find(&l, SPAN("b.M1.h"))->uid == 10);
    assert_int_equal(uidlist_parse(SPAN("2 V1\n"), a, &l, &f), R_FAIL);
    arena_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_from_lines),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_uidlist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
