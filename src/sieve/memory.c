#include "base/clock.h"
#include "base/limits.h"
#include "sieve/sieve.h"

struct memory {
    struct span message;
};

static enum result
read_memory(void *arg, uint64_t at, char *dst, size_t n, struct fault *f)
{
    const struct memory *m = arg;
    if (at > m->message.n || n > m->message.n - at)
        return fault_set(f, FAULT_SERVERBUG, "read past the end of a message");
    memcpy(dst, m->message.p + at, n);
    return R_OK;
}

void
sieve_world_of(struct arena *a, struct span message, struct sieve_world *out)
{
    struct mime_scan *scan = mime_scan_new(a);
    struct memory *m = ARENA_NEW(a, struct memory);
    mime_scan_feed(scan, message);
    m->message = message;
    *out = (struct sieve_world){.size = message.n,
                                .root = mime_scan_end(scan),
                                .read = read_memory,
                                .read_arg = m,
                                .separator = '+',
                                .redirects_max = LIMIT_sieve_redirects,
                                .now_s = clock_wall_s()};
    out->header = span_slice(message, 0, (size_t)out->root->header.size);
}
