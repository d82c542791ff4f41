#include "bench/tally.h"

#include "base/fault.h"

void
tally_add(struct tally *t, uint64_t us)
{
    if (t->n == t->room) {
        t->room = t->room * 2 + 1024;
        t->us = reallocarray(t->us, t->room, sizeof *t->us);
        must(t->us != NULL);
    }
    t->us[t->n++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int
compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

double
tally_ms(struct tally *t, double percent)
{
    if (t->n == 0)
        return 0;
    qsort(t->us, t->n, sizeof *t->us, compare);
    size_t at = (size_t)(percent / 100 * (double)(t->n - 1) + 0.5);
    return t->us[at] / 1000.0;
}

void
tally_done(struct tally *t)
{
    free(t->us);
    *t = (struct tally){0};
}
