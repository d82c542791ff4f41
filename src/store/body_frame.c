#include "store/body_frame.h"

#include "base/zstd_frame.h"

enum {
    LEVEL = 1
};  // docs/decisions/0010-bytes-written.md: more costs time and saves next to nothing

static struct codec_context
context(const struct body_header *b, uint64_t i)
{
    return (struct codec_context){.key_id = b->key_id, .a = b->id, .b = 1 + i};
}

// ---- writing ----

// Octets in `out`; 0: it is not worth it.
static size_t
compress(struct span plain, struct buf *out)
{
    if (plain.n < BODY_FRAME_COMPRESS_MIN)
        return 0;
    size_t max = plain.n - plain.n / BODY_FRAME_COMPRESS_SAVING;
    char *room = buf_reserve(out, max);
    must(room != NULL);
    return zstd_pack(plain, LEVEL, room, max);
}

size_t
body_frame_put(const struct body_header *b, uint64_t i, bool wanted, struct span plain,
               char *out)
{
    const struct codec *codec = codec_find(b->codec);
    struct codec_context ctx = context(b, i);
    struct buf packed;
    buf_init(&packed, CODEC_FRAME);
    size_t n = wanted ? compress(plain, &packed) : 0;
    struct span text = n > 0 ? span_of(packed.p, n) : plain;
    size_t stored = text.n + codec->overhead;
    codec->encode(&ctx, text, out);
    layout_put_u64(out + stored, layout_frame_sum(b->id, i, span_of(out, stored)));
    buf_done(&packed);
    return stored + LAYOUT_SUM;
}

void
body_frame_note(struct body_header *b, struct buf *lengths, size_t plain, size_t put)
{
    size_t stored = put - LAYOUT_SUM;
    uint32_t word = __builtin_bswap32((uint32_t)stored);
    b->stored += put;
    b->compressed |= stored < plain + codec_find(b->codec)->overhead;
    buf_put(lengths, span_of(&word, sizeof word));
}

void
body_frame_table_end(struct body_header *b, struct buf *lengths)
{
    size_t octets = b->compressed ? (size_t)layout_frame_table(b->plain) : 0;
    if (octets == 0) {
        buf_done(lengths);
        return;
    }
    lengths->n = octets - LAYOUT_SUM;
    char sum[LAYOUT_SUM];
    layout_put_u64(sum,
                   layout_frame_sum(b->id, layout_frames(b->plain), buf_span(lengths)));
    buf_put(lengths, span_of(sum, sizeof sum));
    must(!lengths->over);
    b->stored += octets;
}

// ---- reading ----

static size_t
table_length(struct span table, uint64_t i)
{
    uint32_t word;
    memcpy(&word, table.p + i * sizeof word, sizeof word);
    return __builtin_bswap32(word);
}

static size_t
plain_length(const struct body_header *b, uint64_t i)
{
    uint64_t left = b->plain - i * CODEC_FRAME;
    return left < CODEC_FRAME ? (size_t)left : CODEC_FRAME;
}

static bool
is_length(const struct body_header *b, uint64_t i, uint64_t stored)
{
    size_t overhead = codec_find(b->codec)->overhead;
    return stored > overhead && stored <= plain_length(b, i) + overhead;
}

enum result
body_frame_table_check(const struct body_header *b, struct span table)
{
    uint64_t frames = layout_frames(b->plain), sum = frames * LAYOUT_SUM + table.n;
    if (table.n != layout_frame_table(b->plain))
        return R_FAIL;
    if (table.n == 0)
        return R_OK;
    struct span lengths = span_slice(table, 0, table.n - LAYOUT_SUM);
    if (layout_u64(table.p + lengths.n) != layout_frame_sum(b->id, frames, lengths))
        return R_FAIL;
    for (uint64_t i = 0; i + 1 < frames; i++) {
        size_t stored = table_length(table, i);
        if (!is_length(b, i, stored))
            return R_FAIL;
        sum += stored;
    }
    return sum <= b->stored && is_length(b, frames - 1, b->stored - sum) ? R_OK : R_FAIL;
}

struct body_frame_place
body_frame_place(const struct body_header *b, struct span table, uint64_t i)
{
    size_t overhead = codec_find(b->codec)->overhead;
    struct body_frame_place p = {.plain = plain_length(b, i)};
    p.stored = p.plain + overhead;
    p.at = i * (CODEC_FRAME + overhead + LAYOUT_SUM);
    if (!b->compressed)
        return p;
    p.at = i * LAYOUT_SUM;
    for (uint64_t k = 0; k < i; k++)
        p.at += table_length(table, k);
    p.stored = i + 1 < layout_frames(b->plain)
                   ? table_length(table, i)
                   : (size_t)(b->stored - table.n - p.at - LAYOUT_SUM);
    p.compressed = p.stored < p.plain + overhead;
    return p;
}

enum result
body_frame_check(const struct body_header *b, uint64_t i, struct span stored,
                 const char *sum)
{
    return layout_u64(sum) == layout_frame_sum(b->id, i, stored) ? R_OK : R_FAIL;
}

enum result
body_frame_decode(const struct body_header *b, uint64_t i,
                  const struct body_frame_place *place, struct span stored, char *out)
{
    const struct codec *codec = codec_find(b->codec);
    struct codec_context ctx = context(b, i);
    struct buf packed;
    if (!place->compressed)
        return codec->decode(&ctx, stored, out);
    if (codec->overhead == 0)
        return zstd_unpack(stored, out, place->plain);
    buf_init(&packed, CODEC_FRAME);
    char *room = buf_reserve(&packed, stored.n - codec->overhead);
    must(room != NULL);
    enum result r = codec->decode(&ctx, stored, room);
    if (r == R_OK)
        r = zstd_unpack(span_of(room, stored.n - codec->overhead), out, place->plain);
    buf_done(&packed);
    return r;
}
