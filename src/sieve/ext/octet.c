// RFC 5228 section 2.7.3, RFC 4790 section 9.3: i;octet.

#include "sieve/ext.h"

static const struct sieve_comparator comparators[] = {
    {"i;octet", COLLATION_OCTET, .substring = true}, {0}};

// The comparator is part of the base; `require` may name it.
const struct sieve_ext sieve_ext_octet = {.capability = "comparator-i;octet",
                                          .rfc = "RFC 5228",
                                          .comparators = comparators,
                                          .always = true};
