#ifndef STORE_BODY_FRAME_H
#define STORE_BODY_FRAME_H

// A frame of a body: at most CODEC_FRAME plain octets, compressed where that was wanted and is worth it, encoded by the
// codec, and a checksum behind them. A body with compressed frames ends with a table of what each takes (docs/format.md).
// Trust: what is read comes from the disk; no size in it is believed before it was checked.
// Threads: any.

#include "base/buf.h"
#include "store/layout.h"

enum {
    BODY_FRAME_COMPRESS_MIN = 1024,  // plain octets below which it is not tried
    BODY_FRAME_COMPRESS_SAVING =
        16,  // it stays plain when less than this part of it would be saved
};

// ---- writing ----

// Room that body_frame_put needs for n plain octets.
static inline size_t
body_frame_room(const struct body_header *b, size_t n)
{
    return n + codec_find(b->codec)->overhead + LAYOUT_SUM;
}
// Writes frame i to out. How many octets it takes with its checksum.
size_t body_frame_put(const struct body_header *b, uint64_t i, bool wanted,
                      struct span plain, char *out);
// A body whose frames are put one after the other: `lengths` grows by this one's entry, b->stored and b->compressed
// follow.
void body_frame_note(struct body_header *b, struct buf *lengths, size_t plain, size_t put);
// After the last one, b->plain is set: lengths becomes the table, which goes behind the frames. Empty: there is none.
void body_frame_table_end(struct body_header *b, struct buf *lengths);

// ---- reading ----

// R_FAIL: damaged. `table` has the last layout_frame_table octets of a compressed body; what it says then fits.
enum result body_frame_table_check(const struct body_header *b,
                                   struct span table) MUST_CHECK;

struct body_frame_place {
    uint64_t at;           // octets behind the start of the first frame
    size_t plain, stored;  // stored: without the checksum
    bool compressed;
};
// The table is a checked one; empty for a body without.
struct body_frame_place body_frame_place(const struct body_header *b, struct span table,
                                         uint64_t i);
// R_FAIL: the checksum is wrong.
enum result body_frame_check(const struct body_header *b, uint64_t i, struct span stored,
                             const char *sum) MUST_CHECK;
// The plain octets of a checked frame, place->plain of them. R_FAIL: it cannot be decoded.
enum result body_frame_decode(const struct body_header *b, uint64_t i,
                              const struct body_frame_place *place, struct span stored,
                              char *out) MUST_CHECK;

#endif
