#ifndef OS_CHILDREN_H
#define OS_CHILDREN_H

// Children of a role that starts what it did not write: modules, programs. What these start and leave behind becomes the role's
// own child, so that it can be ended, too.
// Threads: the role's only one.

#include "base/fault.h"

#include <stdbool.h>
#include <sys/types.h>

// From here on. R_FAIL: what is left behind is not ended here.
enum result children_adopt(struct fault *f) MUST_CHECK;
// Ends every child that is not one of the caller's. True: there was one, look again soon.
bool children_sweep(bool (*is_own)(pid_t pid, void *arg), void *arg);
// Ends every child, and whom they had started; at the process's end. Blocks, for a second at most.
void children_end(void);

#endif
