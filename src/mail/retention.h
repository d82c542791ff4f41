#ifndef MAIL_RETENTION_H
#define MAIL_RETENTION_H

// For how long what an account expunged can be brought back: its own time, a META record of it (store/store.h), which
// compaction looks at; else the setting's. Threads: any loop; all suspend.

#include "mail/account.h"

enum { RETENTION_MAX = UINT32_MAX };
#define RETENTION_DEFAULT UINT64_MAX

// Seconds; true: they are the account's own.
bool retention_get(struct account *a, uint64_t *seconds_out);
// At most RETENTION_MAX; RETENTION_DEFAULT takes the own time away.
enum result retention_set(struct account *a, uint64_t seconds, struct fault *f) MUST_CHECK;

#endif
