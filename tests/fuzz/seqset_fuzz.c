// parse(print(parse(x))) = parse(x), and the set is sorted and disjoint.
#include "wire/seqset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct seqset s, back;
    struct fault f;
    if (seqset_parse(span_of(data, size), 1000, a, &s, &f) == R_OK && s.count > 0) {
        struct buf b;
        buf_init(&b, 1 << 24);
        seqset_print(&s, &b);
        must(seqset_parse(buf_span(&b), 1, a, &back, &f) == R_OK && back.count == s.count);
        must(memcmp(back.ranges, s.ranges, s.count * sizeof *s.ranges) == 0);
        for (uint32_t i = 1; i < s.count; i++)
            must(s.ranges[i - 1].last + (uint64_t)1 < s.ranges[i].first);
        buf_done(&b);
    }
    struct unpack u = unpack_of(span_of(data, size));
    (void)!seqset_get(&u, a, &back);
    arena_free(&a);
    return 0;
}
