// Sequence sets against a bit map: parse, print, contains, size, iteration, the packed form and adding one by one in
// another order all tell the same set.
#include "wire/seqset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STAR = 1000, SMALL = 4096 };

static bool
same(const struct seqset *a, const struct seqset *b)
{
    return a->count == b->count &&
           (a->count == 0 ||
            memcmp(a->ranges, b->ranges, a->count * sizeof *a->ranges) == 0);
}

static void
check_order(const struct seqset *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        must(s->ranges[i].first >= 1 && s->ranges[i].first <= s->ranges[i].last);
        must(i == 0 || s->ranges[i - 1].last + (uint64_t)1 < s->ranges[i].first);
        sum += (uint64_t)s->ranges[i].last - s->ranges[i].first + 1;
    }
    must(seqset_size(s) == sum);
}

static void
check_forms(const struct seqset *s, struct arena *a)
{
    struct seqset back, packed;
    struct buf b;
    struct fault f;
    buf_init(&b, 1 << 24);
    seqset_print(s, &b);
    if (s->count > 0)
        must(seqset_parse(buf_span(&b), 1, a, &back, &f) == R_OK && same(&back, s));
    buf_reset(&b);
    seqset_put(&b, s);
    struct unpack u = unpack_of(buf_span(&b));
    must(seqset_get(&u, a, &packed) == R_OK && unpack_end(&u) == R_OK && same(&packed, s));
    buf_done(&b);
}

// Members of a small set, one by one, against the text read naively: "a", "a:b", either way round, '*'.
static uint32_t
number(struct span text)
{
    uint32_t n = STAR;
    if (!span_eq(text, SPAN("*")))
        must(span_to_u32(text, &n) == R_OK);
    return n;
}

static void
check_members(const struct seqset *s, struct span text, struct arena *a)
{
    static bool map[SMALL + 1];
    struct seqset_iter it = {0};
    struct seqset again;
    struct span item;
    uint32_t n, found = 0;
    memset(map, 0, sizeof map);
    while (span_next_field(&text, ',', &item) == R_OK) {
        size_t cut = span_find_char(item, ':');
        uint32_t x = number(span_slice(item, 0, cut)),
                 y = cut < item.n ? number(span_skip(item, cut + 1)) : x;
        for (n = x < y ? x : y; n <= (x < y ? y : x); n++)
            map[n] = true;
    }
    seqset_init(&again, a);
    for (n = SMALL; n > 0; n--) {
        must(seqset_contains(s, n) == map[n]);
        if (map[n])
            seqset_add(&again, n);
        found += map[n];
    }
    must(same(&again, s) && seqset_size(s) == found);
    for (n = 0; seqset_next(s, &it, &n); found--)
        must(map[n]);
    must(found == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct span in = span_of(data, size);
    struct seqset s, back;
    struct fault f;
    if (seqset_parse(in, STAR, a, &s, &f) == R_OK) {
        must(s.count > 0 && seqset_span(in) == in.n);
        check_order(&s);
        check_forms(&s, a);
        if (s.ranges[s.count - 1].last <= SMALL)
            check_members(&s, in, a);
    }
    if (seqset_parse(in, 0, a, &s, &f) == R_OK)  // an empty mailbox
        check_order(&s);
    struct unpack u = unpack_of(in);
    if (seqset_get(&u, a, &back) == R_OK) {
        check_order(&back);
        check_forms(&back, a);
    }
    arena_free(&a);
    return 0;
}
