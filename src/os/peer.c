#include "os/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum result
peer_ids_get(int fd, struct peer_ids *ids_out, struct fault *f)
{
    struct ucred u;
    socklen_t n = sizeof u;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &n) != 0)
        return fault_errno(f, FAULT_NOPERM, "SO_PEERCRED");
    if (n != sizeof u || u.pid == 0)
        return fault_set(f, FAULT_NOPERM, "the peer is not a process of this machine");
    *ids_out = (struct peer_ids){u.pid, u.uid, u.gid};
    return R_OK;
}

bool
peer_is_owner(int fd)
{
    struct fault f;
    struct peer_ids ids;
    return peer_ids_get(fd, &ids, &f) == R_OK && (ids.uid == 0 || ids.uid == geteuid());
}

static void
put_v4(struct buf *b, const void *address, in_port_t port)
{
    char text[INET_ADDRSTRLEN];
    if (inet_ntop(AF_INET, address, text, sizeof text))
        buf_printf(b, "%s:%u", text, ntohs(port));
}

static void
put_v6(struct buf *b, const struct sockaddr_in6 *a)
{
    char text[INET6_ADDRSTRLEN];
    if (IN6_IS_ADDR_V4MAPPED(&a->sin6_addr))
        put_v4(b, a->sin6_addr.s6_addr + 12, a->sin6_port);
    else if (inet_ntop(AF_INET6, &a->sin6_addr, text, sizeof text))
        buf_printf(b, "[%s]:%u", text, ntohs(a->sin6_port));
}

void
peer_text(const struct sockaddr_storage *a, struct buf *b)
{
    const struct sockaddr_in *v4 = (const void *)a;
    if (a->ss_family == AF_INET)
        put_v4(b, &v4->sin_addr, v4->sin_port);
    else if (a->ss_family == AF_INET6)
        put_v6(b, (const void *)a);
    else if (a->ss_family == AF_UNIX)
        buf_put_str(b, "unix");
}

void
peer_ends_get(int fd, struct peer_ends *out)
{
    socklen_t remote = sizeof out->remote, local = sizeof out->local;
    memset(out, 0, sizeof *out);
    if (getpeername(fd, (struct sockaddr *)&out->remote, &remote) != 0)
        out->remote.ss_family = AF_UNSPEC;
    if (getsockname(fd, (struct sockaddr *)&out->local, &local) != 0)
        out->local.ss_family = AF_UNSPEC;
}
