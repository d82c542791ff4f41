#include "mail/tree_record.h"

#include "base/clock.h"
#include "base/limits.h"

#define PUT(b, TYPE, put, r)                                                               \
    do {                                                                                   \
        struct buf meta;                                                                   \
        buf_init(&meta, LIMIT_record_meta);                                                \
        put(&meta, r);                                                                     \
        store_batch_add(b, TYPE, buf_span(&meta), NULL);                                   \
        buf_done(&meta);                                                                   \
    } while (0)

void
tree_put_account(struct store_batch *b, const struct record_account *r)
{
    PUT(b, RECORD_ACCOUNT, record_account_put, r);
}

void
tree_put_mailbox(struct store_batch *b, const struct record_mailbox *r)
{
    PUT(b, RECORD_MAILBOX, record_mailbox_put, r);
}

void
tree_put_gone(struct store_batch *b, const struct record_mailbox_gone *r)
{
    PUT(b, RECORD_MAILBOX_GONE, record_mailbox_gone_put, r);
}

void
tree_put_subscribe(struct store_batch *b, struct span name, bool on)
{
    struct record_subscribe r = {name, on};
    PUT(b, RECORD_SUBSCRIBE, record_subscribe_put, &r);
}

void
tree_put_meta(struct store_batch *b, const struct record_meta *r)
{
    PUT(b, RECORD_META, record_meta_put, r);
}

static uint32_t
last_uidvalidity(struct account *a, struct store_batch *b)
{
    struct span value;
    uint32_t last = 0;
    struct record_meta r;
    if (state_meta_find(a->state, 0, SPAN("uidvalidity"), &value) == R_OK && value.n == 4) {
        struct unpack u = unpack_of(value);
        last = unpack_u32(&u);
    }
    for (size_t i = 0; i < store_batch_count(b); i++)
        if (store_batch_type(b, i) == RECORD_META &&
            record_meta_get(store_batch_meta(b, i), &r) == R_OK &&
            span_eq(r.key, SPAN("uidvalidity"))) {
            struct unpack u = unpack_of(r.value);
            last = unpack_u32(&u);
        }
    return last;
}

uint32_t
tree_uidvalidity(struct account *a, struct store_batch *b)
{
    uint32_t last = last_uidvalidity(a, b), now = (uint32_t)clock_wall_s();
    uint32_t mine = now > last ? now : last + 1;
    struct buf value;
    buf_init(&value, 4);
    pack_u32(&value, mine);
    struct record_meta r = {0, change_modseq(a), SPAN("uidvalidity"), buf_span(&value)};
    tree_put_meta(b, &r);
    buf_done(&value);
    return mine;
}
