#include "ctl/parcel.h"
#include "base/limits.h"
#include "base/pack.h"

void
parcel_put(struct buf *b, enum parcel_kind kind, struct span payload)
{
    must(payload.n <= PARCEL_MAX);
    pack_u8(b, (uint8_t)kind);
    pack_u32(b, (uint32_t)payload.n);
    buf_put(b, payload);
}

static void
put_packed(struct buf *b, enum parcel_kind kind, struct buf *payload)
{
    if (payload->over)
        b->over = true;
    else
        parcel_put(b, kind, buf_span(payload));
    buf_done(payload);
}

void
parcel_put_mailbox(struct buf *b, enum parcel_kind kind, const struct parcel_mailbox *m)
{
    struct buf p;
    buf_init(&p, PARCEL_MAX);
    pack_span(&p, m->name);
    pack_u32(&p, m->uidvalidity);
    pack_u32(&p, m->uidnext);
    pack_u32(&p, m->messages);
    pack_span(&p, m->there);
    pack_u8(&p, m->altered);
    pack_u8(&p, m->role);
    put_packed(b, kind, &p);
}

void
parcel_put_message(struct buf *b, enum parcel_kind kind, const struct parcel_message *m)
{
    struct buf p;
    buf_init(&p, PARCEL_MAX);
    pack_u32(&p, m->uid);
    pack_u16(&p, m->flags);
    pack_u8(&p, m->has_date);
    pack_u64(&p, (uint64_t)m->date);
    pack_u16(&p, (uint16_t)m->zone_min);
    pack_span(&p, m->where);
    pack_var(&p, m->keyword_count);
    for (size_t i = 0; i < m->keyword_count; i++)
        pack_span(&p, m->keywords[i]);
    pack_span(&p, m->uidl);
    pack_u64(&p, m->size);
    pack_span(&p, m->id);
    put_packed(b, kind, &p);
}

void
parcel_put_origin(struct buf *b, const struct parcel_origin *o)
{
    struct buf p;
    buf_init(&p, PARCEL_MAX);
    pack_span(&p, span_of((const char *)o->store, sizeof o->store));
    pack_u64(&p, o->emailid);
    pack_u64(&p, o->threadid);
    pack_u32(&p, o->save_date);
    put_packed(b, PARCEL_ORIGIN, &p);
}

void
parcel_put_use(struct buf *b, struct span use, struct span name)
{
    struct buf p;
    buf_init(&p, PARCEL_MAX);
    pack_span(&p, use);
    pack_span(&p, name);
    put_packed(b, PARCEL_USE, &p);
}

void
parcel_put_state(struct buf *b, enum parcel_kind kind, const struct parcel_state *s)
{
    struct buf p;
    buf_init(&p, PARCEL_MAX);
    pack_u32(&p, s->uidvalidity);
    pack_u32(&p, s->done);
    pack_u32(&p, s->messages);
    pack_u64(&p, s->modseq);
    pack_u32(&p, s->gone);
    pack_u8(&p, s->last);
    put_packed(b, kind, &p);
}

void
parcel_put_broken(struct buf *b, const struct fault *f)
{
    struct buf p;
    buf_init(&p, PARCEL_MAX);
    pack_u8(&p, (uint8_t)f->kind);
    pack_span(&p, span_str(f->why));
    put_packed(b, PARCEL_BROKEN, &p);
}

void
parcel_put_fact(struct buf *b, const struct parcel_fact *fact)
{
    struct buf p;
    buf_init(&p, PARCEL_MAX);
    pack_span(&p, fact->kind);
    pack_span(&p, fact->mailbox);
    pack_span(&p, fact->name);
    pack_span(&p, fact->value);
    put_packed(b, PARCEL_FACT, &p);
}

void
parcel_put_want(struct buf *b, const struct seqset *uids)
{
    struct buf p;
    buf_init(&p, PARCEL_MAX);
    seqset_put(&p, uids);
    put_packed(b, PARCEL_WANT, &p);
}

enum result
parcel_get(struct span in, struct parcel *out, struct fault *f)
{
    struct unpack u = unpack_of(in);
    if (in.n < PARCEL_HEAD)
        return R_NONE;
    uint8_t kind = unpack_u8(&u);
    uint32_t n = unpack_u32(&u);
    if (kind == 0 || kind >= PARCEL_KINDS || n > PARCEL_MAX)
        return fault_set(f, FAULT_BAD, "a parcel of kind %u, %u octets", kind, n);
    if (u.rest.n < n)
        return R_NONE;
    *out = (struct parcel){kind, span_slice(u.rest, 0, n), PARCEL_HEAD + (size_t)n};
    return R_OK;
}

enum result
parcel_get_mailbox(struct span payload, struct parcel_mailbox *out)
{
    struct unpack u = unpack_of(payload);
    struct parcel_mailbox m = {.name = unpack_span(&u)};
    m.uidvalidity = unpack_u32(&u);
    m.uidnext = unpack_u32(&u);
    m.messages = unpack_u32(&u);
    m.there = unpack_span(&u);
    m.altered = unpack_u8(&u) != 0;
    m.role = unpack_u8(&u);
    if (unpack_end(&u) != R_OK)
        return R_FAIL;
    *out = m;
    return R_OK;
}

enum result
parcel_get_message(struct span payload, struct arena *a, struct parcel_message *out)
{
    struct unpack u = unpack_of(payload);
    struct parcel_message m = {.uid = unpack_u32(&u)};
    m.flags = unpack_u16(&u);
    m.has_date = unpack_u8(&u) != 0;
    m.date = (int64_t)unpack_u64(&u);
    m.zone_min = (int16_t)unpack_u16(&u);
    m.where = unpack_span(&u);
    uint64_t n = unpack_var(&u);
    if (u.bad || n > LIMIT_keywords)
        return R_FAIL;
    m.keyword_count = n;
    m.keywords = arena_array(a, n + 1, sizeof *m.keywords);
    for (size_t i = 0; i < n; i++)
        m.keywords[i] = unpack_span(&u);
    m.uidl = unpack_span(&u);
    m.size = unpack_u64(&u);
    m.id = unpack_span(&u);
    if (unpack_end(&u) != R_OK)
        return R_FAIL;
    *out = m;
    return R_OK;
}

enum result
parcel_get_origin(struct span payload, struct parcel_origin *out)
{
    struct unpack u = unpack_of(payload);
    struct span store = unpack_span(&u);
    struct parcel_origin o = {.emailid = unpack_u64(&u)};
    o.threadid = unpack_u64(&u);
    o.save_date = unpack_u32(&u);
    if (unpack_end(&u) != R_OK || store.n != sizeof o.store)
        return R_FAIL;
    memcpy(o.store, store.p, sizeof o.store);
    *out = o;
    return R_OK;
}

enum result
parcel_get_use(struct span payload, struct span *use_out, struct span *name_out)
{
    struct unpack u = unpack_of(payload);
    struct span use = unpack_span(&u), name = unpack_span(&u);
    if (unpack_end(&u) != R_OK)
        return R_FAIL;
    *use_out = use;
    *name_out = name;
    return R_OK;
}

enum result
parcel_get_state(struct span payload, struct parcel_state *out)
{
    struct unpack u = unpack_of(payload);
    struct parcel_state s = {.uidvalidity = unpack_u32(&u)};
    s.done = unpack_u32(&u);
    s.messages = unpack_u32(&u);
    s.modseq = unpack_u64(&u);
    s.gone = unpack_u32(&u);
    s.last = unpack_u8(&u) != 0;
    if (unpack_end(&u) != R_OK)
        return R_FAIL;
    *out = s;
    return R_OK;
}

enum result
parcel_get_broken(struct span payload, struct fault *out)
{
    struct unpack u = unpack_of(payload);
    uint8_t kind = unpack_u8(&u);
    struct span why = unpack_span(&u);
    if (unpack_end(&u) != R_OK || kind >= FAULT_COUNT)
        return R_FAIL;
    (void)!fault_set(out, (enum fault_kind)kind, "%.*s",
                     SPAN_ARG(span_slice(why, 0, sizeof out->why - 1)));
    return R_OK;
}

enum result
parcel_get_fact(struct span payload, struct parcel_fact *out)
{
    struct unpack u = unpack_of(payload);
    struct parcel_fact fact = {.kind = unpack_span(&u)};
    fact.mailbox = unpack_span(&u);
    fact.name = unpack_span(&u);
    fact.value = unpack_span(&u);
    if (unpack_end(&u) != R_OK)
        return R_FAIL;
    *out = fact;
    return R_OK;
}

enum result
parcel_get_want(struct span payload, struct arena *a, struct seqset *out)
{
    struct unpack u = unpack_of(payload);
    struct seqset s;
    if (seqset_get(&u, a, &s) != R_OK || unpack_end(&u) != R_OK)
        return R_FAIL;
    *out = s;
    return R_OK;
}
