#include "store/index_block.h"

#include "base/seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static uint64_t seed = 88172645463325252u;

static uint64_t
random_bits(unsigned bits)
{
    return bits == 0 ? 0 : seeded_u64(&seed) >> (64 - bits);
}

// Each field is one value for all, near one another, or anything.
static struct message_row
random_row(uint32_t uid, unsigned bits)
{
    struct message_row r = {.uid = uid};
    r.size = (uint32_t)random_bits(bits < 32 ? bits : 32);
    r.flags = (uint16_t)random_bits(bits < 16 ? bits : 16);
    r.zone_min = (int16_t)(random_bits(bits < 16 ? bits : 16) - (bits > 0) * 30);
    r.modseq = 4000000000000 + random_bits(bits);
    r.internal_date = (int64_t)random_bits(bits) - (bits > 3 ? 77 : 0);
    r.save_date = (uint32_t)random_bits(bits < 32 ? bits : 32);
    r.sent = (uint16_t)random_bits(bits < 16 ? bits : 16);
    r.emailid = random_bits(bits);
    r.threadid = UINT64_MAX - random_bits(bits);
    r.blob = 7ull << 32 | random_bits(bits);
    return r;
}

static struct index_block
random_block(uint32_t number, unsigned bits, bool keywords)
{
    static const struct span some[] = {SPAN("\1"), SPAN("\1\2\3"), SPAN("\177"), SPAN_NONE};
    struct index_block b = {0};
    for (uint32_t i = number == 0; i < INDEX_BLOCK; i++) {
        if (random_bits(2) == 0 && (b.n > 0 || i < INDEX_BLOCK - 1))
            continue;
        b.rows[b.n] = random_row(number * INDEX_BLOCK + i, bits);
        b.keywords[b.n++] = keywords ? some[random_bits(2)] : SPAN_NONE;
    }
    return b;
}

static struct index_key
key_of(const struct index_block *b)
{
    return index_block_key(3, 9, b->rows[0].uid);
}

static void
expect_same(const struct index_block *got, const struct index_block *want)
{
    assert_int_equal(got->n, want->n);
    for (uint32_t i = 0; i < want->n; i++) {
        assert_memory_equal(&got->rows[i], &want->rows[i], sizeof want->rows[i]);
        assert_true(span_eq(got->keywords[i], want->keywords[i]));
    }
}

static void
test_comes_back(void **unused)
{
    (void)unused;
    struct index_block got;
    struct buf b;
    buf_init(&b, SIZE_MAX);
    for (unsigned round = 0; round < 4000; round++) {
        unsigned bits = round % 65;
        uint32_t number = round % 5 == 0   ? 0
                          : round % 5 == 1 ? UINT32_MAX / INDEX_BLOCK
                                           : (uint32_t)random_bits(20);
        struct index_block want = random_block(number, bits, round % 2);
        struct index_key key = key_of(&want);
        struct span place = span_of(key.p, key.n);
        assert_true(index_key_good(place));
        buf_done(&b);
        index_block_put(&b, &want);
        memset(&got, 0xee, sizeof got);
        assert_int_equal(index_block_get(place, buf_span(&b), &got), R_OK);
        expect_same(&got, &want);
        assert_int_equal(index_block_first(place), number * INDEX_BLOCK);
        assert_int_equal(index_block_last(place), number * INDEX_BLOCK + 31);
        for (uint32_t i = 0; i < want.n; i++) {
            assert_int_equal(index_block_at(&got, want.rows[i].uid), i);
            assert_true(index_block_at(&got, want.rows[i].uid + 1) == i + 1 ||
                        want.rows[i].uid == UINT32_MAX);
        }
    }
    buf_done(&b);
}

// Neighbours as mail makes them take a few octets each.
static void
test_is_dense(void **unused)
{
    (void)unused;
    struct index_block b = {.n = INDEX_BLOCK};
    struct buf out;
    buf_init(&out, SIZE_MAX);
    for (uint32_t i = 0; i < INDEX_BLOCK; i++)
        b.rows[i] = (struct message_row){.uid = 64 + i,
                                         .size = 2000 + i * 1000,
                                         .modseq = 70000 + i,
                                         .internal_date = 1760000000 + i * 3600,
                                         .save_date = 1760000001 + i * 3600,
                                         .sent = (uint16_t)(20000 + i / 8),
                                         .emailid = 500000 + i * 3,
                                         .threadid = 490000 + i * 300,
                                         .blob = 1ull << 32 | i};
    index_block_put(&out, &b);
    assert_true(out.n < INDEX_BLOCK * 16);
    buf_done(&out);
}

// What is damaged is refused or is other rows, and never read beyond its end.
static void
test_damaged(void **unused)
{
    (void)unused;
    struct index_block want = random_block(5, 20, true), got;
    struct index_key key = key_of(&want), zero = index_block_key(3, 9, 1),
                     high = index_key(3, INDEX_ROW);
    struct span place = span_of(key.p, key.n);
    struct buf b;
    buf_init(&b, SIZE_MAX);
    index_block_put(&b, &want);
    index_key_u64(&high, 9);
    index_key_u32(&high, UINT32_MAX / INDEX_BLOCK + 1);
    assert_int_equal(index_block_get(span_of(high.p, high.n), buf_span(&b), &got), R_FAIL);
    for (size_t n = 0; n < b.n; n++) {
        char *cut = calloc(1, n + (n == 0));
        must(cut != NULL);
        memcpy(cut, b.p, n);
        // without the keywords, which are at the end, it is a block as well
        if (index_block_get(place, span_of(cut, n), &got) == R_OK)
            for (uint32_t i = 0; i < got.n; i++)
                assert_int_equal(got.keywords[i].n, 0);
        free(cut);
    }
    must(b.n > 0);
    for (unsigned round = 0; round < 20000; round++) {
        size_t at = seeded_below(&seed, b.n);
        char was = b.p[at];
        b.p[at] = (char)random_bits(8);
        if (index_block_get(place, buf_span(&b), &got) == R_OK)
            for (uint32_t i = 0; i < got.n; i++)
                assert_int_equal(got.rows[i].uid / INDEX_BLOCK, 5);
        b.p[at] = was;
    }
    memcpy(b.p, "\0\0\0\0", 4);
    assert_int_equal(index_block_get(place, buf_span(&b), &got), R_FAIL);
    memcpy(b.p, "\0\0\0\1", 4);  // UID 0
    assert_int_equal(index_block_get(span_of(zero.p, zero.n), buf_span(&b), &got), R_FAIL);
    buf_done(&b);
}

// A value that the field cannot hold.
static void
test_too_large(void **unused)
{
    (void)unused;
    struct index_block b = {.n = 1}, got;
    struct buf out;
    b.rows[0] = (struct message_row){.uid = 7, .size = UINT32_MAX};
    struct index_key key = key_of(&b);
    buf_init(&out, SIZE_MAX);
    index_block_put(&out, &b);
    assert_int_equal(index_block_get(span_of(key.p, key.n), buf_span(&out), &got), R_OK);
    out.p
        [9]++;  // the least size, behind the UIDs and its own head: 2^33 - 2 becomes 2^33 + 2^32 - 2
    assert_int_equal(index_block_get(span_of(key.p, key.n), buf_span(&out), &got), R_FAIL);
    buf_done(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_is_dense),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
