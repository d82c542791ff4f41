#include "store/backup.h"

#include "store/journal_inside.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

// A stream on its way into a directory. Segments get their names only when the whole stream was good.
struct restore {
    struct volume v;
    store_source_fn *source;
    void *arg;
    struct fault *f;
    uint64_t chain;
    struct buf data;
    int fd;  // of the file being filled; -1: none
    uint32_t kind;
    uint64_t id, at;
    uint32_t segments;  // begun so far
    bool compressed;    // bodies may be
};

static enum result
source_get(struct restore *r, char *dst, size_t n)
{
    while (n > 0) {
        size_t got = 0;
        if (r->source(dst, n, &got, r->arg, r->f) != R_OK)
            return R_FAIL;
        if (got == 0)
            return fault_set(r->f, FAULT_CORRUPTION, "restore: the stream ends early");
        must(got <= n);
        dst += got;
        n -= got;
    }
    return R_OK;
}

static enum result
chunk_get(struct restore *r, struct backup_chunk *c, struct span *data)
{
    char head[BACKUP_CHUNK];
    if (source_get(r, head, sizeof head) != R_OK)
        return R_FAIL;
    backup_chunk_get(head, c);
    buf_reset(&r->data);
    char *room =
        c->length <= BACKUP_DATA_MAX ? buf_reserve(&r->data, BACKUP_DATA_MAX) : NULL;
    if (!room)
        return fault_set(r->f, FAULT_CORRUPTION, "restore: the stream is damaged");
    if (source_get(r, room, c->length) != R_OK)
        return R_FAIL;
    *data = span_of(room, c->length);
    if (backup_chunk_check(c, r->chain, *data) != R_OK)
        return fault_set(r->f, FAULT_CORRUPTION,
                         "restore: a checksum of the stream is wrong");
    r->chain = c->chain;
    return R_OK;
}

// ---- files ----

static enum result
file_end(struct restore *r)
{
    if (r->fd < 0)
        return R_OK;
    enum result result = disk_sync(r->fd, r->f);
    close(r->fd);
    r->fd = -1;
    if (result == R_OK && r->kind == BACKUP_BODY)
        result = volume_body_sync(&r->v, r->id, r->f);
    return result;
}

static enum result
file_begin(struct restore *r, const struct backup_chunk *c)
{
    char name[SEGMENT_NAME];
    if (file_end(r) != R_OK)
        return R_FAIL;
    r->kind = c->kind;
    r->id = c->id;
    r->at = 0;
    if (c->kind == BACKUP_BODY) {
        volume_body_unlink(&r->v, c->id);  // of an earlier attempt
        return volume_body_create(&r->v, c->id, &r->fd, r->f);
    }
    if (c->id != r->segments + 1)
        return fault_set(r->f, FAULT_CORRUPTION,
                         "restore: segment %u is missing in the stream", r->segments + 1);
    r->segments++;
    segment_name(name, r->segments, "new");
    unlinkat(r->v.journal_fd, name, 0);
    return disk_create(r->v.journal_fd, name, &r->fd, r->f);
}

static enum result
chunk_write(struct restore *r, const struct backup_chunk *c, struct span data)
{
    if ((r->fd < 0 || c->kind != r->kind || c->id != r->id) && file_begin(r, c) != R_OK)
        return R_FAIL;
    if (disk_write(r->fd, r->at, data, r->f) != R_OK)
        return R_FAIL;
    r->at += data.n;
    return R_OK;
}

static enum result
magic_read(struct restore *r)
{
    char magic[sizeof BACKUP_MAGIC - 1];
    if (source_get(r, magic, sizeof magic) != R_OK)
        return R_FAIL;
    struct span s = span_of(magic, sizeof magic), want = SPAN(BACKUP_MAGIC);
    r->compressed = span_eq(s, want);
    if (r->compressed || span_eq(s, SPAN(BACKUP_MAGIC_PLAIN)))
        return R_OK;
    if (span_starts(s, span_slice(want, 0, want.n - 1)))
        return fault_set(
            r->f, FAULT_CORRUPTION,
            "restore: the store's part has a newer format: use a newer program");
    return fault_set(r->f, FAULT_CORRUPTION, "restore: this is no backup of this program");
}

static enum result
stream_read(struct restore *r)
{
    struct backup_chunk c;
    struct span data;
    if (magic_read(r) != R_OK)
        return R_FAIL;
    for (;;) {
        if (chunk_get(r, &c, &data) != R_OK)
            return R_FAIL;
        if (c.kind == BACKUP_END)
            return file_end(r);
        if (c.kind != BACKUP_SEGMENT && c.kind != BACKUP_BODY)
            return fault_set(r->f, FAULT_CORRUPTION, "restore: unknown part in the stream");
        if (chunk_write(r, &c, data) != R_OK)
            return R_FAIL;
    }
}

// From the last to the first: until the first has its name the journal counts as incomplete.
static enum result
segments_name(struct restore *r)
{
    char temp[SEGMENT_NAME], name[SEGMENT_NAME];
    int dir = r->v.journal_fd;
    for (uint32_t i = r->segments; i >= 1; i--) {
        segment_name(temp, i, "new");
        segment_name(name, i, "seg");
        if (renameat(dir, temp, dir, name) != 0)
            return fault_errno(r->f, FAULT_DISK, "rename of a segment");
    }
    return disk_sync(dir, r->f);
}

static enum result
empty_check(struct restore *r)
{
    int fd = openat(r->v.journal_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    bool used = false;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return fault_errno(r->f, FAULT_DISK, "data/journal");
    }
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        used |= span_ends(span_str(e->d_name), SPAN(".seg"));
    closedir(dir);
    return used
               ? fault_set(r->f, FAULT_ALREADYEXISTS, "restore: there is a journal already")
               : R_OK;
}

enum result
journal_restore(const char *path, store_source_fn *source, void *arg, bool *compressed_out,
                struct fault *f)
{
    struct restore r = {.source = source, .arg = arg, .f = f, .fd = -1};
    if (volume_open(&r.v, path, codec_find(0), NULL, f) != R_OK)
        return R_FAIL;
    buf_init(&r.data, BACKUP_DATA_MAX);
    enum result result = empty_check(&r);
    if (result == R_OK)
        result = stream_read(&r);
    if (result == R_OK)
        result = segments_name(&r);
    if (r.fd >= 0)
        close(r.fd);
    buf_done(&r.data);
    volume_close(&r.v);
    *compressed_out = r.compressed;
    return result;
}
