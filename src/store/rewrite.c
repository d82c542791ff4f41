#include "store/journal_inside.h"

#include "base/limits.h"

#include <fcntl.h>
#include <unistd.h>

enum { OUT_OCTETS = 1 << 20, COPY_OCTETS = 65536 };

// A segment on its way into its next file.
struct rewrite {
    struct journal *j;
    journal_live_fn *live;
    void *arg;
    struct walk w;  // of the old file
    struct segment_header header;
    int fd;                // of the new file
    uint64_t end;          // octets written and buffered
    struct buf out, dead;  // dead: ids of body files to remove
    struct table table;
    uint64_t freed;
    bool changed;
    struct fault *f;
};

static enum result
out_flush(struct rewrite *r)
{
    enum result result = disk_write(r->fd, r->end - r->out.n, buf_span(&r->out), r->f);
    buf_reset(&r->out);
    return result;
}

static enum result
out_put(struct rewrite *r, struct span s)
{
    while (s.n > 0) {
        if (r->out.n == OUT_OCTETS && out_flush(r) != R_OK)
            return R_FAIL;
        struct span part = span_slice(s, 0, OUT_OCTETS - r->out.n);
        buf_put(&r->out, part);
        r->end += part.n;
        s = span_skip(s, part.n);
    }
    return R_OK;
}

// Octets of the old file as they are; damage in a body stays damage.
static enum result
out_copy(struct rewrite *r, uint64_t offset, uint64_t n)
{
    char chunk[COPY_OCTETS / 4];
    while (n > 0) {
        size_t part = n < sizeof chunk ? (size_t)n : sizeof chunk;
        enum result result = disk_read(r->w.fd, offset, chunk, part, false, r->f);
        if (result == R_NONE)
            return fault_set(r->f, FAULT_CORRUPTION, "journal: segment %u ends early",
                             r->header.number);
        if (result == R_OK)
            result = out_put(r, span_of(chunk, part));
        if (result != R_OK)
            return result;
        offset += part;
        n -= part;
    }
    return R_OK;
}

static void
body_drop(struct rewrite *r, struct record_header *h)
{
    r->changed = true;
    if (h->flags & RECORD_BODY_EXTERNAL)
        buf_put(&r->dead, span_of(&h->body_id, 8));
    r->freed += journal_body_octets(r->j, h);
    h->flags = RECORD_BODY_DROPPED;
    h->body_stored = 0;
}

static enum result
record_rewrite(struct rewrite *r, struct record_header *h)
{
    char text[LAYOUT_RECORD];
    uint64_t blob = (uint64_t)h->segment << 32 | h->recno;
    uint64_t meta_at = r->w.at + LAYOUT_RECORD;
    bool has_body = h->body_plain > 0 && !(h->flags & RECORD_BODY_DROPPED);
    if (has_body && !r->live(blob, r->arg))
        body_drop(r, h);
    table_add(&r->table, h, r->end);
    record_header_put(text, h, r->header.nonce);
    if (out_put(r, span_of(text, sizeof text)) != R_OK)
        return R_FAIL;
    return out_copy(r, meta_at, (uint64_t)h->meta_stored + h->body_stored);
}

static enum result
records_rewrite(struct rewrite *r, uint64_t stop)
{
    char text[LAYOUT_SEGMENT];
    segment_header_put(text, &r->header);
    if (out_put(r, span_of(text, sizeof text)) != R_OK)
        return R_FAIL;
    while (r->w.seq < stop) {
        struct record_header h;
        enum result result = walk_next(&r->w, &h, r->f);
        if (result == R_NONE)
            result = fault_set(r->f, FAULT_CORRUPTION,
                               "journal: segment %u is damaged at octet %llu",
                               r->header.number, (unsigned long long)r->w.offset);
        if (result == R_OK)
            result = record_rewrite(r, &h);
        if (result != R_OK)
            return result;
    }
    return out_flush(r);
}

// Puts the new file in the old one's place: table, rename, folder. A crash leaves one or the other whole; a
// table that belongs to the other is made anew.
static enum result
segment_replace(struct rewrite *r, const char *temp)
{
    struct segments *s = &r->j->segments;
    char name[SEGMENT_NAME];
    int dir = r->j->v.journal_fd;
    segment_name(name, r->header.number, "seg");
    if (disk_sync(r->fd, r->f) != R_OK)
        return R_FAIL;
    pthread_mutex_lock(&s->tables_lock);
    enum result result = segments_table_write(s, &r->header, &r->table, r->end, r->f);
    if (result == R_OK && renameat(dir, temp, dir, name) != 0)
        result = fault_errno(r->f, FAULT_DISK, "rename of a segment");
    if (result == R_OK)
        handles_forget(&s->handles, HANDLE_SEGMENT, r->header.number);
    if (result == R_OK)
        result = disk_sync(dir, r->f);
    pthread_mutex_unlock(&s->tables_lock);
    return result;
}

static void
dead_remove(struct rewrite *r)
{
    for (size_t i = 0; i < r->dead.n; i += 8) {
        uint64_t id;
        memcpy(&id, r->dead.p + i, 8);
        volume_body_unlink(&r->j->v, id);
        handles_forget(&r->j->segments.handles, HANDLE_BODY, id);
    }
}

static enum result
rewrite_into(struct rewrite *r, const char *temp, uint64_t stop)
{
    unlinkat(r->j->v.journal_fd, temp, 0);
    if (disk_create(r->j->v.journal_fd, temp, &r->fd, r->f) != R_OK)
        return R_FAIL;
    enum result result = records_rewrite(r, stop);
    if (result == R_OK && r->changed)
        result = segment_replace(r, temp);
    if (result == R_OK && r->changed)
        dead_remove(r);
    else
        unlinkat(r->j->v.journal_fd, temp, 0);
    close(r->fd);
    return result;
}

static enum result
segment_rewrite(struct rewrite *r, uint32_t number)
{
    struct handle *old = NULL;
    char temp[SEGMENT_NAME];
    segment_name(temp, number, "new");
    if (segment_open(&r->j->segments, number, O_RDONLY, &old, r->f) != R_OK)
        return R_FAIL;
    r->header = old->segment;
    r->header.rewrites++;
    buf_init(&r->out, OUT_OCTETS);
    buf_init(&r->dead, LIMIT_record_meta);
    walk_init(&r->w, old->fd, old->size, &old->segment);
    enum result result = rewrite_into(r, temp, segments_stop(&r->j->segments, number));
    walk_done(&r->w);
    buf_done(&r->out);
    buf_done(&r->dead);
    table_done(&r->table);
    handle_unpin(&r->j->segments.handles, &old);
    return result;
}

static enum result
rewrite_begin(struct journal *j, struct fault *f)
{
    pthread_mutex_lock(&j->lock);
    bool busy = j->rewriting || j->leases > 0;
    if (!busy)
        j->rewriting = true;
    pthread_mutex_unlock(&j->lock);
    return busy ? fault_set(f, FAULT_INUSE,
                            "journal: a backup or another compaction is under way")
                : R_OK;
}

enum result
journal_rewrite(struct journal *j, uint32_t number, journal_live_fn *live, void *arg,
                uint64_t *freed_out, struct fault *f)
{
    struct rewrite r = {.j = j, .live = live, .arg = arg, .f = f};
    if (number == 0 || number >= journal_segment_count(j))
        return fault_set(f, FAULT_CANNOT, "journal: segment %u is not sealed", number);
    if (rewrite_begin(j, f) != R_OK)
        return R_FAIL;
    enum result result = segment_rewrite(&r, number);
    pthread_mutex_lock(&j->lock);
    j->rewriting = false;
    pthread_mutex_unlock(&j->lock);
    if (result == R_OK)
        *freed_out = r.changed ? r.freed : 0;
    return result;
}
