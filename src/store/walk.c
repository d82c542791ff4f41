#include "store/walk.h"

#include "base/hash.h"
#include "base/limits.h"
#include "store/disk.h"
#include "store/body_frame.h"

#include <unistd.h>

enum { WINDOW = 262144 };

void
walk_init(struct walk *w, int fd, uint64_t size, const struct segment_header *segment)
{
    *w = (struct walk){.fd = fd, .size = size, .segment = *segment};
    buf_init(&w->window, (size_t)2 * LIMIT_record_meta);
    walk_seek(w, LAYOUT_SEGMENT, segment->first_seq);
}

void
walk_done(struct walk *w)
{
    buf_done(&w->window);
}

void
walk_seek(struct walk *w, uint64_t offset, uint64_t seq)
{
    w->offset = offset;
    w->seq = seq;
    w->batch_count = 0;
}

static enum result
window_fill(struct walk *w, uint64_t offset, size_t n, struct fault *f)
{
    uint64_t want = w->size - offset < WINDOW ? w->size - offset : WINDOW;
    want = want < n ? n : want;
    buf_reset(&w->window);
    char *room = buf_reserve(&w->window, (size_t)want);
    if (!room)
        return R_NONE;  // no record is as large as that
    enum result r = disk_read(w->fd, offset, room, (size_t)want, false, f);
    if (r == R_OK) {
        w->window.n = (size_t)want;
        w->window_at = offset;
    }
    return r;
}

// The octets [offset, offset + n) of the file; R_NONE when it ends before. A segment that is sealed meanwhile
// becomes shorter, but never by its records.
static enum result
window_get(struct walk *w, uint64_t offset, size_t n, struct span *out, struct fault *f)
{
    enum result r = R_OK;
    if (offset > w->size || n > w->size - offset)
        return R_NONE;
    if (offset < w->window_at || offset + n > w->window_at + w->window.n)
        r = window_fill(w, offset, n, f);
    if (r == R_NONE) {
        uint64_t before = w->size;
        if (disk_size(w->fd, &w->size, f) != R_OK)
            return R_FAIL;
        return w->size < before ? window_get(w, offset, n, out, f) : R_NONE;
    }
    if (r == R_OK)
        *out = span_of(w->window.p + (offset - w->window_at), n);
    return r;
}

static bool
is_expected(const struct walk *w, const struct record_header *h)
{
    if (h->segment != w->segment.number || h->seq != w->seq ||
        h->recno != h->seq - w->segment.first_seq || record_size(h) > w->size - w->offset)
        return false;
    if (w->batch_count == 0)
        return true;
    return w->batch_pos + 1 < w->batch_count
               ? h->batch_pos == w->batch_pos + 1 && h->batch_count == w->batch_count
               : h->batch_pos == 0;
}

enum result
walk_next(struct walk *w, struct record_header *h_out, struct fault *f)
{
    struct span s;
    struct record_header h;
    enum result r = window_get(w, w->offset, LAYOUT_RECORD, &s, f);
    if (r != R_OK)
        return r;
    if (record_header_get(s, w->segment.nonce, &h) != R_OK || !is_expected(w, &h))
        return R_NONE;
    w->at = w->offset;
    w->offset += record_size(&h);
    w->seq++;
    w->batch_pos = h.batch_pos;
    w->batch_count = h.batch_count;
    *h_out = h;
    return R_OK;
}

// Where data begins at or behind `from`: skips the unwritten part of a preallocated segment.
static uint64_t
data_from(const struct walk *w, uint64_t from)
{
    off_t at = lseek(w->fd, (off_t)from, SEEK_DATA);
    return at < 0 ? w->size : (uint64_t)at;
}

static bool
is_later(const struct walk *w, const struct record_header *h, uint64_t seq_min)
{
    return h->segment == w->segment.number && h->seq >= seq_min &&
           h->recno == h->seq - w->segment.first_seq;
}

enum result
walk_find(struct walk *w, uint64_t from, uint64_t seq_min, uint64_t *offset_out,
          struct record_header *h_out, struct fault *f)
{
    uint64_t at = from < w->size ? data_from(w, from) : w->size;
    while (at + LAYOUT_RECORD <= w->size) {
        struct span s;
        struct record_header h;
        uint64_t n = w->size - at < WINDOW ? w->size - at : WINDOW;
        enum result r = window_get(w, at, (size_t)n, &s, f);
        if (r != R_OK)
            return r;
        size_t hit = layout_find_record(s);
        if (hit + LAYOUT_RECORD > s.n) {  // none that is whole in this window
            uint64_t next = at + (hit == s.n ? s.n - 3 : hit);
            at = next > at ? next : at + 1;
            at = hit == s.n ? data_from(w, at) : at;
            continue;
        }
        at += hit;
        if (record_header_get(span_skip(s, hit), w->segment.nonce, &h) == R_OK &&
            is_later(w, &h, seq_min)) {
            *offset_out = at;
            *h_out = h;
            return R_OK;
        }
        at++;
    }
    return R_NONE;
}

enum result
walk_meta(struct walk *w, const struct record_header *h, struct span *stored_out,
          struct fault *f)
{
    struct span s;
    enum result r = window_get(w, w->at + LAYOUT_RECORD, h->meta_stored, &s, f);
    if (r != R_OK)
        return r;
    if (hash64(s) != h->meta_sum)
        return R_NONE;
    *stored_out = s;
    return R_OK;
}

// R_NONE: damaged.
static enum result
table_read(int fd, uint64_t offset, const struct body_header *b, struct buf *table,
           struct fault *f)
{
    size_t n = b->compressed ? (size_t)layout_frame_table(b->plain) : 0;
    buf_init(table, n);
    if (n == 0)
        return R_OK;
    char *room = buf_reserve(table, n);
    must(room != NULL);
    enum result r = disk_read(fd, offset + b->stored - n, room, n, false, f);
    table->n = n;
    if (r == R_OK && body_frame_table_check(b, buf_span(table)) != R_OK)
        r = R_NONE;
    return r;
}

static enum result
frame_read(int fd, uint64_t offset, const struct body_frame_place *p, char *room,
           struct fault *f)
{
    return disk_read(fd, offset + p->at, room, p->stored + LAYOUT_SUM, false, f);
}

enum result
walk_frames(int fd, uint64_t offset, const struct body_header *b, struct fault *f)
{
    struct buf table, frame, plain;
    enum result r = table_read(fd, offset, b, &table, f);
    buf_init(&frame, body_frame_room(b, CODEC_FRAME));
    buf_init(&plain, CODEC_FRAME);
    char *room = buf_reserve(&frame, body_frame_room(b, CODEC_FRAME)),
         *text = buf_reserve(&plain, CODEC_FRAME);
    must(room != NULL && text != NULL);
    for (uint64_t i = 0; r == R_OK && i < layout_frames(b->plain); i++) {
        struct body_frame_place p = body_frame_place(b, buf_span(&table), i);
        struct span stored = span_of(room, p.stored);
        r = frame_read(fd, offset, &p, room, f);
        if (r == R_OK && (body_frame_check(b, i, stored, room + p.stored) != R_OK ||
                          body_frame_decode(b, i, &p, stored, text) != R_OK))
            r = R_NONE;
    }
    buf_done(&table);
    buf_done(&frame);
    buf_done(&plain);
    return r;
}

enum result
walk_body(struct walk *w, const struct record_header *h, struct fault *f)
{
    struct body_header b = layout_record_body(h);
    if (h->body_stored == 0)
        return R_OK;
    return walk_frames(w->fd, w->at + LAYOUT_RECORD + h->meta_stored, &b, f);
}
