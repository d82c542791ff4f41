#ifndef WIRE_PROXY_H
#define WIRE_PROXY_H

// The header of the PROXY protocol (HAProxy's proxy-protocol.txt), version 1 (a line) and 2 (octets): what a proxy says
// first on a connection, before TLS too, of whom it speaks for. Nothing here does I/O.
// Trust: whether the sender may say so is decided before (proxy_networks); the octets are checked all the same. A header
// is at most LIMIT_proxy_header octets.

#include "base/fault.h"
#include "base/span.h"

#include <sys/socket.h>

struct proxy_header {
    bool
        local;  // the proxy speaks for itself, or does not tell for whom: the socket's own ends count
    bool tls;  // the client speaks TLS with the proxy
    struct sockaddr_storage source,
        destination;  // AF_UNSPEC when local
};

// `in` begins with a header: R_OK when it is whole, R_NONE while it goes on, R_FAIL (FAULT_BAD) when it is none, or a
// wrong one, as soon as that is seen. CRC32C is verified where it is given; other TLVs are passed over.
enum result proxy_parse(struct span in, struct proxy_header *out,
                        struct fault *f) MUST_CHECK;
// After R_NONE, and at the start: so many octets more belong to the header for certain, so that nobody reads what comes
// behind it. At least 1.
size_t proxy_more(struct span in);

#endif
