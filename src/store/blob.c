#include "store/journal_inside.h"

#include "io/task.h"
#include "store/body_frame.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

// The record header that this thread will want next: that of the blob it read last, or of the one behind it, which
// came with the end of that. Messages are mostly read in order.
static _Thread_local struct {
    uint64_t blob, at, nonce;
    uint32_t rewrites;
    struct record_header header;
} ahead;

// One read of a range of a body. R_NONE on the way means: not in the page cache (with nowait), or the
// file ends too early.
struct blob_read {
    struct journal *j;
    uint64_t blob, offset;
    size_t len;
    char *dst;           // NULL: only the checksums are wanted
    bool nowait, known;  // known: the header came from `ahead`
    enum result result;
    struct fault *f;
};

// Where a body's frames are.
struct source {
    struct handle *segment, *file;
    int fd;
    uint64_t base, next;  // next: where the record behind begins; 0: the body has a file
    struct body_header body;
};

static enum result
body_file_open(struct journal *j, uint64_t id, struct handle **h_out, struct fault *f)
{
    char name[VOLUME_NAME], text[LAYOUT_BODY] = {0};
    volume_body_name(name, id);
    int fd = openat(j->v.bodies_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return fault_set(f, FAULT_CORRUPTION, "body file %s is missing", name);
    if (fd < 0)
        return fault_errno(f, FAULT_DISK, name);
    struct handle *h = handle_new(HANDLE_BODY, id, fd);
    enum result r = disk_read(fd, 0, text, sizeof text, false, f);
    if (r == R_NONE ||
        (r == R_OK && body_header_get(span_of(text, sizeof text), &h->body) != R_OK))
        r = layout_header_fault(span_of(text, sizeof text), "body file", name, f);
    if (r == R_OK)
        *h_out = h;
    else
        handle_unpin(&j->segments.handles, &h);
    return r;
}

enum result
journal_body_pin(struct journal *j, uint64_t id, bool nowait, struct handle **h_out,
                 struct fault *f)
{
    struct handles *cache = &j->segments.handles;
    struct handle *h = handles_pin(cache, HANDLE_BODY, id);
    if (!h) {
        if (nowait)
            return R_NONE;
        if (body_file_open(j, id, &h, f) != R_OK)
            return R_FAIL;
        handles_keep(cache, h);
    }
    *h_out = h;
    return R_OK;
}

static enum result
damaged(const struct blob_read *b, const char *what)
{
    return fault_set(b->f, FAULT_CORRUPTION, "body of record %u in segment %u: %s",
                     (uint32_t)b->blob, (unsigned)(b->blob >> 32), what);
}

// ---- frames ----

static void
ahead_put(const struct handle *segment, uint64_t at, const struct record_header *h)
{
    ahead.blob = (uint64_t)h->segment << 32 | h->recno;
    ahead.at = at;
    ahead.nonce = segment->segment.nonce;
    ahead.rewrites = segment->segment.rewrites;
    ahead.header = *h;
}

static void
ahead_try(const struct handle *segment, uint64_t at, const char text[LAYOUT_RECORD])
{
    struct record_header h;
    if (record_header_get(span_of(text, LAYOUT_RECORD), segment->segment.nonce, &h) ==
            R_OK &&
        h.segment == segment->segment.number)
        ahead_put(segment, at, &h);
}

// Octets [from, from + len) of a frame.
struct part {
    uint64_t frame;
    struct body_frame_place place;
    size_t from, len;
};

static bool
is_plain(const struct source *s, const struct part *p)
{
    return !p->place.compressed && codec_find(s->body.codec)->overhead == 0;
}

// The frame that this thread decoded last for a part of it: a client that reads in pieces, and a piece that lies in two
// frames, decode each once.
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t recent_key;
static _Thread_local struct {
    char *octets;  // CODEC_FRAME of them, NULL at first
    size_t n;      // 0: none
    uint64_t body, frame;
} recent;

static void
recent_make_key(void)
{
    must(pthread_key_create(&recent_key, free) == 0);
}

// Room for a frame; what was there is gone.
static char *
recent_room(void)
{
    recent.n = 0;
    if (!recent.octets) {
        must(pthread_once(&once, recent_make_key) == 0);
        recent.octets = calloc(1, CODEC_FRAME);
        must(recent.octets != NULL && pthread_setspecific(recent_key, recent.octets) == 0);
    }
    return recent.octets;
}

static bool
recent_copy(const struct source *s, const struct part *p, char *dst)
{
    if (recent.n != p->place.plain || recent.body != s->body.id || recent.frame != p->frame)
        return false;
    memcpy(dst, recent.octets + p->from, p->len);
    return true;
}

// The frame as it is stored, in one read with its checksum; the last one with the header behind it.
static enum result
frame_fetch(struct blob_read *b, const struct source *s, const struct part *p, char *room)
{
    char sum[LAYOUT_SUM], behind[LAYOUT_RECORD];
    uint64_t at = s->base + p->place.at;
    size_t n = p->place.stored;
    bool last = at + n + sizeof sum == s->next;
    struct iovec iov[3] = {{room, n}, {sum, sizeof sum}, {behind, sizeof behind}};
    ssize_t got = preadv2(s->fd, iov, last ? 3 : 2, (off_t)at, b->nowait ? RWF_NOWAIT : 0);
    if (got == (ssize_t)(n + sizeof sum + sizeof behind))
        ahead_try(s->segment, s->next, behind);
    if (got < (ssize_t)(n + sizeof sum)) {
        if (b->nowait)
            return R_NONE;
        enum result r = disk_read(s->fd, at, room, n, false, b->f);
        if (r == R_OK)
            r = disk_read(s->fd, at + n, sum, sizeof sum, false, b->f);
        if (r != R_OK)
            return r;
    }
    return body_frame_check(&s->body, p->frame, span_of(room, n), sum) == R_OK
               ? R_OK
               : damaged(b, "a checksum is wrong");
}

static enum result
part_decode(struct blob_read *b, const struct source *s, const struct part *p,
            struct span stored, char *dst)
{
    if (is_plain(s, p)) {
        memcpy(dst, stored.p + p->from, p->len);
        return R_OK;
    }
    bool whole = p->len == p->place.plain;
    char *room = whole ? dst : recent_room();
    if (body_frame_decode(&s->body, p->frame, &p->place, stored, room) != R_OK)
        return damaged(b, "it cannot be decoded");
    if (whole)
        return R_OK;
    recent.n = p->place.plain;
    recent.body = s->body.id;
    recent.frame = p->frame;
    memcpy(dst, room + p->from, p->len);
    return R_OK;
}

// By way of a buffer.
static enum result
frame_part(struct blob_read *b, const struct source *s, const struct part *p, char *dst)
{
    if (dst && !is_plain(s, p) && recent_copy(s, p, dst))
        return R_OK;
    struct buf text;
    buf_init(&text, p->place.stored);
    char *room = buf_reserve(&text, p->place.stored);
    must(room != NULL);
    enum result r = frame_fetch(b, s, p, room);
    if (r == R_OK && dst)
        r = part_decode(b, s, p, span_of(room, p->place.stored), dst);
    buf_done(&text);
    return r;
}

static enum result
parts_read(struct blob_read *b, const struct source *s, struct span table)
{
    uint64_t at = b->offset, end = b->offset + b->len;
    char *dst = b->dst;
    while (at < end) {
        struct part p = {.frame = at / CODEC_FRAME, .from = (size_t)(at % CODEC_FRAME)};
        p.place = body_frame_place(&s->body, table, p.frame);
        size_t left = p.place.plain - p.from;
        p.len = end - at < left ? (size_t)(end - at) : left;
        enum result r = dst && is_plain(s, &p) && p.len == p.place.plain
                            ? frame_fetch(b, s, &p, dst)
                            : frame_part(b, s, &p, dst);
        if (r != R_OK)
            return r;
        at += p.len;
        dst = dst ? dst + p.len : NULL;
    }
    return R_OK;
}

static enum result
frames_read(struct blob_read *b, const struct source *s)
{
    size_t n = s->body.compressed ? (size_t)layout_frame_table(s->body.plain) : 0;
    struct buf table;
    if (n == 0)
        return parts_read(b, s, SPAN_NONE);
    buf_init(&table, n);
    char *room = buf_reserve(&table, n);
    must(room != NULL);
    enum result r =
        disk_read(s->fd, s->base + s->body.stored - n, room, n, b->nowait, b->f);
    if (r == R_OK && body_frame_table_check(&s->body, span_of(room, n)) != R_OK)
        r = damaged(b, "its table of frames is damaged");
    if (r == R_OK)
        r = parts_read(b, s, span_of(room, n));
    buf_done(&table);
    return r;
}

// ---- the record ----

// R_NONE also when another record stands there: the table is wrong.
static enum result
header_read(struct blob_read *b, struct handle *segment, uint64_t at,
            struct record_header *h)
{
    char text[LAYOUT_RECORD];
    enum result r = disk_read(segment->fd, at, text, sizeof text, b->nowait, b->f);
    if (r != R_OK)
        return r;
    if (record_header_get(span_of(text, sizeof text), segment->segment.nonce, h) != R_OK ||
        h->recno != (uint32_t)b->blob || h->segment != b->blob >> 32)
        return R_NONE;
    return R_OK;
}

static enum result
source_fill(struct blob_read *b, const struct record_header *h, uint64_t at,
            struct source *s)
{
    if (h->flags & RECORD_BODY_DROPPED)
        return damaged(b, "it was compacted away");
    if (b->offset > h->body_plain || b->len > h->body_plain - b->offset)
        return damaged(b, "it ends before the wanted range");
    if (!(h->flags & RECORD_BODY_EXTERNAL)) {
        s->fd = s->segment->fd;
        s->base = at + LAYOUT_RECORD + h->meta_stored;
        s->next = s->base + h->body_stored;
        s->body = layout_record_body(h);
        return R_OK;
    }
    enum result r = journal_body_pin(b->j, h->body_id, b->nowait, &s->file, b->f);
    if (r != R_OK)
        return r;
    s->fd = s->file->fd;
    s->base = LAYOUT_BODY;
    s->body = s->file->body;
    return s->body.plain == h->body_plain ? R_OK : damaged(b, "its file has another size");
}

static bool
ahead_find(struct blob_read *b, struct source *s)
{
    struct fault ignored;
    struct segments *all = &b->j->segments;
    if (ahead.blob != b->blob ||
        segments_pin(all, (uint32_t)(b->blob >> 32), true, &s->segment, &ignored) != R_OK)
        return false;
    b->known = s->segment->segment.nonce == ahead.nonce &&
               s->segment->segment.rewrites == ahead.rewrites;
    if (!b->known)
        handle_unpin(&all->handles, &s->segment);
    return b->known;
}

static enum result
source_find(struct blob_read *b, struct source *s)
{
    struct record_header h;
    uint64_t at;
    if (ahead_find(b, s)) {
        h = ahead.header;
        return source_fill(b, &h, ahead.at, s);
    }
    enum result r =
        segments_locate(&b->j->segments, b->blob, b->nowait, &s->segment, &at, b->f);
    if (r == R_OK)
        r = header_read(b, s->segment, at, &h);
    if (r == R_OK)
        ahead_put(s->segment, at, &h);
    if (r == R_OK)
        r = source_fill(b, &h, at, s);
    return r;
}

static void
source_done(struct blob_read *b, struct source *s)
{
    handle_unpin(&b->j->segments.handles, &s->segment);
    handle_unpin(&b->j->segments.handles, &s->file);
}

static enum result
attempt_once(struct blob_read *b)
{
    struct source s = {0};
    b->known = false;
    enum result r = source_find(b, &s);
    if (r == R_OK)
        r = frames_read(b, &s);
    source_done(b, &s);
    return r;
}

// A header that was read ahead may be one whose write failed, and another stands there now.
static enum result
attempt(struct blob_read *b)
{
    enum result r = attempt_once(b);
    if (r != R_FAIL || !b->known)
        return r;
    ahead.blob = 0;
    return attempt_once(b);
}

static void
read_run(void *arg)
{
    struct blob_read *b = arg;
    b->nowait = false;
    b->result = attempt(b);
    if (b->result != R_NONE)
        return;
    uint32_t number = (uint32_t)(b->blob >> 32);  // perhaps only its table is wrong
    if (number < journal_segment_count(b->j)) {
        b->result = segments_table_rebuild(&b->j->segments, number, b->f);
        if (b->result == R_OK)
            b->result = attempt(b);
    }
    if (b->result == R_NONE)
        b->result = damaged(b, "the record is damaged");
}

enum result
journal_blob_read(struct journal *j, uint64_t blob, uint64_t offset, size_t len, char *dst,
                  struct fault *f)
{
    struct blob_read b = {.j = j,
                          .blob = blob,
                          .offset = offset,
                          .len = len,
                          .dst = dst,
                          .nowait = true,
                          .f = f};
    enum result r = attempt(&b);
    if (r != R_NONE)
        return r;
    volume_run(&j->v, read_run, &b);
    return b.result;
}

uint64_t
journal_body_octets(struct journal *j, const struct record_header *h)
{
    char name[VOLUME_NAME];
    struct stat st;
    if (!(h->flags & RECORD_BODY_EXTERNAL))
        return h->body_stored;
    volume_body_name(name, h->body_id);
    return fstatat(j->v.bodies_fd, name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
}

void
journal_blob_readahead(struct journal *j, uint64_t blob)
{
    enum { AHEAD = 1 << 20 };
    struct fault ignored;
    struct blob_read b = {.j = j, .blob = blob, .nowait = true, .f = &ignored};
    struct source s = {0};
    uint64_t at;
    enum result r = segments_locate(&j->segments, blob, true, &s.segment, &at, &ignored);
    if (r == R_OK)
        posix_fadvise(s.segment->fd, (off_t)at, AHEAD, POSIX_FADV_WILLNEED);
    source_done(&b, &s);
}
