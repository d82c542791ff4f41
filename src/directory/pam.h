#ifndef DIRECTORY_PAM_H
#define DIRECTORY_PAM_H

// A question to the name service of this machine and to PAM. Modules load what they want, hang and crash: each question is
// asked by a child process of its own (a job), which is killed with its group when its time is over.
// Names are known by the name service; PAM judges the password, then the account. No root, no system user, no `nobody` is a
// user, whatever PAM says. An account that PAM calls expired is disabled.
// Owner: pam_job_start .. pam_job_end. Threads: the role's only one, since it forks.
// Trust: the child runs modules; of it only one record of fixed size is read, and only if it came to its own end.

#include "base/fault.h"
#include "base/span.h"

#include <sys/types.h>

enum { PAM_WHY = 128 };

struct pam_settings {
    const char *service;
    const char *confdir;  // "": the machine's services
    const char *passwd;   // a file in place of the name service; "": none
    uint64_t uid_min;
};

struct pam_question {
    struct span name;
    bool verify;
    struct span password, remote;  // with verify
};

struct pam_said {
    uint8_t verdict;  // enum directory_verdict
    bool disabled;
    char why[PAM_WHY];  // for the log; "" for a wrong password
};

struct pam_job {
    pid_t pid;
    int pidfd;  // readable when the child has ended
    int said;
};

// In the child: asks, and runs modules.
void pam_ask(const struct pam_settings *s, const struct pam_question *q,
             struct pam_said *out);

// The child calls forget(arg) before any module runs: other people's passwords are none of theirs.
enum result pam_job_start(const struct pam_settings *s, const struct pam_question *q,
                          void (*forget)(void *arg), void *arg, struct pam_job *out,
                          struct fault *f) MUST_CHECK;
void pam_job_kill(const struct pam_job *job);
// The child has ended, or is ended now.
void pam_job_end(struct pam_job *job, bool timed_out, struct pam_said *out);

#endif
