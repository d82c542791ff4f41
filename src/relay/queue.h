#ifndef RELAY_QUEUE_H
#define RELAY_QUEUE_H

// The queue of mail that goes out: what is in data/queue, when each mail is tried, the workers that talk to the smarthost,
// and the reports to senders. For the role relay.
// Whatever was taken is in a file until each recipient has it, or its sender was told; outcomes are on disk before the next step, so that
// a kill at any moment loses nothing, and sends at most that mail again whose last 250 was not written down yet.
// Owner: the role. Threads: the loop's; files are written by the pool's.

#include "relay/smtp.h"

struct pool;
struct relay_queue;

struct relay_queue_options {
    const char *path;  // the folder
    struct smarthost host;
    struct pool *pool;        // for files
    struct pool *connectors;  // one thread for each connection: names and connects may hang
    uint32_t retry_ms;  // after the first failure, then doubled; never above retry_most_ms
    uint32_t retry_most_ms;
    // Suspends. A report's text for a user here: enum relay_return_verdict.
    uint8_t (*give_back)(void *arg, struct span address, int fd, uint64_t at,
                         uint64_t size);
    void *arg;
};

// Opens the folder, which it makes when missing, and reads what is there. Blocks; before the loop runs.
enum result relay_queue_open(const struct relay_queue_options *o, struct relay_queue **out,
                             struct fault *f) MUST_CHECK;
// expire_s: so long is tried; delay_s: after so long the sender is told that it takes time (0: never).
void relay_queue_patience(struct relay_queue *q, uint64_t expire_s, uint64_t delay_s);
void relay_queue_start(struct relay_queue *q);  // in the loop
// Tries no more, and lets what is under way end.
void relay_queue_drain(struct relay_queue *q);
bool relay_queue_busy(const struct relay_queue *q);

// Suspends. Durable when R_OK. `envelope` is packed (relay/envelope.h).
enum result relay_queue_take(struct relay_queue *q, struct span envelope,
                             const struct relay_text *text, uint64_t *id_out,
                             struct fault *f) MUST_CHECK;
// Suspends. The verbs of `posthorn queue`; rows (field_put_row) are put into `rows`.
enum result relay_queue_verb(struct relay_queue *q, struct span verb,
                             const struct span *args, size_t n, struct buf *rows,
                             struct fault *f) MUST_CHECK;

#endif
