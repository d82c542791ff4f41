#ifndef CTL_MAILDIR_H
#define CTL_MAILDIR_H

// A folder of a Maildir as it lies on disk: its messages in the order of their UIDs, those that have none yet behind.
// Owner: the arena. Trust: names and files of any kind; what cannot be read is told through `problem`.

#include "ctl/uidlist.h"

struct maildir_message {
    struct span file, base;
    bool fresh;    // in new/
    uint32_t uid;  // 0: none yet
    bool has_zone;
    int16_t zone_min;
    struct span uidl;  // of dovecot-uidlist; n 0: none of its own
    struct span guid;  // Dovecot's: the base, unless dovecot-uidlist has another
};

typedef void maildir_problem_fn(void *arg, const char *why);

struct maildir {
    maildir_problem_fn *problem;  // set by the caller
    void *problem_arg;
    int fd;  // of the folder, closed with the arena
    uint32_t uidvalidity, uidnext;
    struct span keywords[MAILDIR_LETTERS];
    struct maildir_message *messages;
    size_t count;
};

// FAULT_BAD when `path` under `at` is no Maildir folder (has no cur/).
enum result maildir_open(int at, const char *path, struct arena *a, struct maildir *m,
                         struct fault *f) MUST_CHECK;
bool maildir_is(int at, const char *path);
// Opens the message's file, where it was or where it went meanwhile (new/ to cur/, other flags).
enum result maildir_open_message(const struct maildir *m, const struct maildir_message *msg,
                                 int *fd_out, struct fault *f) MUST_CHECK;

// A whole file under `at`, in the arena. R_NONE: there is none.
enum result file_read(int at, const char *name, size_t max, struct arena *a,
                      struct span *out, struct fault *f) MUST_CHECK;

#endif
