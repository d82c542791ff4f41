#include "store/layout.h"

#include "base/hash.h"
#include "base/limits.h"

static const uint32_t MAGIC_SEGMENT = 0x50485347u;  // "PHSG"
static const uint32_t MAGIC_RECORD = 0xa5504852u;   // "\xa5PHR": not UTF-8, rare in text
static const uint32_t MAGIC_BODY = 0x50484244u;     // "PHBD"
static const uint32_t MAGIC_TABLE = 0x50485442u;    // "PHTB"
static const uint32_t MAGIC_DERIVED = 0x50484453u;  // "PHDS"

enum { BODY_ZSTD = 1 };  // octet 6 of a body file's header; 0: no frame is compressed

// A cursor over the fixed fields of a header.
struct fields {
    char *out;
    const char *in;
};

static void
put16(struct fields *c, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(c->out, &v, 2);
    c->out += 2;
}

static void
put32(struct fields *c, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(c->out, &v, 4);
    c->out += 4;
}

static void
put64(struct fields *c, uint64_t v)
{
    layout_put_u64(c->out, v);
    c->out += 8;
}

static uint8_t
get8(struct fields *c)
{
    return (uint8_t)*c->in++;
}

static uint16_t
get16(struct fields *c)
{
    uint16_t v;
    memcpy(&v, c->in, 2);
    c->in += 2;
    return __builtin_bswap16(v);
}

static uint32_t
get32(struct fields *c)
{
    uint32_t v;
    memcpy(&v, c->in, 4);
    c->in += 4;
    return __builtin_bswap32(v);
}

static uint64_t
get64(struct fields *c)
{
    uint64_t v = layout_u64(c->in);
    c->in += 8;
    return v;
}

uint64_t
layout_u64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

void
layout_put_u64(char *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, 8);
}

// The checksum is the last field of every header; `seed` is hashed behind the others.
static uint64_t
header_sum(const char *p, size_t size, uint64_t seed)
{
    char text[LAYOUT_RECORD];
    must(size <= sizeof text);
    memcpy(text, p, size - 8);
    memcpy(text + size - 8, &seed, 8);
    return hash64(span_of(text, size));
}

static void
header_begin(struct fields *c, char *out, size_t size, uint32_t magic)
{
    memset(out, 0, size);
    *c = (struct fields){.out = out};
    put32(c, magic);
}

static void
header_end(char *out, size_t size, uint64_t seed)
{
    layout_put_u64(out + size - 8, header_sum(out, size, seed));
}

static enum result
header_check(struct fields *c, struct span in, size_t size, uint32_t magic, uint64_t seed)
{
    if (in.n < size)
        return R_FAIL;
    *c = (struct fields){.in = in.p};
    if (get32(c) != magic || layout_u64(in.p + size - 8) != header_sum(in.p, size, seed))
        return R_FAIL;
    return R_OK;
}

void
segment_header_put(char *out, const struct segment_header *h)
{
    struct fields c;
    header_begin(&c, out, LAYOUT_SEGMENT, MAGIC_SEGMENT);
    put16(&c, LAYOUT_VERSION);
    put16(&c, 0);
    memcpy(c.out, h->uuid, 16);
    c.out += 16;
    put32(&c, h->number);
    put32(&c, h->rewrites);
    put64(&c, h->first_seq);
    put64(&c, h->nonce);
    put64(&c, (uint64_t)h->created_s);
    header_end(out, LAYOUT_SEGMENT, 0);
}

enum result
segment_header_get(struct span in, struct segment_header *h_out)
{
    struct fields c;
    struct segment_header h;
    if (header_check(&c, in, LAYOUT_SEGMENT, MAGIC_SEGMENT, 0) != R_OK ||
        get16(&c) != LAYOUT_VERSION)
        return R_FAIL;
    get16(&c);
    memcpy(h.uuid, c.in, 16);
    c.in += 16;
    h.number = get32(&c);
    h.rewrites = get32(&c);
    h.first_seq = get64(&c);
    h.nonce = get64(&c);
    h.created_s = (int64_t)get64(&c);
    *h_out = h;
    return R_OK;
}

void
record_header_put(char *out, const struct record_header *h, uint64_t nonce)
{
    struct fields c;
    header_begin(&c, out, LAYOUT_RECORD, MAGIC_RECORD);
    put16(&c, h->type);
    *c.out++ = (char)h->flags;
    *c.out++ = (char)h->codec;
    put32(&c, h->key_id);
    put32(&c, h->meta_plain);
    put32(&c, h->meta_stored);
    put32(&c, h->segment);
    put32(&c, h->recno);
    put32(&c, h->batch_pos);
    put32(&c, h->batch_count);
    put32(&c, h->group_pos);
    put64(&c, h->body_plain);
    put64(&c, h->body_stored);
    put64(&c, h->body_id);
    put64(&c, h->account);
    put64(&c, h->seq);
    put64(&c, (uint64_t)h->time_ms);
    put64(&c, h->session);
    put64(&c, h->actor);
    put64(&c, h->txid);
    put64(&c, h->meta_nonce);
    put64(&c, h->meta_sum);
    header_end(out, LAYOUT_RECORD, nonce);
}

static void
record_header_read(struct fields *c, struct record_header *h)
{
    h->type = get16(c);
    h->flags = get8(c);
    h->codec = get8(c);
    h->key_id = get32(c);
    h->meta_plain = get32(c);
    h->meta_stored = get32(c);
    h->segment = get32(c);
    h->recno = get32(c);
    h->batch_pos = get32(c);
    h->batch_count = get32(c);
    h->group_pos = get32(c);
    h->body_plain = get64(c);
    h->body_stored = get64(c);
    h->body_id = get64(c);
    h->account = get64(c);
    h->seq = get64(c);
    h->time_ms = (int64_t)get64(c);
    h->session = get64(c);
    h->actor = get64(c);
    h->txid = get64(c);
    h->meta_nonce = get64(c);
    h->meta_sum = get64(c);
}

// The octets in a record: those of its frames, or none.
static bool
body_stored_sane(const struct codec *codec, const struct record_header *h)
{
    if (h->flags & RECORD_BODY_COMPRESSED)
        return !(h->flags & (RECORD_BODY_EXTERNAL | RECORD_BODY_DROPPED)) &&
               layout_compressed_fits(codec, h->body_plain, h->body_stored);
    bool inside = !(h->flags & (RECORD_BODY_EXTERNAL | RECORD_BODY_DROPPED));
    return h->body_stored == (inside ? layout_stored(codec, h->body_plain) : 0);
}

// The sizes must agree with each other and with the codec, so that nothing is allocated on their word alone.
static bool
record_header_sane(const struct record_header *h)
{
    const struct codec *codec = codec_find(h->codec);
    if (!codec || h->meta_plain > LIMIT_record_meta || h->body_plain > LIMIT_body_size)
        return false;
    return h->meta_stored == h->meta_plain + codec->overhead &&
           h->batch_pos < h->batch_count && h->batch_pos < h->seq &&
           h->group_pos < h->seq && body_stored_sane(codec, h);
}

enum result
record_header_get(struct span in, uint64_t nonce, struct record_header *h_out)
{
    struct fields c;
    struct record_header h;
    if (header_check(&c, in, LAYOUT_RECORD, MAGIC_RECORD, nonce) != R_OK)
        return R_FAIL;
    record_header_read(&c, &h);
    if (!record_header_sane(&h))
        return R_FAIL;
    *h_out = h;
    return R_OK;
}

void
body_header_put(char *out, const struct body_header *h)
{
    struct fields c;
    header_begin(&c, out, LAYOUT_BODY, MAGIC_BODY);
    put16(&c, LAYOUT_VERSION);
    *c.out++ = (char)(h->compressed ? BODY_ZSTD : 0);
    *c.out++ = (char)h->codec;
    put32(&c, h->key_id);
    put64(&c, h->id);
    put64(&c, h->plain);
    put64(&c, h->compressed ? h->stored : 0);
    header_end(out, LAYOUT_BODY, 0);
}

enum result
body_header_get(struct span in, struct body_header *h_out)
{
    struct fields c;
    struct body_header h;
    if (header_check(&c, in, LAYOUT_BODY, MAGIC_BODY, 0) != R_OK ||
        get16(&c) != LAYOUT_VERSION)
        return R_FAIL;
    uint8_t compression = get8(&c);
    h.codec = get8(&c);
    h.key_id = get32(&c);
    h.id = get64(&c);
    h.plain = get64(&c);
    h.stored = get64(&c);
    h.compressed = compression == BODY_ZSTD;
    const struct codec *codec = codec_find(h.codec);
    if (!codec || h.plain > LIMIT_body_size || compression > BODY_ZSTD ||
        (h.compressed && !layout_compressed_fits(codec, h.plain, h.stored)))
        return R_FAIL;
    if (!h.compressed)
        h.stored = layout_stored(codec, h.plain);
    *h_out = h;
    return R_OK;
}

void
table_header_put(char *out, const struct table_header *h)
{
    struct fields c;
    header_begin(&c, out, LAYOUT_TABLE, MAGIC_TABLE);
    put32(&c, h->segment);
    put32(&c, h->rewrites);
    put32(&c, h->count);
    put32(&c, h->externals);
    put64(&c, h->nonce);
    put64(&c, h->end);
    put64(&c, h->offsets_sum);
    put64(&c, h->externals_sum);
    header_end(out, LAYOUT_TABLE, LAYOUT_VERSION);
}

enum result
table_header_get(struct span in, struct table_header *h_out)
{
    struct fields c;
    if (header_check(&c, in, LAYOUT_TABLE, MAGIC_TABLE, LAYOUT_VERSION) != R_OK)
        return R_FAIL;
    h_out->segment = get32(&c);
    h_out->rewrites = get32(&c);
    h_out->count = get32(&c);
    h_out->externals = get32(&c);
    h_out->nonce = get64(&c);
    h_out->end = get64(&c);
    h_out->offsets_sum = get64(&c);
    h_out->externals_sum = get64(&c);
    return R_OK;
}

void
derived_header_put(char *out, const struct derived_header *h)
{
    struct fields c;
    header_begin(&c, out, LAYOUT_DERIVED, MAGIC_DERIVED);
    put16(&c, LAYOUT_VERSION);
    *c.out++ = 0;
    *c.out++ = (char)h->codec;
    put32(&c, h->key_id);
    put32(&c, h->frame);
    put64(&c, h->id);
    put64(&c, h->plain);
    put64(&c, h->account);
    put64(&c, h->owner);
    header_end(out, LAYOUT_DERIVED, 0);
}

enum result
derived_header_get(struct span in, struct derived_header *h_out)
{
    struct fields c;
    struct derived_header h;
    if (header_check(&c, in, LAYOUT_DERIVED, MAGIC_DERIVED, 0) != R_OK ||
        get16(&c) != LAYOUT_VERSION)
        return R_FAIL;
    get8(&c);
    h.codec = get8(&c);
    h.key_id = get32(&c);
    h.frame = get32(&c);
    h.id = get64(&c);
    h.plain = get64(&c);
    h.account = get64(&c);
    h.owner = get64(&c);
    if (!codec_find(h.codec) || h.frame == 0 || h.frame > LIMIT_derived_frame ||
        h.plain > LIMIT_derived_string)
        return R_FAIL;
    *h_out = h;
    return R_OK;
}

enum result
layout_header_fault(struct span in, const char *kind, const char *name, struct fault *f)
{
    struct fields c = {0};
    bool whole = header_check(&c, in, LAYOUT_SEGMENT, MAGIC_SEGMENT, 0) == R_OK ||
                 header_check(&c, in, LAYOUT_BODY, MAGIC_BODY, 0) == R_OK;
    uint16_t version = whole ? get16(&c) : 0;
    if (version > LAYOUT_VERSION)
        return fault_set(
            f, FAULT_UNAVAILABLE,
            "%s %s has format %u, this program knows up to %d: use a newer one", kind, name,
            version, LAYOUT_VERSION);
    return fault_set(f, FAULT_CORRUPTION, "the header of %s %s is damaged", kind, name);
}

size_t
layout_find_record(struct span s)
{
    uint32_t magic = __builtin_bswap32(MAGIC_RECORD);
    return span_find(s, span_of(&magic, 4));
}

uint64_t
layout_frame_sum(uint64_t body_id, uint64_t frame, struct span stored)
{
    return hash64(stored) ^ ((body_id + frame) * 0x9e3779b97f4a7c15u);
}
