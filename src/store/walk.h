#ifndef STORE_WALK_H
#define STORE_WALK_H

// A walk goes through the records of one segment file in order and checks that each is the one expected:
// checksum, segment, record number, sequence, place in its batch. Blocks.
// Trust: the file may hold anything. Threads: one.

#include "base/buf.h"
#include "store/layout.h"

struct walk {
    int fd;
    uint64_t size;  // of the file
    struct segment_header segment;
    uint64_t offset;                  // of the record after the current one
    uint64_t seq;                     // its expected sequence
    uint64_t at;                      // of the current record
    uint32_t batch_pos, batch_count;  // of the current record; count 0: nothing is known
    struct buf window;
    uint64_t window_at;
};

void walk_init(struct walk *w, int fd, uint64_t size, const struct segment_header *segment);
void walk_done(struct walk *w);
// Goes on at this offset, where the record with this sequence is.
void walk_seek(struct walk *w, uint64_t offset, uint64_t seq);
// R_NONE: what stands at w->offset is not the expected record. R_FAIL: cannot be read.
enum result walk_next(struct walk *w, struct record_header *h_out,
                      struct fault *f) MUST_CHECK;
// Finds the next valid record header of this segment at or behind `from` with a sequence >= seq_min.
// R_NONE: there is none.
enum result walk_find(struct walk *w, uint64_t from, uint64_t seq_min, uint64_t *offset_out,
                      struct record_header *h_out, struct fault *f) MUST_CHECK;
// Stored metadata of the current record, checksum verified; valid until the next call. R_NONE: damaged.
enum result walk_meta(struct walk *w, const struct record_header *h,
                      struct span *stored_out, struct fault *f) MUST_CHECK;
// Reads a body's frames at `offset` of `fd` and checks them. R_NONE: damaged.
enum result walk_frames(int fd, uint64_t offset, const struct body_header *b,
                        struct fault *f) MUST_CHECK;
// The same for the body inside the current record.
enum result walk_body(struct walk *w, const struct record_header *h,
                      struct fault *f) MUST_CHECK;

#endif
