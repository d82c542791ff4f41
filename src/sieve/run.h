#ifndef SIEVE_RUN_H
#define SIEVE_RUN_H

// A run in the inside: what run.c, outcome.c and match.c share.

#include "base/limits.h"
#include "sieve/message.h"

// A script at work; one that is included stands on the one that includes it (RFC 6609).
struct sieve_frame {
    const struct sieve_program *program;
    size_t pc;
    bool flag;
    struct buf **variables;
    struct span name;  // of an included script
    bool global;       // it is the administrator's
    struct buf capture_text;
    size_t capture_end[LIMIT_sieve_captures + 1];
    unsigned captures;
    void *loops;  // that were at work where it began (foreverypart)
    struct sieve_frame *below;
};

// A variable that scripts share.
struct sieve_shared {
    struct span name;
    struct buf value;
    struct sieve_shared *next;
};

struct sieve_run {
    struct arena *arena, *scratch;
    const struct sieve_world *world;
    struct sieve_frame *frame;
    struct sieve_outcome *out;
    struct sieve_action **last;
    struct sieve_message message, before_enclosed;
    bool enclosed;
    bool stopped, keep_cancelled;
    unsigned actions, redirects, notifications;
    unsigned asked;  // addresses, whether they are the user's
    uint64_t work, work_max;
    size_t held;  // of variables, captures and other texts, outside of the two arenas
    struct sieve_shared *shared;
    void *state[SIEVE_EXTS];
};

enum result sieve_push(struct sieve_run *r, const struct sieve_program *p) MUST_CHECK;
void sieve_pop(struct sieve_run *r);
// What is in the scratch arena from here on goes with sieve_scratch_end; takes the arena of before.
struct arena *sieve_scratch_begin(struct sieve_run *r);
void sieve_scratch_end(struct sieve_run *r, struct arena *before);
// The implicit keep, where nothing cancelled it.
void sieve_finish(struct sieve_run *r);
void sieve_fail_finish(struct sieve_run *r);

#endif
