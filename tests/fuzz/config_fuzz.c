// Configurations: a file that loads is dumped to one that loads to the same, so is its copy for a role; one that does not
// load is told with a reason. Copies of arbitrary octets are refused or hold.
#include "ctl/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum result
load(struct span text, struct config **out, struct fault *f)
{
    char path[64];
    int fd = memfd_create("config", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    enum result r = config_load(path, NULL, out, f);
    close(fd);
    return r;
}

static void
dump(struct config *c, struct buf *out)
{
    buf_reset(out);
    config_dump(c, out);
}

static void
copy(struct config *c, struct span want)
{
    struct config *twin;
    struct buf packed, text;
    buf_init(&packed, SIZE_MAX);
    buf_init(&text, SIZE_MAX);
    config_put(&packed, c);
    must(config_get(buf_span(&packed), &twin) == R_OK);
    dump(twin, &text);
    must(span_eq(buf_span(&text), want));
    config_free(&twin);
    must(config_get(span_slice(buf_span(&packed), 0, packed.n - 1), &twin) == R_FAIL);
    buf_done(&packed);
    buf_done(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c, *again;
    struct buf one, two;
    struct fault f = {0};
    if (config_get(span_of(data, size), &c) == R_OK)
        config_free(&c);
    buf_init(&one, SIZE_MAX);
    buf_init(&two, SIZE_MAX);
    if (load(span_of(data, size), &c, &f) == R_OK) {
        dump(c, &one);
        must(load(buf_span(&one), &again, &f) == R_OK);
        dump(again, &two);
        must(span_eq(buf_span(&one), buf_span(&two)));
        copy(c, buf_span(&one));
        config_free(&again);
        config_free(&c);
    } else {
        must(f.why[0] != '\0');
    }
    buf_done(&one);
    buf_done(&two);
    return 0;
}
