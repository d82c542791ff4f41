#include "main/role.h"
#include "main/shared.h"
#include "base/limits.h"
#include "base/load.h"
#include "base/log.h"
#include "gate/gate.h"
#include "io/conn.h"
#include "io/loop.h"

enum { DRAIN_MS = 5000, KEPT = 16 };

struct role_gate {
    const struct role_start *start;
    struct loop *loop;
    struct gate *gate;
    struct role_link *link;
    struct timer patience;  // of the drain
};

static void
on_peer(void *role, struct span peer, uint32_t index, int fd)
{
    struct role_gate *r = role;
    gate_peer(r->gate, peer, index, fd);
}

static void
on_listen(void *role, const struct listen_socket *s, int fd)
{
    struct role_gate *r = role;
    gate_listen(r->gate, s, fd);
}

static void
on_secret(void *role, struct span name, struct span value)
{
    struct role_gate *r = role;
    gate_secret(r->gate, name, value);
}

static void
stop(void *arg)
{
    struct role_gate *r = arg;
    loop_stop(r->loop);
}

static void
on_drain(void *role)
{
    struct role_gate *r = role;
    timer_set(&r->patience, DRAIN_MS);
    gate_drain(r->gate);
}

static uint32_t
preauth_ms(const struct config *c)
{
    return c->test_preauth_time > 0 ? (uint32_t)c->test_preauth_time * 1000
                                    : LIMIT_preauth_ms;
}

static struct network_list
networks(const struct config_list *l)
{
    return (struct network_list){l->items, l->n};
}

static struct gate_settings
settings_of(const struct config *c)
{
    return (struct gate_settings){.plaintext_auth = c->plaintext_auth,
                                  .shed_background = c->shed_background,
                                  .proxy_tls = c->proxy_tls,
                                  .preauth_ms = preauth_ms(c),
                                  .expire_days = (uint32_t)c->pop3_delete_after,
                                  .login_delay_s = (uint32_t)c->pop3_login_delay,
                                  .redirects = (unsigned)c->sieve_redirects,
                                  .hostname = c->hostname,
                                  .message_size_max = c->message_size_max,
                                  .proxies = networks(&c->proxy_networks),
                                  .trusted = networks(&c->trusted_networks),
                                  .mtas = networks(&c->auth_service_networks)};
}

static void
on_unlisten(void *role, const struct listen_socket *s)
{
    struct role_gate *r = role;
    gate_unlisten(r->gate, s);
}

static void
on_settings(void *role, const struct config *c)
{
    struct role_gate *r = role;
    load_pretend(c->test_overload);
    struct gate_settings s = settings_of(c);
    gate_settings(r->gate, &s);
}

static const struct role_link_ops link_ops = {
    .peer = on_peer,
    .listen = on_listen,
    .secret = on_secret,
    .drain = on_drain,
    .unlisten = on_unlisten,
    .settings = on_settings,
};

// A logged-in TLS connection takes two descriptors and one is kept for each before login.
static unsigned
preauth_max(void)
{
    unsigned half = (unsigned)role_descriptors() / 2;
    return half < LIMIT_preauth_total ? half : LIMIT_preauth_total;
}

static void
begin(void *arg)
{
    struct role_gate *r = arg;
    const struct config *c = r->start->config;
    struct gate_options o = {
        .settings = settings_of(c),
        .mail_threads = r->start->mail_threads,
        .preauth_max = preauth_max(),
        // without a new auth's channel the gate could only end, and its sessions with it
        .descriptors = role_descriptors_but(KEPT),
        .client_name =
            strcmp(c->tls_client_name, "cn") == 0 ? TLS_CLIENT_CN : TLS_CLIENT_EMAIL,
        .counts = &r->start->shared->crowd,
        .gate = r->start->index,
        .gates = r->start->gates,
        .on_drained = stop,
        .arg = r,
    };
    load_pretend(c->test_overload);
    r->gate = gate_new(&o);
    timer_init(&r->patience, stop, r);
    r->link = role_link_open(r->start, &link_ops, r);
    role_link_ready(r->link);
    role_probe(r->start);
}

int
role_gate_main(const struct role_start *start)
{
    struct role_gate r = {.start = start};
    conn_test_split(start->config->test_split_io, start->config->test_split_io);
    if (role_confine(start, start->supervisor + 1) != R_OK)
        return ROLE_EXIT_SETTINGS;
    r.loop = loop_new();
    loop_post(r.loop, begin, &r);
    loop_run(r.loop);
    timer_clear(&r.patience);
    role_link_close(&r.link);
    gate_free(&r.gate);
    loop_free(&r.loop);
    return ROLE_EXIT_DRAINED;
}
