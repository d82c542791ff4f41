#include "gate/inside.h"
#include "base/metrics.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include <event2/event.h>
#include <unistd.h>

enum { FLUSH_TICK_MS = 1 };

static void on_input(struct conn *c, void *arg);
static void on_handshake(struct conn *c, void *arg);

// Facts that may have changed since the machine's last call.
static void
refresh(struct front *f)
{
    f->facts.mechanisms = gate_mechanisms(f->gate);
    SSL *ssl = f->facts.tls ? conn_ssl(f->conn) : NULL;
    f->facts.certificate = ssl != NULL && tls_has_client(ssl);
    f->facts.unbound = ssl != NULL && !tls_has_exporter(ssl);
    f->facts.hostname = f->gate->options.settings.hostname;
    f->facts.can_starttls = f->gate->tls.now != NULL && !f->gate->tls.withdrawn;
}

static void
on_deadline(void *arg)
{
    struct front *f = arg;
    f->story.why = "Inactivity";
    front_end(f, PREAUTH_END_TIMEOUT);
}

static void
on_tick(void *arg)
{
    front_settle(arg);
}

struct front *
front_new(struct gate *g, const struct preauth_service *service, enum tls_kind tls)
{
    struct front *f = calloc(1, sizeof *f);
    must(f != NULL);
    f->gate = g;
    f->service = service;
    f->tls = tls;
    f->session = random_u64();
    f->facts.plaintext_auth = g->options.settings.plaintext_auth;
    f->facts.shed_background = g->options.settings.shed_background;
    f->facts.expire_days = g->options.settings.expire_days;
    f->facts.redirects = g->options.settings.redirects;
    f->facts.message_size_max = g->options.settings.message_size_max;
    f->facts.login_delay_s = g->options.settings.login_delay_s;
    f->facts.secure = tls == TLS_PROXY;
    f->story.start_ms = clock_mono_ms();
    buf_init(&f->story.user, LIMIT_user_name);
    buf_init(&f->login.ticket, LIMIT_channel_message);
    buf_init(&f->login.data, LIMIT_channel_message);
    timer_init(&f->deadline, on_deadline, f);
    timer_init(&f->tick, on_tick, f);
    timer_set(&f->deadline, g->options.settings.preauth_ms);
    refresh(f);
    return f;
}

void
front_free(struct front **fp)
{
    struct front *f = *fp;
    if (f == NULL)
        return;
    struct gate *g = f->gate;
    exchange_drop(f->gate, &f->exchange, true);
    timer_clear(&f->deadline);
    timer_clear(&f->tick);
    crowd_leave(&g->crowd, &f->member);
    if (f->machine != NULL)
        preauth_free(&f->machine);
    proxied_free(&f->proxied);
    if (f->hello != NULL) {
        int fd = event_get_fd(f->hello);
        event_free(f->hello);
        close(fd);
    }
    conn_close(&f->conn);
    buf_done(&f->story.user);
    buf_done(&f->login.ticket);
    buf_done(&f->login.data);
    free(f);
    *fp = NULL;
    gate_check_drained(g);
}

// Ends f; what is queued is still sent.
static void
close_front(struct front *f)
{
    login_log_ended(f);
    if (f->conn != NULL && !conn_failed(f->conn))
        conn_finish(&f->conn);
    front_free(&f);
}

void
front_end(struct front *f, enum preauth_end why)
{
    if (f->machine == NULL || f->conn == NULL || f->after == AFTER_TLS) {
        close_front(f);  // in a handshake: there is nobody to say goodbye to
        return;
    }
    exchange_drop(f->gate, &f->exchange, true);
    f->after = AFTER_CLOSE;
    refresh(f);
    preauth_end(f->machine, why);
    front_settle(f);
}

static void
greet(struct front *f)
{
    f->machine = preauth_open(f->service, &f->facts, &front_ops, f);
    conn_input_max(f->conn, f->service->input_max);
    f->service->greet(f->machine);
    on_input(f->conn, f);
}

// The handshake is done: of implicit TLS or of STARTTLS.
static void
on_handshake(struct conn *c, void *arg)
{
    struct front *f = arg;
    if (conn_eof(c)) {
        f->story.why = "TLS handshake failed";
        close_front(f);
        return;
    }
    f->facts.tls = true;
    f->after = AFTER_NOTHING;
    conn_handler(c, on_input, f);
    refresh(f);
    if (f->machine == NULL) {
        greet(f);
        return;
    }
    preauth_tls_started(f->machine);
    on_input(c, f);
}

static void
on_hello(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    (void)what;
    event_free(f->hello);
    f->hello = NULL;
    SSL *ssl = tls_set_accept(f->gate->tls.now, f->service->alpn);
    f->conn = conn_new_tls(fd, ssl, on_handshake, f);
}

// OpenSSL takes some 40 KB from the start; who says nothing gets none of it.
static void
await_hello(struct front *f, int fd)
{
    f->hello = event_new(loop_base(loop_self()), fd, EV_READ, on_hello, f);
    must(f->hello != NULL && event_add(f->hello, NULL) == 0);
}

static void
begin(struct front *f, int fd)
{
    if (f->tls == TLS_IMPLICIT) {
        await_hello(f, fd);
        return;
    }
    f->conn = conn_new(fd, on_input, f);
    greet(f);
}

void
front_ends_set(struct front *f, const struct front_ends *ends)
{
    struct gate *g = f->gate;
    struct sockaddr_storage from = listener_address_of(ends->remote);
    f->ends = *ends;
    crowd_leave(&g->crowd, &f->member);
    listener_make_room(g, &from);
    crowd_join(&g->crowd, &f->member, &from);
}

static void
on_proxied(int fd, const struct proxy_header *header, const char *why, void *arg)
{
    struct front *f = arg;
    struct front_ends ends = f->ends;
    f->proxied = NULL;
    if (header == NULL) {
        log_warning("gate", "a proxy's connection is closed",
                    field_str("rip", "rip=%", f->ends.remote), log_why(why));
        front_free(
            &f);  // its line would be that of a client without a login: filters ban those
        return;
    }
    if (!header->local) {
        listener_address_text(&header->source, ends.remote);
        listener_address_text(&header->destination, ends.local);
    }
    // what a proxy passes on is its client's word
    f->facts.trusted =
        !header->local &&
        network_list_has(&f->gate->options.settings.trusted, &header->source);
    f->base = ends;
    front_ends_set(f, &ends);
    if (header->tls && f->tls != TLS_IMPLICIT && f->gate->options.settings.proxy_tls) {
        f->tls = TLS_PROXY;
        f->facts.secure = true;
    }
    begin(f, fd);
}

void
front_open(struct front *f, int fd, bool proxied)
{
    metric_add(METRIC_connections, 1);
    if (proxied)
        f->proxied = proxied_new(fd, LIMIT_proxy_ms, on_proxied, f);
    else
        begin(f, fd);
}

// Not trusted any more: a proxy passes on all that a client says after its login, so ID would be the client's own.
void
front_resume(struct front *f, int fd, SSL *ssl, struct span unread)
{
    timer_set(&f->deadline, f->gate->options.settings.preauth_ms);
    front_ends_set(f, &f->base);
    f->conn = ssl != NULL ? conn_new_tls(fd, ssl, on_input, f) : conn_new(fd, on_input, f);
    f->facts.tls = ssl != NULL;
    f->machine = preauth_open(f->service, &f->facts, &front_ops, f);
    conn_input_max(f->conn, f->service->input_max);
    conn_unread(f->conn, unread);
    on_input(f->conn, f);
}

static void
feed(struct front *f)
{
    while (f->after == AFTER_NOTHING && f->machine->state == PREAUTH_READING) {
        struct span in = conn_input(f->conn);
        size_t n = in.n > 0 ? f->service->input(f->machine, in) : 0;
        if (n == 0)
            return;
        conn_consume(f->conn, n);
    }
}

static void
on_input(struct conn *c, void *arg)
{
    struct front *f = arg;
    refresh(f);
    feed(f);
    if (conn_eof(c) && f->after == AFTER_NOTHING)
        f->after = AFTER_CLOSE;
    if (conn_failed(c))
        close_front(f);
    else
        front_settle(f);
}

void
front_answer(void *arg, const struct auth_reply *r)
{
    struct front *f = arg;
    if (r->user.n > 0) {
        buf_reset(&f->story.user);
        buf_put(&f->story.user, span_slice(r->user, 0, f->story.user.max));
        snprintf(f->story.master, sizeof f->story.master, "%.*s", SPAN_ARG(r->master));
        snprintf(f->story.device, sizeof f->story.device, "%.*s", SPAN_ARG(r->device));
    }
    if (r->verdict == AUTH_OK) {
        f->story.granted++;
        f->login.account = r->account;
        buf_put(&f->login.ticket, r->ticket);
        buf_put(&f->login.data, r->data);
    } else if (r->verdict != AUTH_CONTINUE) {
        f->story.unjudged += !login_log_judges((enum fault_kind)r->fault);
        metric_add(METRIC_logins_failed, 1);
    }
    refresh(f);
    preauth_auth_reply(f->machine, r);
    on_input(f->conn, f);
}

void
front_hand_back(struct front *f)
{
    buf_reset(&f->login.ticket);
    buf_reset(&f->login.data);
    f->after = AFTER_NOTHING;
    refresh(f);
    preauth_deny(f->machine, FAULT_UNAVAILABLE);
    on_input(f->conn, f);
}

// Plaintext that came with or after STARTTLS was not for inside TLS: it ends the connection (injection).
static void
start_tls(struct front *f)
{
    struct buf unread;
    buf_init(&unread, (size_t)LIMIT_line_preauth * 2);
    int fd = conn_detach(&f->conn, &unread);
    bool injected = unread.n > 0 || unread.over;
    buf_done(&unread);
    if (injected) {
        close(fd);
        f->story.why = "Bytes before the TLS handshake";
        close_front(f);
        return;
    }
    // what was told in the clear counts no more
    if (strcmp(f->ends.remote, f->base.remote) != 0)
        front_ends_set(f, &f->base);
    f->ends = f->base;
    f->story.proxy_session[0] = '\0';
    SSL *ssl = tls_set_accept(f->gate->tls.now, f->service->alpn);
    f->tls = TLS_STARTTLS;
    f->paused = false;
    f->conn = conn_new_tls(fd, ssl, on_handshake, f);
}

// Outside a task conn_write only queues: who does not read his answers is not read either.
static bool
is_stuffed(const struct front *f)
{
    return f->after == AFTER_NOTHING && f->conn && conn_queued(f->conn) > LIMIT_output_low;
}

// While an answer or a handshake is awaited nothing is read: what comes then belongs to what comes after.
static void
pause_input(struct front *f)
{
    bool reading =
        f->after == AFTER_NOTHING && !is_stuffed(f) && f->machine->state == PREAUTH_READING;
    if (reading == !f->paused)
        return;
    f->paused = !reading;
    if (reading)
        conn_read_resume(f->conn);
    else
        conn_read_pause(f->conn);
}

void
front_settle(struct front *f)
{
    if (f->after == AFTER_NOTHING && f->machine->state == PREAUTH_DONE)
        f->after = AFTER_LOGIN;
    if (f->conn && conn_failed(f->conn))
        f->after = AFTER_CLOSE;
    pause_input(f);
    if (is_stuffed(f))
        timer_set(&f->tick, FLUSH_TICK_MS);
    if (f->after == AFTER_NOTHING)
        return;
    if (f->after == AFTER_CLOSE)
        close_front(f);
    else if (conn_queued(f->conn) > 0 || (f->after == AFTER_LOGIN && !passage_ready(f)))
        timer_set(&f->tick, FLUSH_TICK_MS);
    else if (f->after == AFTER_TLS)
        start_tls(f);
    else
        passage_hand_over(f);
}
