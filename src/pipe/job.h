#ifndef PIPE_JOB_H
#define PIPE_JOB_H

// A job is a program at work on one message: a child of the role pipe, with the message as its standard input, a file. It has no
// other descriptor, and the environment HOME, USER, HOST, SENDER, RECIPIENT, ORIG_RECIPIENT, PATH, LC_ALL. Its memory, files and
// time are capped. No shell has a part in it.
// Owner: pipe_job_start .. pipe_job_end. Threads: the role's only one, since it forks.
// Trust: what it says goes into the log alone, and no more than LIMIT_pipe_said octets of that.

#include "base/limits.h"
#include "pipe/folder.h"
#include "pipe/pipe.h"

#include <sys/types.h>

struct pipe_job {
    pid_t pid;
    int pidfd;   // readable when the program has ended
    int output;  // what it says; read with pipe_job_hear
    char said[LIMIT_pipe_said];
    size_t said_n;
};

struct pipe_host {
    const struct pipe_folder *folder;
    const char *name;  // HOST
    uint64_t cpu_s;
};

// The message's descriptor stays the caller's. FAULT_NONEXISTENT: there is no such program.
enum result pipe_job_start(const struct pipe_host *host, const struct pipe_call *c,
                           int message, struct pipe_job *out, struct fault *f) MUST_CHECK;
// Takes what is there to be read. R_NONE: nothing more comes.
enum result pipe_job_hear(struct pipe_job *job) MUST_CHECK;
void pipe_job_kill(const struct pipe_job *job);
// The program has ended, or is ended now, with all of its group. `why`: what went wrong, and the beginning of what it said.
enum pipe_status pipe_job_end(struct pipe_job *job, bool timed_out, struct buf *why);

#endif
