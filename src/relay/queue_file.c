#include "relay/queue_file.h"
#include "relay/text.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/pack.h"
#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

// Room for notes is asked for with the file, so that a disk that is full later can still be told what was sent.
enum { PIECE = 65536, NOTE_ROOM = 4096, NOTE_ROOM_TIMES = 8 };

static const char suffix[] = ".mail";

void
queue_name(uint64_t id, char out[QUEUE_NAME])
{
    snprintf(out, QUEUE_NAME, "%016llx%s", (unsigned long long)id, suffix);
}

uint64_t
queue_text_at(const struct queue_mail *m)
{
    return QUEUE_HEAD + (uint64_t)m->head.envelope_n;
}

// ---- text ----

// A text that is read piece by piece, from a file or memory, with its checksum: that of one piece begins with that of the last.
struct reader {
    const struct relay_text *text;
    uint64_t done, hash;
    char piece[PIECE];
};

static enum result
read_piece(struct reader *r, struct span *out, struct fault *f)
{
    uint64_t size = r->text->fd < 0 ? r->text->text.n : r->text->size,
             left = size - r->done;
    size_t n = left < PIECE ? (size_t)left : PIECE;
    if (n == 0)
        return R_NONE;
    if (r->text->fd < 0) {
        memcpy(r->piece, r->text->text.p + r->done, n);
    } else {
        enum result got =
            disk_read(r->text->fd, r->text->at + r->done, r->piece, n, false, f);
        if (got != R_OK)
            return got == R_FAIL
                       ? R_FAIL
                       : fault_set(f, FAULT_DISK, "the text is shorter than it was");
    }
    uint64_t chain[2] = {r->hash, hash64(span_of(r->piece, n))};
    r->hash = hash64(span_of(chain, sizeof chain));
    r->done += n;
    *out = span_of(r->piece, n);
    return R_OK;
}

static struct reader *
reader_new(const struct relay_text *text)
{
    struct reader *r = calloc(1, sizeof *r);
    must(r != NULL);
    r->text = text;
    return r;
}

static enum result
copy_text(int fd, uint64_t at, const struct relay_text *text, struct queue_head *h,
          struct fault *f)
{
    struct reader *r = reader_new(text);
    struct relay_lines lines;
    struct span piece;
    enum result result;
    relay_lines_init(&lines, false);
    while ((result = read_piece(r, &piece, f)) == R_OK) {
        relay_lines_feed(&lines, piece, NULL);
        result = disk_write(fd, at, piece, f);
        if (result != R_OK)
            break;
        at += piece.n;
    }
    relay_lines_end(&lines, NULL);
    h->text_n = r->done;
    h->text_hash = r->hash;
    h->wire_n = lines.octets;
    h->traits = lines.traits;
    free(r);
    return result == R_FAIL ? R_FAIL : R_OK;
}

enum result
queue_file_verify(int fd, const struct queue_mail *m, struct fault *f)
{
    const struct relay_text text = {
        .fd = fd, .at = queue_text_at(m), .size = m->head.text_n};
    struct reader *r = reader_new(&text);
    struct span piece;
    enum result result;
    do
        result = read_piece(r, &piece, f);
    while (result == R_OK);
    bool good = r->hash == m->head.text_hash;
    free(r);
    if (result == R_FAIL)
        return R_FAIL;
    return good ? R_OK : fault_set(f, FAULT_CORRUPTION, "the text has changed on disk");
}

// ---- making ----

static enum result
write_all(int fd, struct span envelope, const struct relay_text *text, struct fault *f)
{
    struct queue_head h = {.envelope_n = (uint32_t)envelope.n,
                           .created_ms = (uint64_t)clock_wall_ms(),
                           .envelope_hash = hash64(envelope)};
    struct buf head;
    buf_init(&head, QUEUE_HEAD);
    enum result r = disk_write(fd, QUEUE_HEAD, envelope, f);
    if (r == R_OK)
        r = copy_text(fd, QUEUE_HEAD + envelope.n, text, &h, f);
    queue_head_put(&head, &h);
    if (r == R_OK)
        r = disk_write(fd, 0, buf_span(&head), f);
    off_t end = (off_t)(QUEUE_HEAD + envelope.n + h.text_n);
    off_t room = (off_t)(NOTE_ROOM + NOTE_ROOM_TIMES * envelope.n);
    if (r == R_OK && fallocate(fd, FALLOC_FL_KEEP_SIZE, end, room) != 0 &&
        errno != EOPNOTSUPP)
        r = fault_errno(f, FAULT_DISK, "room for a queue file's notes");
    buf_done(&head);
    return r == R_OK ? disk_sync(fd, f) : R_FAIL;
}

enum result
queue_file_make(int folder, uint64_t id, struct span envelope,
                const struct relay_text *text, struct fault *f)
{
    char name[QUEUE_NAME], fresh[QUEUE_NAME + 8];
    int fd;
    queue_name(id, name);
    snprintf(fresh, sizeof fresh, "%s.new", name);
    if (envelope.n > LIMIT_relay_envelope)
        return fault_set(f, FAULT_TOOBIG, "the envelope is too long");
    if (disk_create(folder, fresh, &fd, f) != R_OK)
        return R_FAIL;
    enum result r = write_all(fd, envelope, text, f);
    close(fd);
    if (r == R_OK && renameat2(folder, fresh, folder, name, RENAME_NOREPLACE) != 0)
        r = fault_errno(f, FAULT_DISK, "a queue file gets its name");
    if (r != R_OK) {
        (void)unlinkat(folder, fresh, 0);
        return R_FAIL;
    }
    // Without its name on disk it was not taken: nobody is to send it then.
    r = disk_sync(folder, f);
    if (r != R_OK)
        (void)unlinkat(folder, name, 0);
    return r;
}

// ---- reading ----

enum result
queue_file_open(int folder, uint64_t id, int *fd_out, struct fault *f)
{
    char name[QUEUE_NAME];
    queue_name(id, name);
    int fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return R_NONE;
    if (fd < 0)
        return fault_errno(f, FAULT_DISK, name);
    *fd_out = fd;
    return R_OK;
}

static enum result
read_span(int fd, uint64_t at, uint64_t n, struct arena *a, struct span *out,
          struct fault *f)
{
    char *p = arena_alloc(a, (size_t)n + 1);
    enum result r = disk_read(fd, at, p, (size_t)n, false, f);
    if (r == R_NONE)
        return fault_set(f, FAULT_CORRUPTION, "the file is cut");
    *out = span_of(p, (size_t)n);
    return r;
}

static enum result
read_envelope(int fd, struct arena *a, struct queue_mail *m, struct fault *f)
{
    struct span head, envelope;
    if (read_span(fd, 0, QUEUE_HEAD, a, &head, f) != R_OK ||
        queue_head_get(head, &m->head, f) != R_OK ||
        read_span(fd, QUEUE_HEAD, m->head.envelope_n, a, &envelope, f) != R_OK)
        return R_FAIL;
    if (hash64(envelope) != m->head.envelope_hash)
        return fault_set(f, FAULT_CORRUPTION, "the envelope has changed on disk");
    if (relay_envelope_get(envelope, a, &m->envelope, f) != R_OK) {
        f->kind = FAULT_CORRUPTION;
        return R_FAIL;
    }
    m->to = arena_array(a, m->envelope.to_count, sizeof *m->to);
    return R_OK;
}

static enum result
read_notes(int fd, struct arena *a, struct queue_mail *m, struct fault *f)
{
    struct span notes;
    uint64_t size = 0, at = queue_text_at(m) + m->head.text_n;
    size_t used = 0;
    if (disk_size(fd, &size, f) != R_OK)
        return R_FAIL;
    if (size < at || size - at > LIMIT_relay_notes)
        return fault_set(f, FAULT_CORRUPTION, "the file is cut, or has too many notes");
    if (read_span(fd, at, size - at, a, &notes, f) != R_OK ||
        queue_notes_fold(notes, a, m, &used, f) != R_OK)
        return R_FAIL;
    m->notes_end = at + used;
    return R_OK;
}

enum result
queue_file_load(int fd, uint64_t id, struct arena *a, struct queue_mail *out,
                struct fault *f)
{
    struct queue_mail m = {.id = id};
    if (read_envelope(fd, a, &m, f) != R_OK || read_notes(fd, a, &m, f) != R_OK)
        return R_FAIL;
    *out = m;
    return R_OK;
}

enum result
queue_file_read(int folder, uint64_t id, struct arena *a, struct queue_mail *out,
                struct fault *f)
{
    int fd = -1;
    enum result r = queue_file_open(folder, id, &fd, f);
    if (r != R_OK)
        return r;
    r = queue_file_load(fd, id, a, out, f);
    close(fd);
    return r;
}

// ---- notes ----

enum result
queue_file_note(int fd, struct queue_mail *m, struct span note, struct fault *f)
{
    struct buf b;
    buf_init(&b, LIMIT_relay_notes);
    pack_u32(&b, (uint32_t)note.n);
    buf_put(&b, note);
    pack_u64(&b, hash64(note));
    enum result r = b.over ? fault_set(f, FAULT_LIMIT, "a note is too long")
                           : disk_write(fd, m->notes_end, buf_span(&b), f);
    if (r == R_OK && fdatasync(fd) != 0)
        r = fault_errno(f, FAULT_DISK, "fdatasync");
    if (r == R_OK)
        m->notes_end += b.n;
    buf_done(&b);
    return r;
}
