#ifndef OS_SANDBOX_H
#define OS_SANDBOX_H

// The sandbox takes from this process what its role does not need, for good: no_new_privs, not dumpable, dies
// with its parent, resource limits, stray descriptors, capabilities, Landlock, seccomp; in that order.
// Call it before the first thread and before the first octet from outside; open before it what will be
// needed (time zone, name service, certificates, OpenSSL's configuration, iconv's modules), since afterwards
// only the role's places can be opened and no code can be mapped.
// Threads: the only one.

#include "os/role.h"

// A folder, or a file, that the settings name.
struct sandbox_place {
    const char *path;  // absolute; it may be missing
    bool writes;
};

struct sandbox_paths {
    const char *data;       // the data directory; NULL for a role without places in it
    const uint16_t *ports;  // TCP ports that a ROLE_CONFIGURED role may connect to
    size_t port_count;
    const struct sandbox_place *places;  // beside those of the role's row
    size_t place_count;
    int close_from;       // descriptors from this number on are closed; 0: none
    uint64_t memory_max;  // RLIMIT_DATA in octets; 0: none
};

// R_NONE: all but Landlock is in force, since this kernel has none (or not enough of it); f->why says so and
// the caller warns, or refuses to go on when `sandbox = required`. R_FAIL: the process must end.
enum result sandbox_apply(const struct role *r, const struct sandbox_paths *paths,
                          struct fault *f) MUST_CHECK;

// In a forked child of a role that is in its sandbox already: takes away what the row `r` does not have besides. The
// same answers.
enum result sandbox_narrow(const struct role *r, struct fault *f) MUST_CHECK;

// A sanitizer's runtime needs more than a sandbox or a limit on memory would leave it.
bool sandbox_has_sanitizer(void);

// For `doctor`: Landlock's ABI here, 0 when there is none.
int sandbox_landlock_abi(void);

#endif
