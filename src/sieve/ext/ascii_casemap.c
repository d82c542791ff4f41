// RFC 5228 section 2.7.3, RFC 4790 section 9.2: i;ascii-casemap.

#include "sieve/ext.h"

static const struct sieve_comparator comparators[] = {
    {"i;ascii-casemap", COLLATION_ASCII, .substring = true}, {0}};

// The comparator is part of the base; `require` may name it.
const struct sieve_ext sieve_ext_ascii_casemap = {.capability =
                                                      "comparator-i;ascii-casemap",
                                                  .rfc = "RFC 5228",
                                                  .comparators = comparators,
                                                  .always = true};
