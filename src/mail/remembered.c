#include "mail/remembered.h"

#include "base/arena_grow.h"
#include "mail/tree_record.h"

#include <openssl/evp.h>

void
remembered_key(char key[REMEMBERED_KEY], struct span prefix, struct span id)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char hash[32];
    size_t n = prefix.n;
    must(EVP_Digest(id.p ? id.p : "", id.n, hash, NULL, EVP_sha256(), NULL) == 1);
    must(n + 32 < REMEMBERED_KEY);
    memset(key, 0, REMEMBERED_KEY);
    memcpy(key, prefix.p, prefix.n);
    for (size_t i = 0; i < 16; i++) {
        key[n++] = digits[hash[i] >> 4];
        key[n++] = digits[hash[i] & 15];
    }
}

struct span
remembered_key_span(const char key[REMEMBERED_KEY])
{
    return span_of(key, strnlen(key, REMEMBERED_KEY));
}

static bool
value_read(struct span stored, int64_t *until_out, struct span *rest_out)
{
    struct unpack u = unpack_of(stored);
    *until_out = (int64_t)unpack_u64(&u);
    *rest_out = u.rest;
    return !u.bad;
}

enum result
remembered_find(struct account *a, struct span key, int64_t now_s, struct span *rest_out)
{
    struct span stored, rest;
    int64_t until;
    if (state_meta_find(account_state(a), 0, key, &stored) != R_OK ||
        !value_read(stored, &until, &rest) || until <= now_s)
        return R_NONE;
    *rest_out = rest;
    return R_OK;
}

static void
put(struct account *a, struct store_batch *b, struct span key, struct span value)
{
    struct record_meta r = {.modseq = change_modseq(a), .key = key, .value = value};
    tree_put_meta(b, &r);
}

void
remembered_put(struct account *a, struct store_batch *b, struct span key, int64_t until_s,
               struct span rest)
{
    struct buf value;
    buf_init(&value, sizeof(uint64_t) + rest.n);
    pack_u64(&value, (uint64_t)until_s);
    buf_put(&value, rest);
    must(!value.over);
    put(a, b, key, buf_span(&value));
    buf_done(&value);
}

void
remembered_drop(struct account *a, struct store_batch *b, struct span key)
{
    put(a, b, key, SPAN_NONE);
}

// ---- what holds no more ----

struct old {
    struct account *account;
    struct span prefix;
    struct old_one {
        struct span key;
        int64_t until_s;
    } * p;
    size_t n, room;
};

static void
old_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    struct old *o = arg;
    int64_t until;
    struct span rest;
    if (mailbox != 0 || !span_starts(key, o->prefix) || !value_read(value, &until, &rest))
        return;
    o->p = arena_grow(o->account->batch_arena, o->p, o->n, &o->room, sizeof *o->p);
    o->p[o->n++] = (struct old_one){key, until};
}

static int
by_until(const void *x, const void *y)
{
    const struct old_one *a = x, *b = y;
    return a->until_s < b->until_s ? -1 : a->until_s > b->until_s;
}

static void
forget_old(struct account *a, struct store_batch *b, const struct remembered_kind *kind,
           int64_t now_s)
{
    struct old o = {.account = a, .prefix = kind->prefix};
    state_meta_each(account_state(a), old_each, &o);
    if (o.n > 1)
        qsort(o.p, o.n, sizeof *o.p, by_until);
    size_t over = o.n > kind->most ? o.n - kind->most : 0;
    for (size_t i = 0; i < o.n && i < LIMIT_batch_changes; i++)
        if (i < over || o.p[i].until_s <= now_s)
            remembered_drop(a, b, arena_dup(a->batch_arena, o.p[i].key));
}

void
remembered_make_room(struct account *a, struct store_batch *b,
                     const struct remembered_kind *kind, struct remembered_round *round,
                     size_t n, int64_t now_s)
{
    enum { ROUND_S = 3600, ROUND_PUTS = 256 };
    bool due =
        round->puts >= ROUND_PUTS || now_s >= round->at_s + ROUND_S || now_s < round->at_s;
    if (due) {
        *round = (struct remembered_round){.at_s = now_s};
        forget_old(a, b, kind, now_s);
    }
    round->puts += (unsigned)n;
}
