#ifndef PIPE_PIPE_H
#define PIPE_PIPE_H

// A pipe gives a message to a program of the administrator (the Sieve extension vnd.dovecot.pipe). Mail asks for it by a name and
// arguments (pipe/link.h); the role pipe looks into the one folder that has programs (pipe/folder.h) and starts it (pipe/job.h).
// Trust: names, arguments and addresses come from scripts and messages.

#include "base/pack.h"

enum pipe_status {
    PIPE_DONE,     // it ended with 0
    PIPE_FAILED,   // it ended otherwise, or took too long
    PIPE_MISSING,  // there is no such program, or none that may be run
    PIPE_STATUSES
};

// None of the texts has a NUL.
struct pipe_call {
    struct span program;
    struct span arguments;  // packed spans
    // USER; SENDER and RECIPIENT as the envelope has them; ORIG_RECIPIENT as it was before rewriting, where that is known
    struct span user, from, to, original;
};
void pipe_call_put(struct buf *b, const struct pipe_call *c);
enum result pipe_call_get(struct span packed, struct pipe_call *out) MUST_CHECK;

#endif
