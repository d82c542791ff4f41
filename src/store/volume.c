#include "store/volume.h"

#include "base/hash.h"
#include "io/task.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum result
volume_open(struct volume *v, const char *path, const struct codec *codec,
            struct pool *pool, struct fault *f)
{
    int dir;
    *v = (struct volume){.journal_fd = -1, .bodies_fd = -1, .codec = codec, .pool = pool};
    v->last_id = random_u64();
    if (disk_folder_open(AT_FDCWD, path, &dir, f) != R_OK)
        return R_FAIL;
    enum result r = disk_folder_open(dir, "journal", &v->journal_fd, f);
    if (r == R_OK)
        r = disk_folder_open(dir, "bodies", &v->bodies_fd, f);
    close(dir);
    if (r != R_OK)
        volume_close(v);
    return r;
}

void
volume_close(struct volume *v)
{
    if (v->journal_fd >= 0)
        close(v->journal_fd);
    if (v->bodies_fd >= 0)
        close(v->bodies_fd);
    v->journal_fd = v->bodies_fd = -1;
}

uint64_t
volume_id_next(struct volume *v)
{
    uint64_t id = atomic_fetch_add(&v->last_id, 1) + 1;
    return id != 0 ? id : volume_id_next(v);
}

void
volume_run(struct volume *v, void (*fn)(void *arg), void *arg)
{
    if (v->pool)
        pool_run(v->pool, fn, arg);
    else
        fn(arg);
}

void
volume_body_name(char name[VOLUME_NAME], uint64_t id)
{
    snprintf(name, VOLUME_NAME, "%02x/%016llx", (unsigned)(id & 0xff),
             (unsigned long long)id);
}

enum result
volume_body_sync(struct volume *v, uint64_t id, struct fault *f)
{
    char name[VOLUME_NAME];
    volume_body_name(name, id);
    name[2] = '\0';
    int fd = openat(v->bodies_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fault_errno(f, FAULT_DISK, name);
    enum result r = disk_sync(fd, f);
    close(fd);
    return r;
}

static enum result
folder_make(struct volume *v, uint64_t id, struct fault *f)
{
    char name[VOLUME_NAME];
    int fd;
    if (atomic_load(&v->folders[id & 0xff]))
        return R_OK;
    volume_body_name(name, id);
    name[2] = '\0';
    if (disk_folder_open(v->bodies_fd, name, &fd, f) != R_OK)
        return R_FAIL;
    close(fd);
    atomic_store(&v->folders[id & 0xff], true);
    return R_OK;
}

enum result
volume_body_create(struct volume *v, uint64_t id, int *fd_out, struct fault *f)
{
    char name[VOLUME_NAME];
    volume_body_name(name, id);
    if (folder_make(v, id, f) != R_OK)
        return R_FAIL;
    return disk_create(v->bodies_fd, name, fd_out, f);
}

enum result
volume_body_link(struct volume *v, uint64_t from, uint64_t to, struct fault *f)
{
    char old_name[VOLUME_NAME], new_name[VOLUME_NAME];
    volume_body_name(old_name, from);
    volume_body_name(new_name, to);
    if (folder_make(v, to, f) != R_OK)
        return R_FAIL;
    if (linkat(v->bodies_fd, old_name, v->bodies_fd, new_name, 0) != 0)
        return fault_errno(f, FAULT_DISK, "link of a body file");
    return volume_body_sync(v, to, f);
}

void
volume_body_unlink(struct volume *v, uint64_t id)
{
    char name[VOLUME_NAME];
    volume_body_name(name, id);
    // what stays is removed by the sweep at the next start
    unlinkat(v->bodies_fd, name, 0);
}
