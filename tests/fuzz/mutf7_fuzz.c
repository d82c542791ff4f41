// Every accepted spelling is the one that encoding gives; every UTF-8 name comes back.
#include "wire/mutf7.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size);
    struct buf utf8, wire;
    struct fault f;
    buf_init(&utf8, size * 8 + 8);
    buf_init(&wire, size * 8 + 8);
    if (mutf7_to_utf8(in, &utf8, &f) == R_OK) {
        must(utf8_valid(buf_span(&utf8)));
        mutf7_from_utf8(buf_span(&utf8), &wire);
        must(span_eq(buf_span(&wire), in));
    }
    buf_reset(&utf8);
    buf_reset(&wire);
    if (utf8_valid(in) && span_find_char(in, '\0') == in.n) {
        mutf7_from_utf8(in, &wire);
        must(mutf7_to_utf8(buf_span(&wire), &utf8, &f) == R_OK &&
             span_eq(buf_span(&utf8), in));
    }
    buf_done(&utf8);
    buf_done(&wire);
    return 0;
}
