#include "main/role.h"
#include "main/shared.h"
#include "ctl/announce.h"
#include "gate/tls_secrets.h"
#include "http/server.h"
#include "io/loop.h"

// The role http: strangers ask for the documents that set their clients up; the administrator for health and metrics. It knows the
// settings and the certificate's key, and talks to no other role: what it tells of them they put into shared memory.

struct role_http {
    const struct role_start *start;
    struct loop *loop;
    struct role_link *link;
    struct tls_secrets secrets;
    struct http_server *server;
    struct http_options options;
    struct arena *arena;  // of the options
};

static SSL *
on_accept(void *arg)
{
    struct role_http *r = arg;
    return tls_set_accept(r->secrets.now, "http/1.1");
}

static enum result
on_sign(void *arg, struct span content, struct buf *out)
{
    struct role_http *r = arg;
    return r->secrets.now
               ? tls_set_sign(r->secrets.now, r->options.offers.host, content, out)
               : R_NONE;
}

static bool
on_is_ready(void *arg)
{
    (void)arg;
    return metric_get(METRIC_ready) > 0;
}

static void
on_metrics(void *arg, struct buf *out)
{
    const struct role_http *r = arg;
    metrics_print(&r->start->shared->metrics, out);
}

static void
on_listen(void *role, const struct listen_socket *s, int fd)
{
    struct role_http *r = role;
    http_server_listen(r->server, s->address, s->tls == TLS_IMPLICIT, fd);
}

static void
on_unlisten(void *role, const struct listen_socket *s)
{
    struct role_http *r = role;
    http_server_unlisten(r->server, s->address, s->tls == TLS_IMPLICIT);
}

static void
on_secret(void *role, struct span name, struct span value)
{
    struct role_http *r = role;
    tls_secrets_take(&r->secrets, "http", name, value);
}

static void
set_options(struct role_http *r, const struct config *c)
{
    struct arena *before = r->arena;
    r->arena = arena_new();
    r->options = (struct http_options){
        .admins = {c->http_admin_networks.items, c->http_admin_networks.n},
        .arg = r,
        .accept = on_accept,
        .sign = on_sign,
        .is_ready = on_is_ready,
        .metrics = on_metrics,
    };
    announce_offers(c, r->arena, &r->options.offers);
    arena_free(&before);
}

static void
on_settings(void *role, const struct config *c)
{
    set_options(role, c);
}

static void
on_drain(void *role)
{
    struct role_http *r = role;
    loop_stop(r->loop);
}

static const struct role_link_ops link_ops = {
    .listen = on_listen,
    .secret = on_secret,
    .drain = on_drain,
    .unlisten = on_unlisten,
    .settings = on_settings,
};

static void
begin(void *arg)
{
    struct role_http *r = arg;
    set_options(r, r->start->config);
    r->server = http_server_new(&r->options);
    r->link = role_link_open(r->start, &link_ops, r);
    role_link_ready(r->link);
    role_probe(r->start);
}

int
role_http_main(const struct role_start *start)
{
    struct role_http r = {.start = start};
    if (role_confine(start, start->supervisor + 1) != R_OK)
        return ROLE_EXIT_SETTINGS;
    tls_secrets_init(&r.secrets);
    r.loop = loop_new();
    loop_post(r.loop, begin, &r);
    loop_run(r.loop);
    http_server_free(&r.server);
    role_link_close(&r.link);
    tls_secrets_done(&r.secrets);
    arena_free(&r.arena);
    loop_free(&r.loop);
    return ROLE_EXIT_DRAINED;
}
