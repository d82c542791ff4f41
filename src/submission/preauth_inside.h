#ifndef SUBMISSION_PREAUTH_INSIDE_H
#define SUBMISSION_PREAUTH_INSIDE_H

// The inside of submission's preauth machine: preauth.c frames what comes in, preauth_verbs.c runs the commands.
// Owner: the gate's connection. Threads: one.

#include "base/limits.h"
#include "submission/preauth.h"

struct submission_preauth {
    struct preauth frame;
    struct buf client;  // the name that it gave; empty: none yet
};
static inline struct buf *
submission_preauth_client(struct preauth *m)
{
    return &((struct submission_preauth *)m)->client;
}

// `code` is both codes, "250 2.0.0".
void submission_preauth_say(struct preauth *m, const char *code, const char *text);
void submission_preauth_say_bad(struct preauth *m, const char *code,
                                const char *text);  // and counts it
// Runs a command, with its line end.
void submission_preauth_dispatch(struct preauth *m, struct span line);

#endif
