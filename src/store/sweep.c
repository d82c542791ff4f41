#include "store/journal_inside.h"

#include "base/order.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

enum { SWEEP_IDS_MAX = 1 << 30 };  // octets: 128 million body files

// The id of a body file's name: 16 hexadecimal digits.
static bool
id_of(const char *name, uint64_t *id_out)
{
    uint64_t id = 0;
    if (strlen(name) != 16)
        return false;
    for (const char *p = name; *p; p++) {
        char c = ascii_lower(*p);
        if (!ascii_is_digit(c) && (c < 'a' || c > 'f'))
            return false;
        id = id << 4 | (uint64_t)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    *id_out = id;
    return true;
}

static void
folder_sweep(int fd, const struct buf *ids)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        uint64_t id;
        if (id_of(e->d_name, &id) &&
            (ids->n == 0 || !bsearch(&id, ids->p, ids->n / 8, 8, order_u64)))
            unlinkat(fd, e->d_name, 0);
    }
    closedir(dir);
}

static enum result
ids_collect(struct journal *j, struct buf *ids, struct fault *f)
{
    uint32_t count = journal_segment_count(j);
    for (uint32_t i = 1; i <= count; i++)
        if (segments_externals(&j->segments, i, ids, f) != R_OK)
            return R_FAIL;
    if (ids->over)
        return fault_set(f, FAULT_LIMIT, "journal: too many body files");
    if (ids->n > 0)
        qsort(ids->p, ids->n / 8, 8, order_u64);
    return R_OK;
}

enum result
journal_sweep(struct journal *j, struct fault *f)
{
    struct buf ids;
    buf_init(&ids, SWEEP_IDS_MAX);
    enum result r = ids_collect(j, &ids, f);
    for (unsigned i = 0; r == R_OK && i < 256; i++) {
        char name[VOLUME_NAME];
        volume_body_name(name, i);
        name[2] = '\0';
        int fd = openat(j->v.bodies_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            folder_sweep(fd, &ids);
    }
    buf_done(&ids);
    return r;
}
