#include "store/body.h"

#include "base/budget.h"
#include "base/limits.h"
#include "store/body_frame.h"
#include "store/volume.h"

#include <fcntl.h>
#include <unistd.h>

enum { INLINE_FRAMES = LIMIT_intake_inline / CODEC_FRAME };

struct store_body {
    struct volume *v;  // NULL: engine mem
    struct buf mem;    // the octets, or the last unwritten ones of a file
    struct buf coded;  // a frame on its way to the file, or all of an inline body as stored
    char sums[INLINE_FRAMES][LAYOUT_SUM];
    struct body_header head;     // its stored octets grow with the frames
    struct buf lengths;          // of the frames as stored, then their table
    uint64_t id, size, written;  // written: frames in the file
    size_t charged;              // octets taken from the budget
    int fd;
    bool spills, external, finished;
    bool named;  // a record names the file
};

struct store_body *
body_new(struct journal *j)
{
    struct store_body *b = calloc(1, sizeof *b);
    must(b != NULL);
    b->v = j ? journal_volume(j) : NULL;
    b->id = b->v ? volume_id_next(b->v) : 0;
    b->fd = -1;
    buf_init(&b->mem, j ? LIMIT_intake_inline : LIMIT_body_size);
    buf_init(&b->coded, (size_t)2 * LIMIT_intake_inline);
    buf_init(&b->lengths, (size_t)layout_frame_table(LIMIT_body_size) + LAYOUT_SUM);
    b->head = (struct body_header){.id = b->id, .codec = b->v ? b->v->codec->id : 0};
    return b;
}

uint64_t
store_body_size(const struct store_body *b)
{
    return b->size;
}

void
store_body_spill(struct store_body *b)
{
    must(b->size == 0);
    b->spills = b->v != NULL;
}

enum result
body_plain(const struct store_body *b, struct span *plain_out)
{
    if (b->external)
        return R_NONE;
    *plain_out = buf_span(&b->mem);
    return R_OK;
}

// ---- the file ----

struct frame_job {
    struct store_body *b;
    struct span plain;
    bool last;
    enum result result;
    struct fault *f;
};

static enum result
file_begin(struct store_body *b, struct fault *f)
{
    if (b->fd >= 0)
        return R_OK;
    if (volume_body_create(b->v, b->id, &b->fd, f) != R_OK)
        return R_FAIL;
    b->external = true;
    return R_OK;
}

static enum result
frame_write(struct store_body *b, struct span plain, struct fault *f)
{
    uint64_t at = LAYOUT_BODY + b->head.stored;
    buf_reset(&b->coded);
    char *room = buf_reserve(&b->coded, body_frame_room(&b->head, plain.n));
    must(room != NULL);
    size_t n = body_frame_put(&b->head, b->written, b->v->compress, plain, room);
    if (disk_write(b->fd, at, span_of(room, n), f) != R_OK)
        return R_FAIL;
    body_frame_note(&b->head, &b->lengths, plain.n, n);
    b->written++;
    return R_OK;
}

static enum result
file_end(struct store_body *b, struct fault *f)
{
    char header[LAYOUT_BODY];
    uint64_t at = LAYOUT_BODY + b->head.stored;
    b->head.plain = b->size;
    body_frame_table_end(&b->head, &b->lengths);
    body_header_put(header, &b->head);
    if (disk_write(b->fd, at, buf_span(&b->lengths), f) != R_OK)
        return R_FAIL;
    if (disk_write(b->fd, 0, span_of(header, sizeof header), f) != R_OK)
        return R_FAIL;
    if (fdatasync(b->fd) != 0)
        return fault_errno(f, FAULT_DISK, "fdatasync of a body file");
    return volume_body_sync(b->v, b->id, f);
}

static void
frame_job_run(void *arg)
{
    struct frame_job *job = arg;
    job->result = file_begin(job->b, job->f);
    while (job->result == R_OK && job->plain.n > 0) {
        struct span frame = span_slice(job->plain, 0, CODEC_FRAME);
        job->result = frame_write(job->b, frame, job->f);
        job->plain = span_skip(job->plain, frame.n);
    }
    if (job->result == R_OK && job->last)
        job->result = file_end(job->b, job->f);
}

// Suspends. Whole frames (the last may be short) to the file.
static enum result
file_put(struct store_body *b, struct span plain, bool last, struct fault *f)
{
    struct frame_job job = {.b = b, .plain = plain, .last = last, .f = f};
    volume_run(b->v, frame_job_run, &job);
    return job.result;
}

// ---- writing ----

static void
mem_drop(struct store_body *b, size_t n)
{
    buf_consume(&b->mem, n);
    size_t give = b->charged - (b->mem.n < b->charged ? b->mem.n : b->charged);
    budget_give(BUDGET_INTAKE, give);
    b->charged -= give;
    if (b->mem.n == 0)
        buf_done(&b->mem);
}

static enum result
flush_frames(struct store_body *b, struct fault *f)
{
    size_t whole = b->mem.n - b->mem.n % CODEC_FRAME;
    if (whole == 0)
        return R_OK;
    if (file_put(b, span_of(b->mem.p, whole), false, f) != R_OK)
        return R_FAIL;
    mem_drop(b, whole);
    return R_OK;
}

static void
mem_put(struct store_body *b, struct span bytes)
{
    buf_put(&b->mem, bytes);
    must(!b->mem.over);
    b->size += bytes.n;
}

static enum result
spill_write(struct store_body *b, struct span bytes, struct fault *f)
{
    while (bytes.n > 0) {
        if (flush_frames(b, f) != R_OK)
            return R_FAIL;
        size_t whole = bytes.n - bytes.n % CODEC_FRAME;
        if (b->mem.n == 0 && whole > 0) {  // nothing is copied
            if (file_put(b, span_slice(bytes, 0, whole), false, f) != R_OK)
                return R_FAIL;
            b->size += whole;
            bytes = span_skip(bytes, whole);
            continue;
        }
        struct span part = span_slice(bytes, 0, CODEC_FRAME - b->mem.n);
        budget_force(BUDGET_INTAKE, part.n);
        b->charged += part.n;
        mem_put(b, part);
        bytes = span_skip(bytes, part.n);
    }
    return flush_frames(b, f);
}

enum result
store_body_write(struct store_body *b, struct span bytes, struct fault *f)
{
    must(!b->finished);
    if (bytes.n > LIMIT_body_size - b->size)
        return fault_set(f, FAULT_TOOBIG, "a body over %d octets", LIMIT_body_size);
    if (b->v && !b->spills && b->mem.n + bytes.n > LIMIT_intake_inline)
        b->spills = true;
    if (!b->spills) {
        if (budget_take(BUDGET_INTAKE, bytes.n, f) == R_OK) {
            b->charged += bytes.n;
            mem_put(b, bytes);
            return R_OK;
        }
        if (!b->v)
            return R_FAIL;
        b->spills = true;
    }
    return spill_write(b, bytes, f);
}

// All frames as stored, when the codec changes them or some are compressed.
static void
inline_encode(struct store_body *b)
{
    struct span rest = buf_span(&b->mem);
    for (uint64_t i = 0; rest.n > 0; i++) {
        struct span frame = span_slice(rest, 0, CODEC_FRAME);
        char *room = buf_reserve(&b->coded, body_frame_room(&b->head, frame.n));
        must(room != NULL);
        size_t n = body_frame_put(&b->head, i, b->v->compress, frame, room);
        body_frame_note(&b->head, &b->lengths, frame.n, n);
        b->coded.n += n;
        rest = span_skip(rest, frame.n);
    }
    body_frame_table_end(&b->head, &b->lengths);
    buf_put(&b->coded, buf_span(&b->lengths));
    if (!b->head.compressed && b->v->codec->overhead == 0)
        buf_done(&b->coded);  // it is as the plain text is
    budget_force(BUDGET_INTAKE, b->coded.n);
    b->charged += b->coded.n;
}

// An inline body is made ready once.
static void
inline_finish(struct store_body *b)
{
    b->head.plain = b->size;
    if (b->v->codec->overhead > 0 || (b->v->compress && b->size >= BODY_FRAME_COMPRESS_MIN))
        inline_encode(b);
    if (b->coded.n > 0)
        return;
    struct span rest = buf_span(&b->mem);
    for (uint64_t i = 0; rest.n > 0; i++) {
        struct span frame = span_slice(rest, 0, CODEC_FRAME);
        layout_put_u64(b->sums[i], layout_frame_sum(b->id, i, frame));
        rest = span_skip(rest, frame.n);
    }
    b->head.stored = layout_stored(b->v->codec, b->size);
}

enum result
store_body_finish(struct store_body *b, struct fault *f)
{
    must(!b->finished);
    if (b->external) {
        if (file_put(b, buf_span(&b->mem), true, f) != R_OK)
            return R_FAIL;
        mem_drop(b, b->mem.n);
        buf_done(&b->coded);
        close(b->fd);
        b->fd = -1;
    } else if (b->v) {
        inline_finish(b);
    }
    b->finished = true;
    return R_OK;
}

// ---- reading it again ----

struct read_job {
    const struct store_body *b;
    uint64_t at;
    char *dst;
    size_t n;
    enum result result;
    struct fault *f;
};

// Octets [from, from + n) of a frame.
static enum result
frame_read(const struct read_job *job, int fd, uint64_t frame, size_t from, size_t n,
           char *dst)
{
    const struct store_body *b = job->b;
    struct body_frame_place p = body_frame_place(&b->head, buf_span(&b->lengths), frame);
    size_t size = p.stored + LAYOUT_SUM + p.plain;
    struct buf text;
    buf_init(&text, size);
    char *room = buf_reserve(&text, size);
    must(room != NULL);
    char *out = room + p.stored + LAYOUT_SUM;
    struct span stored = span_of(room, p.stored);
    enum result r =
        disk_read(fd, LAYOUT_BODY + p.at, room, p.stored + LAYOUT_SUM, false, job->f);
    if (r == R_OK && (body_frame_check(&b->head, frame, stored, room + p.stored) != R_OK ||
                      body_frame_decode(&b->head, frame, &p, stored, out) != R_OK))
        r = R_NONE;
    if (r == R_OK)
        memcpy(dst, out + from, n);
    buf_done(&text);
    return r == R_NONE ? fault_set(job->f, FAULT_CORRUPTION, "a staged body is damaged")
                       : r;
}

static void
read_job_run(void *arg)
{
    struct read_job *job = arg;
    char name[VOLUME_NAME];
    volume_body_name(name, job->b->id);
    int fd = openat(job->b->v->bodies_fd, name, O_RDONLY | O_CLOEXEC);
    job->result = fd < 0 ? fault_errno(job->f, FAULT_DISK, name) : R_OK;
    while (job->result == R_OK && job->n > 0) {
        size_t from = (size_t)(job->at % CODEC_FRAME), n = CODEC_FRAME - from;
        n = n < job->n ? n : job->n;
        job->result = frame_read(job, fd, job->at / CODEC_FRAME, from, n, job->dst);
        job->at += n;
        job->dst += n;
        job->n -= n;
    }
    if (fd >= 0)
        close(fd);
}

enum result
store_body_read(const struct store_body *b, uint64_t at, char *dst, size_t n,
                struct fault *f)
{
    must(b->finished && at <= b->size && n <= b->size - at);
    if (!b->external) {
        if (n > 0)
            memcpy(dst, b->mem.p + at, n);
        return R_OK;
    }
    struct read_job job = {.b = b, .at = at, .dst = dst, .n = n, .f = f};
    volume_run(b->v, read_job_run, &job);
    return job.result;
}

void
store_body_free(struct store_body **body)
{
    struct store_body *b = *body;
    if (!b)
        return;
    if (b->fd >= 0)
        close(b->fd);
    if (b->external && !b->named)
        volume_body_unlink(b->v, b->id);
    mem_drop(b, b->mem.n);
    buf_done(&b->coded);
    buf_done(&b->lengths);
    free(b);
    *body = NULL;
}

// ---- into a record ----

struct link_job {
    struct volume *v;
    uint64_t from, to;
    enum result result;
    struct fault *f;
};

static void
link_job_run(void *arg)
{
    struct link_job *job = arg;
    job->result = volume_body_link(job->v, job->from, job->to, job->f);
}

enum result
body_claim(struct store_body *b, struct record_header *h, struct fault *f)
{
    must(b->finished && b->v);
    uint64_t name = b->id;
    if (b->external && b->named) {
        struct link_job job = {
            .v = b->v, .from = b->id, .to = volume_id_next(b->v), .f = f};
        volume_run(b->v, link_job_run, &job);
        if (job.result != R_OK)
            return R_FAIL;
        name = job.to;
    }
    b->named = true;
    h->body_id = name;
    h->body_plain = b->size;
    h->flags = b->external          ? RECORD_BODY_EXTERNAL
               : b->head.compressed ? RECORD_BODY_COMPRESSED
                                    : 0;
    h->body_stored = b->external ? 0 : b->head.stored;
    return R_OK;
}

void
body_unclaim(struct store_body *b, const struct record_header *h)
{
    if (!b->external)
        return;
    if (h->body_id == b->id)
        b->named = false;
    else
        volume_body_unlink(b->v, h->body_id);
}

size_t
body_iovs(struct store_body *b, struct iovec *iov)
{
    if (b->external || b->size == 0)
        return 0;
    if (b->coded.n > 0) {
        iov[0] = (struct iovec){b->coded.p, b->coded.n};
        return 1;
    }
    size_t n = 0;
    struct span rest = buf_span(&b->mem);
    for (size_t i = 0; rest.n > 0; i++) {
        struct span frame = span_slice(rest, 0, CODEC_FRAME);
        iov[n++] = (struct iovec){(char *)frame.p, frame.n};
        iov[n++] = (struct iovec){b->sums[i], LAYOUT_SUM};
        rest = span_skip(rest, frame.n);
    }
    return n;
}
