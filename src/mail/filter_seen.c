#include "mail/filter_seen.h"

#include "base/arena_grow.h"
#include "mail/home.h"
#include "mail/tree_record.h"

#include <openssl/evp.h>

static const struct span prefix = SPAN("filter/seen/");

static struct span
key_span(const struct filter_mark *m)
{
    return span_of(m->key, strnlen(m->key, FILTER_SEEN_KEY));
}

static void
make_key(char key[FILTER_SEEN_KEY], enum filter_seen_kind kind, struct span id)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char hash[32];
    size_t n = prefix.n;
    must(EVP_Digest(id.p ? id.p : "", id.n, hash, NULL, EVP_sha256(), NULL) == 1);
    memset(key, 0, FILTER_SEEN_KEY);
    memcpy(key, prefix.p, prefix.n);
    key[n++] = (char)kind;
    key[n++] = '/';
    for (size_t i = 0; i < 16; i++) {
        key[n++] = digits[hash[i] >> 4];
        key[n++] = digits[hash[i] & 15];
    }
    must(n < FILTER_SEEN_KEY);
}

static bool
until_of(struct span stored, int64_t *out)
{
    struct unpack u = unpack_of(stored);
    *out = (int64_t)unpack_u64(&u);
    return unpack_end(&u) == R_OK;
}

static bool
is_seen(struct account *a, struct span key, int64_t now_s)
{
    struct span stored;
    int64_t until;
    return state_meta_find(a->state, 0, key, &stored) == R_OK && until_of(stored, &until) &&
           until > now_s;
}

static struct filter_mark *
find_mark(struct filter_marks *marks, const char *key)
{
    for (size_t i = 0; i < marks->n; i++)
        if (memcmp(marks->p[i].key, key, FILTER_SEEN_KEY) == 0)
            return &marks->p[i];
    return NULL;
}

enum result
filter_seen(struct account *a, struct filter_marks *marks, const struct filter_ask *ask,
            bool *seen_out, struct fault *f)
{
    struct filter_mark mark = {.until_s = marks->now_s + (int64_t)ask->seconds};
    *seen_out = false;
    if (ask->seconds == 0)
        return R_OK;
    make_key(mark.key, ask->kind, ask->id);
    *seen_out = is_seen(a, key_span(&mark), marks->now_s);
    mark.fresh = !*seen_out;
    if (*seen_out && !ask->last)
        return R_OK;
    struct filter_mark *m = find_mark(marks, mark.key);
    if (!m && marks->n == LIMIT_sieve_marks)
        return fault_set(f, FAULT_LIMIT, "more than %d ids are to be remembered",
                         LIMIT_sieve_marks);
    if (!m)
        m = &marks->p[marks->n++];
    *m = mark;
    return R_OK;
}

void
filter_marks_redirected(struct filter_marks *marks)
{
    size_t n = 0;
    for (size_t i = 0; i < marks->n; i++)
        if (marks->p[i].key[prefix.n] == SEEN_REDIRECTED)
            marks->p[n++] = marks->p[i];
    marks->n = n;
}

enum result
filter_marks_check(struct account *a, void *arg, struct fault *f)
{
    const struct filter_marks *marks = arg;
    for (size_t i = 0; i < marks->n; i++)
        if (marks->p[i].fresh && is_seen(a, key_span(&marks->p[i]), marks->now_s))
            return fault_set(f, FAULT_INUSE, "another delivery has the same id");
    return R_OK;
}

// ---- what holds no more ----

struct old {
    struct account *account;
    int64_t now_s;
    struct old_mark {
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
    if (mailbox != 0 || !span_starts(key, prefix) || !until_of(value, &until))
        return;
    o->p = arena_grow(o->account->batch_arena, o->p, o->n, &o->room, sizeof *o->p);
    o->p[o->n++] = (struct old_mark){key, until};
}

static int
by_until(const void *x, const void *y)
{
    const struct old_mark *a = x, *b = y;
    return a->until_s < b->until_s ? -1 : a->until_s > b->until_s;
}

static void
put_mark(struct account *a, struct store_batch *b, struct span key, struct span value)
{
    struct record_meta r = {.modseq = change_modseq(a), .key = key, .value = value};
    tree_put_meta(b, &r);
}

// Past their time, and what LIMIT_sieve_seen has no room for: those that end first.
static void
forget_old(struct account *a, struct store_batch *b, int64_t now_s)
{
    struct old o = {.account = a, .now_s = now_s};
    state_meta_each(a->state, old_each, &o);
    if (o.n > 1)
        qsort(o.p, o.n, sizeof *o.p, by_until);
    size_t over = o.n > LIMIT_sieve_seen ? o.n - LIMIT_sieve_seen : 0;
    for (size_t i = 0; i < o.n && i < LIMIT_batch_changes; i++)
        if (i < over || o.p[i].until_s <= now_s)
            put_mark(a, b, arena_dup(a->batch_arena, o.p[i].key), SPAN_NONE);
}

// Before what is new: a key whose time is over may be among that.
static void
look_through(struct account *a, struct store_batch *b, const struct filter_marks *marks)
{
    enum { ROUND_S = 3600, ROUND_PUTS = 256 };
    bool due = a->seen_puts >= ROUND_PUTS || marks->now_s >= a->seen_round_s + ROUND_S ||
               marks->now_s < a->seen_round_s;
    if (!due)
        return;
    a->seen_puts = 0;
    a->seen_round_s = marks->now_s;
    forget_old(a, b, marks->now_s);
}

void
filter_marks_put(struct account *a, struct store_batch *b, void *arg)
{
    const struct filter_marks *marks = arg;
    if (marks->n > 0)
        look_through(a, b, marks);
    for (size_t i = 0; i < marks->n; i++) {
        struct buf value;
        buf_init(&value, sizeof(uint64_t));
        pack_u64(&value, (uint64_t)marks->p[i].until_s);
        put_mark(a, b, key_span(&marks->p[i]), buf_span(&value));
        buf_done(&value);
    }
    a->seen_puts += (unsigned)marks->n;
}
