#include "os/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

static enum result
bind_and_listen(int fd, const struct sockaddr *a, socklen_t n, struct fault *f)
{
    if (bind(fd, a, n) == 0 && listen(fd, BACKLOG) == 0)
        return R_OK;
    return fault_errno(f, errno == EADDRINUSE ? FAULT_INUSE : FAULT_UNAVAILABLE, "bind");
}

struct listen_at
listen_at_of(struct span configured)
{
    const struct span option = SPAN(" proxy");
    bool proxy = span_ends(configured, option);
    return (struct listen_at){
        span_slice(configured, 0, configured.n - (proxy ? option.n : 0)), proxy};
}

// ---- unix ----

// Something of ours that nobody serves any more may go; anything else stays.
static enum result
remove_stale(const struct sockaddr_un *a, struct fault *f)
{
    struct stat st;
    if (lstat(a->sun_path, &st) != 0)
        return errno == ENOENT ? R_OK : fault_errno(f, FAULT_UNAVAILABLE, a->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return fault_set(f, FAULT_INUSE, "%.100s exists and is not a socket", a->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "socket");
    int failed = connect(fd, (const struct sockaddr *)a, sizeof *a) == 0 ? 0 : errno;
    close(fd);
    if (failed != ECONNREFUSED)
        return fault_set(f, FAULT_INUSE, "somebody serves %.100s", a->sun_path);
    return unlink(a->sun_path) == 0 ? R_OK : fault_errno(f, FAULT_UNAVAILABLE, a->sun_path);
}

static enum result
listen_unix(int fd, const struct sockaddr_un *a, unsigned mode, struct fault *f)
{
    // never more open than it shall be, not even for a moment
    mode_t before = umask(0777 & ~mode);
    enum result r = bind_and_listen(fd, (const struct sockaddr *)a, sizeof *a, f);
    umask(before);
    // whoever owns the folder may have put a link there meanwhile
    if (r == R_OK && fchmodat(AT_FDCWD, a->sun_path, mode, AT_SYMLINK_NOFOLLOW) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, a->sun_path);
    return r;
}

static enum result
open_unix(struct span path, unsigned mode, int *fd_out, struct fault *f)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (path.n == 0 || path.n >= sizeof a.sun_path || memchr(path.p, 0, path.n))
        return fault_set(f, FAULT_BAD, "a socket's path has 1 to %zu octets",
                         sizeof a.sun_path - 1);
    memcpy(a.sun_path, path.p, path.n);
    if (remove_stale(&a, f) != R_OK)
        return R_FAIL;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "socket");
    if (listen_unix(fd, &a, mode, f) != R_OK) {
        close(fd);
        return R_FAIL;
    }
    *fd_out = fd;
    return R_OK;
}

// ---- internet ----

struct host_port {
    char host[256], port[8];
};

static enum result
split_host(struct span s, struct host_port *out, struct fault *f)
{
    size_t colon = span_behind_last(s, ':');
    struct span host = span_slice(s, 0, colon > 0 ? colon - 1 : 0),
                port = span_skip(s, colon);
    uint32_t number;
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = span_slice(host, 1, host.n - 1);
    else if (span_find_char(host, ':') < host.n)
        host = SPAN_NONE;  // an IPv6 address without brackets
    if (host.n == 0 || host.n >= sizeof out->host || span_to_u32(port, &number) != R_OK ||
        number > 65535)
        return fault_set(f, FAULT_BAD, "\"%.*s\" is not host:port",
                         (int)(s.n < 100 ? s.n : 100), s.p);
    snprintf(out->host, sizeof out->host, "%.*s", SPAN_ARG(host));
    snprintf(out->port, sizeof out->port, "%u", number);
    return R_OK;
}

static enum result
listen_internet(int fd, const struct addrinfo *a, struct fault *f)
{
    static const int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "SO_REUSEADDR");
    if (a->ai_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "IPV6_V6ONLY");
    return bind_and_listen(fd, a->ai_addr, a->ai_addrlen, f);
}

static enum result
open_first(const struct addrinfo *a, int *fd_out, struct fault *f)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "socket");
    if (listen_internet(fd, a, f) != R_OK) {
        close(fd);
        return R_FAIL;
    }
    *fd_out = fd;
    return R_OK;
}

static enum result
open_internet(struct span address, int *fd_out, struct fault *f)
{
    struct host_port at;
    if (split_host(address, &at, f) != R_OK)
        return R_FAIL;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(at.host, at.port, &hints, &found);
    if (failed != 0)
        return fault_set(f, FAULT_BAD, "%.100s: %s", at.host, gai_strerror(failed));
    enum result r = open_first(found, fd_out, f);
    freeaddrinfo(found);
    return r;
}

enum result
listen_open(struct span address, unsigned mode, int *fd_out, struct fault *f)
{
    const struct span scheme = SPAN("unix:");
    if (span_starts(address, scheme))
        return open_unix(span_skip(address, scheme.n), mode, fd_out, f);
    return open_internet(address, fd_out, f);
}
