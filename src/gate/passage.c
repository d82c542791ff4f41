#include "gate/inside.h"
#include "base/limits.h"
#include "base/log.h"
#include <sys/socket.h>

static struct channel **
home_channel(struct gate *g, uint64_t account)
{
    return &g->mail[account % g->options.mail_threads];
}

bool
passage_ready(struct front *f)
{
    return *home_channel(f->gate, f->login.account) != NULL;
}

static void
passage_add(struct gate *g, struct passage *w)
{
    HASH_ADD(hh, g->passages, session, sizeof w->session, w);
}

static struct passage *
passage_find(struct gate *g, uint64_t session)
{
    struct passage *w;
    HASH_FIND(hh, g->passages, &session, sizeof session, w);
    return w;
}

static void
on_pump_end(struct pump *p, void *arg)
{
    struct passage *w = arg;
    struct gate *g = w->gate;
    struct front *f = w->returning;
    HASH_DEL(g->passages, w);
    if (f != NULL && g->draining) {
        front_free(&f);
    } else if (f != NULL) {
        SSL *ssl = pump_detach(p);
        front_resume(f, SSL_get_fd(ssl), ssl, buf_span(&w->unread));
    }
    buf_done(&w->unread);
    free(w);
    gate_check_drained(g);
}

// Puts a pump between the client and a new socketpair; mail's end of it goes with the hand-over. So do unread octets, as
// many as a message has room for: behind UNAUTHENTICATE there may be more. -1: nothing has changed.
static int
start_pump(struct front *f, struct buf *unread)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return -1;
    struct gate *g = f->gate;
    if (gate_is_kept(g, ends[0]) || gate_is_kept(g, ends[1])) {
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    struct passage *w = calloc(1, sizeof *w);
    must(w != NULL);
    w->session = f->session;
    w->gate = g;
    buf_init(&w->unread, SIZE_MAX);
    SSL *ssl = conn_detach_tls(&f->conn, unread);
    w->pump = pump_new(ssl, ends[0], g->scratch, on_pump_end, w);
    pump_put_first(w->pump, span_skip(buf_span(unread), LIMIT_line_preauth));
    passage_add(g, w);
    return ends[1];
}

// The facts are packed before the connection is taken apart; the unread bytes come out of that.
static void
fill(const struct front *f, struct handover *h)
{
    *h = (struct handover){
        .service = span_str(f->service->name),
        .ticket = buf_span(&f->login.ticket),
        .session = f->session,
        .remote = span_str(f->ends.remote),
        .local = span_str(f->ends.local),
        .sasl_final = buf_span(&f->login.data),
    };
    f->service->tell(f->machine, h);
}

static void
log_lost(const struct front *f, const char *why)
{
    log_error("gate", "a login cannot be handed over", log_user(buf_span(&f->story.user)),
              log_session(f->session), log_why(why));
}

void
passage_hand_over(struct front *f)
{
    struct tls_scratch scratch;
    struct channel *home = *home_channel(f->gate, f->login.account);
    SSL *ssl = f->facts.tls ? conn_ssl(f->conn) : NULL;
    struct handover h;
    struct buf b, unread;
    fill(f, &h);
    buf_init(&b, LIMIT_channel_message);
    buf_init(&unread, ssl != NULL ? SIZE_MAX : LIMIT_line_preauth);
    if (ssl != NULL)
        h.tls = tls_facts_of(ssl, f->tls, f->gate->options.client_name, &scratch);
    else if (f->facts.secure)
        h.tls.kind = TLS_PROXY;
    int fd = ssl != NULL ? start_pump(f, &unread) : conn_detach(&f->conn, &unread);
    h.unread = span_slice(buf_span(&unread), 0, LIMIT_line_preauth);
    handover_put(&b, &h);
    if (fd >= 0 && !b.over && !unread.over) {
        const struct login_log log = login_log_of(f);
        login_log_done(&log);
        channel_send(home, MESSAGE_HANDOVER, buf_span(&b), fd);
    } else {
        log_lost(f, fd < 0 ? "no descriptors left" : "its message is too large");
        if (fd >= 0)
            close(fd);
    }
    buf_done(&b);
    buf_done(&unread);
    if (fd < 0)
        front_hand_back(f);
    else
        front_free(&f);
}

static struct front *
front_of(struct gate *g, const struct handover *h)
{
    struct front *f = front_new(g, gate_service(h->service), h->tls.kind);
    f->session = h->session;
    snprintf(f->base.remote, sizeof f->base.remote, "%.*s", SPAN_ARG(h->remote));
    snprintf(f->base.local, sizeof f->base.local, "%.*s", SPAN_ARG(h->local));
    f->ends = f->base;
    return f;
}

static void
give_back_tls(struct gate *g, const struct handover *h, int fd)
{
    struct passage *w = passage_find(g, h->session);
    if (w == NULL || w->returning != NULL) {  // the client went meanwhile
        close(fd);
        return;
    }
    w->returning = front_of(g, h);
    timer_clear(&w->returning->deadline);  // it is the passage's until it is back
    buf_put(&w->unread, h->unread);
    pump_give_back(w->pump, fd, &w->unread);
}

void
passage_give_back(struct gate *g, const struct handover *h, int fd)
{
    if (g->draining || gate_service(h->service) == NULL)
        close(fd);
    else if (h->tls.kind == TLS_STARTTLS || h->tls.kind == TLS_IMPLICIT)
        give_back_tls(g, h, fd);
    else
        front_resume(front_of(g, h), fd, NULL, h->unread);
}

void
passage_free_all(struct gate *g)
{
    struct passage *w, *next = g->passages;
    while ((w = next) != NULL) {
        next = w->hh.next;
        front_free(&w->returning);
        pump_free(&w->pump);
        buf_done(&w->unread);
    }
    HASH_ITER(hh, g->passages, w, next)
    {
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): as above
        HASH_DEL(g->passages, w);
        free(w);
    }
}
