#include "ctl/nearest.h"

enum { NEAREST_MAX = 40 };

static unsigned
least(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

// Levenshtein, one row at a time.
static unsigned
edits(struct span a, struct span b)
{
    unsigned row[NEAREST_MAX + 1];
    for (unsigned j = 0; j <= b.n; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            unsigned change =
                diagonal + (ascii_lower(a.p[i - 1]) != ascii_lower(b.p[j - 1]));
            diagonal = row[j];
            row[j] = least(row[j] + 1, row[j - 1] + 1, change);
        }
    }
    return row[b.n];
}

struct nearest
nearest_start(struct span name)
{
    return (struct nearest){span_slice(name, 0, NEAREST_MAX), NULL, 0};
}

void
nearest_offer(struct nearest *n, const char *candidate)
{
    unsigned d = edits(n->name, span_slice(span_str(candidate), 0, NEAREST_MAX));
    if (n->best == NULL || d < n->distance) {
        n->best = candidate;
        n->distance = d;
    }
}

const char *
nearest_answer(const struct nearest *n)
{
    return n->best != NULL && n->distance <= 1 + n->name.n / 3 ? n->best : NULL;
}
