#include "main/mail_role.h"
#include "base/limits.h"
#include "base/log.h"
#include "lmtp/lmtp.h"
#include "lmtp/policy.h"
#include "os/network.h"
#include "os/peer.h"
#include <sys/socket.h>

static enum result
find_user(void *home, struct span address, uint64_t *account_out, struct buf *user_out,
          struct buf *detail_out, struct fault *f)
{
    return mail_known_user(home, address, account_out, user_out, detail_out, f);
}

static bool
is_local(void *home, struct span domain)
{
    const struct home *h = home;
    return config_list_has(&h->config->local_domains, domain);
}

void
mail_lmtp_host(struct home *h)
{
    h->lmtp = (struct lmtp_host){
        .mail = h->role->mail,
        .hostname = h->config->hostname,
        .find_user = find_user,
        .is_local = is_local,
        .policy_refuses_unknown = strcmp(h->config->policy_unknown, "reject") == 0,
        .arg = h,
    };
}

// Unix sockets are kept by their mode.
static bool
may_deliver(const struct config *c, const struct peer_ends *ends)
{
    struct network_list networks = {c->lmtp_networks.items, c->lmtp_networks.n};
    return ends->remote.ss_family == AF_UNIX || network_list_has(&networks, &ends->remote);
}

// The address as Received lines have it (RFC 5321 section 4.1.3): no port, "IPv6:" before its kind; nothing for unix.
static void
put_address_literal(struct buf *b, struct span remote)
{
    size_t port = span_behind_last(remote, ':');
    if (port == 0)
        return;
    struct span address = span_slice(remote, 0, port - 1);
    if (address.n > 2 && address.p[0] == '[') {
        buf_put(b, SPAN("IPv6:"));
        address = span_slice(address, 1, address.n - 1);
    }
    buf_put(b, address);
}

static void
refuse(int fd, struct span remote, const char *line, const char *why)
{
    log_warning("lmtp", "Refused", field_text("rip", "rip=%", remote), log_why(why));
    if (line != NULL)
        (void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

void
mail_lmtp_accept(struct home *h, int fd, const struct peer_ends *ends)
{
    struct buf remote, literal;
    buf_init(&remote, 128);
    buf_init(&literal, 128);
    peer_text(&ends->remote, &remote);
    put_address_literal(&literal, buf_span(&remote));
    if (!may_deliver(h->config, ends))
        refuse(fd, buf_span(&remote), NULL, "not in lmtp_networks, closed");
    else if (lmtp_session_count() >= LIMIT_lmtp_sessions)
        refuse(fd, buf_span(&remote), "421 4.3.2 Too many connections\r\n",
               "too many connections");
    else
        lmtp_session_start(conn_new(fd, NULL, NULL), &h->lmtp, buf_span(&literal));
    buf_done(&literal);
    buf_done(&remote);
}

void
mail_policy_accept(struct home *h, int fd, const struct peer_ends *ends)
{
    struct buf remote;
    buf_init(&remote, 128);
    peer_text(&ends->remote, &remote);
    if (!may_deliver(h->config, ends))
        refuse(fd, buf_span(&remote), NULL, "not in lmtp_networks, closed");
    else if (policy_session_count() >= LIMIT_lmtp_sessions)
        refuse(fd, buf_span(&remote), NULL, "too many connections");
    else
        policy_session_start(conn_new(fd, NULL, NULL), &h->lmtp);
    buf_done(&remote);
}
