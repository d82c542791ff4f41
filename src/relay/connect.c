#include "relay/smtp.h"
#include "base/clock.h"
#include "base/limits.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

// Each address in turn, with one deadline for all.

static enum result
await(int fd, uint64_t until_ms, struct fault *f)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    uint64_t now_ms = clock_mono_ms();
    int error = 0;
    socklen_t n = sizeof error;
    if (now_ms >= until_ms || poll(&p, 1, (int)(until_ms - now_ms)) <= 0)
        return fault_set(f, FAULT_UNAVAILABLE, "the smarthost cannot be reached: timeout");
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
        error = errno;
    return error == 0
               ? R_OK
               : fault_set(f, FAULT_UNAVAILABLE, "the smarthost cannot be reached: %s",
                           strerrordesc_np(error));
}

static enum result
try_one(const struct addrinfo *a, uint64_t until_ms, int *fd_out, struct fault *f)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "socket");
    enum result r = R_OK;
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0)
        r = errno == EINPROGRESS
                ? await(fd, until_ms, f)
                : fault_errno(f, FAULT_UNAVAILABLE, "the smarthost cannot be reached");
    if (r == R_OK)
        *fd_out = fd;
    else
        close(fd);
    return r;
}

enum result
relay_connect(const struct smarthost *host, int *fd_out, struct fault *f)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    uint32_t ms = LIMIT_relay_connect_ms;
    if (host->patience_ms > 0 && host->patience_ms < ms)
        ms = host->patience_ms;
    uint64_t until_ms = clock_mono_ms() + ms;
    int code = getaddrinfo(host->name, host->port, &hints, &found);
    if (code != 0)
        return fault_set(f, FAULT_UNAVAILABLE, "the smarthost's name: %s",
                         gai_strerror(code));
    enum result r = fault_set(f, FAULT_UNAVAILABLE, "the smarthost has no address");
    for (const struct addrinfo *a = found; r != R_OK && a != NULL; a = a->ai_next)
        r = try_one(a, until_ms, fd_out, f);
    freeaddrinfo(found);
    return r;
}
