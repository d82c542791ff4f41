#include "http/answer.h"
#include "base/limits.h"
#include "base/log.h"
#include "io/loop.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum { PAUSE_MS = 200, LINGER_MS = 1000 };

struct listening {
    struct http_server *server;
    struct evhttp_bound_socket *socket;
    struct span address;
    bool tls;
    struct timer pause;  // while there are no descriptors left
    struct listening *next;
};

// A connection's end, whatever it does: evhttp's own times begin anew with each octet.
struct deadline {
    struct bufferevent *bev;
    struct timer timer;
    struct deadline *next, **at;
};

// The one of this thread.
static _Thread_local struct http_server *here;

struct http_server {
    const struct http_options *options;
    struct evhttp *plain, *tls;
    struct listening *listening;
    struct deadline *deadlines;
};

static void
deadline_free(struct deadline *d)
{
    timer_clear(&d->timer);
    *d->at = d->next;
    if (d->next)
        d->next->at = d->at;
    bufferevent_decref(d->bev);
    free(d);
}

// Where evhttp still has the connection it sees an end; else the descriptor goes with our reference.
static void
on_deadline(void *arg)
{
    struct deadline *d = arg;
    int fd = bufferevent_getfd(d->bev);
    if (fd >= 0)
        (void)shutdown(fd, SHUT_RDWR);
    deadline_free(d);
}

// evhttp ends what we send, and our reference keeps the descriptor: closed at once, with octets behind the request that nobody
// reads, it would be reset, and take the answer along (RFC 9112 section 9.6).
static void
on_answered(struct evhttp_request *r, void *arg)
{
    struct http_server *s = arg;
    struct deadline *d = s->deadlines;
    const struct bufferevent *bev =
        evhttp_connection_get_bufferevent(evhttp_request_get_connection(r));
    while (d != NULL && d->bev != bev)
        d = d->next;
    if (d != NULL)
        timer_set(&d->timer, LINGER_MS);
}

static struct bufferevent *
with_deadline(struct http_server *s, struct bufferevent *bev)
{
    struct deadline *d = calloc(1, sizeof *d);
    must(d != NULL && bev != NULL);
    d->bev = bev;
    bufferevent_incref(bev);
    timer_init(&d->timer, on_deadline, d);
    timer_set(&d->timer, LIMIT_http_ms);
    d->at = &s->deadlines;
    d->next = s->deadlines;
    if (d->next)
        d->next->at = &d->next;
    s->deadlines = d;
    return bev;
}

static struct bufferevent *
on_plain(struct event_base *base, void *arg)
{
    return with_deadline(arg, bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE));
}

static struct bufferevent *
on_tls(struct event_base *base, void *arg)
{
    struct http_server *s = arg;
    SSL *ssl = s->options->accept(s->options->arg);
    must(ssl != NULL);
    SSL_set_read_ahead(
        ssl, 0);  // libevent waits for the socket: nothing must be left in between
    struct bufferevent *bev = bufferevent_openssl_socket_new(
        base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    must(bev != NULL);
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return with_deadline(s, bev);
}

// RFC 7239, RFC 9110 section 7.6.3: a proxy says that it asks for somebody else.
static bool
is_passed_on(struct evhttp_request *r)
{
    static const char *const names[] = {"Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"};
    const struct evkeyvalq *fields = evhttp_request_get_input_headers(r);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (evhttp_find_header(fields, names[i]) != NULL)
            return true;
    return false;
}

static bool
is_admin(const struct http_server *s, struct evhttp_request *r)
{
    if (is_passed_on(r))
        return false;
    struct evhttp_connection *c = evhttp_request_get_connection(r);
    const struct sockaddr *peer = c ? evhttp_connection_get_addr(c) : NULL;
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};  // it is nobody's
    if (peer != NULL && peer->sa_family == AF_INET)
        memcpy(&address, peer, sizeof(struct sockaddr_in));
    else if (peer != NULL && peer->sa_family == AF_INET6)
        memcpy(&address, peer, sizeof(struct sockaddr_in6));
    return network_list_has(&s->options->admins, &address);
}

static void
send_answer(struct evhttp_request *r, struct http_answer *a, bool head)
{
    struct evkeyvalq *fields = evhttp_request_get_output_headers(r);
    struct evbuffer *body = evbuffer_new();
    char length[24];
    must(body != NULL);
    evhttp_add_header(fields, "Content-Type", a->type);
    evhttp_add_header(fields, "Connection", "close");
    evhttp_add_header(fields, "X-Content-Type-Options", "nosniff");
    evhttp_add_header(fields, "Cache-Control", "no-store");
    if (a->allow != NULL)
        evhttp_add_header(fields, "Allow", a->allow);
    if (head) {
        snprintf(length, sizeof length, "%zu", a->body.n);
        evhttp_add_header(fields, "Content-Length", length);
    } else {
        must(evbuffer_add(body, a->body.p, a->body.n) == 0);
    }
    evhttp_send_reply(r, a->status, NULL, body);
    evbuffer_free(body);
}

static struct span
header(struct evhttp_request *r, const char *name)
{
    const char *value = evhttp_find_header(evhttp_request_get_input_headers(r), name);
    return value ? span_str(value) : SPAN_NONE;
}

// RFC 9112 sections 3.2 and 5.1: one Host, where HTTP/1.1 is spoken, that can be one; no blank before a colon.
static bool
is_broken(struct evhttp_request *r)
{
    unsigned hosts = 0;
    const struct evkeyval *field;
    TAILQ_FOREACH(field, evhttp_request_get_input_headers(r), next)
    {
        if (strpbrk(field->key, " \t") != NULL)
            return true;
        if (!span_ieq(span_str(field->key), SPAN("Host")))
            continue;
        hosts++;
        if (strpbrk(field->value, " \t\"#/<>?@\\^`{|}") != NULL)
            return true;
    }
    return hosts > 1 || (hosts == 0 && r->major == 1 && r->minor > 0);
}

// "/path?query", or all of a URL: who asks takes us for a proxy, and the URL's host counts (RFC 9112 section 3.2.2).
static void
read_target(struct evhttp_request *r, struct http_question *q)
{
    struct span target = span_str(evhttp_request_get_uri(r));
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(r);
    bool whole = uri != NULL && evhttp_uri_get_scheme(uri) != NULL;
    size_t query = span_find_char(target, '?');
    q->path = whole ? span_str(evhttp_uri_get_path(uri)) : span_slice(target, 0, query);
    q->query = span_skip(target, query + 1);
    q->host = whole ? span_str(evhttp_uri_get_host(uri)) : header(r, "Host");
}

static void
on_request(struct evhttp_request *r, void *arg)
{
    struct http_server *s = arg;
    enum evhttp_cmd_type command = evhttp_request_get_command(r);
    struct evbuffer *in = evhttp_request_get_input_buffer(r);
    size_t n = evbuffer_get_length(in);
    struct http_question q = {
        .post = command == EVHTTP_REQ_POST,
        .body = n ? span_of((const char *)evbuffer_pullup(in, -1), n) : SPAN(""),
        .admin = is_admin(s, r),
        .broken = is_broken(r),
    };
    struct http_answer a = {0};
    evhttp_request_set_on_complete_cb(r, on_answered, s);
    r->flags &= ~EVHTTP_PROXY_REQUEST;  // evhttp would not say that it closes
    read_target(r, &q);
    buf_init(&a.body, LIMIT_http_answer);
    http_answer(s->options, &q, &a);
    send_answer(r, &a, command == EVHTTP_REQ_HEAD);
    buf_done(&a.body);
}

static struct evhttp *
new_evhttp(struct http_server *s, struct bufferevent *(*make)(struct event_base *, void *))
{
    struct evhttp *h = evhttp_new(loop_base(loop_self()));
    must(h != NULL);
    evhttp_set_bevcb(h, make, s);
    evhttp_set_gencb(h, on_request, s);
    evhttp_set_allowed_methods(h, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
    evhttp_set_max_headers_size(h, LIMIT_http_header);
    evhttp_set_max_body_size(h, LIMIT_http_body);
    evhttp_set_timeout(h, LIMIT_http_ms / 1000);
    return h;
}

struct http_server *
http_server_new(const struct http_options *o)
{
    struct http_server *s = calloc(1, sizeof *s);
    must(s != NULL);
    here = s;
    s->options = o;
    s->plain = new_evhttp(s, on_plain);
    s->tls = new_evhttp(s, on_tls);
    return s;
}

static void
on_pause_over(void *arg)
{
    struct listening *l = arg;
    (void)evconnlistener_enable(evhttp_bound_socket_get_listener(l->socket));
}

// evhttp keeps the listener's argument for itself.
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
    (void)arg;
    for (struct listening *l = here->listening; l; l = l->next)
        if (evhttp_bound_socket_get_listener(l->socket) == listener) {
            log_warning("http", "accept failed; waiting");
            (void)evconnlistener_disable(listener);
            timer_set(&l->pause, PAUSE_MS);
        }
}

void
http_server_listen(struct http_server *s, struct span address, bool tls, int fd)
{
    struct listening *l = calloc(1, sizeof *l);
    must(l != NULL);
    l->server = s;
    l->tls = tls;
    l->address = span_str(strndup(address.p, address.n));
    l->socket = evhttp_accept_socket_with_handle(tls ? s->tls : s->plain, fd);
    must(l->socket != NULL);
    evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(l->socket),
                                on_accept_error);
    timer_init(&l->pause, on_pause_over, l);
    l->next = s->listening;
    s->listening = l;
}

static void
listening_free(struct listening *l)
{
    timer_clear(&l->pause);
    evhttp_del_accept_socket(l->tls ? l->server->tls : l->server->plain, l->socket);
    free((void *)(uintptr_t)l->address.p);
    free(l);
}

void
http_server_unlisten(struct http_server *s, struct span address, bool tls)
{
    for (struct listening **at = &s->listening; *at; at = &(*at)->next) {
        struct listening *l = *at;
        if (span_eq(l->address, address) && l->tls == tls) {
            *at = l->next;
            listening_free(l);
            return;
        }
    }
}

void
http_server_free(struct http_server **sp)
{
    struct http_server *s = *sp;
    if (s == NULL)
        return;
    for (struct listening *l = s->listening, *next; l; l = next) {
        next = l->next;
        listening_free(l);
    }
    evhttp_free(s->plain);
    evhttp_free(s->tls);
    for (struct deadline *d = s->deadlines, *next; d; d = next) {
        next = d->next;
        deadline_free(d);
    }
    free(s);
    *sp = NULL;
}
