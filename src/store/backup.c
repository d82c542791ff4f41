#include "store/backup.h"

#include "base/hash.h"
#include "io/task.h"
#include "store/journal_inside.h"

#include <time.h>

static uint64_t
chain_next(const struct backup_chunk *c, uint64_t chain, struct span data)
{
    char text[32];
    layout_put_u64(text, chain);
    layout_put_u64(text + 8, (uint64_t)c->kind << 32 | c->length);
    layout_put_u64(text + 16, c->id);
    layout_put_u64(text + 24, hash64(data));
    return hash64(span_of(text, sizeof text));
}

void
backup_chunk_put(char *out, struct backup_chunk *c, uint64_t chain, struct span data)
{
    c->length = (uint32_t)data.n;
    c->chain = chain_next(c, chain, data);
    layout_put_u64(out, (uint64_t)c->kind << 32 | c->length);
    layout_put_u64(out + 8, c->id);
    layout_put_u64(out + 16, c->chain);
}

void
backup_chunk_get(const char *in, struct backup_chunk *c_out)
{
    uint64_t word = layout_u64(in);
    *c_out = (struct backup_chunk){.kind = (uint32_t)(word >> 32),
                                   .length = (uint32_t)word,
                                   .id = layout_u64(in + 8),
                                   .chain = layout_u64(in + 16)};
}

enum result
backup_chunk_check(const struct backup_chunk *c, uint64_t chain, struct span data)
{
    return c->chain == chain_next(c, chain, data) ? R_OK : R_FAIL;
}

// ---- the stream ----

struct backup {
    struct journal *j;
    store_sink_fn *sink;
    void *arg;
    uint64_t end_seq, end_offset;  // of the journal when the lease was taken
    uint32_t segments;
    uint64_t chain;
    struct buf ids;   // of the external bodies
    struct buf data;  // one chunk with its header
    struct fault *f;
    enum result result;  // of a job on the pool

    int fd;  // the job's part of a file
    uint64_t at;
    size_t n;
};

static void
read_job(void *arg)
{
    struct backup *b = arg;
    b->result = disk_read(b->fd, b->at, b->data.p + BACKUP_CHUNK, b->n, false, b->f);
    if (b->result == R_NONE)
        b->result = fault_set(b->f, FAULT_CORRUPTION, "backup: a file became shorter");
}

static enum result
chunk_send(struct backup *b, enum backup_kind kind, uint64_t id)
{
    struct backup_chunk c = {.kind = (uint32_t)kind, .id = id};
    backup_chunk_put(b->data.p, &c, b->chain, span_of(b->data.p + BACKUP_CHUNK, b->n));
    b->chain = c.chain;
    return b->sink(span_of(b->data.p, BACKUP_CHUNK + b->n), b->arg, b->f);
}

static enum result
file_send(struct backup *b, enum backup_kind kind, uint64_t id, uint64_t size)
{
    for (b->at = 0; b->at < size; b->at += b->n) {
        b->n = size - b->at < BACKUP_DATA_MAX ? (size_t)(size - b->at) : BACKUP_DATA_MAX;
        volume_run(&b->j->v, read_job, b);
        if (b->result != R_OK || chunk_send(b, kind, id) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
segment_send(struct backup *b, uint32_t number)
{
    struct handle *h = NULL;
    uint64_t size = b->end_offset;
    if (segments_pin(&b->j->segments, number, false, &h, b->f) != R_OK)
        return R_FAIL;
    b->fd = h->fd;
    enum result r = number < b->segments ? disk_size(h->fd, &size, b->f) : R_OK;
    if (r == R_OK)
        r = file_send(b, BACKUP_SEGMENT, number, size);
    handle_unpin(&b->j->segments.handles, &h);
    return r;
}

static enum result
body_send(struct backup *b, uint64_t id)
{
    struct handle *h = NULL;
    uint64_t size;
    if (journal_body_pin(b->j, id, false, &h, b->f) != R_OK)
        return R_FAIL;
    b->fd = h->fd;
    enum result r = disk_size(h->fd, &size, b->f);
    if (r == R_OK)
        r = file_send(b, BACKUP_BODY, id, size);
    handle_unpin(&b->j->segments.handles, &h);
    return r;
}

static enum result
id_collect(const struct journal_record *r, void *arg, struct fault *f)
{
    struct backup *b = arg;
    if (r->header.flags & RECORD_BODY_EXTERNAL)
        buf_put(&b->ids, span_of(&r->header.body_id, 8));
    return b->ids.over ? fault_set(f, FAULT_LIMIT, "backup: too many body files") : R_OK;
}

static void
collect_job(void *arg)
{
    struct backup *b = arg;
    struct journal_scan s = {
        .from = 1, .to = b->end_seq, .headers_only = true, .record = id_collect, .arg = b};
    b->result = journal_scan(b->j, &s, b->f);
}

static enum result
stream_send(struct backup *b)
{
    struct span magic = b->j->v.compressed ? SPAN(BACKUP_MAGIC) : SPAN(BACKUP_MAGIC_PLAIN);
    if (b->sink(magic, b->arg, b->f) != R_OK)
        return R_FAIL;
    for (uint32_t i = 1; i <= b->segments; i++)
        if (segment_send(b, i) != R_OK)
            return R_FAIL;
    volume_run(&b->j->v, collect_job, b);
    if (b->result != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < b->ids.n; i += 8) {
        uint64_t id;
        memcpy(&id, b->ids.p + i, 8);
        if (body_send(b, id) != R_OK)
            return R_FAIL;
    }
    b->n = 0;
    return chunk_send(b, BACKUP_END, b->end_seq);
}

// ---- the lease ----

static bool
lease_try(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool taken = !j->rewriting;
    j->leases += taken;
    pthread_mutex_unlock(&j->lock);
    return taken;
}

// Suspends while a segment is being rewritten.
static void
lease_take(struct journal *j)
{
    enum { WAIT_MS = 20 };
    struct timespec wait = {.tv_nsec = WAIT_MS * 1000000};
    while (!lease_try(j)) {
        if (task_self())
            task_sleep(WAIT_MS);
        else
            nanosleep(&wait, NULL);
    }
}

static void
lease_give(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    j->leases--;
    pthread_mutex_unlock(&j->lock);
}

enum result
journal_backup(struct journal *j, store_sink_fn *sink, void *arg, struct fault *f)
{
    enum { IDS_MAX = 1 << 30 };
    struct backup b = {.j = j, .sink = sink, .arg = arg, .f = f};
    lease_take(j);
    pthread_mutex_lock(&j->segments.lock);
    b.end_seq = j->segments.end_seq;
    b.end_offset = j->segments.end_offset;
    b.segments = j->segments.count;
    pthread_mutex_unlock(&j->segments.lock);
    buf_init(&b.ids, IDS_MAX);
    buf_init(&b.data, BACKUP_CHUNK + BACKUP_DATA_MAX);
    must(buf_reserve(&b.data, BACKUP_CHUNK + BACKUP_DATA_MAX) != NULL);
    enum result r = stream_send(&b);
    buf_done(&b.ids);
    buf_done(&b.data);
    lease_give(j);
    return r;
}
