#include "store/record.h"

#include "base/hash.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

// Every record survives put and get; every truncation and every extra octet is refused.

typedef enum result get_fn(struct span meta, void *out);

static struct mailbox_counts
sample_counts(void)
{
    return (struct mailbox_counts){.uidnext = 77,
                                   .exists = 9,
                                   .unseen = 4,
                                   .deleted = 2,
                                   .size = 123456789012,
                                   .modseq = 1ull << 40};
}

static struct message_row
sample_row(uint32_t uid)
{
    return (struct message_row){.uid = uid,
                                .size = 4000,
                                .flags = FLAG_SEEN | FLAG_DRAFT,
                                .zone_min = -330,
                                .modseq = 99,
                                .internal_date = -5,
                                .save_date = 1700000000,
                                .sent = (uint16_t)(uid % 3 == 0 ? 0 : SENT_NONE + uid),
                                .emailid = 1ull << 60,
                                .threadid = 7};
}

static void
check_cuts(const struct buf *b, get_fn *get)
{
    char room[512];
    for (size_t n = 0; n < b->n; n++)
        assert_int_equal(get(span_slice(buf_span(b), 0, n), room), R_FAIL);
    struct buf more;
    buf_init(&more, b->n + 1);
    buf_put(&more, buf_span(b));
    buf_put_char(&more, 'x');
    assert_int_equal(get(buf_span(&more), room), R_FAIL);
    buf_done(&more);
}

// Puts `value`, gets it back as `got`, and tries all cuts.
#define ROUND_TRIP(name, value, got)                                                       \
    struct buf b_##name;                                                                   \
    buf_init(&b_##name, 65536);                                                            \
    record_##name##_put(&b_##name, &(value));                                              \
    struct record_##name got;                                                              \
    assert_int_equal(record_##name##_get(buf_span(&b_##name), &(got)), R_OK);              \
    check_cuts(&b_##name, cut_##name)

#define CUT(name)                                                                          \
    static enum result cut_##name(struct span meta, void *out)                             \
    {                                                                                      \
        (void)out;                                                                         \
        struct record_##name r;                                                            \
        return record_##name##_get(meta, &r);                                              \
    }
CUT(account)
CUT(mailbox)
CUT(mailbox_gone)
CUT(subscribe)
CUT(keyword)
CUT(added)
CUT(copied)
CUT(filed)
CUT(flags)
CUT(expunged)
CUT(forgotten)
CUT(recent)
CUT(private)
CUT(privates_gone)
CUT(meta)
CUT(restored)

static void
test_tree_records(void **unused)
{
    (void)unused;
    struct record_account a = {.user = SPAN("anna"), .created_s = -1, .modseq = INT64_MAX};
    ROUND_TRIP(account, a, a2);
    assert_true(span_eq(a2.user, a.user) && a2.created_s == -1 && a2.modseq == INT64_MAX);
    buf_done(&b_account);

    struct record_mailbox m = {.id = UINT64_MAX,
                               .parent = 3,
                               .modseq = 5,
                               .name = SPAN("Gesendet"),
                               .uidvalidity = 9,
                               .special_use = USE_SENT,
                               .flags = MAILBOX_NOSELECT};
    ROUND_TRIP(mailbox, m, m2);
    assert_true(m2.id == m.id && m2.parent == 3 && m2.modseq == 5 && m2.uidvalidity == 9);
    assert_true(span_eq(m2.name, m.name) && m2.special_use == USE_SENT && m2.flags == 1);
    buf_done(&b_mailbox);

    struct record_mailbox_gone g = {.id = 4, .modseq = 6, .when_s = 1};
    ROUND_TRIP(mailbox_gone, g, g2);
    assert_memory_equal(&g, &g2, sizeof g);
    buf_done(&b_mailbox_gone);

    struct record_subscribe s = {.name = SPAN("a/b"), .on = true};
    ROUND_TRIP(subscribe, s, s2);
    assert_true(span_eq(s2.name, s.name) && s2.on);
    buf_done(&b_subscribe);

    struct record_meta v = {
        .mailbox = 0, .modseq = 8, .key = SPAN("/private/comment"), .value = SPAN("\0x")};
    ROUND_TRIP(meta, v, v2);
    assert_true(span_eq(v2.key, v.key) && span_eq(v2.value, v.value) && v2.modseq == 8);
    buf_done(&b_meta);
}

static void
test_message_records(void **unused)
{
    (void)unused;
    char keywords[] = {0, 3, 70};
    struct record_added a = {.mailbox = 1,
                             .row = sample_row(UINT32_MAX),
                             .keywords = span_of(keywords, 3),
                             .content_hash = SPAN("0123456789abcdef0123456789abcdef"),
                             .key_id = 2,
                             .thread_keys = SPAN("8 octets"),
                             .counts = sample_counts(),
                             .cache = SPAN("structure")};
    ROUND_TRIP(added, a, a2);
    assert_memory_equal(&a.row, &a2.row, sizeof a.row);
    assert_memory_equal(&a.counts, &a2.counts, sizeof a.counts);
    assert_true(span_eq(a.cache, a2.cache) && span_eq(a.keywords, a2.keywords));
    assert_true(span_eq(a.content_hash, a2.content_hash) && a2.key_id == 2 &&
                span_eq(a.thread_keys, a2.thread_keys) && a2.mailbox == 1);
    buf_done(&b_added);

    struct buf list;
    buf_init(&list, 65536);
    struct record_row row = {.row = sample_row(5), .keywords = span_of(keywords, 2)};
    row.row.blob = 1ull << 33;
    record_rows_add(&list, &row);
    row.row.uid = 6;
    record_rows_add(&list, &row);
    struct record_copied c = {
        .mailbox = 2, .counts = sample_counts(), .rows = buf_span(&list)};
    ROUND_TRIP(copied, c, c2);
    assert_true(span_eq(c.rows, c2.rows));
    struct unpack u = unpack_of(c2.rows);
    struct record_row back;
    assert_int_equal(record_rows_next(&u, &back), R_OK);
    assert_int_equal(record_rows_next(&u, &back), R_OK);
    assert_memory_equal(&back.row, &row.row, sizeof row.row);
    assert_int_equal(record_rows_next(&u, &back), R_NONE);
    buf_done(&b_copied);
    buf_done(&list);

    struct record_filed filed = {.mailbox = 4,
                                 .counts = sample_counts(),
                                 .back = 3,
                                 .row = sample_row(8),
                                 .keywords = span_of(keywords, 2)};
    ROUND_TRIP(filed, filed, filed2);
    assert_true(filed2.mailbox == 4 && filed2.back == 3 && filed2.row.uid == 8 &&
                span_eq(filed2.keywords, filed.keywords));
    buf_done(&b_filed);
}

static void
test_change_records(void **unused)
{
    (void)unused;
    struct buf ranges, groups;
    buf_init(&ranges, 1024);
    buf_init(&groups, 1024);
    record_ranges_add(&ranges, 1, 4);
    record_ranges_add(&ranges, 6, UINT32_MAX);
    record_groups_add(&groups,
                      &(struct record_group){FLAG_ALL, SPAN("\1"), buf_span(&ranges)});
    struct record_flags f = {
        .mailbox = 3, .modseq = 12, .counts = sample_counts(), .groups = buf_span(&groups)};
    ROUND_TRIP(flags, f, f2);
    assert_true(span_eq(f.groups, f2.groups) && f2.modseq == 12);
    struct record_expunged e = {.mailbox = 3,
                                .modseq = 13,
                                .when_s = 55,
                                .counts = sample_counts(),
                                .uids = buf_span(&ranges)};
    ROUND_TRIP(expunged, e, e2);
    assert_true(span_eq(e.uids, e2.uids) && e2.when_s == 55);
    struct unpack u = unpack_of(e2.uids);
    uint32_t first = 0, last = 0;
    assert_int_equal(record_ranges_next(&u, &first, &last), R_OK);
    assert_int_equal(record_ranges_next(&u, &first, &last), R_OK);
    assert_true(first == 6 && last == UINT32_MAX);
    assert_int_equal(record_ranges_next(&u, &first, &last), R_NONE);
    buf_done(&b_flags);
    buf_done(&b_expunged);
    buf_done(&ranges);
    buf_done(&groups);
}

static void
test_small_records(void **unused)
{
    (void)unused;
    struct record_keyword k = {
        .mailbox = 1, .index = LIMIT_keywords - 1, .name = SPAN("$Work")};
    ROUND_TRIP(keyword, k, k2);
    assert_true(k2.index == k.index && span_eq(k.name, k2.name));
    struct record_forgotten f = {.mailbox = 1, .up_to_modseq = 44};
    ROUND_TRIP(forgotten, f, f2);
    assert_memory_equal(&f, &f2, sizeof f);
    struct record_recent r = {.mailbox = 1, .mark = 45};
    ROUND_TRIP(recent, r, r2);
    assert_true(r2.mark == 45);
    struct record_private p = {
        .mailbox = 1, .user = 2, .modseq = 3, .uid = 4, .flags = FLAG_SEEN};
    ROUND_TRIP(private, p, p2);
    assert_true(p2.user == 2 && p2.modseq == 3 && p2.uid == 4 && p2.flags == FLAG_SEEN);
    struct record_privates_gone x = {.mailbox = 1, .user = 2};
    ROUND_TRIP(privates_gone, x, x2);
    assert_memory_equal(&x, &x2, sizeof x);
    struct record_restored s = {
        .uid_jump = 1 << 20, .modseq_jump = 1ull << 32, .id_jump = 1ull << 32, .when_s = 9};
    ROUND_TRIP(restored, s, s2);
    assert_true(s2.uid_jump == 1 << 20 && s2.modseq_jump == 1ull << 32 && s2.when_s == 9);
    buf_done(&b_keyword);
    buf_done(&b_forgotten);
    buf_done(&b_recent);
    buf_done(&b_private);
    buf_done(&b_privates_gone);
    buf_done(&b_restored);
}

// Flags outside of the mask, keywords and nobody as the user are refused.
static void
test_privates(void **unused)
{
    (void)unused;
    static const struct {
        uint16_t mask, flags;
        uint64_t user;
        struct span keywords;
        bool want_good;
    } rows[] = {
        {FLAG_SEEN, FLAG_SEEN, 7, {NULL, 0}, true},
        {FLAG_SEEN | FLAG_FLAGGED, 0, 7, {NULL, 0}, true},
        {FLAG_SEEN, FLAG_SEEN | FLAG_FLAGGED, 7, {NULL, 0}, false},
        {FLAG_SEEN, FLAG_SEEN, 0, {NULL, 0}, false},
        {FLAG_SEEN, FLAG_SEEN, UINT64_MAX, {NULL, 0}, false},
        {FLAG_SEEN, FLAG_SEEN, 7, {"\3", 1}, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf groups, b;
        buf_init(&groups, 64);
        buf_init(&b, 64);
        record_groups_add(
            &groups, &(struct record_group){rows[i].flags, rows[i].keywords, SPAN("\1\4")});
        struct record_privates p = {1, rows[i].user,     9, true, rows[i].mask,
                                    3, buf_span(&groups)},
                               q;
        record_privates_put(&b, &p);
        bool good = record_privates_get(buf_span(&b), &q) == R_OK;
        if (good != rows[i].want_good)
            fail_msg("row %zu", i);
        if (good)
            assert_true(q.user == 7 && q.modseq == 9 && q.own && q.mask == p.mask &&
                        q.unseen == 3 && span_eq(q.groups, p.groups));
        buf_done(&groups);
        buf_done(&b);
    }
}

static void
test_lists_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *why;
        struct span list;
    } rows[] = {
        {"uid 0", {"\0\0", 2}},       {"descending", {"\5\0\4\0", 4}},
        {"overlap", {"\1\4\3\0", 4}}, {"past 2^32", {"\xff\xff\xff\xff\x0f\1", 6}},
        {"cut", {"\1", 1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b;
        buf_init(&b, 1024);
        record_expunged_put(
            &b, &(struct record_expunged){.mailbox = 1, .counts = sample_counts()});
        b.n--;  // the empty list's length
        pack_span(&b, rows[i].list);
        struct record_expunged e;
        if (record_expunged_get(buf_span(&b), &e) != R_FAIL)
            fail_msg("accepted: %s", rows[i].why);
        buf_done(&b);
    }
}

// Random octets never read past their end (ASan) and what is accepted is printed and accepted again.
static void
test_random(void **unused)
{
    (void)unused;
    for (int i = 0; i < 20000; i++) {
        char bytes[64];
        random_bytes(bytes, sizeof bytes);
        struct span meta = span_of(bytes, (size_t)(bytes[0] & 63));
        struct record_private p;
        if (record_private_get(meta, &p) == R_OK) {
            struct buf b;
            buf_init(&b, 128);
            struct record_private q;
            record_private_put(&b, &p);
            assert_int_equal(record_private_get(buf_span(&b), &q), R_OK);
            assert_true(p.uid == q.uid && p.flags == q.flags && p.modseq == q.modseq);
            buf_done(&b);
        }
        char room[512];
        (void)cut_flags(meta, room);
        (void)cut_copied(meta, room);
        (void)cut_filed(meta, room);
        (void)cut_added(meta, room);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_records),   cmocka_unit_test(test_message_records),
        cmocka_unit_test(test_change_records), cmocka_unit_test(test_small_records),
        cmocka_unit_test(test_privates),       cmocka_unit_test(test_lists_refused),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
