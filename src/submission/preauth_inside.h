#ifndef SUBMISSION_PREAUTH_INSIDE_H
#define SUBMISSION_PREAUTH_INSIDE_H

// The inside of submission's preauth machine: preauth.c frames what comes in, preauth_verbs.c runs the commands.
// Owner: the gate's connection. Threads: one.

#include "base/limits.h"
#include "submission/preauth.h"

struct preauth {
    const struct preauth_facts *facts;
    const struct preauth_ops *ops;
    void *gate;
    enum preauth_state state;
    bool in_sasl;  // the next line is a SASL response
    bool is_lost;  // and there is no exchange any more
    enum fault_kind lost_to;
    unsigned bad;
    struct buf client;  // the name that it gave; empty: none yet
};

// `code` is both codes, "250 2.0.0".
void submission_preauth_say(struct preauth *m, const char *code, const char *text);
void submission_preauth_say_bad(struct preauth *m, const char *code,
                                const char *text);  // and counts it
void submission_preauth_refuse(struct preauth *m, enum fault_kind kind);
void submission_preauth_finish(struct preauth *m);
// Runs a command, with its line end.
void submission_preauth_dispatch(struct preauth *m, struct span line);

#endif
