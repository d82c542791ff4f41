#ifndef OS_PEER_H
#define OS_PEER_H

// Who is at the other end of a socket: SO_PEERCRED for unix sockets, addresses as text for all.
// Trust: from the kernel. Threads: any.

#include "base/buf.h"

#include <sys/socket.h>
#include <sys/types.h>

struct peer_ids {
    pid_t pid;
    uid_t uid;
    gid_t gid;
};

enum result peer_ids_get(int fd, struct peer_ids *ids_out, struct fault *f) MUST_CHECK;
bool peer_is_owner(int fd);  // root, or the user this process runs as

// Both ends of a connection; AF_UNSPEC where the kernel does not know (any more).
struct peer_ends {
    struct sockaddr_storage remote, local;
};
void peer_ends_get(int fd, struct peer_ends *out);
// "192.0.2.1:993", "[2001:db8::1]:993", "unix"; IPv4 in IPv6 as IPv4. Nothing is put for AF_UNSPEC.
void peer_text(const struct sockaddr_storage *a, struct buf *b);

#endif
