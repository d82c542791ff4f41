#ifndef GATE_MTA_INSIDE_H
#define GATE_MTA_INSIDE_H

// The inside of an mta: the connection (mta.c) and its requests (mta_request.c).
// Owner: the mta owns its requests. Threads: the gate's loop.

#include "gate/inside.h"
#include "wire/auth_line.h"

struct mta_request;

struct mta {
    struct mta *prev, *next;
    struct gate *gate;
    struct conn *conn;
    struct mta_request *requests;  // by id
    struct timer silence;          // of the handshake, then between requests
    struct timer flush;            // while answers are not taken
    bool heard;                    // our side of the handshake was said
    bool greeted, known;           // VERSION came; CPID came
    uint32_t minor;                // of its version
};

// R_FAIL: not what may be said now; the connection is to end.
enum result mta_request_take(struct mta *m, const struct auth_line *line,
                             struct fault *f) MUST_CHECK;
// The mechanisms of auth's offer that work here, as MECH lines.
void mta_request_put_mechanisms(const struct gate *g, struct buf *b);
void mta_request_drop_all(struct mta *m);
void mta_request_fail_all(struct mta *m);  // for now

#endif
