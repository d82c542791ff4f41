#ifndef STORE_SEGMENT_H
#define STORE_SEGMENT_H

// The segments of the journal: their numbers and first sequences, the offset tables (in memory for the open
// one, data/journal/NNNNNNNN.idx for sealed ones; rebuilt by a walk when missing or wrong), the handles.
// Owner: struct journal. Threads: any; the set has its own locks. All but segments_offset block.

#include "store/handle.h"
#include "store/volume.h"
#include "store/walk.h"

// Offsets and external body ids of one segment, on the way into a table.
struct table {
    uint64_t *offsets, *externals;
    uint32_t count, count_cap, external_count, external_cap;
};
void table_add(struct table *t, const struct record_header *h, uint64_t offset);
void table_cut(struct table *t, uint32_t count, uint32_t externals);
void table_done(struct table *t);

struct segments {
    struct volume *v;
    struct handles handles;
    pthread_mutex_t lock;  // of what follows
    uint64_t *first_seqs;  // [number - 1]
    uint32_t count, cap;
    struct table open;             // of the last segment
    uint64_t end_offset, end_seq;  // what is durable
    // one table is written at a time; also held while a segment is replaced
    pthread_mutex_t tables_lock;
};

void segments_init(struct segments *s, struct volume *v);
void segments_done(struct segments *s);

enum { SEGMENT_NAME = 24 };
void segment_name(char name[SEGMENT_NAME], uint32_t number, const char *suffix);
// Opens NNNNNNNN.seg and checks its header against its number.
enum result segment_open(struct segments *s, uint32_t number, int flags,
                         struct handle **h_out, struct fault *f) MUST_CHECK;
// A new segment file, durable with its folder; *fd_out is open for writing.
enum result segment_create(struct segments *s, const struct segment_header *h,
                           uint64_t size, int *fd_out, struct fault *f) MUST_CHECK;
bool segment_exists(struct segments *s, uint32_t number);
void segments_push(struct segments *s, uint64_t first_seq);
// First sequence of the segment behind this one, or the durable end.
uint64_t segments_stop(struct segments *s, uint32_t number);
// number of the segment that holds it; 0: none
uint32_t segments_find(struct segments *s, uint64_t seq);

// Writes the table of a segment as NNNNNNNN.idx.
enum result segments_table_write(struct segments *s, const struct segment_header *h,
                                 const struct table *t, uint64_t end,
                                 struct fault *f) MUST_CHECK;
// Opens the table of a sealed segment into its handle; makes it anew when missing or wrong.
enum result segments_table_open(struct segments *s, struct handle *h,
                                struct fault *f) MUST_CHECK;
// Pins a segment. R_NONE: not open, with nowait. A sealed one comes with its table.
enum result segments_pin(struct segments *s, uint32_t number, bool nowait,
                         struct handle **h_out, struct fault *f) MUST_CHECK;
// Pins the segment and tells where a record begins. R_NONE: not in the page cache, with nowait.
enum result segments_locate(struct segments *s, uint64_t blob, bool nowait,
                            struct handle **h_out, uint64_t *offset_out,
                            struct fault *f) MUST_CHECK;
// The segment's table was wrong: makes it anew by a walk.
enum result segments_table_rebuild(struct segments *s, uint32_t number,
                                   struct fault *f) MUST_CHECK;
// Ids of the external bodies that the segment's records name, appended to *ids.
enum result segments_externals(struct segments *s, uint32_t number, struct buf *ids,
                               struct fault *f) MUST_CHECK;

#endif
