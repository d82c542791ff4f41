#ifndef OS_NETWORK_H
#define OS_NETWORK_H

// A network is a prefix of addresses ("192.0.2.0/24", "2001:db8::/32", "::1"): who may connect. IPv4 is kept in the
// form ::ffff:192.0.2.0 (RFC 4291 section 2.5.5.2), so that a client counts the same on either kind of socket.
// Trust: text from the configuration; addresses from the kernel. Threads: any.

#include "base/span.h"

#include <sys/socket.h>

struct network {
    unsigned char address[16];
    unsigned bits;  // of 128
};

// Without a slash: one address. FAULT_BAD for anything else, and for set bits behind the prefix.
enum result network_parse(struct span text, struct network *out,
                          struct fault *f) MUST_CHECK;
bool network_has(const struct network *n, const unsigned char address[16]);

// Networks as a setting names them; "local" stands for unix sockets.
struct network_list {
    const char *const *items;  // borrowed
    size_t n;
};
bool network_list_has(const struct network_list *l, const struct sockaddr_storage *from);

#endif
