#ifndef CTL_PROGRESS_H
#define CTL_PROGRESS_H

// One line on a terminal's standard error that says which mailbox an import is at and how far; nothing where that is no
// terminal, or with --json. Trust: names may be any bytes. Owner: who embeds it.

#include "base/span.h"

struct progress {
    bool shown;  // there is a terminal
    char mailbox[64];
    uint64_t messages, of, at_ms;
};

void progress_init(struct progress *p);
// The next mailbox, with about so many messages.
void progress_mailbox(struct progress *p, struct span name, uint64_t of);
void progress_message(struct progress *p);  // one more
void progress_end(struct progress *p);      // of the last mailbox

#endif
