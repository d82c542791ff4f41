#include "auth/throttle.h"
#include "base/hash.h"
#include "base/limits.h"
#include "os/network.h"

enum {
    WAYS = 8,
    BUCKETS = LIMIT_auth_penalties / WAYS,
    NETWORKS_MAX = 64,
    FORGET_MS = 120000,
    GOOD_MS = 86400000,
    // Attempts at once from an address without failures that do not slow each other: a household's devices.
    CALM_PARALLEL = 16,
    // Of a user from where they have logged in before: so many failures cost nothing, then each attempt costs this.
    GOOD_FREE = 3,
    GOOD_DELAY_MS = 4000,
    // A wrong password that comes again from the same place is a device that was not told, no guess.
    REPEAT_MS = 3600000,
    REPEAT_DELAY_MS = 2000,
};

static const uint32_t delays_ms[] = {0, 2000, 4000, 8000, 15000};
enum { LEVELS = sizeof delays_ms / sizeof delays_ms[0] };

struct entry {
    uint64_t key;  // 0: free
    uint64_t last_ms;
    uint64_t failed_ms;  // of a pair
    uint32_t failures, running;
};

struct table {
    struct entry entries[BUCKETS][WAYS];
};

struct throttle {
    bool enabled;
    unsigned networks_n;
    struct network networks[NETWORKS_MAX];
    struct table *addresses, *users, *pairs, *repeats;
};

static enum result
address_of(struct span text, uint8_t out[16])
{
    struct fault f;
    struct network one;
    if (network_parse(text, &one, &f) != R_OK || one.bits != 128)
        return R_FAIL;
    memcpy(out, one.address, 16);
    return R_OK;
}

static bool
is_v4(const uint8_t a[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(a, mapped, sizeof mapped) == 0;
}

static enum result
networks_read(struct throttle *t, struct span list, struct fault *f)
{
    struct span word;
    while (span_next_field(&list, ' ', &word) == R_OK) {
        if (word.n == 0)
            continue;
        if (t->networks_n == NETWORKS_MAX)
            return fault_set(f, FAULT_BAD, "more than %d trusted networks", NETWORKS_MAX);
        if (network_parse(word, &t->networks[t->networks_n], f) != R_OK)
            return R_FAIL;
        t->networks_n++;
    }
    return R_OK;
}

static struct table *
table_new(void)
{
    struct table *t = calloc(1, sizeof *t);
    must(t != NULL);
    return t;
}

enum result
throttle_new(bool enabled, struct span networks, struct throttle **out, struct fault *f)
{
    struct throttle *t = calloc(1, sizeof *t);
    must(t != NULL);
    t->enabled = enabled;
    t->addresses = table_new();
    t->users = table_new();
    t->pairs = table_new();
    t->repeats = table_new();
    if (networks_read(t, networks, f)) {
        throttle_free(&t);
        return R_FAIL;
    }
    *out = t;
    return R_OK;
}

void
throttle_enable(struct throttle *t, bool enabled)
{
    t->enabled = enabled;
}

void
throttle_free(struct throttle **t)
{
    if (!*t)
        return;
    free((*t)->addresses);
    free((*t)->users);
    free((*t)->pairs);
    free((*t)->repeats);
    free(*t);
    *t = NULL;
}

static struct entry *
entry_find(struct table *t, uint64_t key)
{
    struct entry *bucket = t->entries[key % BUCKETS];
    for (int i = 0; i < WAYS; i++)
        if (bucket[i].key == key)
            return &bucket[i];
    return NULL;
}

static struct entry *
entry_get(struct table *t, uint64_t key, uint64_t now_ms)
{
    struct entry *e = entry_find(t, key), *bucket = t->entries[key % BUCKETS];
    if (e)
        return e;
    e = &bucket[0];
    for (int i = 1; i < WAYS; i++)
        if (e->key != 0 && (bucket[i].key == 0 || bucket[i].last_ms < e->last_ms))
            e = &bucket[i];
    *e = (struct entry){.key = key, .last_ms = now_ms};
    return e;
}

static void
forget_old(struct entry *e, uint64_t now_ms)
{
    if (now_ms - e->last_ms > FORGET_MS)
        e->failures = 0;
}

static uint32_t
delay_of(uint32_t level)
{
    return delays_ms[level < LEVELS ? level : LEVELS - 1];
}

static uint64_t
key_of(struct span a, struct span b)
{
    struct buf key;
    buf_init(&key, 1024);
    buf_put(&key, a);
    buf_put_char(&key, '\0');
    buf_put(&key, span_slice(b, 0, LIMIT_user_name));
    uint64_t k = hash_keyed(buf_span(&key));
    buf_done(&key);
    return k ? k : 1;
}

static bool
is_exempt(const struct throttle *t, const uint8_t address[16])
{
    for (unsigned i = 0; i < t->networks_n; i++)
        if (network_has(&t->networks[i], address))
            return true;
    return !t->enabled;
}

// NULL: nobody logged in as that user from there within a day.
static struct entry *
good_pair(struct throttle *t, uint64_t pair, uint64_t now_ms)
{
    struct entry *e = entry_find(t->pairs, pair);
    if (!e || now_ms - e->last_ms >= GOOD_MS)
        return NULL;
    if (now_ms - e->failed_ms > FORGET_MS)
        e->failures = 0;
    return e;
}

// Attempts under way count as failures to come, or many could be made before the first one is known.
static uint32_t
address_level(const struct entry *e)
{
    return e->failures > 0 ? e->failures + e->running : e->running / CALM_PARALLEL;
}

uint32_t
throttle_start(struct throttle *t, struct span address, struct span user, uint64_t now_ms,
               struct attempt *out)
{
    uint8_t a[16] = {0};
    *out = (struct attempt){.start_ms = now_ms};
    // What is no address (a unix socket) is a local service.
    if (address_of(address, a) || is_exempt(t, a))
        return 0;
    struct span net = span_of(a, is_v4(a) ? 16 : 8);
    out->address = key_of(net, SPAN_NONE);
    out->user = key_of(SPAN_NONE, user);
    out->pair = key_of(net, user);
    struct entry *e = entry_get(t->addresses, out->address, now_ms);
    forget_old(e, now_ms);
    uint32_t level = address_level(e);
    e->running++;
    struct entry *pair = good_pair(t, out->pair, now_ms);
    if (!pair)
        return delay_of(level);
    out->good = true;
    pair->running++;
    return pair->failures + pair->running <= GOOD_FREE ? 0 : GOOD_DELAY_MS;
}

void
throttle_cancel(struct throttle *t, const struct attempt *a)
{
    struct entry *e = a->address ? entry_find(t->addresses, a->address) : NULL,
                 *pair = a->good ? entry_find(t->pairs, a->pair) : NULL;
    if (e && e->running > 0)
        e->running--;
    if (pair && pair->running > 0)
        pair->running--;
}

void
throttle_success(struct throttle *t, const struct attempt *a, uint64_t now_ms)
{
    if (a->address == 0)
        return;
    throttle_cancel(t, a);
    struct entry *pair = entry_get(t->pairs, a->pair, now_ms);
    pair->last_ms = now_ms;
    pair->failures = 0;
}

static uint32_t
note_failure(struct table *t, uint64_t key, uint64_t now_ms)
{
    struct entry *e = entry_get(t, key, now_ms);
    forget_old(e, now_ms);
    if (e->failures < LEVELS)
        e->failures++;
    e->last_ms = now_ms;
    return e->failures;
}

static bool
is_repeat(struct throttle *t, const struct attempt *a, struct span password,
          uint64_t now_ms)
{
    if (password.n == 0)
        return false;
    uint64_t key = key_of(span_of(&a->pair, sizeof a->pair), password);
    struct entry *e = entry_find(t->repeats, key);
    bool again = e && now_ms - e->last_ms < REPEAT_MS;
    entry_get(t->repeats, key, now_ms)->last_ms = now_ms;
    return again;
}

static uint32_t
rest_of(uint32_t delay, const struct attempt *a, uint64_t now_ms)
{
    uint64_t waited = now_ms - a->start_ms;
    return waited >= delay ? 0 : delay - (uint32_t)waited;
}

// Somebody else behind the same address can fail in a user's name, so it does not make a stranger of the user.
static void
note_pair(struct throttle *t, const struct attempt *a, uint64_t now_ms)
{
    struct entry *pair = good_pair(t, a->pair, now_ms);
    if (!pair)
        return;
    pair->failures += pair->failures < GOOD_FREE;
    pair->failed_ms = now_ms;
}

uint32_t
throttle_failure(struct throttle *t, const struct attempt *a, struct span password,
                 uint64_t now_ms)
{
    if (a->address == 0)
        return 0;
    throttle_cancel(t, a);
    if (is_repeat(t, a, password, now_ms))
        return rest_of(REPEAT_DELAY_MS, a, now_ms);
    note_pair(t, a, now_ms);
    note_failure(t->addresses, a->address, now_ms);
    return rest_of(delay_of(note_failure(t->users, a->user, now_ms) - 1), a, now_ms);
}
