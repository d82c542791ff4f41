// Damaged caches: every answer of the index and the summary is a fault or harmless.

#include "mime/index.h"
#include "mime/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span index = span_of(data, size);
    uint32_t numbers[3] = {1, size % 3 + 1, 1};
    struct mime_index_part part;
    struct mime_index_iter it;
    struct mime_summary summary;
    struct mime_range range;
    struct fault f;

    for (size_t n = 0; n <= 3; n++)
        if (mime_index_find(index, numbers, n, &part, &f) == R_OK)
            for (int section = 0; section <= MIME_SECTION_MIME; section++)
                (void)!mime_index_section(&part, (enum mime_section)section, &range);
    if (mime_index_begin(&it, index, &f) == R_OK)
        while (mime_index_next(&it, &part, &f) == R_OK)
            must(part.type.n + part.subtype.n + part.charset.n + part.name.n <= size);
    (void)!mime_summary_get(index, &summary, &f);
    return 0;
}
