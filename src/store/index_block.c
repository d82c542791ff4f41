#include "store/index_block.h"

#include <endian.h>

// Which fields a block has, in this order. What mostly is the same in all rows comes last: the end of a value cannot be read by
// whole words.
static const struct field {
    uint8_t at, size;
    bool negative;  // may be
} fields[] = {
#define FIELD(name, negative)                                                              \
    {                                                                                      \
        offsetof(struct message_row, name), sizeof((struct message_row){0}.name), negative \
    }
    FIELD(size, false),    FIELD(internal_date, true), FIELD(save_date, false),
    FIELD(emailid, true),  FIELD(threadid, true),      FIELD(blob, true),
    FIELD(modseq, true),   FIELD(sent, false),         FIELD(flags, false),
    FIELD(zone_min, true),
#undef FIELD
};
enum { FIELDS = sizeof fields / sizeof fields[0], WORD = 8 };

struct index_key
index_block_key(uint64_t account, uint64_t mailbox, uint32_t uid)
{
    struct index_key key = index_key(account, INDEX_ROW);
    index_key_u64(&key, mailbox);
    index_key_u32(&key, uid / INDEX_BLOCK);
    return key;
}

uint32_t
index_block_first(struct span key)
{
    return index_key_get_u32(key, 17) * INDEX_BLOCK;
}

uint32_t
index_block_last(struct span key)
{
    return index_block_first(key) + (INDEX_BLOCK - 1);
}

uint32_t
index_block_at(const struct index_block *block, uint32_t uid)
{
    uint32_t i = 0;
    while (i < block->n && block->rows[i].uid < uid)
        i++;
    return i;
}

// ---- writing ----

static uint64_t
field_get(const struct message_row *row, const struct field *field)
{
    const char *p = (const char *)row + field->at;
    uint64_t v = 0;
    uint32_t four;
    uint16_t two;
    if (field->size == sizeof v) {
        memcpy(&v, p, sizeof v);
        return v;
    }
    if (field->size == sizeof four) {
        memcpy(&four, p, sizeof four);
        return four;
    }
    memcpy(&two, p, sizeof two);
    return field->negative ? (uint64_t)(int16_t)two : two;
}

static unsigned
octets_of(uint64_t v)
{
    return v == 0 ? 0 : (unsigned)(71 - __builtin_clzll(v)) / 8;
}

static void
put_octets(struct buf *b, uint64_t v, unsigned n)
{
    uint64_t little = htole64(v);
    buf_put(b, span_of(&little, n));
}

// The least value may be below zero: its sign is the lowest bit.
static uint64_t
fold_sign(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static uint64_t
unfold_sign(uint64_t v)
{
    return v >> 1 ^ (0 - (v & 1));
}

static void
put_field(struct buf *b, const struct index_block *block, const struct field *field)
{
    int64_t least = INT64_MAX;
    uint64_t v[INDEX_BLOCK], more = 0;
    for (uint32_t i = 0; i < block->n; i++) {
        v[i] = field_get(&block->rows[i], field);
        least = (int64_t)v[i] < least ? (int64_t)v[i] : least;
    }
    for (uint32_t i = 0; i < block->n; i++) {
        v[i] -= (uint64_t)least;
        more |= v[i];
    }
    unsigned of_least = octets_of(fold_sign(least)), width = octets_of(more);
    pack_u8(b, (uint8_t)(of_least << 4 | width));
    put_octets(b, fold_sign(least), of_least);
    for (uint32_t i = 0; i < block->n; i++)
        put_octets(b, v[i], width);
}

static void
put_keywords(struct buf *b, const struct index_block *block)
{
    uint32_t have = 0;
    for (uint32_t i = 0; i < block->n; i++)
        if (block->keywords[i].n > 0)
            have |= 1u << i;
    if (have == 0)
        return;
    pack_u32(b, have);
    for (uint32_t i = 0; i < block->n; i++)
        if (have >> i & 1)
            pack_span(b, block->keywords[i]);
}

void
index_block_put(struct buf *b, const struct index_block *block)
{
    uint32_t uids = 0;
    must(block->n > 0 && block->n <= INDEX_BLOCK);
    for (uint32_t i = 0; i < block->n; i++)
        uids |= 1u << block->rows[i].uid % INDEX_BLOCK;
    pack_u32(b, uids);
    for (size_t i = 0; i < FIELDS; i++)
        put_field(b, block, &fields[i]);
    put_keywords(b, block);
}

// ---- reading ----

static uint64_t
get_octets(const char *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)(uint8_t)p[i] << 8 * i;
    return v;
}

// A million rows have ten million values: they are read as whole words where there is room behind them.
static void
get_values(struct span s, unsigned width, uint64_t least, uint64_t *v, uint32_t n)
{
    uint64_t mask = width == WORD ? UINT64_MAX : ((uint64_t)1 << 8 * width) - 1, word;
    uint32_t i = 0;
    for (; i < n && (size_t)i * width + WORD <= s.n; i++) {
        memcpy(&word, s.p + (size_t)i * width, WORD);
        v[i] = least + (le64toh(word) & mask);
    }
    for (; i < n; i++)
        v[i] = least + get_octets(s.p + (size_t)i * width, width);
}

// False: a value is none that the field could have.
static bool
set_field(struct message_row *rows, const struct field *field, const uint64_t *v,
          uint32_t n)
{
    char *at = (char *)rows + field->at;
    uint64_t wrong = 0;
    if (field->size == sizeof(uint64_t)) {
        for (uint32_t i = 0; i < n; i++)
            memcpy(at + i * sizeof *rows, &v[i], sizeof v[i]);
    } else if (field->size == sizeof(uint32_t)) {
        for (uint32_t i = 0; i < n; i++) {
            uint32_t four = (uint32_t)v[i];
            wrong |= v[i] ^ four;
            memcpy(at + i * sizeof *rows, &four, sizeof four);
        }
    } else {
        for (uint32_t i = 0; i < n; i++) {
            uint16_t two = (uint16_t)v[i];
            wrong |= v[i] ^ (field->negative ? (uint64_t)(int16_t)two : two);
            memcpy(at + i * sizeof *rows, &two, sizeof two);
        }
    }
    return wrong == 0;
}

static enum result
get_field(struct unpack *u, struct index_block *out, const struct field *field)
{
    uint64_t v[INDEX_BLOCK];
    uint8_t head = unpack_u8(u);
    unsigned of_least = head >> 4, width = head & 15;
    if (u->bad || of_least > WORD || width > WORD ||
        u->rest.n < of_least + (size_t)out->n * width)
        return R_FAIL;
    uint64_t least = unfold_sign(get_octets(u->rest.p, of_least));
    u->rest = span_skip(u->rest, of_least);
    get_values(u->rest, width, least, v, out->n);
    u->rest = span_skip(u->rest, (size_t)out->n * width);
    return set_field(out->rows, field, v, out->n) ? R_OK : R_FAIL;
}

static enum result
get_keywords(struct unpack *u, struct index_block *out)
{
    uint32_t have = u->rest.n > 0 ? unpack_u32(u) : 0;
    for (uint32_t i = 0; i < out->n; i++)
        out->keywords[i] = have >> i & 1 ? unpack_span(u) : SPAN_NONE;
    return unpack_end(u);
}

enum result
index_block_get(struct span key, struct span value, struct index_block *out)
{
    struct unpack u = unpack_of(value);
    uint32_t uids = unpack_u32(&u), number = index_key_get_u32(key, 17);
    if (uids == 0 || number > UINT32_MAX / INDEX_BLOCK || (number == 0 && uids & 1))
        return R_FAIL;
    out->n = 0;
    for (; uids != 0; uids &= uids - 1) {
        struct message_row *row = &out->rows[out->n++];
        row->uid = index_block_first(key) + (uint32_t)__builtin_ctz(uids);
        row->keywords = row->unused = 0;
    }
    for (size_t i = 0; i < FIELDS; i++)
        if (get_field(&u, out, &fields[i]) != R_OK)
            return R_FAIL;
    return get_keywords(&u, out);
}
