#include "main/mail_role.h"
#include "base/limits.h"
#include "base/log.h"
#include "gate/proxied.h"
#include "os/network.h"
#include <errno.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <utlist.h>

// A connection of a proxy, whose header is awaited.
struct incoming {
    struct incoming *prev, *next;
    struct home *home;
    const struct door_row *row;
    struct proxied *proxied;
    struct peer_ends ends;
};

enum { ACCEPTS_PER_TURN = 32, PAUSE_MS = 200 };

static const struct door_row rows[] = {
    {"admin", false, mail_admin_accept},
    {"lmtp", true, mail_lmtp_accept},
    {"policy", true, mail_policy_accept},
    {"maps", true, mail_maps_accept},
};

static const struct door_row *
row_find(struct span service)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (span_eq(service, span_str(rows[i].service)))
            return &rows[i];
    return NULL;
}

static void
on_pause_over(void *arg)
{
    struct door *d = arg;
    must(event_add(d->event, NULL) == 0);
}

// Without descriptors the socket stays readable: it is left alone for a while.
static void
pause_accepting(struct door *d)
{
    log_warning("mail", "accept failed; waiting", log_why(strerror(errno)));
    event_del(d->event);
    timer_set(&d->pause, PAUSE_MS);
}

static void
incoming_free(struct home *h, struct incoming *in)
{
    DL_DELETE(h->doors.incoming, in);
    h->doors.incoming_count--;
    proxied_free(&in->proxied);
    free(in);
}

static void
on_proxied(int fd, const struct proxy_header *header, const char *why, void *arg)
{
    struct incoming *in = arg;
    in->proxied = NULL;
    if (header != NULL && !header->local)
        in->ends = (struct peer_ends){header->source, header->destination};
    if (header != NULL) {
        in->row->accept(in->home, fd, &in->ends);
    } else {
        struct buf from;
        buf_init(&from, 128);
        peer_text(&in->ends.remote, &from);
        log_warning(in->row->service, "a proxy's connection is closed",
                    field_text("rip", "rip=%", buf_span(&from)), log_why(why));
        buf_done(&from);
    }
    incoming_free(in->home, in);
}

static void
await_header(struct door *d, int fd, const struct peer_ends *ends)
{
    struct home *h = d->home;
    if (h->doors.incoming_count >= LIMIT_lmtp_sessions) {
        log_warning(d->row->service, "too many connections of proxies");
        close(fd);
        return;
    }
    struct incoming *in = calloc(1, sizeof *in);
    must(in != NULL);
    *in = (struct incoming){.home = h, .row = d->row, .ends = *ends};
    DL_APPEND(h->doors.incoming, in);
    h->doors.incoming_count++;
    uint32_t test_ms = (uint32_t)h->config->test_preauth_time * 1000;
    in->proxied = proxied_new(fd, test_ms > 0 ? test_ms : LIMIT_proxy_ms, on_proxied, in);
}

// Of a peer that has reset its connection already only accept still knows the address.
static void
arrive(struct door *d, int fd, const struct sockaddr_storage *peer)
{
    const struct config_list *l = &d->home->config->proxy_networks;
    struct network_list proxies = {l->items, l->n};
    struct peer_ends ends;
    peer_ends_get(fd, &ends);
    ends.remote = *peer;
    if (d->proxy && network_list_has(&proxies, &ends.remote))
        await_header(d, fd, &ends);
    else
        d->row->accept(d->home, fd, &ends);
}

bool
mail_is_kept(const struct mail_role *r, int fd)
{
    return fd >= r->descriptors;
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct door *d = arg;
    (void)what;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t n = sizeof peer;
        int client =
            accept4(fd, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (mail_is_kept(d->home->role, client)) {
            close(client);
            errno = EMFILE;
        } else if (client >= 0) {
            arrive(d, client, &peer);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(d);
        return;
    }
}

// Whoever gave us the socket, the settings or the service manager. What the drain closes stays so until the end.
static void
note_maps(struct home *h)
{
    h->doors.maps = false;
    for (const struct door *d = h->doors.open; d != NULL; d = d->next)
        h->doors.maps |= d->row->accept == mail_maps_accept;
}

static void
open_here(void *arg)
{
    struct door *d = arg;
    d->event = event_new(loop_base(loop_self()), d->fd, EV_READ | EV_PERSIST, on_accept, d);
    must(d->event != NULL && event_add(d->event, NULL) == 0);
    d->next = d->home->doors.open;
    d->home->doors.open = d;
    note_maps(d->home);
}

static char *
text_of(struct span s)
{
    char *p = strndup(s.p, s.n);
    must(p != NULL);
    return p;
}

void
mail_door_open(struct mail_role *r, const struct listen_socket *s, int fd)
{
    const struct door_row *row = row_find(s->service);
    unsigned n = row == NULL ? 0 : row->every_thread ? r->home_count : 1;
    if (row == NULL)
        log_error("mail", "nobody serves that here",
                  field_text("listener", "listener=%", s->service));
    for (unsigned i = 0; i < n; i++) {
        int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (own < 0) {
            log_error("mail", "a thread does not accept connections",
                      field_text("listener", "listener=%", s->service),
                      log_why(strerror(errno)));
            break;
        }
        struct door *d = calloc(1, sizeof *d);
        must(d != NULL);
        *d = (struct door){
            .home = &r->homes[i],
            .row = row,
            .fd = own,
            .proxy = s->proxy,
            .address = text_of(s->address),
        };
        timer_init(&d->pause, on_pause_over, d);
        loop_post(d->home->loop, open_here, d);
    }
    close(fd);
}

static void
door_close(struct door **at)
{
    struct door *d = *at;
    *at = d->next;
    timer_clear(&d->pause);
    event_free(d->event);
    close(d->fd);
    free(d->address);
    free(d);
}

// What a removal carries to a home.
struct removal {
    struct home *home;
    const struct door_row *row;
    char *address;
};

static void
remove_here(void *arg)
{
    struct removal *m = arg;
    for (struct door **at = &m->home->doors.open; *at != NULL; at = &(*at)->next) {
        if ((*at)->row == m->row &&
            span_eq(span_str((*at)->address), span_str(m->address))) {
            door_close(at);
            break;
        }
    }
    note_maps(m->home);
    free(m->address);
    free(m);
}

void
mail_door_close(struct mail_role *r, const struct listen_socket *s)
{
    for (unsigned i = 0; i < r->home_count; i++) {
        struct removal *m = calloc(1, sizeof *m);
        must(m != NULL);
        *m = (struct removal){&r->homes[i], row_find(s->service), text_of(s->address)};
        loop_post(m->home->loop, remove_here, m);
    }
}

void
mail_door_close_all(struct home *h)
{
    while (h->doors.open != NULL)
        door_close(&h->doors.open);
    while (h->doors.incoming != NULL)
        incoming_free(h, h->doors.incoming);
}
