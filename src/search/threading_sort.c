#include "search/threading_inside.h"

// Messages by date: a radix sort, which is stable (equal dates stay in the order of the mailbox) and linear.

struct item {
    uint64_t key;
    uint32_t node;
};

static uint64_t
key_of(const struct threading_entry *m, enum threading_date date)
{
    return (uint64_t)(date == THREADING_SENT ? m->sent_s : m->arrived_s) ^ (1ULL << 63);
}

// Returns the octets in which keys differ from each other, from the lowest on.
static uint64_t
fill(struct threading *t, enum threading_date date, struct item *items)
{
    uint64_t differ = 0;
    for (uint32_t i = 0; i < t->message_count; i++) {
        const struct threading_entry *m = &t->messages[i];
        items[i] = (struct item){key_of(m, date), m->node};
        differ |= items[i].key ^ items[0].key;
        threading_step_done(t);
    }
    return differ;
}

static void
sort_by_octet(struct threading *t, const struct item *from, struct item *to, unsigned shift)
{
    uint32_t at[257] = {0};
    for (uint32_t i = 0; i < t->message_count; i++) {
        at[(from[i].key >> shift & 255) + 1]++;
        threading_step_done(t);
    }
    for (size_t i = 1; i < 257; i++)
        at[i] += at[i - 1];
    for (uint32_t i = 0; i < t->message_count; i++) {
        to[at[from[i].key >> shift & 255]++] = from[i];
        threading_step_done(t);
    }
}

enum result
threading_sort(struct threading *t, enum threading_date date, uint32_t **nodes_out,
               struct fault *f)
{
    struct item *from, *to, *swap;
    uint32_t *nodes;
    size_t n = t->message_count;
    if (threading_array(t, n, sizeof *from, &from, f) != R_OK ||
        threading_array(t, n, sizeof *to, &to, f) != R_OK ||
        threading_array(t, n, sizeof *nodes, &nodes, f) != R_OK)
        return R_FAIL;
    uint64_t differ = fill(t, date, from);
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if (!(differ >> shift & 255))
            continue;
        sort_by_octet(t, from, to, shift);
        swap = from;
        from = to;
        to = swap;
    }
    for (size_t i = 0; i < n; i++)
        nodes[i] = from[i].node;
    *nodes_out = nodes;
    return R_OK;
}
