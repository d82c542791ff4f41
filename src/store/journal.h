#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

// The journal: data/journal/NNNNNNNN.seg, the only truth. One thread appends: all pending batches of all
// accounts in one write and one fdatasync (group commit). Sequences rise by one per record over the whole
// journal; inside a segment record number = sequence - first sequence of the segment.
// Owner: struct store. Threads: journal_commit, reads and scans from any thread; open and close from one.
// Errors: FAULT_DISK (no space: go on later; other write errors and any fdatasync error: stopped until
// restart), FAULT_CORRUPTION.

#include "store/batch.h"
#include "store/body.h"

struct journal;
struct pool;

struct journal_options {
    const char *path;  // the data directory; journal/ and bodies/ are made when missing
    const struct codec
        *codec;             // of what is written from now on; old records name their own
    bool compress;          // bodies that come from now on
    bool compressed;        // there may be some: a backup says so (always with `compress`)
    uint64_t segment_size;  // 0 = 64 MiB
    // the index has folded up to here: a journal that ends before is damaged
    uint64_t known_seq;
    // read only, nothing cut, damage is left to journal_scan (offline verify)
    bool inspect;
    struct pool *pool;  // for files and page-cache misses; NULL: inline
    // In the journal thread, in order of sequence, after fdatasync and before anybody hears of it.
    void (*on_durable)(struct store_batch *b, void *arg);
    void *arg;
};

// What opening found at the tail.
struct journal_recovery {
    uint64_t cut_octets;  // of a torn group: never acknowledged
    char why[160];        // for the log; empty when nothing was cut
};

// Finds the end, cuts a torn tail, removes body files that no record names, starts the thread.
// FAULT_CORRUPTION when damage is not a torn tail.
enum result journal_open(const struct journal_options *o, struct journal **j_out,
                         struct journal_recovery *r_out, struct fault *f) MUST_CHECK;
void journal_close(struct journal **j);  // commits what is queued

// Suspends (outside a task: blocks). Seals and queues the batch, and waits until it is on disk: places are set,
// on_durable was called. After R_FAIL nothing of it will be seen, unless journal_stopped().
enum result journal_commit(struct journal *j, struct store_batch *b,
                           struct fault *f) MUST_CHECK;
bool journal_stopped(struct journal *j);

void journal_uuid(const struct journal *j, uint8_t out[16]);

// The end of what is durable: sequence of the next record (first is 1).
uint64_t journal_end(struct journal *j);

// ---- reading records ----

struct journal_record {
    struct record_header header;
    struct span meta;  // decoded; valid during the call. Empty with headers_only
    struct record_place place;
};
struct journal_scan {
    uint64_t from, to;  // sequences [from, to); to 0 = the end now
    bool headers_only;  // metadata is neither read nor checked
    bool bodies;        // read every body and check it (also external files)
    // R_FAIL stops the scan with this result.
    enum result (*record)(const struct journal_record *r, void *arg, struct fault *f);
    // NULL: damage ends the scan with FAULT_CORRUPTION. Else it is told and the scan goes on behind it.
    void (*damage)(const char *line, void *arg);
    void *arg;
};
// Blocks: run it on the pool, or at start-up. Whole batches only.
enum result journal_scan(struct journal *j, const struct journal_scan *s,
                         struct fault *f) MUST_CHECK;

// ---- reading bodies ----

// As store_blob_read. Cheapest when offset and len are multiples of CODEC_FRAME, or the whole body.
enum result journal_blob_read(struct journal *j, uint64_t blob, uint64_t offset, size_t len,
                              char *dst, struct fault *f) MUST_CHECK;
void journal_blob_readahead(struct journal *j, uint64_t blob);
// What the record's body takes on the disk; 0 when its file is gone already. Blocks.
uint64_t journal_body_octets(struct journal *j, const struct record_header *h);

// ---- keeping ----

struct journal_segment {
    uint32_t number;
    bool sealed;
    uint64_t first_seq, records, octets;
};
uint32_t journal_segment_count(struct journal *j);  // numbers are 1 .. count, without gaps
struct journal_segment journal_segment_get(struct journal *j, uint32_t number);
// Blocks. Ends the open segment if that is still this one, so that it can be rewritten; in the journal thread.
enum result journal_seal(struct journal *j, uint32_t number, struct fault *f) MUST_CHECK;
// Blocks. Rewrites a sealed segment under the same number, without the bodies that live() does not want.
// Records, sequences and metadata stay. Safe against a crash at any point. FAULT_INUSE during a backup.
typedef bool journal_live_fn(uint64_t blob, void *arg);
enum result journal_rewrite(struct journal *j, uint32_t number, journal_live_fn *live,
                            void *arg, uint64_t *freed_out, struct fault *f) MUST_CHECK;

// Suspends in the sink. Everything durable at the call, as one stream; rewrites are refused meanwhile.
enum result journal_backup(struct journal *j, store_sink_fn *sink, void *arg,
                           struct fault *f) MUST_CHECK;
// Fills data/journal and data/bodies of a directory that has neither, from such a stream, which says whether bodies may
// be compressed. Blocks.
enum result journal_restore(const char *path, store_source_fn *source, void *arg,
                            bool *compressed_out, struct fault *f) MUST_CHECK;

struct journal_stats {
    uint64_t commits, syncs, records, octets, segments;
};
void journal_stats_get(struct journal *j, struct journal_stats *out);

#endif
