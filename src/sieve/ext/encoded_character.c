// RFC 5228 section 2.4.2.4: ${hex:} and ${unicode:} in strings. What it does is in string.c, as it changes how all strings
// are read.

#include "sieve/ext.h"

const struct sieve_ext sieve_ext_encoded_character = {
    .capability = "encoded-character", .rfc = "RFC 5228", .lexical = true};
