#ifndef OS_NOTIFY_H
#define OS_NOTIFY_H

// What the service manager is told (sd_notify(3)): datagrams of NAME=value lines to the socket that NOTIFY_SOCKET
// names, by path or, with "@" in front, in the abstract name space. Written by hand: it is one sendto.
// Owner: the supervisor. Trust: the environment is the manager's. Threads: one, before any other runs.

#include "base/fault.h"
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
    int fd;  // -1: nobody wants to know
    struct sockaddr_un to;
    socklen_t size;
    uint64_t watchdog_ms;  // WATCHDOG=1 is due so often; 0: never
};

// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and takes them out of the environment, so that no role
// inherits them. R_FAIL: they make no sense; *n is usable and silent.
enum result notify_open(struct notify *n, struct fault *f) MUST_CHECK;
// "READY=1\nSTATUS=..."; does nothing when nobody wants to know.
enum result notify_send(const struct notify *n, const char *text,
                        struct fault *f) MUST_CHECK;
void notify_close(struct notify *n);

#endif
