#ifndef PIPE_FOLDER_H
#define PIPE_FOLDER_H

// The folder with the administrator's programs (sieve_pipe_dir). A program is a file in it: no path, no link out of it or in it,
// nothing that others than its owner and group may write.
// Threads: any.

#include "base/fault.h"
#include "base/span.h"

struct pipe_folder {
    const char *path;
    int fd;  // -1: it is not there, so no program is
};
// R_FAIL: it is not there, or everybody may write it; then it has no programs.
enum result pipe_folder_open(struct pipe_folder *folder, const char *path,
                             struct fault *f) MUST_CHECK;
void pipe_folder_close(struct pipe_folder *folder);
// *path_out: what execve takes, of PATH_MAX octets. FAULT_NONEXISTENT: there is no such program, or none that may be run.
enum result pipe_folder_find(const struct pipe_folder *folder, struct span name,
                             char *path_out, struct fault *f) MUST_CHECK;

#endif
