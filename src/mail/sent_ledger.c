#include "mail/sent_inside.h"

#include "base/clock.h"

static const struct remembered_kind kind = {SPAN("sent/copy/"), LIMIT_sent_copies};

void
sent_key(char key[REMEMBERED_KEY], struct span message_id, struct span hash)
{
    remembered_key(key, kind.prefix, message_id.n > 0 ? message_id : hash);
}

enum result
sent_ledger_find(struct account *a, const char key[REMEMBERED_KEY], struct sent_copy *out)
{
    struct span rest;
    struct sent_copy c;
    if (remembered_find(a, remembered_key_span(key), clock_wall_s(), &rest) != R_OK)
        return R_NONE;
    struct unpack u = unpack_of(rest);
    c.mailbox = unpack_u64(&u);
    c.uid = (uint32_t)unpack_u64(&u);
    c.hash = unpack_span(&u);
    c.client_hash = unpack_span(&u);
    if (unpack_end(&u) != R_OK)
        return R_NONE;
    *out = c;
    return R_OK;
}

void
sent_ledger_put(struct account *a, struct store_batch *b, const char key[REMEMBERED_KEY],
                const struct sent_copy *copy)
{
    int64_t now_s = clock_wall_s();
    struct buf value;
    remembered_make_room(a, b, &kind, &a->sent_round, 1, now_s);
    buf_init(&value, 128);
    pack_u64(&value, copy->mailbox);
    pack_u64(&value, copy->uid);
    pack_span(&value, copy->hash);
    pack_span(&value, copy->client_hash);
    must(!value.over);
    remembered_put(a, b, remembered_key_span(key), now_s + (int64_t)LIMIT_sent_days * 86400,
                   buf_span(&value));
    buf_done(&value);
}
