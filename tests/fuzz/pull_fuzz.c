// What an IMAP server says: however the octets are cut, the frames are the same and lie inside of them; what is read of a
// frame lies inside of it, or of the arena.
#include "pull/frame.h"
#include "pull/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// One frame, given `step` octets more each time.
static enum frame_state
feed(struct framer *r, struct span in, size_t step, size_t *size_out)
{
    enum frame_state s = FRAME_MORE;
    for (size_t n = step < in.n ? step : in.n; s == FRAME_MORE;
         n = in.n - n < step ? in.n : n + step) {
        s = framer_feed(r, span_slice(in, 0, n), size_out);
        if (n == in.n)
            break;
    }
    return s;
}

static void
read_frame(struct span text)
{
    struct response r;
    struct fault f;
    struct arena *a = arena_new();
    if (response_read(text, a, &r, &f) == R_OK) {
        must(r.kind != RESPONSE_TAGGED || r.tag.n > 0);
        must(r.kind != RESPONSE_FETCH || !r.has_uid || r.message.uid > 0);
        for (size_t i = 0; i < r.message.keyword_count; i++)
            must(r.message.keywords[i].n > 0);
    }
    arena_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size);
    struct framer whole, cut;
    bool later = false;
    while (in.n > 0) {
        size_t n = 0, m = 0;
        framer_init(&whole);
        framer_init(&cut);
        if (later) {
            framer_rest(&whole);
            framer_rest(&cut);
        }
        enum frame_state s = feed(&whole, in, in.n, &n);
        must(feed(&cut, in, 1, &m) == s);
        if (s == FRAME_BROKEN || s == FRAME_MORE)
            break;
        must(n == m && n > 0 && n <= in.n && whole.literal == cut.literal &&
             whole.header == cut.header);
        must(s != FRAME_STREAM || whole.header <= n);
        read_frame(span_slice(in, 0, n));
        later = s == FRAME_STREAM;
        in = span_skip(in, n);
        if (later)
            in = span_skip(in, whole.literal < in.n ? (size_t)whole.literal : in.n);
    }
    read_frame(span_of(data, size));
    return 0;
}
