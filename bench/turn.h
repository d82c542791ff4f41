#ifndef BENCH_TURN_H
#define BENCH_TURN_H

// A turn is one operation of one session, in one or more steps; these functions put the bytes of each step into s->out and
// set what is awaited. Threads: one.

#include "bench/load.h"
#include "bench/session.h"

enum phase {
    PHASE_GREETING,
    PHASE_LOGIN,
    PHASE_PREPARE,
    PHASE_READY,
    PHASE_BUSY,
    PHASE_DATA,  // the second step of LMTP
    PHASE_IDLE,
    PHASE_DONE
};

// The step after an answer, while a session gets ready: PHASE_READY when it is.
void turn_prepare(const struct load *l, struct session *s);
void turn_begin(const struct load *l, struct session *s);
// After an answer within a turn: true when the turn is over.
bool turn_step(const struct load *l, struct session *s);

#endif
