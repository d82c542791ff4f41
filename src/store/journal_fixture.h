#ifndef STORE_JOURNAL_FIXTURE_H
#define STORE_JOURNAL_FIXTURE_H

// What the journal's tests share: a data directory of their own, batches whose contents follow from their
// number, and the check that a journal holds exactly batches 1 .. n.

#include "store/journal.h"

struct fixture {
    char path[64];
    const char *codec;  // its name
    bool compress;
    uint64_t segment_size, known_seq;
    bool inspect;
    void (*on_durable)(struct store_batch *b, void *arg);
    void *arg;
    struct pool *pool;
    struct journal *j;
    struct journal_recovery recovery;
    struct fault fault;
};

// how: the codec's name, with " zstd" behind it: compressed
void fixture_init(struct fixture *x, const char *how, uint64_t segment_size);
void fixture_done(struct fixture *x);  // closes and removes
enum result fixture_open(struct fixture *x) MUST_CHECK;
// the files, into a new directory
void fixture_copy(const struct fixture *from, struct fixture *to);
void fixture_path(const struct fixture *x, const char *file, char path[128]);

// Text number `seed` of n octets: starts with "Subject: secret <seed>".
void fixture_text(struct buf *out, uint64_t seed, size_t n);
struct store_body *fixture_body(struct journal *j, uint64_t seed, size_t n);
// Commits batch `number`: (number % 3 + 1) records of account `number`; the first one has a body of
// fixture_body_size(number) octets. *blob_out is its place.
enum result fixture_commit(struct journal *j, uint64_t number, uint64_t *blob_out,
                           struct fault *f);
size_t fixture_body_size(uint64_t number);
// Scans everything (bodies too) and returns how many whole batches are there, in order from 1 without
// gaps and with the right contents; aborts the test otherwise.
uint64_t fixture_batches(struct journal *j);
// The body of batch `number` reads back equal.
bool fixture_blob_good(struct journal *j, uint64_t blob, uint64_t number);

#endif
