#include "os/notify.h"
#include "base/span.h"
#include <errno.h>
#include <stddef.h>
#include <sys/time.h>

static enum result
take_number(const char *name, uint64_t *out, struct fault *f)
{
    const char *text = getenv(name);
    *out = 0;
    if (text == NULL || span_to_u64(span_str(text), out) == R_OK)
        return R_OK;
    return fault_set(f, FAULT_BAD, "%s=%.40s is no number", name, text);
}

// The watchdog is meant for WATCHDOG_PID only, when that is set.
static enum result
take_watchdog(struct notify *n, struct fault *f)
{
    uint64_t microseconds, pid;
    if (take_number("WATCHDOG_USEC", &microseconds, f) != R_OK ||
        take_number("WATCHDOG_PID", &pid, f) != R_OK)
        return R_FAIL;
    if (pid == 0 || pid == (uint64_t)getpid())
        n->watchdog_ms = microseconds / 1000;
    return R_OK;
}

static enum result
take_address(struct notify *n, struct span name, struct fault *f)
{
    n->to.sun_family = AF_UNIX;
    bool abstract = name.n > 1 && name.p[0] == '@';
    if ((!abstract && (name.n == 0 || name.p[0] != '/')) || name.n >= sizeof n->to.sun_path)
        return fault_set(f, FAULT_BAD, "NOTIFY_SOCKET=%.*s is no socket's name",
                         SPAN_ARG(span_slice(name, 0, 100)));
    memcpy(n->to.sun_path, name.p, name.n);
    if (abstract)
        n->to.sun_path[0] = '\0';
    n->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name.n + !abstract);
    return R_OK;
}

static enum result
open_socket(struct notify *n, struct fault *f)
{
    static const struct timeval patience = {.tv_sec =
                                                2};  // with a manager that does not read
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (n->fd >= 0 &&
        setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0)
        return R_OK;
    return fault_errno(f, FAULT_UNAVAILABLE, "socket");
}

enum result
notify_open(struct notify *n, struct fault *f)
{
    static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
    const char *name = getenv(names[0]);
    *n = (struct notify){.fd = -1};
    enum result r = R_OK;
    if (name != NULL)
        r = take_address(n, span_str(name), f);
    if (r == R_OK && name != NULL)
        r = take_watchdog(n, f);
    if (r == R_OK && name != NULL)
        r = open_socket(n, f);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unsetenv(names[i]);
    return r;
}

enum result
notify_send(const struct notify *n, const char *text, struct fault *f)
{
    if (n->fd < 0)
        return R_OK;
    ssize_t sent = sendto(n->fd, text, strlen(text), MSG_NOSIGNAL,
                          (const struct sockaddr *)&n->to, n->size);
    return sent >= 0 ? R_OK : fault_errno(f, FAULT_UNAVAILABLE, "NOTIFY_SOCKET");
}

void
notify_close(struct notify *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}
