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
    SSL_CTX *tls;
    uint64_t begun, deliveries;  // turns begun; deliveries of `exists`
    // `exists`: when the delivery was answered, when the idler was told
    uint64_t told_us, heard_us;
};

enum result crowd_connect(struct crowd *c, struct session *s) MUST_CHECK;
enum result crowd_go(struct crowd *c, struct session *s) MUST_CHECK;
// Until `*counter` reaches `goal`; R_FAIL after 60 silent seconds too.
enum result crowd_wait(struct crowd *c, const size_t *counter, size_t goal) MUST_CHECK;
// Answers for sessions of `exists` and `idle`, in watch.c.
enum result watch_answer(struct crowd *c, struct session *s) MUST_CHECK;
enum result watch_run(struct crowd *c) MUST_CHECK;

#endif
