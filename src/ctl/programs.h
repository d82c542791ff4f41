#ifndef CTL_PROGRAMS_H
#define CTL_PROGRAMS_H

// The programs that scripts may give mail to (vnd.dovecot.pipe), as the settings have them.

#include "ctl/config.h"

// FAULT_BAD: the settings do not go together.
enum result programs_check(const struct config *c, struct fault *f) MUST_CHECK;
// In every process that compiles scripts, before its first thread.
void programs_offer(const struct config *c);

#endif
