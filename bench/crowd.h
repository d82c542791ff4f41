#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

// The crowd is all sessions of one run over one epoll. Measuring begins when all are ready (a barrier), except for the
// operations that count whole sessions. Owner: crowd_run. Threads: one.

#include "bench/turn.h"

struct crowd {
    const struct load *l;
    struct measured *m;
    struct fault *f;
    struct session *all;
    size_t n, ready, done;
    int epoll;
    bool standing_by;  // those that stand by send NOOP now
    SSL_CTX *tls;
    uint64_t begun, deliveries;  // turns begun; deliveries of `exists`
    uint64_t deadline_us;        // after which no turn begins
    // `exists`: when DATA ended, when the delivery was answered, when the idler was told
    uint64_t data_us, told_us, heard_us;
};

enum result crowd_connect(struct crowd *c, struct session *s) MUST_CHECK;
enum result crowd_go(struct crowd *c, struct session *s) MUST_CHECK;
// Until `*counter` reaches `goal`; R_FAIL after 600 silent seconds too.
enum result crowd_wait(struct crowd *c, const size_t *counter, size_t goal) MUST_CHECK;
// Answers for sessions of `exists` and `idle`, in watch.c.
enum result watch_answer(struct crowd *c, struct session *s) MUST_CHECK;
enum result watch_run(struct crowd *c) MUST_CHECK;

// Sessions that stand by, in standby.c: each sends NOOP every 5 ms from begin to end.
void standby_place(struct crowd *c);
void standby_answer(struct crowd *c, struct session *s);
// Who is due; called often.
enum result standby_tick(struct crowd *c) MUST_CHECK;
// What was not answered yet counts as long as it has waited.
void standby_end(struct crowd *c);
// False after --count turns, or --limit seconds.
bool crowd_may_begin(const struct crowd *c);

#endif
