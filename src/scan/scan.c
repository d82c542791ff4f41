#include "scan/service.h"

#include "base/limits.h"

void
scan_envelope_put(struct buf *b, const struct scan_envelope *e)
{
    pack_span(b, e->from);
    pack_span(b, e->helo);
    pack_span(b, e->ip);
    pack_span(b, e->user);
    pack_span(b, e->to);
}

enum result
scan_envelope_get(struct span packed, struct scan_envelope *out)
{
    struct unpack u = unpack_of(packed);
    struct scan_envelope e = {0};
    e.from = unpack_span(&u);
    e.helo = unpack_span(&u);
    e.ip = unpack_span(&u);
    e.user = unpack_span(&u);
    e.to = unpack_span(&u);
    if (unpack_end(&u) != R_OK)
        return R_FAIL;
    *out = e;
    return R_OK;
}

void
scan_verdict_put(struct buf *b, const struct scan_verdict *v)
{
    pack_u8(b, v->missing);
    pack_u8(b, v->large);
    pack_u8(b, v->scored);
    pack_u64(b, (uint64_t)v->score);
    pack_u64(b, (uint64_t)v->required);
    pack_u8(b, v->judgement);
    pack_u8(b, v->virus);
    pack_span(b, v->virus_name);
    pack_span(b, v->symbols);
}

enum result
scan_verdict_get(struct span packed, struct scan_verdict *out)
{
    struct unpack u = unpack_of(packed);
    struct scan_verdict v = {0};
    v.missing = unpack_u8(&u) != 0;
    v.large = unpack_u8(&u) != 0;
    v.scored = unpack_u8(&u) != 0;
    v.score = (int64_t)unpack_u64(&u);
    v.required = (int64_t)unpack_u64(&u);
    v.judgement = unpack_u8(&u);
    v.virus = unpack_u8(&u);
    v.virus_name = unpack_span(&u);
    v.symbols = unpack_span(&u);
    if (unpack_end(&u) != R_OK || v.judgement >= SCAN_JUDGEMENTS || v.virus >= SCAN_VIRUSES)
        return R_FAIL;
    *out = v;
    return R_OK;
}

void
scan_names_init(struct buf *names)
{
    enum { ROOM = LIMIT_scan_symbols + 2 * LIMIT_scan_virus_name };
    buf_init(names, ROOM);
    must(buf_reserve(names, ROOM) != NULL);
}
