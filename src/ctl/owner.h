#ifndef CTL_OWNER_H
#define CTL_OWNER_H

// Whose the data is: a verb that works on it without a server, started by root, becomes that user first, so that
// it leaves no file behind that the server could not open.
// Threads: the only one.

#include "ctl/config.h"
#include <sys/types.h>

// Makes the data directory when it is missing (for the service user, when there is one) and becomes its owner for
// good. Not root: only checks that it can be used.
enum result owner_become(const struct config *c, struct fault *f) MUST_CHECK;
// FAULT_NOPERM: what is in the directory belongs to somebody else: root made it before there was a service user.
enum result owner_check(const struct config *c, uid_t uid, struct fault *f) MUST_CHECK;

#endif
