#include "store/journal_inside.h"

#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

// ---- which segments are there ----

// The number of "NNNNNNNN.seg", or 0.
static uint32_t
number_of(const char *name)
{
    uint32_t n;
    struct span s = span_str(name);
    if (!span_ends(s, SPAN(".seg")) || span_to_u32(span_slice(s, 0, s.n - 4), &n) != R_OK)
        return 0;
    return n;
}

static enum result
segments_count(struct journal *j, uint32_t *count_out, struct fault *f)
{
    uint32_t found = 0, highest = 0;
    int fd = openat(j->v.journal_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return fault_errno(f, FAULT_DISK, "data/journal");
    }
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        uint32_t n = number_of(e->d_name);
        found += n > 0;
        highest = n > highest ? n : highest;
        if (!j->inspect && (span_ends(span_str(e->d_name), SPAN(".new")) ||
                            span_ends(span_str(e->d_name), SPAN(".idn"))))
            unlinkat(j->v.journal_fd, e->d_name, 0);  // never became part of the journal
    }
    closedir(dir);
    if (found != highest)
        return fault_set(f, FAULT_CORRUPTION, "journal: %u of segments 1 to %u are missing",
                         highest - found, highest);
    *count_out = highest;
    return R_OK;
}

static enum result
segment_add(struct journal *j, uint32_t number, struct fault *f)
{
    struct handle *h = NULL;
    if (segment_open(&j->segments, number, O_RDONLY, &h, f) != R_OK)
        return R_FAIL;
    struct segment_header head = h->segment;
    handle_unpin(&j->segments.handles, &h);
    if (number == 1)
        memcpy(j->uuid, head.uuid, sizeof j->uuid);
    if (memcmp(j->uuid, head.uuid, sizeof j->uuid) != 0)
        return fault_set(f, FAULT_CORRUPTION,
                         "journal: segment %u belongs to another store", number);
    if (number == 1 ? head.first_seq != 1 : head.first_seq < j->segments.end_seq)
        return fault_set(f, FAULT_CORRUPTION,
                         "journal: the sequences of segment %u are out of order", number);
    segments_push(&j->segments, head.first_seq);
    return R_OK;
}

// ---- the end of the last segment ----

// The tail as the walk leaves it.
struct tail {
    struct walk w;
    uint32_t group_first;      // record number where the last group begins
    uint32_t group_externals;  // external bodies named before it
    uint32_t batch_first;      // record number where the last batch begins
    uint32_t batch_externals;  // external bodies named before it
    bool batch_open;           // its last records are missing
    uint32_t keep, keep_externals;
    uint64_t later_seq;  // highest valid record behind the damage, when inspecting
};

static enum result
tail_walk(struct journal *j, struct tail *t, struct fault *f)
{
    struct record_header h;
    struct table *table = &j->segments.open;
    enum result r;
    while ((r = walk_next(&t->w, &h, f)) == R_OK) {
        if (h.group_pos == 0 || table->count == 0) {
            t->group_first = h.recno;
            t->group_externals = table->external_count;
        }
        if (h.batch_pos == 0) {
            t->batch_first = h.recno;
            t->batch_externals = table->external_count;
        }
        t->batch_open = h.batch_pos + 1 < h.batch_count;
        table_add(table, &h, t->w.at);
    }
    t->keep = t->batch_open ? t->batch_first : table->count;
    t->keep_externals = t->batch_open ? t->batch_externals : table->external_count;
    return r == R_NONE ? R_OK : r;
}

// R_NONE: metadata or body of the record did not reach the disk.
static enum result
record_whole(struct walk *w, const struct record_header *h, struct fault *f)
{
    struct span meta;
    enum result r = walk_meta(w, h, &meta, f);
    return r == R_OK ? walk_body(w, h, f) : r;
}

// Only the last group can be torn: all before it was durable when it was written. Its headers are whole;
// checks what they head. What the index has folded was durable as well.
static enum result
group_check(struct journal *j, struct tail *t, uint64_t known_seq, struct fault *f)
{
    struct table *table = &j->segments.open;
    struct record_header h;
    enum result r = R_OK;
    uint32_t batch = t->group_first, externals = t->group_externals,
             batch_externals = externals;
    struct walk w;
    walk_init(&w, t->w.fd, t->w.size, &t->w.segment);
    if (t->group_first < t->keep)
        walk_seek(&w, table->offsets[t->group_first], w.segment.first_seq + t->group_first);
    for (uint32_t i = t->group_first; r == R_OK && i < t->keep; i++) {
        r = walk_next(&w, &h, f);
        if (r != R_OK)
            break;
        if (h.batch_pos == 0) {
            batch = i;
            batch_externals = externals;
        }
        externals += (h.flags & RECORD_BODY_EXTERNAL) != 0;
        if (h.seq > known_seq)
            r = record_whole(&w, &h, f);
    }
    walk_done(&w);
    if (r == R_NONE) {
        t->keep = batch;
        t->keep_externals = batch_externals;
    }
    return r == R_FAIL ? R_FAIL : R_OK;
}

// A valid record behind the end which says that what is damaged here was durable before it was written:
// then this is no torn tail. Who only inspects sees the journal up to the last such record.
static enum result
later_check(struct journal *j, struct tail *t, struct fault *f)
{
    struct record_header h;
    uint64_t bad_seq = t->w.segment.first_seq + t->keep, from = t->w.offset, at;
    enum result r;
    while ((r = walk_find(&t->w, from, t->w.seq, &at, &h, f)) == R_OK) {
        bool later = h.seq - h.group_pos > bad_seq;
        if (later && !j->inspect)
            return fault_set(f, FAULT_CORRUPTION,
                             "journal: segment %u is damaged at octet %llu, but valid "
                             "records follow at %llu",
                             h.segment, (unsigned long long)t->w.offset,
                             (unsigned long long)at);
        t->later_seq = later ? h.seq : t->later_seq;
        from = at + 1;
    }
    return r == R_NONE ? R_OK : r;
}

// Octets behind `end` that are not zero: what a torn group left.
static enum result
garbage_count(int fd, uint64_t end, uint64_t size, uint64_t *n_out, struct fault *f)
{
    char text[4096];
    uint64_t last = end;
    while (end < size) {
        off_t data = lseek(fd, (off_t)end, SEEK_DATA);
        if (data < 0)
            break;
        end = (uint64_t)data;
        size_t n = size - end < sizeof text ? (size_t)(size - end) : sizeof text;
        enum result r = disk_read(fd, end, text, n, false, f);
        if (r != R_OK)
            return r == R_NONE
                       ? fault_set(f, FAULT_DISK, "journal: the last segment shrinks")
                       : r;
        for (size_t i = 0; i < n; i++)
            if (text[i] != 0)
                last = end + i + 1;
        end += n;
    }
    *n_out += last;
    return R_OK;
}

// What a killed process had written is valid but perhaps only in memory. From now on it will be shown and folded, so it
// is synced, also when nothing is cut.
static enum result
tail_cut(struct journal *j, uint64_t end, struct fault *f)
{
    if (ftruncate(j->fd, (off_t)end) != 0)
        return fault_errno(f, FAULT_DISK, "journal: cutting the torn tail");
    j->room = end;
    return disk_sync(j->fd, f);
}

static enum result
tail_settle(struct journal *j, struct tail *t, struct journal_recovery *out,
            struct fault *f)
{
    struct segments *s = &j->segments;
    uint64_t end = t->keep < s->open.count ? s->open.offsets[t->keep] : t->w.offset,
             last = 0;
    if (garbage_count(t->w.fd, end, t->w.size, &last, f) != R_OK)
        return R_FAIL;
    table_cut(&s->open, t->keep, t->keep_externals);
    s->end_offset = j->end = end;
    s->end_seq = t->later_seq > 0 ? t->later_seq + 1 : t->w.segment.first_seq + t->keep;
    out->cut_octets = last > end ? last - end : 0;
    if (out->cut_octets > 0)
        snprintf(out->why, sizeof out->why,
                 "journal: cut %llu octets of an unfinished write behind record %llu",
                 (unsigned long long)out->cut_octets, (unsigned long long)(s->end_seq - 1));
    if (j->inspect)
        return R_OK;
    j->room = t->w.size;
    return out->cut_octets == 0 ? disk_sync(j->fd, f) : tail_cut(j, end, f);
}

static enum result
tail_recover(struct journal *j, uint64_t known_seq, struct journal_recovery *out,
             struct fault *f)
{
    struct handle *h = NULL;
    struct tail t = {0};
    if (segment_open(&j->segments, j->segments.count, j->inspect ? O_RDONLY : O_RDWR, &h,
                     f) != R_OK)
        return R_FAIL;
    j->header = h->segment;
    j->fd = h->fd;
    walk_init(&t.w, h->fd, h->size, &h->segment);
    enum result r = tail_walk(j, &t, f);
    if (r == R_OK)
        r = group_check(j, &t, known_seq, f);
    if (r == R_OK)
        r = later_check(j, &t, f);
    if (r == R_OK)
        r = tail_settle(j, &t, out, f);
    walk_done(&t.w);
    j->fd = r == R_OK && !j->inspect ? fcntl(h->fd, F_DUPFD_CLOEXEC, 0) : -1;
    handle_unpin(&j->segments.handles, &h);
    if (r == R_OK && !j->inspect && j->fd < 0)
        r = fault_errno(f, FAULT_DISK, "journal");
    return r;
}

enum result
journal_recover(struct journal *j, uint64_t known_seq, struct journal_recovery *r_out,
                struct fault *f)
{
    uint32_t count = 0;
    if (segments_count(j, &count, f) != R_OK)
        return R_FAIL;
    if (!j->inspect &&
        disk_sync(j->v.journal_fd, f) != R_OK)  // names as well: see tail_cut
        return R_FAIL;
    for (uint32_t i = 1; i <= count; i++)
        if (segment_add(j, i, f) != R_OK)
            return R_FAIL;
    if (count > 0 && tail_recover(j, known_seq, r_out, f) != R_OK)
        return R_FAIL;
    if (j->segments.end_seq <= known_seq && !j->inspect)
        return fault_set(
            f, FAULT_CORRUPTION,
            "journal: it ends at record %llu, but the index has seen record %llu",
            (unsigned long long)(j->segments.end_seq - 1), (unsigned long long)known_seq);
    if (count > 0 || j->inspect)
        return R_OK;
    random_bytes(j->uuid, sizeof j->uuid);
    return journal_roll(j, 1, 0, f);
}
