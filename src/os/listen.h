#ifndef OS_LISTEN_H
#define OS_LISTEN_H

// Listening sockets, made by the supervisor before any role runs.
// Trust: addresses come from the configuration. Threads: any.

#include "base/span.h"

// An address as it stands in the configuration: behind it, after a blank, may be "proxy": connections from
// proxy_networks begin with a header of the PROXY protocol there.
struct listen_at {
    struct span address;
    bool proxy;
};
struct listen_at listen_at_of(struct span configured);

// Binds and listens on "host:port", "[v6]:port" or "unix:/path"; the descriptor is non-blocking and
// close-on-exec. "[::]:port" takes IPv6 only, so that both families can be named. A unix socket gets `mode`;
// one left behind is replaced, unless somebody answers there (FAULT_INUSE, as for a port in use).
enum result listen_open(struct span address, unsigned mode, int *fd_out,
                        struct fault *f) MUST_CHECK;

#endif
