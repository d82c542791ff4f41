#include "imap/gmail_query.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { NOW = 1000000000 };

// Labels stand as UID searches with the name as text.
static void
put_label(void *arg, struct span name, struct query *q)
{
    (void)arg;
    *q = (struct query){.op = QUERY_UIDS, .text = name};
}

static void
put_user_labels(void *arg, struct query *q)
{
    put_label(arg, SPAN("any"), q);
}

static const char *
op_name(enum query_op op)
{
    static const char *const names[] = {
        [QUERY_ALL] = "all",
        [QUERY_AND] = "and",
        [QUERY_OR] = "or",
        [QUERY_NOT] = "not",
        [QUERY_FLAG] = "flag",
        [QUERY_KEYWORD] = "keyword",
        [QUERY_UIDS] = "label",
        [QUERY_LARGER] = "larger",
        [QUERY_SMALLER] = "smaller",
        [QUERY_OLDER] = "older",
        [QUERY_YOUNGER] = "younger",
        [QUERY_DATE_BEFORE] = "before",
        [QUERY_DATE_SINCE] = "since",
        [QUERY_ATTACHMENT] = "file",
        [QUERY_SUBJECT] = "subject",
        [QUERY_FROM] = "from",
        [QUERY_TO] = "to",
        [QUERY_CC] = "cc",
        [QUERY_BCC] = "bcc",
        [QUERY_HEADER] = "header",
        [QUERY_BODY] = "body",
        [QUERY_TEXT] = "text",
    };
    return names[op];
}

static void
print(struct buf *b, const struct query *q)
{
    buf_printf(b, "(%s%s", q->fuzzy ? "~" : "", op_name(q->op));
    if (q->name.n > 0)
        buf_printf(b, " %.*s", SPAN_ARG(q->name));
    if (q->text.p && !q->first)
        buf_printf(b, " '%.*s'", SPAN_ARG(q->text));
    if (q->number > 0)
        buf_printf(b, " %lld", (long long)q->number);
    for (const struct query *k = q->first; k; k = k->next)
        print(b, k);
    buf_put_char(b, ')');
}

static enum result
read_query(struct span text, struct buf *b, struct fault *f)
{
    struct arena *a = arena_new();
    struct gmail_query g = {.arena = a,
                            .now_s = NOW,
                            .me = SPAN("Me@x"),
                            .label = put_label,
                            .user_labels = put_user_labels};
    struct query *q;
    enum result r = gmail_query_parse(&g, text, &q, f);
    if (r == R_OK)
        print(b, q);
    arena_free(&a);
    return r;
}

static const struct {
    const char *text, *want;
} rows[] = {
    {"", "(all)"},
    {"  ", "(all)"},
    {"a", "(and(~text 'A'))"},
    {"a b", "(and(~text 'A')(~text 'B'))"},
    {"\"a b\" c", "(and(~text 'a b')(~text 'C'))"},
    {"\"a b", "(and(~text 'a b'))"},
    {"a\"b\"", "(and(~text 'A')(~text 'b'))"},
    {"-a", "(and(not(~text 'A')))"},
    {"-\"a b\"", "(and(not(~text 'a b')))"},
    {"-from:a", "(and(not(~from 'A')))"},
    {"-(a b)", "(and(not(and(~text 'A')(~text 'B'))))"},
    {"a - b", "(and(~text 'A')(all)(~text 'B'))"},
    {"+a", "(and(text 'a'))"},
    {"+\"a b\"", "(and(text 'a b'))"},
    {"+from:a b", "(and(from 'a')(~text 'B'))"},
    {"subject:(+a b)", "(and(and(subject 'a')(~subject 'B')))"},
    {"na\u00efve", "(and(~text 'NAIVE'))"},
    {"...", "(and(~text '...'))"},
    {"from:me to:ME", "(and(~and(~from 'ME')(~from 'X'))(~and(~to 'ME')(~to 'X')))"},
    {"subject:me", "(and(~subject 'ME'))"},
    {"category:primary", "(and(all))"},
    {"category:social", "(and(not(all)))"},
    {"has:userlabels", "(and(label 'any'))"},
    {"has:nouserlabels", "(and(not(label 'any')))"},
    {"has:youtube", "(and(or(body 'youtube.com/')(body 'youtu.be/')))"},
    {"has:document", "(and(or(body 'docs.google.com/document')))"},
    {"has:red-bang", "(and(not(all)))"},
    {"has:orange-star",
     "(and(and(flag 4)(or(and(keyword '$MailFlagBit0')(not(keyword '$MailFlagBit1'))"
     "(not(keyword '$MailFlagBit2'))))))"},
    {"has:yellow-star",
     "(and(and(flag 4)(or(and(not(keyword '$MailFlagBit0'))(keyword '$MailFlagBit1')"
     "(not(keyword '$MailFlagBit2')))(and(not(keyword '$MailFlagBit0'))"
     "(not(keyword '$MailFlagBit1'))(not(keyword '$MailFlagBit2'))))))"},
    {"is:muted", "(and(keyword '$Muted'))"},
    {"a AROUND b", "(and(~text 'A')(~text 'AROUND')(~text 'B'))"},
    {"a-b", "(and(~and(~text 'A')(~text 'B')))"},
    {"a OR b", "(and(or(~text 'A')(~text 'B')))"},
    {"a OR b OR c d", "(and(or(~text 'A')(~text 'B')(~text 'C'))(~text 'D'))"},
    {"a or b", "(and(~text 'A')(~text 'OR')(~text 'B'))"},
    {"a OR", "(and(~text 'A'))"},
    {"OR a", "(and(~text 'OR')(~text 'A'))"},
    {"a ORb", "(and(~text 'A')(~text 'ORB'))"},
    {"a AND b", "(and(~text 'A')(~text 'B'))"},
    {"{a b}", "(and(or(~text 'A')(~text 'B')))"},
    {"{from:a to:b} c", "(and(or(~from 'A')(~to 'B'))(~text 'C'))"},
    {"(a b) c", "(and(and(~text 'A')(~text 'B'))(~text 'C'))"},
    {"()", "(and(all))"},
    {"((a", "(and(and(and(~text 'A'))))"},
    {"a) b", "(and(~text 'A')(~text 'B'))"},
    {"(a} b", "(and(and(~text 'A'))(~text 'B'))"},
    {")))a", "(and(~text 'A'))"},
    {"FROM:a", "(and(~from 'A'))"},
    {"from:", "(and(all))"},
    {"from: a", "(and(all)(~text 'A'))"},
    {"from:\"a b\"", "(and(~from 'a b'))"},
    {"from:(a b)", "(and(and(~from 'A')(~from 'B')))"},
    {"from:{a b}", "(and(or(~from 'A')(~from 'B')))"},
    {"subject:(a -b OR c)",
     "(and(and(~subject 'A')(or(not(~subject 'B'))(~subject 'C'))))"},
    {"from:(to:x y)", "(and(and(~to 'X')(~from 'Y')))"},
    {"cc:a bcc:b", "(and(~cc 'A')(~bcc 'B'))"},
    {"http://x", "(and(~and(~text 'HTTP')(~text 'X')))"},
    {"froms:a", "(and(~and(~text 'FROMS')(~text 'A')))"},
    {"list:a", "(and(~header List-Id 'A'))"},
    {"rfc822msgid:<a@b>", "(and(header Message-Id '<a@b>'))"},
    {"deliveredto:a", "(and(~header Delivered-To 'A'))"},
    {"is:unread", "(and(not(flag 1)))"},
    {"is:READ", "(and(flag 1))"},
    {"is:starred", "(and(flag 4))"},
    {"is:important", "(and(keyword '$Important'))"},
    {"is:x", "(and(not(all)))"},
    {"has:attachment", "(and(file))"},
    {"has:drive", "(and(or(body 'drive.google.com')(body 'docs.google.com')))"},
    {"filename:\"a b.pdf\"", "(and(~file 'a b.pdf'))"},
    {"label:foo", "(and(label 'foo'))"},
    {"-label:\"foo bar\"", "(and(not(label 'foo bar')))"},
    {"in:inbox", "(and(label 'inbox'))"},
    {"in:anywhere", "(and(all))"},
    {"in:starred", "(and(flag 4))"},
    {"label:important", "(and(keyword '$Important'))"},
    {"larger:10", "(and(larger 10))"},
    {"larger:10K", "(and(larger 10240))"},
    {"size:2M", "(and(larger 2097152))"},
    {"smaller:1gb", "(and(smaller 1073741824))"},
    {"larger:9999999999999999999G", "(and(~text '9999999999999999999G'))"},
    {"larger:999999999999999999G", "(and(larger 9223372036854775807))"},
    {"larger:x", "(and(~text 'X'))"},
    {"larger:1x", "(and(~text '1X'))"},
    {"after:2001/02/03", "(and(since 11356))"},
    {"newer:2001-2-3", "(and(since 11356))"},
    {"before:02/03/2001", "(and(before 11356))"},
    {"older:2001/13/03", "(and(~and(~text '2001')(~text '13')(~text '03')))"},
    {"older:2001/02", "(and(~and(~text '2001')(~text '02')))"},
    {"older:2001/02/03/", "(and(~and(~text '2001')(~text '02')(~text '03')))"},
    {"after:1000000000", "(and(younger 1000000000))"},
    {"before:1000000000", "(and(older 1000000000))"},
    {"after:12", "(and(~text '12'))"},
    {"older_than:2d", "(and(older 999827200))"},
    {"newer_than:1m", "(and(younger 997408000))"},
    {"newer_than:1y", "(and(younger 968464000))"},
    {"newer_than:1w", "(and(~text '1W'))"},
    {"newer_than:d", "(and(~text 'D'))"},
};

static void
test_rows(void **state)
{
    struct buf b;
    struct fault f;
    (void)state;
    buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_reset(&b);
        assert_int_equal(read_query(span_str(rows[i].text), &b, &f), R_OK);
        if (!span_eq(buf_span(&b), span_str(rows[i].want)))
            fail_msg("%s: %.*s", rows[i].text, SPAN_ARG(buf_span(&b)));
    }
    buf_done(&b);
}

// Of one text many times.
static void
repeat(struct buf *b, const char *text, size_t n)
{
    buf_reset(b);
    while (n-- > 0)
        buf_put_str(b, text);
}

static void
test_limits(void **state)
{
    struct buf b, out;
    struct fault f;
    (void)state;
    buf_init(&b, 1 << 22);
    buf_init(&out, 1 << 22);
    repeat(&b, "(", LIMIT_search_depth / 4 - 1);
    assert_int_equal(read_query(buf_span(&b), &out, &f), R_OK);
    assert_int_equal(read_query(SPAN("a AROUND 10 b"), &out, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_CANNOT);
    repeat(&b, "from:{", 100000);
    assert_int_equal(read_query(buf_span(&b), &out, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    repeat(&b, "a ", LIMIT_search_keys - 1);
    assert_int_equal(read_query(buf_span(&b), &out, &f), R_OK);
    repeat(&b, "a ", LIMIT_search_keys);
    assert_int_equal(read_query(buf_span(&b), &out, &f), R_FAIL);
    repeat(&b, "- ", 1000000);
    assert_int_equal(read_query(buf_span(&b), &out, &f), R_FAIL);
    repeat(&b, ")", 1000000);
    assert_int_equal(read_query(buf_span(&b), &out, &f), R_OK);
    buf_done(&b);
    buf_done(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
