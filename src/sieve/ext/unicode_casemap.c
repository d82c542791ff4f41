// RFC 5051: i;unicode-casemap.

#include "sieve/ext.h"

static const struct sieve_comparator comparators[] = {
    {"i;unicode-casemap", COLLATION_CASEMAP, .substring = true}, {0}};

const struct sieve_ext sieve_ext_unicode_casemap = {.capability =
                                                        "comparator-i;unicode-casemap",
                                                    .rfc = "RFC 5051",
                                                    .comparators = comparators};
