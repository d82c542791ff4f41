#include "store/state_inside.h"

#include "base/hash.h"
#include "base/keep.h"
#include "base/limits.h"

// Sets lie one after the other in `numbers`; `slots` is an open hash table of set numbers, never more
// than half full. Set 0 is empty and not in the table.

struct set_place {
    uint32_t at, n;
};

struct keyword_sets {
    uint32_t *numbers;
    size_t number_count, number_cap;
    struct set_place *sets;
    size_t set_count, set_cap;
    uint32_t *slots;
    size_t slot_count;
};

struct keyword_sets *
keyword_sets_new(void)
{
    struct keyword_sets *s = KEEP_NEW(struct keyword_sets);
    s->set_cap = 2;
    s->sets = keep_new(s->set_cap * sizeof *s->sets);
    s->sets[0] = (struct set_place){0, 0};
    s->set_count = 1;
    return s;
}

void
keyword_sets_free(struct keyword_sets **sets)
{
    struct keyword_sets *s = *sets;
    if (!s)
        return;
    keep_free(s->numbers, s->number_cap * sizeof *s->numbers);
    keep_free(s->sets, s->set_cap * sizeof *s->sets);
    keep_free(s->slots, s->slot_count * sizeof *s->slots);
    KEEP_FREE(s);
    *sets = NULL;
}

size_t
keyword_sets_memory(const struct keyword_sets *s)
{
    if (!s)
        return 0;
    return sizeof *s + s->number_cap * sizeof *s->numbers + s->set_cap * sizeof *s->sets +
           s->slot_count * sizeof *s->slots;
}

size_t
keyword_sets_count(const struct keyword_sets *s)
{
    return s->set_count;
}

const uint32_t *
keyword_sets_get(const struct keyword_sets *s, uint32_t set, size_t *n_out)
{
    must(set < s->set_count);
    *n_out = s->sets[set].n;
    return s->numbers ? s->numbers + s->sets[set].at : NULL;
}

static struct span
set_bytes(const struct keyword_sets *s, uint32_t set)
{
    return span_of(s->numbers + s->sets[set].at, s->sets[set].n * sizeof *s->numbers);
}

static size_t
find_slot(const struct keyword_sets *s, struct span bytes)
{
    size_t at = hash_keyed(bytes) & (s->slot_count - 1);
    while (s->slots[at] != 0 && !span_eq(set_bytes(s, s->slots[at]), bytes))
        at = (at + 1) & (s->slot_count - 1);
    return at;
}

static void
grow_slots(struct keyword_sets *s)
{
    keep_free(s->slots, s->slot_count * sizeof *s->slots);
    s->slot_count = s->slot_count > 0 ? s->slot_count * 2 : 16;
    s->slots = keep_new(s->slot_count * sizeof *s->slots);
    for (uint32_t set = 1; set < s->set_count; set++)
        s->slots[find_slot(s, set_bytes(s, set))] = set;
}

static uint32_t
add_set(struct keyword_sets *s, const uint32_t *numbers, size_t n)
{
    if (s->number_count + n > s->number_cap) {
        size_t cap = (s->number_count + n) * 2, one = sizeof *s->numbers;
        s->numbers = keep_grow(s->numbers, s->number_cap * one, cap * one);
        s->number_cap = cap;
    }
    if (s->set_count == s->set_cap) {
        size_t one = sizeof *s->sets;
        s->sets = keep_grow(s->sets, s->set_cap * one, s->set_cap * 2 * one);
        s->set_cap *= 2;
    }
    memcpy(s->numbers + s->number_count, numbers, n * sizeof *numbers);
    s->sets[s->set_count] = (struct set_place){(uint32_t)s->number_count, (uint32_t)n};
    s->number_count += n;
    return (uint32_t)s->set_count++;
}

uint32_t
keyword_sets_intern(struct keyword_sets *s, const uint32_t *numbers, size_t n)
{
    if (n == 0)
        return 0;
    if (s->set_count * 2 >= s->slot_count)
        grow_slots(s);
    size_t at = find_slot(s, span_of(numbers, n * sizeof *numbers));
    if (s->slots[at] == 0)
        s->slots[at] = add_set(s, numbers, n);
    return s->slots[at];
}

static uint32_t
intern_list(struct keyword_sets *s, struct span list)
{
    uint32_t numbers[LIMIT_keywords];
    size_t n = 0;
    struct unpack u = unpack_of(list);
    while (n < LIMIT_keywords && record_keywords_next(&u, &numbers[n]) == R_OK)
        n++;
    return keyword_sets_intern(s, numbers, n);
}

// Most rows have none: they do not pay for the room of the numbers, which the compiler sets to zero.
uint32_t
keyword_sets_intern_packed(struct keyword_sets *s, struct span list)
{
    return list.n == 0 ? 0 : intern_list(s, list);
}

void
keyword_sets_pack(const struct keyword_sets *s, uint32_t set, struct buf *b)
{
    size_t n;
    const uint32_t *numbers = keyword_sets_get(s, set, &n);
    for (size_t i = 0; i < n; i++)
        record_keywords_add(b, numbers[i]);
}
