#ifndef MAIL_FIXTURE_H
#define MAIL_FIXTURE_H

// For tests: a mail floor on the mem (or embedded) engine with two homes, and a function run as a task in the
// first of them.

#include "mail/user.h"

struct fixture {
    struct mail *mail;
    struct store *store;
};

// Runs test(fixture) in a task on home 0 and comes back when it is done. path NULL: engine mem.
void fixture_run(const char *path, void (*test)(struct fixture *x));

#endif
