#include "store/batch.h"

#include "base/hash.h"
#include "base/limits.h"
#include "io/task.h"
#include "store/body.h"
#include "store/volume.h"

struct store_batch *
store_batch_new(struct store *s, uint64_t account, uint64_t session, uint64_t actor)
{
    (void)s;  // a batch is plain memory until it is committed
    struct store_batch *b = calloc(1, sizeof *b);
    must(b != NULL);
    b->account = account;
    b->session = session;
    b->actor = actor;
    buf_init(&b->bytes, (size_t)2 * LIMIT_record_meta);
    buf_init(&b->coded, (size_t)3 * LIMIT_record_meta);
    return b;
}

static struct batch_record *
record_push(struct store_batch *b)
{
    if (b->count == b->cap) {
        b->cap = b->cap > 0 ? b->cap * 2 : 2;
        b->records = reallocarray(b->records, b->cap, sizeof *b->records);
        must(b->records != NULL);
    }
    struct batch_record *r = &b->records[b->count++];
    memset(r, 0, sizeof *r);
    return r;
}

static void
header_room(struct buf *b)
{
    if (buf_reserve(b, LAYOUT_RECORD))
        b->n += LAYOUT_RECORD;
}

void
store_batch_add(struct store_batch *b, enum record_type type, struct span meta,
                struct store_body *body)
{
    struct batch_record *r = record_push(b);
    r->type = type;
    r->body = body;
    header_room(&b->bytes);
    r->at = b->bytes.n;
    buf_put(&b->bytes, meta);
    r->meta_n = b->bytes.over ? 0 : (uint32_t)meta.n;
}

size_t
store_batch_count(const struct store_batch *b)
{
    return b->count;
}

size_t
store_batch_octets(const struct store_batch *b)
{
    return b->bytes.over ? SIZE_MAX : b->bytes.n;
}

void
store_batch_cut(struct store_batch *b, size_t count)
{
    if (count >= b->count)
        return;
    b->bytes.n = b->records[count].at - LAYOUT_RECORD;
    b->bytes.over = false;
    b->count = (uint32_t)count;
}

enum record_type
store_batch_type(const struct store_batch *b, size_t i)
{
    must(i < b->count);
    return b->records[i].type;
}

struct span
store_batch_meta(const struct store_batch *b, size_t i)
{
    must(i < b->count);
    return span_of(b->bytes.p + b->records[i].at, b->records[i].meta_n);
}

struct record_place
store_batch_place(const struct store_batch *b, size_t i)
{
    must(i < b->count);
    return b->records[i].place;
}

void
store_batch_free(struct store_batch **b)
{
    if (!*b)
        return;
    buf_done(&(*b)->bytes);
    buf_done(&(*b)->coded);
    free((*b)->records);
    free(*b);
    *b = NULL;
}

// ---- sealing ----

// The batch's octets as they go to disk: per record room for the header, then the stored metadata.
static struct buf *
stored_bytes(struct store_batch *b)
{
    return b->coded.n > 0 ? &b->coded : &b->bytes;
}

static size_t
stored_at(const struct store_batch *b, size_t i)
{
    const struct record_header *h = &b->records[i].header;
    return b->records[i].at + (b->coded.n > 0 ? i * (h->meta_stored - h->meta_plain) : 0);
}

static void
meta_encode(struct store_batch *b, size_t i, const struct codec *codec)
{
    struct record_header *h = &b->records[i].header;
    struct codec_context ctx = {.key_id = h->key_id, .a = h->meta_nonce, .b = 0};
    header_room(&b->coded);
    char *room = buf_reserve(&b->coded, h->meta_stored);
    must(room != NULL);
    codec->encode(&ctx, store_batch_meta(b, i), room);
    b->coded.n += h->meta_stored;
}

static enum result
record_seal(struct store_batch *b, size_t i, struct volume *v, struct fault *f)
{
    struct batch_record *r = &b->records[i];
    r->header = (struct record_header){.type = (uint16_t)r->type,
                                       .codec = v->codec->id,
                                       .meta_plain = r->meta_n,
                                       .meta_stored = r->meta_n + v->codec->overhead,
                                       .account = b->account,
                                       .batch_pos = (uint32_t)i,
                                       .batch_count = b->count,
                                       .session = b->session,
                                       .actor = b->actor,
                                       .meta_nonce = volume_id_next(v)};
    if (r->body && body_claim(r->body, &r->header, f) != R_OK)
        return R_FAIL;
    if (v->codec->overhead > 0)
        meta_encode(b, i, v->codec);
    struct span meta = span_of(stored_bytes(b)->p + stored_at(b, i), r->header.meta_stored);
    r->header.meta_sum = hash64(meta);
    b->stored += record_size(&r->header);
    b->iovs += 1 + (r->header.body_stored > 0 ? BODY_IOVS : 0);
    return R_OK;
}

enum result
batch_seal(struct store_batch *b, struct volume *v, struct fault *f)
{
    if (b->bytes.over || b->bytes.n > LIMIT_record_meta || b->count == 0)
        return fault_set(f, FAULT_TOOBIG, "a batch of %u records and %zu octets", b->count,
                         b->bytes.n);
    buf_reset(&b->coded);
    b->stored = 0;
    b->iovs = 0;
    for (size_t i = 0; i < b->count; i++)
        b->records[i].header.body_id = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (record_seal(b, i, v, f) != R_OK) {
            batch_unclaim(b);
            return R_FAIL;
        }
        task_yield();
    }
    return R_OK;
}

void
batch_unclaim(struct store_batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->records[i].body && b->records[i].header.body_id != 0)
            body_unclaim(b->records[i].body, &b->records[i].header);
}

void
batch_place(struct store_batch *b, const struct batch_position *at)
{
    for (uint32_t i = 0; i < b->count; i++) {
        struct batch_record *r = &b->records[i];
        r->header.seq = at->seq + i;
        r->header.segment = at->segment;
        r->header.recno = at->recno + i;
        r->header.group_pos = at->group_pos + i;
        r->header.time_ms = at->time_ms;
        r->place.seq = r->header.seq;
        r->place.blob = (uint64_t)at->segment << 32 | r->header.recno;
        record_header_put(stored_bytes(b)->p + stored_at(b, i) - LAYOUT_RECORD, &r->header,
                          at->nonce);
    }
}

// Neighbouring records without bodies share one iovec.
size_t
batch_iovs(struct store_batch *b, struct iovec *iov)
{
    size_t n = 0, from = 0;
    char *base = stored_bytes(b)->p;
    for (size_t i = 0; i < b->count; i++) {
        const struct batch_record *r = &b->records[i];
        if (r->header.body_stored == 0 && i + 1 < b->count)
            continue;
        size_t to = stored_at(b, i) + r->header.meta_stored;
        iov[n++] = (struct iovec){base + from, to - from};
        from = to;
        if (r->header.body_stored > 0)
            n += body_iovs(r->body, iov + n);
    }
    return n;
}
