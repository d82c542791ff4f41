#ifndef IMAP_APPENDLIMIT_H
#define IMAP_APPENDLIMIT_H

#include "mail/user.h"

// The largest message that APPEND takes, in octets (RFC 7889). From any thread.
void imap_appendlimit_set(uint64_t octets);
// Suspends. The same for this mailbox.
uint64_t imap_appendlimit_of(const struct mailbox_ref *ref);

#endif
