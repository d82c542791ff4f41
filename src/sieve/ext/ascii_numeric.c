// RFC 4790 section 9.1: i;ascii-numeric. Digits at the front count; a text without any is larger than all numbers.

#include "sieve/ext.h"

// The digits without leading zeros; p is NULL where there are none.
static struct span
number_of(struct span s)
{
    size_t zeros = 0, n = 0;
    while (n < s.n && ascii_is_digit(s.p[n]))
        n++;
    if (n == 0)
        return SPAN_NONE;
    while (zeros < n && s.p[zeros] == '0')
        zeros++;
    return span_slice(s, zeros, n);
}

static int
compare(struct span a, struct span b)
{
    struct span x = number_of(a), y = number_of(b);
    if (x.p == NULL || y.p == NULL)
        return (x.p == NULL) - (y.p == NULL);
    if (x.n != y.n)
        return x.n < y.n ? -1 : 1;
    return x.n ? memcmp(x.p, y.p, x.n) : 0;
}

static const struct sieve_comparator comparators[] = {
    {"i;ascii-numeric", COLLATION_OCTET, .compare = compare}, {0}};

const struct sieve_ext sieve_ext_ascii_numeric = {.capability =
                                                      "comparator-i;ascii-numeric",
                                                  .rfc = "RFC 4790",
                                                  .comparators = comparators};
