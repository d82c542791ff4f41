#ifndef STORE_JOURNAL_INSIDE_H
#define STORE_JOURNAL_INSIDE_H

// The inside of struct journal, shared by the files that implement journal.h.
// Threads: `fd`, `end` and `header` belong to the journal thread; what follows `lock` is under it.

#include "store/gather.h"
#include "store/journal.h"
#include "store/segment.h"

struct journal_queue {
    struct store_batch *first, **end;
    unsigned count, wake_at;  // from so many on the thread is woken
    struct gather gather;
};

struct journal {
    struct volume v;
    struct segments segments;
    uint64_t segment_size;
    uint8_t uuid[16];
    bool inspect;
    void (*on_durable)(struct store_batch *b, void *arg);
    void *arg;

    int fd;                        // of the open segment; -1: read only
    uint64_t end;                  // offset behind its last durable record
    uint64_t zeroed;               // up to here its blocks were written before
    uint64_t usual;                // octets of a group, of late
    uint64_t room;                 // up to here it has blocks
    struct segment_header header;  // of the open segment
    pthread_t thread;
    bool running;

    pthread_mutex_t lock;
    pthread_cond_t work, done;  // to the journal thread; to threads without a loop
    struct journal_queue queue;
    bool closing, stopped;
    struct sealing *sealing;  // who waits for the end of the open segment
    unsigned leases;          // backups under way
    bool rewriting;
    struct journal_stats stats;
};

// recover.c: finds the segments and the end of the last one, cuts a torn tail.
enum result journal_recover(struct journal *j, uint64_t known_seq,
                            struct journal_recovery *r_out, struct fault *f) MUST_CHECK;
// sweep.c: removes body files that no record names (their commit never came, or they were compacted away).
enum result journal_sweep(struct journal *j, struct fault *f) MUST_CHECK;
// blob.c: pins a body file. R_NONE: not open, with nowait.
enum result journal_body_pin(struct journal *j, uint64_t id, bool nowait,
                             struct handle **h_out, struct fault *f) MUST_CHECK;
// append.c: the journal thread.
void journal_thread_start(struct journal *j);
void journal_thread_end(struct journal *j);
// Makes the next segment and seals the one before. R_FAIL leaves the old one in use, unless stopped.
enum result journal_roll(struct journal *j, uint64_t first_seq, uint64_t room,
                         struct fault *f) MUST_CHECK;

#endif
