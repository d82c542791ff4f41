#ifndef EXTRACT_JOB_H
#define EXTRACT_JOB_H

// A job is a child process that makes the text of one document: pdftotext, or a reader of our own. It has the document and
// the place for its text as memfds, and nothing else: no file but what pdftotext needs to run, no network, no signal to anybody.
// Its memory, time, output, files and processes are capped; it is killed as a group.
// Trust: the document is hostile, and the child counts as taken over: of it only its exit, and at most JOB_SAID octets
// of what it said, are looked at.
// Owner: extract_job_start .. extract_job_end. Threads: the role's only one.

#include "extract/extract.h"

#include <sys/types.h>

#define EXTRACT_PDF_TOOL "/usr/bin/pdftotext"
enum { JOB_SAID = 4096 };

struct extract_job {
    pid_t pid;
    int pidfd;  // readable when the child has ended
    int said;   // its standard error
};

bool extract_tool_there(void);  // before the sandbox
// The descriptors stay the caller's. R_FAIL: no child, for want of room.
enum result extract_job_start(enum extract_kind kind, int document, int text,
                              struct extract_job *job, struct fault *f) MUST_CHECK;
void extract_job_kill(const struct extract_job *job);
// The child has ended, or is ended now. timed_out: it was killed for the time it took; octets: of text that it wrote.
enum extract_verdict extract_job_end(struct extract_job *job, bool timed_out,
                                     uint64_t octets);

#endif
