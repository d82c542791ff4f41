#include "main/mail_role.h"
#include "ctl/scanners.h"
#include "base/limits.h"
#include "base/log.h"
#include "lmtp/lmtp.h"
#include "auth/address.h"
#include "lmtp/maps.h"
#include "lmtp/policy.h"
#include "os/network.h"
#include "os/peer.h"
#include <sys/socket.h>

// ---- what auth says of addresses ----

struct target_quota {
    bool known;
    struct user_quota quota;
};

static bool
unpack_target(struct unpack *u, struct lmtp_target *out, struct target_quota *quota)
{
    out->account = unpack_u64(u);
    out->name = unpack_span(u);
    out->detail = unpack_span(u);
    out->size_max = unpack_u64(u);
    out->language = unpack_span(u);
    quota->known = unpack_u8(u);
    quota->quota.storage = unpack_u64(u);
    quota->quota.messages = unpack_u64(u);
    return !u->bad;
}

static enum result
unpack_targets(struct home *h, struct span packed, struct arena *a,
               struct lmtp_targets *out, struct fault *f)
{
    struct lmtp_targets t = {0};
    struct lmtp_target target;
    struct target_quota quota;
    struct unpack u = unpack_of(packed);
    while (u.rest.n > 0 && unpack_target(&u, &target, &quota))
        t.n++;
    if (u.bad || t.n == 0)
        return fault_set(f, FAULT_SERVERBUG, "an answer of auth is malformed");
    t.list = arena_array(a, t.n, sizeof *t.list);
    u = unpack_of(packed);
    for (size_t i = 0; i < t.n; i++) {
        must(unpack_target(&u, &t.list[i], &quota));
        if (quota.known)
            mail_outer_quota(h, t.list[i].account, t.list[i].name, &quota.quota);
    }
    *out = t;
    return R_OK;
}

// Where Postfix asks the maps it follows the forwards of users.
static enum result
resolve(void *arg, struct span address, bool arriving, struct arena *a,
        struct lmtp_targets *out, struct fault *f)
{
    struct home *h = arg;
    bool followed = arriving && h->doors.maps;
    struct buf packed;
    buf_init(&packed, SIZE_MAX);
    enum result r = mail_known_resolve(h, followed ? RESOLVE_Q_DELIVERY : RESOLVE_Q_MAIL,
                                       address, &packed, f);
    if (r == R_OK)
        r = unpack_targets(h, arena_dup(a, buf_span(&packed)), a, out, f);
    buf_done(&packed);
    return r;
}

// An address as Postfix writes it in its tables' keys: quoted where it must be.
static enum result
ask_quoted(struct home *h, enum resolve_question question, struct span address,
           struct buf *out, struct fault *f)
{
    struct buf plain;
    buf_init(&plain, LIMIT_smtp_line);
    enum result r = address_unquote(address, &plain) == R_OK
                        ? mail_known_resolve(h, question, buf_span(&plain), out, f)
                        : R_NONE;
    buf_done(&plain);
    return r;
}

static enum result
aliases(void *arg, struct span address, struct buf *out, struct fault *f)
{
    return ask_quoted(arg, RESOLVE_Q_ALIAS, address, out, f);
}

static enum result
senders(void *arg, struct span address, struct buf *out, struct fault *f)
{
    return ask_quoted(arg, RESOLVE_Q_SENDERS, address, out, f);
}

// Is the user, as the transfer agent has the name, among these?
static enum result
has_name(struct span packed, struct span user)
{
    struct unpack u = unpack_of(packed);
    struct name name;
    struct fault f;
    if (name_of(user, &name, &f) != R_OK)
        return R_NONE;
    while (u.rest.n > 0 && !u.bad)
        if (span_eq(unpack_span(&u), name_span(&name)))
            return R_OK;
    return R_NONE;
}

static enum result
may_send(void *arg, struct span user, struct span address, struct fault *f)
{
    struct buf names;
    buf_init(&names, SIZE_MAX);
    enum result r = senders(arg, address, &names, f);
    if (r == R_OK)
        r = has_name(buf_span(&names), user);
    buf_done(&names);
    return r;
}

static enum result
is_local(void *arg, struct span domain, struct fault *f)
{
    struct home *h = arg;
    struct buf none;
    buf_init(&none, SIZE_MAX);
    enum result r = mail_known_resolve(h, RESOLVE_Q_DOMAIN, domain, &none, f);
    buf_done(&none);
    return r;
}

static const struct lmtp_host *
at_home(void *arg, uint64_t account)
{
    const struct mail_role *r = ((struct home *)arg)->role;
    return &r->homes[mail_home_index(r->mail, account)].lmtp;
}

static enum lmtp_fate
fate_of(const char *action)
{
    static const char *const words[] = {"none", "junk", "refuse", "quarantine"};
    static const enum lmtp_fate fates[] = {LMTP_DELIVER, LMTP_JUNK, LMTP_REFUSE,
                                           LMTP_QUARANTINE};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(action, words[i]) == 0)
            return fates[i];
    return LMTP_DELIVER;
}

void
mail_lmtp_host(struct home *h)
{
    h->lmtp = (struct lmtp_host){
        .mail = h->role->mail,
        .hostname = h->config->hostname,
        .resolve = resolve,
        .aliases = aliases,
        .senders = senders,
        .may_send = may_send,
        .is_local = is_local,
        .can_send = mail_can_send,
        .at_home = at_home,
        .send = mail_send_letter,
        .policy_refuses_unknown = strcmp(h->config->policy_unknown, "reject") == 0,
        .policy_refuses_senders = strcmp(h->config->policy_senders, "reject") == 0,
        .detail_off = strcmp(h->config->detail_mailbox, "off") == 0,
        .scan = {.wanted = scanners_scan(h->config),
                 .headers = h->config->spam_headers,
                 .defer = strcmp(h->config->scan_unavailable, "defer") == 0,
                 .large = fate_of(h->config->scan_too_large),
                 .spam = fate_of(h->config->spam_action),
                 .surely = fate_of(h->config->spam_sure_action),
                 .virus = fate_of(h->config->virus_action)},
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
    else if (lmtp_session_count() >= LIMIT_lmtp_sessions * h->role->home_count)
        refuse(fd, buf_span(&remote), "421 4.3.2 Too many connections\r\n",
               "too many connections");
    else
        lmtp_session_start(conn_new(fd, NULL, NULL), &h->lmtp, buf_span(&literal));
    buf_done(&literal);
    buf_done(&remote);
}

static void
accept_questions(struct home *h, int fd, const struct peer_ends *ends,
                 const struct question_ops *ops)
{
    struct buf remote;
    buf_init(&remote, 128);
    peer_text(&ends->remote, &remote);
    if (!may_deliver(h->config, ends))
        refuse(fd, buf_span(&remote), NULL, "not in lmtp_networks, closed");
    else if (question_session_count() >= LIMIT_lmtp_sessions)
        refuse(fd, buf_span(&remote), NULL, "too many connections");
    else
        question_session_start(conn_new(fd, NULL, NULL), &h->lmtp, ops);
    buf_done(&remote);
}

void
mail_policy_accept(struct home *h, int fd, const struct peer_ends *ends)
{
    accept_questions(h, fd, ends, &policy_ops);
}

void
mail_maps_accept(struct home *h, int fd, const struct peer_ends *ends)
{
    accept_questions(h, fd, ends, &maps_ops);
}
