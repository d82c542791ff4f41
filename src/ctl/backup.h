#ifndef CTL_BACKUP_H
#define CTL_BACKUP_H

// A backup is one stream: the magic line, then pieces {u8 kind, u32 octets, bytes}: the users (a text that auth
// wrote), the store's own stream in any number of pieces, and an end that proves that nothing is missing.
// Trust: a file that an administrator gives to `restore`; sizes are checked, the store checks its own part.

#include "ctl/verb.h"

enum backup_kind { BACKUP_END, BACKUP_USERS, BACKUP_STORE };
enum { BACKUP_PIECE_MAX = 65536, BACKUP_USERS_MAX = 1 << 30 };

extern const struct span backup_magic;

// Suspends. Longer bytes become several pieces.
void backup_put(struct verb_call *c, enum backup_kind kind, struct span bytes);

#endif
