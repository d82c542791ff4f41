#ifndef OS_PROBE_H
#define OS_PROBE_H

// The confinement probe: from inside a role, tries what a taken-over process would try, and reports.
// For the tests and for a hidden admin message; harmless where the sandbox holds.
// Threads: any.

#include "os/role.h"
#include "base/buf.h"

struct probe_targets {
    // a file that exists and that no role needs, such as /etc/hostname
    const char *foreign;
    const char *other_role;  // a file of another role, NULL for none
    uint16_t port;           // on loopback, where somebody may listen
};

// Puts one line per attempt, "exec: denied (Operation not permitted)" or "exec: ALLOWED"; true when all
// that the role's row does not grant was denied.
bool probe_run(const struct role *r, const struct probe_targets *t, struct buf *report);

#endif
