#include "pipe/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"

static enum result
check_folder(int fd, const char *path, struct fault *f)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, path);
    if (s.st_mode & S_IWOTH)
        return fault_set(f, FAULT_NOPERM, "%s: everybody may write it", path);
    return R_OK;
}

enum result
pipe_folder_open(struct pipe_folder *folder, const char *path, struct fault *f)
{
    *folder = (struct pipe_folder){path, open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (folder->fd < 0)
        return fault_errno(f, FAULT_NONEXISTENT, path);
    if (check_folder(folder->fd, path, f) == R_OK)
        return R_OK;
    pipe_folder_close(folder);
    return R_FAIL;
}

void
pipe_folder_close(struct pipe_folder *folder)
{
    if (folder->fd >= 0)
        close(folder->fd);
    folder->fd = -1;
}

static const char *
why_not(const struct stat *s)
{
    if (!S_ISREG(s->st_mode))
        return "it is no file";
    if (s->st_mode & S_IWOTH)
        return "everybody may write it";
    return NULL;
}

static enum result
check_program(int fd, const char *name, struct fault *f)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return fault_errno(f, FAULT_NONEXISTENT, name);
    const char *why = why_not(&s);
    return why == NULL ? R_OK
                       : fault_set(f, FAULT_NONEXISTENT, "%s is not run: %s", name, why);
}

enum result
pipe_folder_find(const struct pipe_folder *folder, struct span name, char *path_out,
                 struct fault *f)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    char file[LIMIT_pipe_name + 1];
    if (folder->fd < 0)
        return fault_set(f, FAULT_NONEXISTENT, "there is no folder of programs");
    if (name.n == 0 || name.n > LIMIT_pipe_name || name.p[0] == '.' ||
        span_find_char(name, '/') < name.n)
        return fault_set(f, FAULT_NONEXISTENT, "that is no name of a program");
    memcpy(file, name.p, name.n);
    file[name.n] = '\0';
    int fd = (int)syscall(SYS_openat2, folder->fd, file, &how, sizeof how);
    if (fd < 0 && errno == ELOOP)
        return fault_set(f, FAULT_NONEXISTENT, "%s is not run: it is a symbolic link",
                         file);
    if (fd < 0)
        return fault_errno(f, FAULT_NONEXISTENT, file);
    enum result r = check_program(fd, file, f);
    close(fd);
    if (r == R_OK && faccessat(folder->fd, file, X_OK, 0) != 0)
        r = fault_set(f, FAULT_NONEXISTENT, "%s is not run: it is not executable", file);
    if (r == R_OK && snprintf(path_out, PATH_MAX, "%s/%s", folder->path, file) >= PATH_MAX)
        r = fault_set(f, FAULT_NONEXISTENT, "%s: its path is too long", file);
    return r;
}
