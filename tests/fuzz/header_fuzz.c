// Header blocks: walking, unfolding and filtering any octets.

#include "mime/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span block = span_of(data, size);
    struct mime_header_iter it = mime_header_begin(block);
    struct mime_header header;
    struct span names[] = {SPAN("Subject"), SPAN("To")};
    struct buf out;

    buf_init(&out, size * 2 + 16);
    while (mime_header_next(&it, &header) == R_OK) {
        must(header.raw.p >= block.p && header.raw.p + header.raw.n <= block.p + block.n);
        mime_header_unfold(&out, header.value);
        buf_reset(&out);
    }
    mime_header_filter(&out, block, names, 2, false);
    mime_header_filter(&out, block, names, 2, true);
    buf_done(&out);
    return 0;
}
