#ifndef IMAP_COPY_H
#define IMAP_COPY_H

// COPY and MOVE share everything but the end.

#include "imap/session.h"

// Suspends. The rest of the command (" mailbox"), the copy, and COPYUID.
enum result imap_copy(struct imap_command *c, bool move, struct fault *f) MUST_CHECK;

#endif
