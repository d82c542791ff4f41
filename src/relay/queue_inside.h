#ifndef RELAY_QUEUE_INSIDE_H
#define RELAY_QUEUE_INSIDE_H

// The inside of the queue, for src/relay/queue*.c, worker.c and report.c only.

#include "relay/queue.h"
#include "base/hash.h"
#define HASH_FUNCTION(key, n, out) ((out) = (unsigned)hash_keyed(span_of((key), (n))))
#include "base/table.h"
#include "io/loop.h"
#include "io/task.h"

// A mail as the queue remembers it; all else is read from its file when it is needed.
struct queue_entry {
    struct queue_entry *prev, *next;  // of the list it is in
    uint64_t id;
    uint64_t size;
    int64_t created_s;
    int64_t next_ms;  // wall clock
    int64_t hold_until_s;
    uint32_t recipients, waiting, tries;
    bool held, ready, busy;
    bool host_failed;  // it waits because the smarthost itself did not work
    bool deleted;      // by a verb, while it was busy
    bool held_unwritten;
    unsigned unsure;  // texts that the smarthost did not answer
    bool gone;        // forgotten, but for a visit
    unsigned visits;  // under way
    UT_hash_handle hh;
};

struct queue_counts {
    uint64_t taken, sent, deferred, failed, expired, reports, returned;
};

struct queue_worker;
struct relay_queue {
    struct relay_queue_options o;
    uint64_t expire_s, delay_s;
    int folder;
    struct queue_entry *entries;          // by id
    struct queue_entry *ready, *waiting;  // lists
    unsigned count, on_the_way;
    uint64_t octets, octets_on_the_way;
    unsigned unreadable;  // files that stay where they are
    struct timer look;
    struct queue_worker *idle;
    unsigned workers;
    bool draining;
    struct queue_counts counts, told;
    struct timer telling;
    struct {
        int64_t rest_until_ms;  // nobody connects before: it failed
        uint32_t failures;
        char why[200];
    } smarthost;
};

// One visit of a mail: what its file says, in an arena, and what is written back.
struct queue_visit {
    struct relay_queue *queue;
    struct queue_entry *entry;
    struct arena *arena;
    struct queue_mail mail;
    int fd;
    size_t *changed;  // recipients whose outcome is to be written down
    size_t changed_n;
    bool verify;
    bool damaged;  // the text is not what it was; envelope and notes are
    struct span note;
    enum result result;
    struct fault fault;
};

// queue.c
void queue_later(struct relay_queue *q, struct queue_entry *e, int64_t next_ms);
void queue_now(struct relay_queue *q, struct queue_entry *e);
void queue_forget(struct relay_queue *q, struct queue_entry *e);
// Said in the log, and counted.
void queue_unreadable(struct relay_queue *q, uint64_t id, const struct fault *f);
void queue_wake(struct relay_queue *q);  // something may be due
struct queue_entry *queue_find(struct relay_queue *q, uint64_t id);
// Suspends. A mail of the queue's own: a full queue takes it, too.
enum result queue_put(struct relay_queue *q, struct span envelope,
                      const struct relay_text *text, uint64_t *id_out,
                      struct fault *f) MUST_CHECK;
int64_t queue_backoff_ms(const struct relay_queue *q, uint32_t tries);

// queue_visit.c. Suspend.
// R_NONE: it is gone, or was set aside as damaged.
enum result visit_open(struct queue_visit *v, struct relay_queue *q, struct queue_entry *e,
                       bool verify) MUST_CHECK;
void visit_close(struct queue_visit *v);
void visit_set(struct queue_visit *v, size_t i, enum queue_state state,
               const struct smtp_reply *r);
void visit_write(struct queue_visit *v);  // the changed outcomes, durably
void visit_write_note(struct queue_visit *v, const struct buf *note);
// A damaged one is kept under a name that is none of the queue's, for a person to look at.
enum result visit_unlink(struct queue_visit *v);
size_t visit_waiting(const struct queue_visit *v);
// When its time began: it was taken, or its sender's hold ended. Before that it was released: then the hold counts no more.
int64_t visit_from_s(const struct queue_visit *v, int64_t now_s);

// worker.c
void worker_start(struct relay_queue *q);
void worker_wake(struct queue_worker *w);

// report.c. Suspends. Makes the reports that are due, and writes down that they were made.
void report_due(struct queue_visit *v, int64_t now_s);

#endif
