// Caches of structure: those of any message answer every part within its bounds; damaged ones, and any octets at all, give
// a fault or something harmless.

#include "mime/index.h"
#include "mime/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Everything that is asked of an index; `within`: where parts must lie, 0 for what may be damaged.
static void
ask(struct span index, uint64_t within)
{
    struct mime_index_part part;
    struct mime_index_iter it;
    struct mime_range range;
    struct fault f;

    for (uint32_t k = 0; k < 3 * 3 * 3 * 4; k++) {
        uint32_t numbers[3] = {k % 3, k / 3 % 3, k / 9 % 3};
        if (mime_index_find(index, numbers, k / 27, &part, &f) != R_OK)
            continue;
        for (int section = 0; section <= MIME_SECTION_MIME; section++)
            if (mime_index_section(&part, (enum mime_section)section, &range) == R_OK)
                must(within == 0 || range.at + range.size <= within);
    }
    if (mime_index_begin(&it, index, &f) == R_OK)
        while (mime_index_next(&it, &part, &f) == R_OK)
            must(part.type.n + part.subtype.n + part.charset.n + part.name.n <= index.n);
}

static void
of_message(struct span message)
{
    struct arena *a = arena_new();
    struct mime_summary summary;
    struct fault f;
    struct buf b;
    buf_init(&b, 1 << 26);
    struct mime_scan *s = mime_scan_new(a);
    mime_scan_feed(s, message);
    const struct mime_part *root = mime_scan_end(s);
    mime_index_put(&b, root);
    ask(buf_span(&b), message.n);
    b.p[message.n % b.n] ^= (char)(1 << message.n / b.n % 8);
    ask(buf_span(&b), 0);
    buf_reset(&b);
    mime_summary_put(&b, root);
    must(mime_summary_get(buf_span(&b), &summary, &f) == R_OK);
    b.p[message.n % b.n] ^= (char)(1 << message.n / b.n % 8);
    (void)!mime_summary_get(buf_span(&b), &summary, &f);
    buf_done(&b);
    arena_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mime_summary summary;
    struct fault f;
    ask(span_of(data, size), 0);
    (void)!mime_summary_get(span_of(data, size), &summary, &f);
    of_message(span_of(data, size));
    return 0;
}
