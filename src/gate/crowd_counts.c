#include "gate/crowd_counts.h"
#include "base/hash.h"

void
crowd_counts_init(struct crowd_counts *c)
{
    for (size_t i = 0; i < CROWD_HASHES; i++)
        c->seed[i] = random_u64();
}

void
crowd_counts_clear(struct crowd_counts *c, unsigned gate)
{
    memset(&c->parts[gate], 0, sizeof c->parts[gate]);
}

static size_t
place_of(const struct crowd_counts *c, size_t hash, struct span address)
{
    char seeded[64];
    must(address.n <= sizeof seeded - sizeof c->seed[0]);
    memcpy(seeded, &c->seed[hash], sizeof c->seed[0]);
    memcpy(seeded + sizeof c->seed[0], address.p, address.n);
    return hash64(span_of(seeded, sizeof c->seed[0] + address.n)) % CROWD_COUNTERS;
}

void
crowd_counts_add(struct crowd_counts *c, unsigned gate, struct span address, int sign)
{
    for (size_t h = 0; h < CROWD_HASHES; h++) {
        atomic_ushort *n = &c->parts[gate].of[h][place_of(c, h, address)];
        atomic_store_explicit(
            n, (unsigned short)(atomic_load_explicit(n, memory_order_relaxed) + sign),
            memory_order_relaxed);
    }
}

unsigned
crowd_counts_elsewhere(const struct crowd_counts *c, unsigned gate, unsigned gates,
                       struct span address)
{
    size_t place[CROWD_HASHES];
    unsigned sum = 0;
    for (size_t h = 0; h < CROWD_HASHES; h++)
        place[h] = place_of(c, h, address);
    for (unsigned g = 0; g < gates; g++) {
        unsigned least = UINT16_MAX;
        for (size_t h = 0; h < CROWD_HASHES; h++) {
            unsigned n =
                atomic_load_explicit(&c->parts[g].of[h][place[h]], memory_order_relaxed);
            least = n < least ? n : least;
        }
        sum += g == gate ? 0 : least;
    }
    return sum;
}
