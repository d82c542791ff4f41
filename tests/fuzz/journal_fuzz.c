// The journal's recovery and scan on a segment with true checksums around arbitrary fields. What opens once opens
// again with nothing more to cut.

#include "base/hash.h"
#include "store/journal.h"

#include <fcntl.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NONCE = 7, PIECE = 96, SEGMENT = 65536 };

// Pieces of the input: octets as they are, or the fields of a record header (then the metadata follows).
static void
segment_build(struct span in, struct buf *out)
{
    struct segment_header head = {.number = 1, .first_seq = 1, .nonce = NONCE};
    struct record_header h = {
        .seq = 1, .recno = UINT32_MAX, .segment = 1, .batch_count = 1};
    segment_header_put(buf_reserve(out, LAYOUT_SEGMENT), &head);
    out->n += LAYOUT_SEGMENT;
    for (; in.n > 2; in = span_skip(in, PIECE)) {
        struct span piece = span_slice(in, 2, PIECE);
        h.seq = h.recno == UINT32_MAX ? 1 : h.seq + 1;
        h.recno++;
        if (in.p[0] & 1 && piece.n >= 24) {
            h.flags = (uint8_t)(piece.p[0] & 7);
            h.meta_plain = h.meta_stored = (uint8_t)piece.p[1];
            memcpy(&h.body_plain, piece.p + 2, (size_t)(in.p[1] & 7));
            h.body_stored = h.flags ? 0 : layout_stored(codec_find(0), h.body_plain);
            if (h.flags == RECORD_BODY_COMPRESSED)
                h.body_stored = (uint8_t)piece.p[16] * 9u;
            h.batch_pos = (uint8_t)piece.p[12];
            h.batch_count = (uint8_t)piece.p[13];
            h.group_pos = (uint8_t)piece.p[14];
            h.seq += (uint64_t)(in.p[0] & 8 ? piece.p[15] : 0);
            h.meta_sum = hash64(span_slice(in, PIECE, PIECE + h.meta_stored));
            record_header_put(buf_reserve(out, LAYOUT_RECORD), &h, NONCE);
            out->n += LAYOUT_RECORD;
        } else {
            buf_put(out, span_slice(in, 0, PIECE));
        }
    }
}

static enum result
seen(const struct journal_record *r, void *arg, struct fault *f)
{
    (void)f;
    *(uint64_t *)arg += r->meta.n + r->header.body_plain;
    return R_OK;
}

// The end of the journal; 0 when it was refused.
static uint64_t
open_and_scan(const char *path, struct journal_recovery *found)
{
    struct journal_options o = {
        .path = path, .codec = codec_find(0), .segment_size = SEGMENT};
    struct journal *j = NULL;
    struct fault f;
    uint64_t sum = 0, end;
    if (journal_open(&o, &j, found, &f) != R_OK)
        return 0;
    struct journal_scan s = {.from = 1, .bodies = true, .record = seen, .arg = &sum};
    if (journal_scan(j, &s, &f) != R_OK)
        must(f.kind == FAULT_CORRUPTION);
    end = journal_end(j);
    journal_close(&j);
    return end;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[] = "/dev/shm/journal_fuzz.XXXXXX", file[64];  // no real syncs
    struct journal_recovery found;
    struct buf text;
    if (file[0] == '\0') {
        must(mkdtemp(path) != NULL);
        (void)open_and_scan(path, &found);  // makes the folders
        snprintf(file, sizeof file, "%s/journal/00000001.seg", path);
    }
    buf_init(&text, 1 << 24);
    segment_build(span_of(data, size), &text);
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
    close(fd);
    buf_done(&text);
    uint64_t end = open_and_scan(path, &found);
    if (end > 0) {
        must(open_and_scan(path, &found) == end);
        must(found.cut_octets == 0);
    }
    return 0;
}
