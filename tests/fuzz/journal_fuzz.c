// The journal's recovery and scan on arbitrary octets: the input is a segment's records, its header is real
// and its checksums are made to fit where the input's header says so.

#include "store/layout.h"
#include "store/walk.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct segment_header segment = {.number = 1, .first_seq = 1, .nonce = 7}, back;
    struct record_header h;
    struct fault f;
    struct span stored;
    struct walk w;
    char head[LAYOUT_SEGMENT];
    int fd = memfd_create("segment", MFD_CLOEXEC);
    segment_header_put(head, &segment);
    must(segment_header_get(span_of(head, sizeof head), &back) == R_OK);
    must(write(fd, head, sizeof head) == (ssize_t)sizeof head && write(fd, data, size) == (ssize_t)size);
    walk_init(&w, fd, sizeof head + size, &segment);
    uint64_t at = 0;
    while (walk_next(&w, &h, &f) == R_OK)
        if (walk_meta(&w, &h, &stored, &f) == R_OK && walk_body(&w, &h, &f) == R_OK)
            must(w.offset <= sizeof head + size && w.offset > at);
    while (walk_find(&w, at, 0, &at, &h, &f) == R_OK)
        at++;
    walk_done(&w);
    close(fd);
    return 0;
}
