#ifndef OS_ROLE_H
#define OS_ROLE_H

// A role is a row of roles.def: who a process of `posthorn serve` runs as, which files it may use, whether it
// may connect and exec, and which system calls it is left with. A new role is a new row.
// Threads: any (constant data).

#include "base/fault.h"
#include "base/span.h"

enum role_user { ROLE_KEEP, ROLE_SERVICE };  // stays who it is; drops to the service user
// ROLE_CONFIGURED: TCP to the ports in struct sandbox_paths, which Landlock enforces (ABI 4), sockets of the
// internet families only. ROLE_ANY: not restricted.
enum role_connect { ROLE_NOTHING, ROLE_CONFIGURED, ROLE_ANY };
enum role_place_kind { ROLE_DIR, ROLE_FILE, ROLE_LIST };

enum role_calls {  // bits: the sets of calls.def
    CALLS_BASE = 1,
    CALLS_SOCKETS = 2,
    CALLS_FILES = 4,
    CALLS_CONNECT = 8,
    CALLS_EXEC = 16,
    CALLS_SANITIZER = 32,
    CALLS_ANY = 64,  // everything but what calls.def calls dangerous
    CALLS_CHILDREN = 128,
    CALLS_TOOL = 256,
    CALLS_LOCAL = 512,
    CALLS_JUDGE =
        1024,  // with CALLS_ANY: of root's capabilities those that judge passwords
    // with CALLS_ANY: all files but those of the data directory, no capabilities, and no unix sockets, since there is
    // the one of `posthorn`'s verbs
    CALLS_PROGRAMS = 2048,
};

struct role {
    const char *name;
    enum role_user user;
    enum role_connect connect;
    bool may_exec;
    unsigned calls;
    unsigned files_max;  // RLIMIT_NOFILE
    const char *text;    // what it is
};

struct role_place {
    const char *role;
    const char *
        path;  // below the data directory, unless it starts with "/": then it may be missing
    enum role_place_kind kind;
    bool writes;
};

const struct role *role_find(struct span name);  // NULL when there is no such role
const struct role *role_at(size_t i);            // NULL behind the last
// The next place of the role, from *at on (start with 0); NULL behind the last.
const struct role_place *role_place_next(const struct role *r, size_t *at);

#endif
