#ifndef IO_CONN_STAGE_H
#define IO_CONN_STAGE_H

// The stage of the conn tests: two conns on one loop, `near` and `far`, plain or TLS.

#include "io/conn.h"
#include "io/loop.h"

#include <openssl/ssl.h>
#include <stdbool.h>

struct stage {
    struct conn *near, *far;
    struct buf got;  // what far received
    size_t want;     // stop when got has that many octets
    void (*play)(struct stage *s);
    bool tls, split_reads, split_writes;
    int near_calls, near_ends;
    bool far_failed;
    struct timer timer;
    bool task_over;
    size_t memory_peak;
    char why[80];
};

extern char stage_sample[300000];  // random octets
extern SSL_CTX *stage_server, *stage_client;

int stage_setup(void **state);  // of the test group: certificates, the sample
int stage_teardown(void **state);
// Opens both conns in a loop and calls play there; over when stage_stop was called, and then both conns are closed.
void stage_run(struct stage *s, void (*play)(struct stage *s));
void stage_stop(void);
void stage_pair(int fds[2]);
// The handlers to begin with: far collects into `got`, near sends back what it reads.
void stage_collect(struct conn *c, void *arg);
void stage_echo(struct conn *c, void *arg);

#endif
