#ifndef STORE_LAYOUT_H
#define STORE_LAYOUT_H

// The octets of the journal's files (docs/format.md): headers of segments, records, body files and offset
// tables, and the frames of bodies. All integers big-endian.
// Trust: the bytes come from the disk; every get checks magic, version and checksum.
// Threads: any (stateless).

#include "store/codec.h"

enum {
    LAYOUT_SEGMENT = 64,  // octets of each header
    LAYOUT_RECORD = 136,
    LAYOUT_BODY = 64,
    LAYOUT_TABLE = 64,
    LAYOUT_DERIVED = 64,
    LAYOUT_SUM = 8,  // checksum after each frame
};

enum { LAYOUT_VERSION = 1 };  // of segments, body files and offset tables

struct segment_header {
    uint8_t uuid[16];  // of the store
    uint32_t number, rewrites;
    uint64_t first_seq;  // of its record number 0
    // goes into every record's checksum: bytes of other origin never replay
    uint64_t nonce;
    int64_t created_s;
};

// COMPRESSED: some of the frames that are in this record (a body file says it itself).
enum { RECORD_BODY_EXTERNAL = 1, RECORD_BODY_DROPPED = 2, RECORD_BODY_COMPRESSED = 4 };

struct record_header {
    uint16_t type;
    uint8_t flags, codec;
    uint32_t key_id;
    uint32_t meta_plain, meta_stored;
    // stored: octets in this record; 0 when external or dropped
    uint64_t body_plain, body_stored;
    uint64_t account, seq;
    uint32_t segment, recno;
    uint32_t batch_pos,
        batch_count;     // the batch has sequences seq - pos .. seq - pos + count - 1
    uint32_t group_pos;  // all before seq - group_pos was durable when this was written
    int64_t time_ms;
    uint64_t session, actor, txid;
    uint64_t meta_sum, meta_nonce;  // nonce: names the metadata to the codec
    uint64_t body_id;  // names the frames to the codec; external: the file's name
};

struct body_header {
    uint64_t id;             // names the frames (the file may be a link under another name)
    uint64_t plain, stored;  // stored: octets of the frames with their checksums and table
    uint32_t key_id;
    uint8_t codec;
    bool compressed;  // some frames (body_frame.h)
};

// A segment's offset table on disk: `count` offsets, then `externals` body ids (LAYOUT_TABLE + 8 each).
struct table_header {
    uint32_t segment, rewrites, count, externals;
    uint64_t nonce, end;  // of the segment it belongs to
    uint64_t offsets_sum, externals_sum;
};

// A derived string (derived.h), behind it frames as those of a body.
struct derived_header {
    uint64_t id;  // names the frames
    uint64_t plain, account;
    uint64_t owner;  // hash of the store's uuid and the string's name
    uint32_t frame;  // plain octets of each but the last
    uint32_t key_id;
    uint8_t codec;
};

uint64_t layout_u64(const char *p);
void layout_put_u64(char *p, uint64_t v);

void segment_header_put(char *out, const struct segment_header *h);
enum result segment_header_get(struct span in, struct segment_header *h_out) MUST_CHECK;
void record_header_put(char *out, const struct record_header *h, uint64_t nonce);
enum result record_header_get(struct span in, uint64_t nonce,
                              struct record_header *h_out) MUST_CHECK;
void body_header_put(char *out, const struct body_header *h);
enum result body_header_get(struct span in, struct body_header *h_out) MUST_CHECK;
void table_header_put(char *out, const struct table_header *h);
enum result table_header_get(struct span in, struct table_header *h_out) MUST_CHECK;

void derived_header_put(char *out, const struct derived_header *h);
enum result derived_header_get(struct span in, struct derived_header *h_out) MUST_CHECK;

// Says why the header of a segment or body file could not be used: FAULT_CORRUPTION when damaged, FAULT_UNAVAILABLE
// when it is of a newer version, so that nobody repairs it.
enum result layout_header_fault(struct span in, const char *kind, const char *name,
                                struct fault *f);

static inline uint64_t
record_size(const struct record_header *h)
{
    return LAYOUT_RECORD + (uint64_t)h->meta_stored + h->body_stored;
}

// Where the next record could begin (its magic stands there); s.n when nowhere.
size_t layout_find_record(struct span s);

// ---- frames ----

static inline uint64_t
layout_frames(uint64_t plain)
{
    return (plain + CODEC_FRAME - 1) / CODEC_FRAME;
}
// Octets of the table of a compressed body's frames: u32 stored octets of each but the last, then their checksum.
static inline uint64_t
layout_frame_table(uint64_t plain)
{
    uint64_t frames = layout_frames(plain);
    return frames > 1 ? (frames - 1) * 4 + LAYOUT_SUM : 0;
}
// Octets of a body of `plain` octets with its frames' checksums, none of them compressed.
static inline uint64_t
layout_stored(const struct codec *c, uint64_t plain)
{
    return plain + layout_frames(plain) * (c->overhead + LAYOUT_SUM);
}
// Whether a body of `plain` octets can have so many with some frames compressed: no frame becomes larger, and none empty.
static inline bool
layout_compressed_fits(const struct codec *c, uint64_t plain, uint64_t stored)
{
    uint64_t table = layout_frame_table(plain);
    return stored < layout_stored(c, plain) + table &&
           stored >= layout_frames(plain) * (1 + c->overhead + LAYOUT_SUM) + table;
}
// The body inside a record.
static inline struct body_header
layout_record_body(const struct record_header *h)
{
    return (struct body_header){.id = h->body_id,
                                .plain = h->body_plain,
                                .stored = h->body_stored,
                                .key_id = h->key_id,
                                .codec = h->codec,
                                .compressed = (h->flags & RECORD_BODY_COMPRESSED) != 0};
}
// Checksum of a stored frame, bound to its place.
uint64_t layout_frame_sum(uint64_t body_id, uint64_t frame, struct span stored);

#endif
