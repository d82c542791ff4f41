#ifndef LMTP_QUESTION_H
#define LMTP_QUESTION_H

// Connections of a mail transfer agent that asks questions, one after the other: the policy service, the maps.
// Owner: a session owns itself and its connection until that ends. Threads: the loop it was started on.
// Trust: who may connect is decided before, as for LMTP. A question that cannot be read ends the connection without an answer.

#include "lmtp/lmtp.h"

enum { QUESTION_BAD = -1 };

struct question_ops {
    const char *name;  // "policy", for the log
    size_t max;        // octets of one question
    // Octets of the first question, 0: it is not whole yet, QUESTION_BAD: it will be none.
    long (*end)(struct span input);
    // Suspends. R_FAIL: not understood.
    enum result (*answer)(const struct lmtp_host *host, struct conn *conn,
                          struct span question, struct fault *f);
};

// Takes conn over; host and ops must outlive it.
void question_session_start(struct conn *conn, const struct lmtp_host *host,
                            const struct question_ops *ops);
void question_session_drain(void);  // ends all sessions of this thread, between questions
unsigned question_session_count(void);  // of this thread

#endif
