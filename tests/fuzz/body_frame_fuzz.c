// The frames of a body: what was put comes back; a compressed body under true checksums, with any table and any frames, is
// refused or gives as many octets as its header says, and nothing is written or read outside of them. A changed octet is noticed.

#include "store/body_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const codecs[] = {"identity", "scramble"};

// In a block of its own, so that an octet too many is noticed.
static void
decode(const struct body_header *b, uint64_t i, const struct body_frame_place *p,
       struct span stored, struct span want)
{
    char *plain = calloc(1, p->plain);
    must(plain != NULL);
    if (body_frame_decode(b, i, p, stored, plain) == R_OK)
        must(want.n == 0 || span_eq(span_of(plain, p->plain), want));
    else
        must(want.n == 0);
    free(plain);
}

static void
round_trip(const struct body_header *how, bool wanted, struct span text)
{
    struct body_header b = *how;
    struct buf room, lengths;
    struct span plain = span_slice(text, 0, CODEC_FRAME);
    if (plain.n == 0)
        return;
    buf_init(&room, body_frame_room(&b, plain.n));
    buf_init(&lengths, 64);
    char *p = buf_reserve(&room, body_frame_room(&b, plain.n));
    size_t n = body_frame_put(&b, 0, wanted, plain, p);
    body_frame_note(&b, &lengths, plain.n, n);
    b.plain = plain.n;
    body_frame_table_end(&b, &lengths);
    must(lengths.n == 0 && b.stored == n && n <= body_frame_room(&b, plain.n));
    struct body_frame_place place = body_frame_place(&b, SPAN_NONE, 0);
    must(place.stored + LAYOUT_SUM == n && place.compressed == b.compressed);
    struct span stored = span_of(p, place.stored);
    must(body_frame_check(&b, 0, stored, p + place.stored) == R_OK);
    decode(&b, 0, &place, stored, plain);
    p[plain.n % n] ^= 1;
    must(body_frame_check(&b, 0, stored, p + place.stored) != R_OK);
    buf_done(&room);
}

// The octets are the frames and the table, whose checksum is made true.
static void
load(const struct body_header *b, char *octets)
{
    size_t n = (size_t)layout_frame_table(b->plain);
    char *table = octets + b->stored - n;
    if (n > 0)
        layout_put_u64(table + n - LAYOUT_SUM,
                       layout_frame_sum(b->id, layout_frames(b->plain),
                                        span_of(table, n - LAYOUT_SUM)));
    if (body_frame_table_check(b, span_of(table, n)) != R_OK)
        return;
    must(body_frame_table_check(b, span_of(table, n + 1)) != R_OK);
    for (uint64_t i = 0; i < layout_frames(b->plain); i++) {
        struct body_frame_place p = body_frame_place(b, span_of(table, n), i);
        must(p.stored > 0 && p.at + p.stored + LAYOUT_SUM <= b->stored - n);
        decode(b, i, &p, span_of(octets + p.at, p.stored), SPAN_NONE);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size);
    if (in.n < 4)
        return 0;
    const struct codec *codec = codec_by_name(codecs[in.p[0] & 1]);
    struct body_header b = {.id = 7, .codec = codec->id};
    bool wish = in.p[0] & 2;  // that nothing is compressed
    uint32_t plain = (uint32_t)(uint8_t)in.p[1] << 16 | (uint32_t)(uint8_t)in.p[2] << 8 |
                     (uint8_t)in.p[3];
    in = span_skip(in, 4);
    round_trip(&b, !wish, in);
    b.plain = plain;
    b.stored = in.n;
    b.compressed = true;
    if (!layout_compressed_fits(codec, b.plain, b.stored))
        return 0;
    char *octets = calloc(1, in.n);
    must(octets != NULL);
    memcpy(octets, in.p, in.n);
    load(&b, octets);
    free(octets);
    return 0;
}
