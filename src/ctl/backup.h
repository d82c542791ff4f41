#ifndef CTL_BACKUP_H
#define CTL_BACKUP_H

// A backup is one stream: the magic line, then pieces {u8 kind, u32 octets, bytes}: the users (a text that auth
// wrote), since 0.1.1 a checksum of them (u64 hash64), the store's own stream in any number of pieces, and an end that proves that nothing is missing.
// Trust: a file that an administrator gives to `restore`; sizes are checked, the store checks its own part.

#include "ctl/verb.h"
#include <stdio.h>

enum backup_kind { BACKUP_END, BACKUP_USERS, BACKUP_STORE, BACKUP_USERS_SUM };
enum { BACKUP_PIECE_MAX = 65536, BACKUP_USERS_MAX = 1 << 30 };

extern const struct span backup_magic;

// Suspends. Longer bytes become several pieces.
void backup_put(struct verb_call *c, enum backup_kind kind, struct span bytes);

// Fills the empty data directory of c from the file, with its users. FAULT_CORRUPTION: damaged, cut short.
// part: to read from it only; ends early when the other end of `watch`, a socket, is closed.
enum result backup_unpack(FILE *file, const struct config *c, bool part, int watch,
                          struct fault *f) MUST_CHECK;
// restore_part.c: one folder or message, into the store that c names. Returns the exit code.
int restore_part(FILE *file, const struct config *c, const struct verb_options *o);

#endif
