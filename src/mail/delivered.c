#include "mail/delivered.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "io/task.h"
#include "mail/tree_record.h"

#include <sodium.h>
#include <utlist.h>

enum { KEEP_S = 7 * 24 * 3600, LOOK_FOR_OLD = 16, DROP_MOST = 64 };

static const struct span prefix = SPAN("delivered/");

struct delivered_digest {
    crypto_hash_sha256_state state;
};

// One that has ended and is not dropped yet.
struct ending {
    struct ending *prev, *next;
    struct account *account;
    struct delivered_key key;
};
static _Thread_local struct ending *endings;

// ---- the key ----

struct delivered_digest *
delivered_digest_new(struct arena *a)
{
    struct delivered_digest *d = ARENA_NEW(a, struct delivered_digest);
    crypto_hash_sha256_init(&d->state);
    return d;
}

void
delivered_digest_add(struct delivered_digest *d, struct span octets)
{
    if (octets.n > 0)
        crypto_hash_sha256_update(&d->state, (const unsigned char *)octets.p, octets.n);
}

struct delivered_key
delivered_key_of(const struct delivered_digest *d, struct span sender, struct span detail)
{
    enum { OCTETS = 16 };
    struct delivered_digest whole = *d;
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * OCTETS + 1];
    struct delivered_key key = {0};
    struct buf tail;
    buf_init(&tail, SIZE_MAX);
    pack_span(&tail, sender);
    pack_span(&tail, detail);
    delivered_digest_add(&whole, buf_span(&tail));
    buf_done(&tail);
    crypto_hash_sha256_final(&whole.state, hash);
    sodium_bin2hex(hex, sizeof hex, hash, OCTETS);
    key.n = (size_t)snprintf(key.text, sizeof key.text, "%.*s%s", SPAN_ARG(prefix), hex);
    return key;
}

static struct span
key_span(const struct delivered_key *k)
{
    return span_of(k->text, k->n);
}

// ---- what is there ----

static struct ending *
ending_find(const struct account *a, struct span key)
{
    struct ending *e;
    DL_FOREACH(endings, e)
    if (e->account == a && span_eq(key_span(&e->key), key))
        return e;
    return NULL;
}

static enum result
read_value(struct span value, uint64_t *when_out, uint64_t *mailbox_out)
{
    struct unpack u = unpack_of(value);
    *when_out = unpack_u64(&u);
    *mailbox_out = unpack_u64(&u);
    return unpack_end(&u);
}

static bool
is_old(struct span value)
{
    uint64_t when, mailbox;
    return read_value(value, &when, &mailbox) != R_OK ||
           when + KEEP_S < (uint64_t)clock_wall_s();
}

enum result
delivered_find(struct account *a, const struct delivered_key *key, uint64_t *mailbox_out)
{
    struct span value;
    uint64_t when;
    if (state_meta_find(account_state(a), 0, key_span(key), &value) != R_OK ||
        is_old(value) || ending_find(a, key_span(key)) != NULL)
        return R_NONE;
    return read_value(value, &when, mailbox_out) == R_OK ? R_OK : R_NONE;
}

struct record_meta
delivered_note(const struct delivered_key *key, uint64_t mailbox, struct buf *value)
{
    buf_reset(value);
    pack_u64(value, (uint64_t)clock_wall_s());
    pack_u64(value, mailbox);
    return (struct record_meta){.key = key_span(key), .value = buf_span(value)};
}

static enum result
put_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct record_meta *note = arg;
    (void)f;
    note->modseq = change_modseq(a);
    tree_put_meta(b, note);
    return R_OK;
}

enum result
delivered_put(struct account *a, const struct delivered_key *key, uint64_t mailbox,
              struct fault *f)
{
    struct buf value;
    buf_init(&value, 64);
    struct record_meta note = delivered_note(key, mailbox, &value);
    enum result r = account_change(a, put_change, &note, 0, NULL, f);
    buf_done(&value);
    return r;
}

// ---- the end ----

struct dropping {
    struct account *account;
    struct store_batch *batch;
    unsigned n;
};

static void
drop(struct dropping *d, struct span key)
{
    struct record_meta gone = {.modseq = change_modseq(d->account), .key = key};
    tree_put_meta(d->batch, &gone);
    d->n++;
}

static void
drop_old(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    struct dropping *d = arg;
    if (mailbox == 0 && span_starts(key, prefix) && d->n < DROP_MOST && is_old(value))
        drop(d, key);
}

static enum result
end_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct ending *e = arg;
    struct dropping d = {a, b, 0};
    (void)f;
    drop(&d, key_span(&e->key));
    if (random_u64() % LOOK_FOR_OLD == 0)
        state_meta_each(account_state(a), drop_old, &d);
    return R_OK;
}

static void
end_run(void *arg)
{
    struct ending *e = arg;
    struct account *a = e->account;
    struct fault f;
    if (account_change(a, end_change, e, 0, NULL, &f) != R_OK)
        log_warning("lmtp", "a note of a delivery stays", log_user(a->user), log_fault(&f));
    DL_DELETE(endings, e);
    free(e);
    account_unref(a);
}

void
delivered_end(struct account *a, const struct delivered_key *key)
{
    struct span ignored;
    if (state_meta_find(account_state(a), 0, key_span(key), &ignored) != R_OK ||
        ending_find(a, key_span(key)) != NULL)
        return;
    struct ending *e = calloc(1, sizeof *e);
    must(e != NULL);
    *e = (struct ending){.account = a, .key = *key};
    DL_APPEND(endings, e);
    account_ref(a);
    task_start_helper(a->id, end_run, e);
}
