#include "store/segment.h"

#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void
segments_init(struct segments *s, struct volume *v)
{
    memset(s, 0, sizeof *s);
    s->v = v;
    s->end_seq = 1;
    handles_init(&s->handles);
    must(pthread_mutex_init(&s->lock, NULL) == 0);
    must(pthread_mutex_init(&s->tables_lock, NULL) == 0);
}

void
segments_done(struct segments *s)
{
    handles_done(&s->handles);
    table_done(&s->open);
    free(s->first_seqs);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->tables_lock);
}

void
segment_name(char name[SEGMENT_NAME], uint32_t number, const char *suffix)
{
    snprintf(name, SEGMENT_NAME, "%08u.%s", number, suffix);
}

enum result
segment_open(struct segments *s, uint32_t number, int flags, struct handle **h_out,
             struct fault *f)
{
    char name[SEGMENT_NAME], text[LAYOUT_SEGMENT] = {0};
    segment_name(name, number, "seg");
    int fd = openat(s->v->journal_fd, name, flags | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return fault_set(f, FAULT_CORRUPTION, "journal: segment %s is missing", name);
    if (fd < 0)
        return fault_errno(f, FAULT_DISK, name);
    struct handle *h = handle_new(HANDLE_SEGMENT, number, fd);
    enum result r = disk_size(fd, &h->size, f);
    if (r == R_OK)
        r = disk_read(fd, 0, text, sizeof text, false, f);
    if (r == R_NONE || (r == R_OK && (segment_header_get(span_of(text, sizeof text),
                                                         &h->segment) != R_OK ||
                                      h->segment.number != number)))
        r = layout_header_fault(span_of(text, sizeof text), "segment", name, f);
    if (r == R_OK)
        *h_out = h;
    else
        handle_unpin(&s->handles, &h);
    return r;
}

// The header first, then room for the records: unwritten extents, so that an append changes no file size.
static enum result
segment_fill(int fd, const struct segment_header *h, uint64_t size, struct fault *f)
{
    char text[LAYOUT_SEGMENT];
    segment_header_put(text, h);
    if (disk_write(fd, 0, span_of(text, sizeof text), f) != R_OK)
        return R_FAIL;
    if (fallocate(fd, 0, 0, (off_t)size) != 0 &&
        errno == EIO)  // else appends extend the file
        return fault_errno(f, FAULT_DISK, "fallocate");
    return disk_sync(fd, f);
}

enum result
segment_create(struct segments *s, const struct segment_header *h, uint64_t size,
               int *fd_out, struct fault *f)
{
    char temp[SEGMENT_NAME], name[SEGMENT_NAME];
    int fd, dir = s->v->journal_fd;
    segment_name(temp, h->number, "new");
    segment_name(name, h->number, "seg");
    unlinkat(dir, temp, 0);
    if (disk_create(dir, temp, &fd, f) != R_OK)
        return R_FAIL;
    enum result r = segment_fill(fd, h, size, f);
    if (r == R_OK && renameat(dir, temp, dir, name) != 0)
        r = fault_errno(f, FAULT_DISK, "rename of a segment");
    if (r == R_OK)
        r = disk_sync(dir, f);
    if (r != R_OK) {
        unlinkat(dir, temp, 0);
        close(fd);
        return r;
    }
    *fd_out = fd;
    return R_OK;
}

bool
segment_exists(struct segments *s, uint32_t number)
{
    char name[SEGMENT_NAME];
    segment_name(name, number, "seg");
    return faccessat(s->v->journal_fd, name, F_OK, 0) == 0 || errno != ENOENT;
}

void
segments_push(struct segments *s, uint64_t first_seq)
{
    pthread_mutex_lock(&s->lock);
    if (s->count == s->cap) {
        s->cap = s->cap > 0 ? s->cap * 2 : 16;
        s->first_seqs = reallocarray(s->first_seqs, s->cap, sizeof *s->first_seqs);
        must(s->first_seqs != NULL);
    }
    s->first_seqs[s->count++] = first_seq;
    table_cut(&s->open, 0, 0);
    s->end_offset = LAYOUT_SEGMENT;
    s->end_seq = first_seq;
    pthread_mutex_unlock(&s->lock);
}

uint64_t
segments_stop(struct segments *s, uint32_t number)
{
    pthread_mutex_lock(&s->lock);
    uint64_t stop = number < s->count ? s->first_seqs[number] : s->end_seq;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

uint32_t
segments_find(struct segments *s, uint64_t seq)
{
    pthread_mutex_lock(&s->lock);
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->first_seqs[middle] <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    pthread_mutex_unlock(&s->lock);
    return low;
}

enum result
segments_pin(struct segments *s, uint32_t number, bool nowait, struct handle **h_out,
             struct fault *f)
{
    pthread_mutex_lock(&s->lock);
    bool sealed = number < s->count, known = number >= 1 && number <= s->count;
    pthread_mutex_unlock(&s->lock);
    if (!known)
        return fault_set(f, FAULT_CORRUPTION, "journal: there is no segment %u", number);
    struct handle *h = handles_pin(&s->handles, HANDLE_SEGMENT, number);
    if (h && sealed && h->table_fd < 0)  // it was opened before it was sealed
        handle_unpin(&s->handles, &h);
    if (!h && nowait)
        return R_NONE;
    if (!h) {
        if (segment_open(s, number, O_RDONLY, &h, f) != R_OK)
            return R_FAIL;
        if (sealed && segments_table_open(s, h, f) != R_OK) {
            handle_unpin(&s->handles, &h);
            return R_FAIL;
        }
        handles_keep(&s->handles, h);
    }
    *h_out = h;
    return R_OK;
}

// R_NONE: not in the page cache with nowait, or the segment was sealed since it was pinned.
static enum result
offset_get(struct segments *s, struct handle *h, uint32_t recno, bool nowait,
           uint64_t *offset_out, struct fault *f)
{
    char text[8];
    if (h->table_fd < 0) {
        pthread_mutex_lock(&s->lock);
        bool open = h->id == s->count, here = open && recno < s->open.count;
        if (here)
            *offset_out = s->open.offsets[recno];
        pthread_mutex_unlock(&s->lock);
        if (here || !open)
            return here ? R_OK : R_NONE;
    }
    if (h->table_fd < 0 || recno >= h->table.count)
        return fault_set(f, FAULT_CORRUPTION, "journal: no record %u in segment %u", recno,
                         (unsigned)h->id);
    enum result r =
        disk_read(h->table_fd, LAYOUT_TABLE + (uint64_t)recno * 8, text, 8, nowait, f);
    if (r == R_OK)
        *offset_out = layout_u64(text);
    return r;
}

enum result
segments_locate(struct segments *s, uint64_t blob, bool nowait, struct handle **h_out,
                uint64_t *offset_out, struct fault *f)
{
    for (int tries = 0; tries < 2; tries++) {
        struct handle *h = NULL;
        enum result r = segments_pin(s, (uint32_t)(blob >> 32), nowait, &h, f);
        if (r != R_OK)
            return r;
        r = offset_get(s, h, (uint32_t)blob, nowait, offset_out, f);
        if (r == R_OK) {
            *h_out = h;
            return R_OK;
        }
        handle_unpin(&s->handles, &h);
        if (r == R_FAIL || nowait)
            return r;
    }
    return fault_set(f, FAULT_CORRUPTION, "journal: the table of segment %u ends early",
                     (unsigned)(blob >> 32));
}
