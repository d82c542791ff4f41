#ifndef SIEVE_CASES_H
#define SIEVE_CASES_H

// Reads the tables of tests/sieve for the tests and the fuzzer.

#include "sieve/sieve.h"

enum { CASE_FACTS = 16 };

struct sieve_case {
    const char *file;
    unsigned line;
    struct span name;
    struct buf script, message, want;  // want: lines as they are printed
    struct span from, to;
    bool has_envelope;
    struct span facts[CASE_FACTS];  // "mailbox Lists", "use \Junk Spam", ...
    size_t n_facts;
};

void sieve_cases_read(const char *folder, const char *file,
                      void (*run)(const struct sieve_case *c));
void sieve_case_world(struct arena *a, const struct sieve_case *c, struct sieve_world *out);

#endif
