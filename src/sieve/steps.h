#ifndef SIEVE_STEPS_H
#define SIEVE_STEPS_H

// The steps that a match may take, and a rest for others on the way: one match may be all that a script does.

#include <stdbool.h>
#include <stdint.h>

struct sieve_steps {
    uint64_t left;
    void (*rest)(void *arg);  // NULL: none. Suspends.
    void *arg;
};

enum { STEPS_REST = 1 << 17 };  // about a millisecond

// false: there are not so many left.
static inline bool
sieve_steps_spend(struct sieve_steps *s, uint64_t n)
{
    if (s->left < n)
        return false;
    bool due = s->rest && s->left / STEPS_REST != (s->left - n) / STEPS_REST;
    s->left -= n;
    if (due)
        s->rest(s->arg);
    return true;
}

#endif
