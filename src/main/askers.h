#ifndef MAIN_ASKERS_H
#define MAIN_ASKERS_H

// Who asks a role: its channels to the threads of mail. What is asked is answered later, and the asker may be gone by then.
// Owner: the role, which makes it zero and fills the first part. Threads: the role's one.

#include "base/span.h"

struct asker;
struct askers {
    const char *name;   // of the role, for the log
    uint16_t question;  // the one type of message that comes
    // The asker's id and the question, with its descriptor or -1. R_FAIL: it is malformed; then the descriptor is closed, and the asker
    // with it. R_OK: the descriptor is the role's.
    enum result (*take)(void *arg, uint64_t asker, struct span body, int fd);
    void *arg;
    // ---- its own ----
    struct asker *first;
    uint64_t last;
};

void askers_add(struct askers *all, int fd);
// Nothing where it is gone.
void askers_answer(const struct askers *all, uint64_t asker, uint16_t type,
                   struct span body);
void askers_drop(struct askers *all);

#endif
