#ifndef IO_RESOLVE_H
#define IO_RESOLVE_H

// A host's addresses, by a deadline: getaddrinfo has none of its own, and with a name server that is dead it takes as long
// as resolv.conf says, half a minute or more. It runs in a thread of its own, which is left behind when it is late; who
// asks for the same host meanwhile waits for that one's answer, so that a dead name server costs a thread for each host. A
// thread that answered in time is gone when its caller goes on.
// Trust: hosts come from the settings. Threads: any; blocks.

#include "base/fault.h"

#include <stdint.h>
#include <sys/socket.h>

enum { RESOLVE_ADDRESSES = 8 };

struct resolve_address {
    struct sockaddr_storage at;
    socklen_t n;
};
struct resolve_addresses {
    // of stream sockets, in the order of RFC 6724
    struct resolve_address list[RESOLVE_ADDRESSES];
    size_t n;
};

// FAULT_UNAVAILABLE: there is no such host, the name server did not answer until then (clock_mono_ms), or too many threads
// were left behind.
enum result resolve_host(const char *host, const char *port, uint64_t until_ms,
                         struct resolve_addresses *out, struct fault *f) MUST_CHECK;
// R_OK: a non-blocking socket that is connected to the address.
enum result resolve_connect(const struct resolve_address *a, uint64_t until_ms, int *fd_out,
                            struct fault *f) MUST_CHECK;
// When the first of so many places is to be given up, so that those behind it have their share of the time.
uint64_t resolve_share_ms(uint64_t until_ms, size_t places);
// The host's addresses in turn, all by that deadline: the first that can be reached; one that does not answer leaves the others
// their time. FAULT_UNAVAILABLE with the reason of the last one.
enum result resolve_reach(const char *host, const char *port, uint64_t until_ms,
                          int *fd_out, struct fault *f) MUST_CHECK;

#endif
