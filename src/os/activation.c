#include "os/activation.h"
#include "base/span.h"
#include "os/spawn.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { FIRST_FD = 3 };

static void
put_unix(const struct sockaddr_un *a, socklen_t n, char out[ACTIVATION_ADDRESS])
{
    size_t most = n - offsetof(struct sockaddr_un, sun_path);
    if (n > offsetof(struct sockaddr_un, sun_path) && a->sun_path[0] == '\0')
        snprintf(out, ACTIVATION_ADDRESS, "unix:@%.*s", (int)most - 1, a->sun_path + 1);
    else
        snprintf(out, ACTIVATION_ADDRESS, "unix:%.*s", (int)strnlen(a->sun_path, most),
                 a->sun_path);
}

static enum result
put_address(int fd, char out[ACTIVATION_ADDRESS], struct fault *f)
{
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof a;
    char host[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *v4 = (const void *)&a;
    const struct sockaddr_in6 *v6 = (const void *)&a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        return fault_errno(f, FAULT_BAD, "getsockname");
    if (a.ss_family == AF_UNIX) {
        put_unix((const void *)&a, n, out);
    } else if (a.ss_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(out, ACTIVATION_ADDRESS, "%s:%u", host, ntohs(v4->sin_port));
    } else if (a.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(out, ACTIVATION_ADDRESS, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        return fault_set(f, FAULT_BAD, "its family is %d", a.ss_family);
    }
    return R_OK;
}

static bool
says(int fd, int option, int want)
{
    int value = 0;
    socklen_t n = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &n) == 0 && value == want;
}

// The socket moves away from the low numbers, which become the roles' own.
static enum result
take_one(struct activated *row, int given, struct fault *f)
{
    struct fault why;
    if (!says(given, SO_ACCEPTCONN, 1) || !says(given, SO_TYPE, SOCK_STREAM))
        return fault_set(f, FAULT_BAD, "descriptor %d ('%s') is no listening stream socket",
                         given, row->name);
    if (put_address(given, row->address, &why) != R_OK)
        return fault_set(f, FAULT_BAD, "descriptor %d ('%s'): %.100s", given, row->name,
                         why.why);
    row->fd = fcntl(given, F_DUPFD_CLOEXEC, SPAWN_FIRST_FD + SPAWN_FDS_MAX);
    if (row->fd < 0 || fcntl(row->fd, F_SETFL, O_RDWR | O_NONBLOCK) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "LISTEN_FDS");
    return R_OK;
}

static enum result
take_all(struct activated *rows, size_t n, struct span names, struct fault *f)
{
    for (size_t i = 0; i < n; i++) {
        struct span name;
        if (span_next_field(&names, ':', &name) != R_OK || name.n == 0 ||
            name.n >= ACTIVATION_NAME)
            return fault_set(f, FAULT_BAD,
                             "LISTEN_FDNAMES has no name for socket %zu of %zu; set "
                             "FileDescriptorName= in its socket unit",
                             i + 1, n);
        snprintf(rows[i].name, ACTIVATION_NAME, "%.*s", SPAN_ARG(name));
        if (take_one(&rows[i], FIRST_FD + (int)i, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

// Not set, or meant for another process: none.
static enum result
count_of(uint32_t *n_out, struct fault *f)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    uint32_t who, n;
    *n_out = 0;
    if (pid == NULL || count == NULL)
        return R_OK;
    if (span_to_u32(span_str(pid), &who) != R_OK ||
        span_to_u32(span_str(count), &n) != R_OK)
        return fault_set(f, FAULT_BAD, "LISTEN_PID=%.20s LISTEN_FDS=%.20s are no numbers",
                         pid, count);
    if (who != (uint32_t)getpid())
        return R_OK;
    if (n > ACTIVATION_MAX)
        return fault_set(f, FAULT_LIMIT, "LISTEN_FDS=%u: %d sockets can be taken", n,
                         ACTIVATION_MAX);
    *n_out = n;
    return R_OK;
}

static void
close_all(struct activated *rows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (rows[i].fd >= 0)
            close(rows[i].fd);
}

enum result
activation_take(struct activated rows[ACTIVATION_MAX], size_t *n_out, struct fault *f)
{
    uint32_t n;
    if (count_of(&n, f) != R_OK)
        return R_FAIL;
    const char *names = getenv("LISTEN_FDNAMES");
    for (uint32_t i = 0; i < n; i++)
        rows[i] = (struct activated){.fd = -1};
    enum result r = take_all(rows, n, names ? span_str(names) : SPAN_NONE, f);
    for (uint32_t i = 0; i < n; i++)
        (void)close(FIRST_FD + (int)i);  // a wrong number has nothing to close
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (r != R_OK) {
        close_all(rows, n);
        return R_FAIL;
    }
    *n_out = n;
    return R_OK;
}
