#include "store/body_frame.h"

#include "base/hash.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

// A body as it lies on the disk, in memory.
struct stored {
    struct body_header head;
    struct buf octets;  // frames and table
};

static void
text_make(struct buf *out, size_t n, bool noise)
{
    buf_init(out, n + 1);
    char *room = buf_reserve(out, n + 1);
    assert_non_null(room);
    random_bytes(room, n);
    for (size_t i = 0; i < n && !noise; i++)
        room[i] = (char)('a' + (room[i] & 7));
    out->n = n;
}

static void
store(struct stored *s, const char *codec, bool compress, struct span plain)
{
    struct buf lengths;
    uint64_t i = 0;
    *s = (struct stored){.head = {.id = 77, .codec = codec_by_name(codec)->id}};
    buf_init(&s->octets, 2 * plain.n + 1000);
    buf_init(&lengths, 1000);
    s->head.plain = plain.n;
    for (struct span rest = plain; rest.n > 0; i++) {
        struct span frame = span_slice(rest, 0, CODEC_FRAME);
        char *room = buf_reserve(&s->octets, body_frame_room(&s->head, frame.n));
        size_t n = body_frame_put(&s->head, i, compress, frame, room);
        body_frame_note(&s->head, &lengths, frame.n, n);
        s->octets.n += n;
        rest = span_skip(rest, frame.n);
    }
    body_frame_table_end(&s->head, &lengths);
    buf_put(&s->octets, buf_span(&lengths));
    buf_done(&lengths);
    assert_int_equal(s->octets.n, s->head.stored);
}

static struct span
table_of(const struct stored *s)
{
    size_t n = s->head.compressed ? (size_t)layout_frame_table(s->head.plain) : 0;
    return span_of(s->octets.p + s->octets.n - n, n);
}

// R_FAIL: any of its frames is damaged. The plain octets of each have a block of their own.
static enum result
load(const struct stored *s, struct buf *out)
{
    struct span table = table_of(s);
    if (s->head.compressed && body_frame_table_check(&s->head, table) != R_OK)
        return R_FAIL;
    buf_init(out, s->head.plain + 1);
    enum result r = R_OK;
    for (uint64_t i = 0; r == R_OK && i < layout_frames(s->head.plain); i++) {
        struct body_frame_place p = body_frame_place(&s->head, table, i);
        char *plain = calloc(1, p.plain);
        must(plain != NULL);
        assert_true(p.at + p.stored + LAYOUT_SUM <= s->octets.n);
        struct span stored = span_of(s->octets.p + p.at, p.stored);
        r = body_frame_check(&s->head, i, stored, stored.p + stored.n);
        if (r == R_OK)
            r = body_frame_decode(&s->head, i, &p, stored, plain);
        buf_put(out, span_of(plain, p.plain));
        free(plain);
    }
    return r;
}

static void
round_trip(size_t n, bool noise, const char *codec, bool compress)
{
    struct buf plain, got;
    struct stored s;
    text_make(&plain, n, noise);
    store(&s, codec, compress, buf_span(&plain));
    assert_int_equal(s.head.compressed, compress && !noise && n >= BODY_FRAME_COMPRESS_MIN);
    if (s.head.compressed)
        assert_true(layout_compressed_fits(codec_by_name(codec), n, s.octets.n) &&
                    s.octets.n < n - n / BODY_FRAME_COMPRESS_SAVING + 64);
    else
        assert_int_equal(s.octets.n, layout_stored(codec_by_name(codec), n));
    assert_int_equal(load(&s, &got), R_OK);
    assert_true(span_eq(buf_span(&got), buf_span(&plain)));
    buf_done(&plain);
    buf_done(&got);
    buf_done(&s.octets);
}

static void
test_round_trip(void **state)
{
    static const size_t sizes[] = {0,     1,     1023,   1024,   1025,   5000,  65535,
                                   65536, 65537, 131072, 131073, 400000, 66559, 66560};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int how = 0; how < 8; how++)
            round_trip(sizes[i], how & 1, how & 2 ? "scramble" : "identity", how & 4);
}

// One frame is worth it and the next is not.
static void
test_mixed(void **state)
{
    struct buf plain, noise, got;
    struct stored s;
    (void)state;
    text_make(&plain, CODEC_FRAME, false);
    text_make(&noise, CODEC_FRAME, true);
    buf_init(&got, 1 << 20);
    for (int i = 0; i < 5; i++)
        buf_put(&got, buf_span(i % 2 ? &plain : &noise));
    struct span want = buf_span(&got);
    store(&s, "identity", true, want);
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(body_frame_place(&s.head, table_of(&s), i).compressed, i % 2);
    struct buf again;
    assert_int_equal(load(&s, &again), R_OK);
    assert_true(span_eq(buf_span(&again), want));
    buf_done(&plain);
    buf_done(&noise);
    buf_done(&got);
    buf_done(&again);
    buf_done(&s.octets);
}

// No bit of what is stored can change unnoticed.
static void
test_flipped_bits(void **state)
{
    struct buf plain, got;
    struct stored s;
    (void)state;
    text_make(&plain, 150000, false);
    store(&s, "identity", true, buf_span(&plain));
    assert_true(s.head.compressed);
    for (size_t at = 0; at<s.octets.n; at += at + 60> s.octets.n ? 1 : 997) {
        buf_init(&got, 0);
        s.octets.p[at] ^= 0x10;
        assert_int_equal(load(&s, &got), R_FAIL);
        s.octets.p[at] ^= 0x10;
        buf_done(&got);
    }
    buf_done(&plain);
    buf_done(&s.octets);
}

static void
seal_table(struct stored *s, uint32_t first, uint32_t second)
{
    char *p = s->octets.p + s->octets.n - layout_frame_table(s->head.plain);
    uint32_t words[2] = {__builtin_bswap32(first), __builtin_bswap32(second)};
    memcpy(p, words, sizeof words);
    layout_put_u64(p + 8, layout_frame_sum(s->head.id, 3, span_of(p, 8)));
}

// A table under a right checksum that says what cannot be is refused; one whose lengths are possible leads nowhere else
// than to wrong checksums.
static void
test_lying_table(void **state)
{
    struct buf plain, got;
    struct stored s;
    (void)state;
    text_make(&plain, 150000, false);
    store(&s, "identity", true, buf_span(&plain));
    uint32_t a = (uint32_t)body_frame_place(&s.head, table_of(&s), 0).stored,
             b = (uint32_t)body_frame_place(&s.head, table_of(&s), 1).stored;
    const struct {
        uint32_t a, b;
        bool possible;
    } rows[] = {
        {0, a + b, false},      {a, 0, false},          {CODEC_FRAME + 1, b, false},
        {UINT32_MAX, b, false}, {a, UINT32_MAX, false}, {CODEC_FRAME, CODEC_FRAME, false},
        {1, 1, false},          {a - 1, b + 1, true},   {a + 8, b - 8, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_init(&got, 0);
        seal_table(&s, rows[i].a, rows[i].b);
        assert_int_equal(body_frame_table_check(&s.head, table_of(&s)),
                         rows[i].possible ? R_OK : R_FAIL);
        assert_int_equal(load(&s, &got), R_FAIL);
        buf_done(&got);
    }
    seal_table(&s, a, b);
    assert_int_equal(load(&s, &got), R_OK);
    buf_done(&got);
    buf_done(&plain);
    buf_done(&s.octets);
}

// A frame under a right checksum that is no zstd, or of a longer text.
static void
test_lying_frame(void **state)
{
    struct buf plain, got;
    struct stored s;
    (void)state;
    text_make(&plain, 5000, false);
    for (int how = 0; how < 2; how++) {
        store(&s, "identity", true, buf_span(&plain));
        size_t n = s.octets.n - LAYOUT_SUM;
        if (how == 0)
            memset(s.octets.p, 'x', n);
        else
            s.head.plain -= 100;
        layout_put_u64(s.octets.p + n,
                       layout_frame_sum(s.head.id, 0, span_of(s.octets.p, n)));
        assert_int_equal(load(&s, &got), R_FAIL);
        buf_done(&got);
        buf_done(&s.octets);
    }
    buf_done(&plain);
}

// Headers whose sizes cannot be: no room is made, and nothing read, on their word.
static void
test_lying_headers(void **state)
{
    static const struct {
        uint64_t plain, stored;
        uint8_t flags;
        bool good;
    } rows[] = {
        {5000, 3000, RECORD_BODY_COMPRESSED, true},
        {5000, 9, RECORD_BODY_COMPRESSED, true},
        {5000, 8, RECORD_BODY_COMPRESSED, false},
        {5000, 5008, RECORD_BODY_COMPRESSED, false},
        {5000, 5008, 0, true},
        {5000, 3000, 0, false},
        {0, 0, RECORD_BODY_COMPRESSED, false},
        {70000, 2 * 9 + 12, RECORD_BODY_COMPRESSED, true},
        {70000, 2 * 9 + 11, RECORD_BODY_COMPRESSED, false},
        {70000, 70000 + 16 + 12, RECORD_BODY_COMPRESSED, false},
        {5000, 0, RECORD_BODY_COMPRESSED | RECORD_BODY_EXTERNAL, false},
        {5000, 0, RECORD_BODY_COMPRESSED | RECORD_BODY_DROPPED, false},
        {UINT64_MAX, UINT64_MAX - 5, RECORD_BODY_COMPRESSED, false},
    };
    char text[LAYOUT_RECORD];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct record_header h = {.flags = rows[i].flags,
                                  .body_plain = rows[i].plain,
                                  .body_stored = rows[i].stored,
                                  .seq = 1,
                                  .batch_count = 1},
                             got;
        struct body_header b = {.plain = rows[i].plain,
                                .stored = rows[i].stored,
                                .compressed = true},
                           body;
        enum result want = rows[i].good ? R_OK : R_FAIL;
        record_header_put(text, &h, 7);
        assert_int_equal(record_header_get(span_of(text, sizeof text), 7, &got), want);
        if (rows[i].flags != RECORD_BODY_COMPRESSED)
            continue;
        body_header_put(text, &b);
        assert_int_equal(body_header_get(span_of(text, LAYOUT_BODY), &body), want);
        assert_true(want == R_FAIL || (body.compressed && body.stored == rows[i].stored));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_flipped_bits), cmocka_unit_test(test_lying_table),
        cmocka_unit_test(test_lying_frame),  cmocka_unit_test(test_lying_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
