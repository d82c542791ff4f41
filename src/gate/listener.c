#include "gate/inside.h"
#include "base/limits.h"
#include "base/log.h"
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { ACCEPTS_PER_TURN = 64, PAUSE_MS = 200 };

struct listener {
    struct listener *next;
    struct gate *gate;
    const struct preauth_service *service;  // NULL: mail transfer agents ask here
    enum tls_kind tls;
    bool proxy;  // os/listen.h
    int fd;
    struct event *event;
    struct timer pause;  // while there are no descriptors left
    char *address;       // as configured
};

void
listener_address_text(const struct sockaddr_storage *a, char out[46])
{
    const struct sockaddr_in *v4 = (const void *)a;
    const struct sockaddr_in6 *v6 = (const void *)a;
    snprintf(out, 46, "local");
    if (a->ss_family == AF_INET)
        inet_ntop(AF_INET, &v4->sin_addr, out, 46);
    else if (a->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, out, 46);
    else if (a->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &v6->sin6_addr, out, 46);
}

struct sockaddr_storage
listener_address_of(const char *text)
{
    struct sockaddr_storage a = {.ss_family = AF_UNIX};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
        a.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
        a.ss_family = AF_INET6;
    return a;
}

void
listener_make_room(struct gate *g, const struct sockaddr_storage *address)
{
    struct crowd_member *m = crowd_surplus(&g->crowd, address);
    if (m == NULL)
        return;
    struct front *f = (struct front *)((char *)m - offsetof(struct front, member));
    crowd_leave(&g->crowd, m);
    f->story.why = "Too many connections before login";
    front_end(f, PREAUTH_END_CROWDED);
}

// Whom a proxy speaks for is known when its header is there: until then it fills no address's share.
static void
admit(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    struct gate *g = l->gate;
    const struct gate_settings *s = &g->options.settings;
    if (l->service == NULL) {
        mta_admit(g, fd, peer);
        return;
    }
    if (l->tls == TLS_IMPLICIT && g->tls.now == NULL) {
        close(fd);
        return;
    }
    bool proxied = l->proxy && network_list_has(&s->proxies, peer);
    struct sockaddr_storage own = {0};
    socklen_t own_n = sizeof own;
    // an unspecified family reads "local"
    (void)getsockname(fd, (struct sockaddr *)&own, &own_n);
    listener_make_room(g, proxied ? NULL : peer);
    struct front *f = front_new(g, l->service, l->tls);
    crowd_join(&g->crowd, &f->member, proxied ? NULL : peer);
    listener_address_text(peer, f->ends.remote);
    listener_address_text(&own, f->ends.local);
    f->base = f->ends;
    f->facts.trusted = network_list_has(&s->trusted, peer);
    front_open(f, fd, proxied);
}

static void
on_pause_over(void *arg)
{
    struct listener *l = arg;
    event_add(l->event, NULL);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;
    (void)what;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t n = sizeof peer;
        int client =
            accept4(fd, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (gate_is_kept(l->gate, client)) {
            close(client);
            errno = EMFILE;
        } else if (client >= 0) {
            admit(l, client, &peer);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_warning("gate", "accept failed; waiting", log_why(strerror(errno)));
            event_del(l->event);
            timer_set(&l->pause, PAUSE_MS);
            return;
        }
    }
}

static bool
is_for_mtas(const struct listen_socket *s)
{
    return span_eq(s->service, SPAN("auth"));
}

void
listener_add(struct gate *g, const struct listen_socket *s, int fd)
{
    const struct preauth_service *service = gate_service(s->service);
    if ((service == NULL && !is_for_mtas(s)) || g->draining) {
        close(fd);
        return;
    }
    struct listener *l = calloc(1, sizeof *l);
    must(l != NULL);
    *l = (struct listener){.next = g->listeners,
                           .gate = g,
                           .service = service,
                           .tls = s->tls,
                           .proxy = s->proxy,
                           .fd = fd};
    l->address = strndup(s->address.p, s->address.n);
    must(l->address != NULL);
    timer_init(&l->pause, on_pause_over, l);
    l->event = event_new(loop_base(loop_self()), fd, EV_READ | EV_PERSIST, on_accept, l);
    must(l->event != NULL && event_add(l->event, NULL) == 0);
    g->listeners = l;
}

static bool
is_of(const struct listener *l, const struct listen_socket *s)
{
    bool same = l->service == NULL ? is_for_mtas(s)
                                   : span_eq(span_str(l->service->name), s->service);
    return same && l->tls == s->tls && span_eq(span_str(l->address), s->address);
}

static void
listener_close(struct listener **at)
{
    struct listener *l = *at;
    *at = l->next;
    timer_clear(&l->pause);
    event_free(l->event);
    close(l->fd);
    free(l->address);
    free(l);
}

void
listener_remove(struct gate *g, const struct listen_socket *s)
{
    for (struct listener **at = &g->listeners; *at != NULL; at = &(*at)->next) {
        if (is_of(*at, s)) {
            listener_close(at);
            return;
        }
    }
}

void
listener_close_all(struct gate *g)
{
    while (g->listeners != NULL)
        listener_close(&g->listeners);
}
