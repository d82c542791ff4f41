#ifndef SIEVE_GLOB_H
#define SIEVE_GLOB_H

// :matches (RFC 5228 section 2.7.1): '*' any characters, '?' one, '\' before a character: itself. No recursion; at most as many
// steps as pattern times value, and they are counted. Wildcards take as little as they can (RFC 5229 section 3.2).
// Trust: none.

#include "base/limits.h"
#include "sieve/ext.h"

// How two texts are compared: octets of folded text, or characters that are folded one by one.
struct sieve_glob {
    struct span pattern, value;
    bool characters;
    enum collation collation;                 // where they are characters
    struct span taken[LIMIT_sieve_captures];  // parts of value; [0] is all
    size_t n;
    struct sieve_steps *steps;
};

// R_FAIL: more steps than there may be. Suspends where the steps have a rest.
enum result sieve_glob(struct sieve_glob *g, bool *yes) MUST_CHECK;

#endif
