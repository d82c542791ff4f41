#ifndef SIEVE_REGEX_INSIDE_H
#define SIEVE_REGEX_INSIDE_H

// The program of a regular expression: what regex.c makes and regex_run.c follows.

#include "sieve/regex.h"

enum { REGEX_GROUPS = 32 };

enum regex_op {
    STEP_POINT,  // a: the character
    STEP_ANY,
    STEP_IN,  // one of the ranges [a, b)
    STEP_NOT_IN,
    STEP_BEGIN,
    STEP_END,
    STEP_SAVE,   // a: which place
    STEP_JUMP,   // to a
    STEP_SPLIT,  // to a, and to b if that does not match
    STEP_MATCH,
};

struct regex_step {
    enum regex_op op;
    uint32_t a, b;
};

struct regex_range {
    uint32_t low, high;
};

struct sieve_regex {
    struct regex_step *steps;
    size_t n;
    struct regex_range *ranges;
    size_t n_ranges;
    uint32_t groups;
    size_t effort;  // steps that were made, with those that were copied or thrown away
    enum collation collation;
};

// The small letter, or the capital, that the character is the same as; else itself.
uint32_t regex_small(enum collation collation, uint32_t point);
uint32_t regex_capital(enum collation collation, uint32_t point);

#endif
