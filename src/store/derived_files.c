#include "store/derived_files.h"

#include "base/hash.h"
#include "base/limits.h"
#include "store/disk.h"
#include "store/layout.h"

#include <errno.h>
#include <unistd.h>

// What a string belongs to: a file that stands in another place is noticed.
static uint64_t
owner_of(const struct store *s, const char *name)
{
    char text[sizeof s->folder.uuid + DERIVED_NAME];
    size_t n = strlen(name);
    memcpy(text, s->folder.uuid, sizeof s->folder.uuid);
    memcpy(text + sizeof s->folder.uuid, name, n);
    return hash64(span_of(text, sizeof s->folder.uuid + n));
}

// ---- writing ----

static enum result
create(struct derived_job *j)
{
    struct derived_writer *w = j->w;
    char folder[DERIVED_FOLDER], temp[DERIVED_FILE];
    derived_folder_name(folder, w->account);
    derived_name_new(temp, w->name);
    if (disk_folder_open(j->store->derived_table->fd, folder, &w->folder_fd, j->f) != R_OK)
        return R_FAIL;
    unlinkat(w->folder_fd, temp, 0);  // of a process that was killed
    return disk_create(w->folder_fd, temp, &w->fd, j->f);
}

static enum result
files_create(struct derived_writer *w, struct fault *f)
{
    struct derived_job j = {.w = w};
    w->id = random_u64();
    derived_writer_listed(w, true);
    return derived_run(&j, w->store, create, f);
}

static uint64_t
stored_frame(const struct codec *c)
{
    return (uint64_t)DERIVED_FRAME + c->overhead + LAYOUT_SUM;
}

static enum result
write_frame(struct derived_writer *w, struct span plain, struct buf *coded, struct fault *f)
{
    const struct codec *codec = w->store->codec;
    struct codec_context ctx = {.key_id = 0, .a = w->id, .b = 1 + w->frames};
    size_t stored = plain.n + codec->overhead;
    buf_reset(coded);
    char *room = buf_reserve(coded, stored + LAYOUT_SUM);
    must(room != NULL);
    codec->encode(&ctx, plain, room);
    layout_put_u64(room + stored,
                   layout_frame_sum(w->id, w->frames, span_of(room, stored)));
    uint64_t at = LAYOUT_DERIVED + w->frames++ * stored_frame(codec);
    return disk_write(w->fd, at, span_of(room, stored + LAYOUT_SUM), f);
}

static enum result
write_frames(struct derived_job *j)
{
    struct derived_writer *w = j->w;
    struct buf coded;
    size_t done = 0;
    enum result r = R_OK;
    buf_init(&coded, (size_t)2 * DERIVED_FRAME);
    while (r == R_OK &&
           (w->plain.n - done >= DERIVED_FRAME || (j->last && w->plain.n > done))) {
        struct span frame = span_slice(buf_span(&w->plain), done, done + DERIVED_FRAME);
        r = write_frame(w, frame, &coded, j->f);
        done += frame.n;
    }
    buf_consume(&w->plain, done);
    buf_done(&coded);
    return r;
}

static enum result
files_write(struct derived_writer *w, bool last, struct fault *f)
{
    struct derived_job j = {.w = w, .last = last};
    return derived_run(&j, w->store, write_frames, f);
}

static enum result
commit(struct derived_job *j)
{
    struct derived_writer *w = j->w;
    char text[LAYOUT_DERIVED], temp[DERIVED_FILE];
    struct derived_header h = {.id = w->id,
                               .plain = w->size,
                               .account = w->account,
                               .owner = owner_of(j->store, w->name),
                               .frame = DERIVED_FRAME,
                               .codec = j->store->codec->id};
    derived_header_put(text, &h);
    derived_name_new(temp, w->name);
    if (disk_write(w->fd, 0, span_of(text, sizeof text), j->f) != R_OK)
        return R_FAIL;
    if (fdatasync(w->fd) != 0)
        return fault_errno(j->f, FAULT_DISK, "fdatasync of a derived string");
    if (renameat(w->folder_fd, temp, w->folder_fd, w->name) != 0)
        return fault_errno(j->f, FAULT_DISK, "rename of a derived string");
    return disk_sync(w->folder_fd, j->f);
}

static enum result
files_commit(struct derived_writer *w, struct fault *f)
{
    struct derived_job j = {.w = w};
    return derived_run(&j, w->store, commit, f);
}

static void
files_end(struct derived_writer *w)
{
    char temp[DERIVED_FILE];
    derived_name_new(temp, w->name);
    if (w->fd >= 0) {
        unlinkat(w->folder_fd, temp, 0);  // gone already after a commit
        close(w->fd);
    }
    if (w->folder_fd >= 0)
        close(w->folder_fd);
    if (w->prev)
        derived_writer_listed(w, false);
}

// ---- reading ----

static enum result
damaged(const struct derived *d, const char *what, struct fault *f)
{
    return fault_set(f, FAULT_CORRUPTION, "derived string %s of account %llu: %s", d->name,
                     (unsigned long long)d->account, what);
}

static enum result
read_header(struct derived_job *j)
{
    struct derived *d = j->d;
    struct derived_header h;
    char text[LAYOUT_DERIVED];
    uint64_t size;
    enum result r = disk_read(d->fd, 0, text, sizeof text, false, j->f);
    if (r == R_FAIL || disk_size(d->fd, &size, j->f) != R_OK)
        return R_FAIL;
    if (r == R_NONE || derived_header_get(span_of(text, sizeof text), &h) != R_OK)
        return damaged(d, "its header is damaged, or of another version", j->f);
    d->codec = codec_find(h.codec);
    if (h.account != d->account || h.owner != owner_of(j->store, d->name))
        return damaged(d, "it belongs somewhere else", j->f);
    uint64_t frames = (h.plain + h.frame - 1) / h.frame;
    if (size != LAYOUT_DERIVED + h.plain + frames * (d->codec->overhead + LAYOUT_SUM))
        return damaged(d, "its length is wrong", j->f);
    d->id = h.id;
    d->key_id = h.key_id;
    d->frame = h.frame;
    d->size = h.plain;
    return R_OK;
}

static enum result
open_file(struct derived_job *j)
{
    struct derived *d = j->d;
    int folder;
    enum result r = derived_folder_open(j->store, d->account, &folder, j->f);
    if (r != R_OK)
        return r;
    d->fd = openat(folder, d->name, O_RDONLY | O_CLOEXEC);
    if (d->fd < 0)
        r = errno == ENOENT ? R_NONE : fault_errno(j->f, FAULT_DISK, d->name);
    close(folder);
    return r == R_OK ? read_header(j) : r;
}

static enum result
files_open(struct derived *d, struct fault *f)
{
    struct derived_job j = {.d = d};
    return derived_run(&j, d->store, open_file, f);
}

// Reads frame `number` whole into `stored`, checks it and decodes it into `plain`.
static enum result
read_frame(const struct derived *d, uint64_t number, struct buf *stored, struct buf *plain,
           bool nowait, struct fault *f)
{
    uint64_t from = number * d->frame;
    size_t n = d->size - from < d->frame ? (size_t)(d->size - from) : d->frame;
    size_t coded = n + d->codec->overhead;
    uint64_t at =
        LAYOUT_DERIVED + number * ((uint64_t)d->frame + d->codec->overhead + LAYOUT_SUM);
    struct codec_context ctx = {.key_id = d->key_id, .a = d->id, .b = 1 + number};
    buf_reset(stored);
    buf_reset(plain);
    char *room = buf_reserve(stored, coded + LAYOUT_SUM), *out = buf_reserve(plain, n);
    must(room != NULL && out != NULL);
    enum result r = disk_read(d->fd, at, room, coded + LAYOUT_SUM, nowait, f);
    if (r == R_FAIL || (r == R_NONE && nowait))
        return r;
    if (r == R_NONE)
        return damaged(d, "it ends too early", f);
    if (layout_u64(room + coded) != layout_frame_sum(d->id, number, span_of(room, coded)) ||
        d->codec->decode(&ctx, span_of(room, coded), out) != R_OK)
        return damaged(d, "a checksum is wrong", f);
    plain->n = n;
    return R_OK;
}

// Goes on at j->offset; R_NONE: the rest is not in the page cache (with nowait).
static enum result
read_range(struct derived_job *j, bool nowait)
{
    const struct derived *d = j->d;
    struct buf stored, plain;
    enum result r = R_OK;
    buf_init(&stored, (size_t)2 * LIMIT_derived_frame);
    buf_init(&plain, LIMIT_derived_frame);
    while (j->n > 0 && r == R_OK) {
        uint64_t number = j->offset / d->frame;
        r = read_frame(d, number, &stored, &plain, nowait, j->f);
        if (r != R_OK)
            break;
        size_t from = (size_t)(j->offset - number * d->frame);
        size_t n = plain.n - from < j->n ? plain.n - from : j->n;
        memcpy(j->dst, plain.p + from, n);
        j->dst += n;
        j->offset += n;
        j->n -= n;
    }
    buf_done(&stored);
    buf_done(&plain);
    return r;
}

static enum result
read_wait(struct derived_job *j)
{
    return read_range(j, false);
}

static enum result
files_read(struct derived *d, uint64_t offset, char *dst, size_t n, struct fault *f)
{
    struct derived_job j = {.d = d, .offset = offset, .dst = dst, .n = n, .f = f};
    enum result r = read_range(&j, true);
    return r == R_NONE ? derived_run(&j, d->store, read_wait, f) : r;
}

static void
files_close(struct derived *d)
{
    if (d->fd >= 0)
        close(d->fd);
}

const struct derived_engine derived_files = {
    .start = derived_files_start,
    .stop = derived_files_stop,
    .create = files_create,
    .write = files_write,
    .commit = files_commit,
    .end = files_end,
    .open = files_open,
    .read = files_read,
    .close = files_close,
    .remove = derived_files_remove,
    .list = derived_files_list,
    .accounts = derived_files_accounts,
    .clear = derived_files_clear,
    .clear_all = derived_files_clear_all,
};
