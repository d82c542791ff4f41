#include "main/process.h"
#include "main/start.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

enum { SECRET_PIECE = 8192 };

// Which roles talk to each other, by a channel per thread of the second role's side `mail`.
struct wire {
    const char *one, *other;
    bool per_mail_thread;
};

static const struct wire wires[] = {
    {"gate", "auth", false},   {"gate", "mail", true},   {"auth", "mail", true},
    {"extract", "mail", true}, {"oauth", "auth", false}, {"directory", "auth", false},
    {"pam", "auth", false},    {"relay", "mail", true},  {"scan", "mail", true},
    {"pipe", "mail", true},
};

static bool
is(const struct process *p, const char *role)
{
    return span_eq(span_str(p->role->name), span_str(role));
}

static void
send_packed(struct process *p, enum message_type type, struct buf *b, int fd)
{
    must(!b->over);
    channel_send(p->channel, (uint16_t)type, buf_span(b), fd);
    buf_done(b);
}

static void
send_pieces(struct process *p, enum message_type type, const char *name, struct span value)
{
    do {
        struct span piece = span_slice(value, 0, SECRET_PIECE);
        value = span_skip(value, piece.n);
        struct secret s = {span_str(name), piece, value.n > 0};
        struct buf b;
        buf_init(&b, LIMIT_channel_message);
        secret_put(&b, &s);
        send_packed(p, type, &b, -1);
    } while (value.n > 0);
}

static void
send_secret(struct process *p, const char *name, struct span value)
{
    send_pieces(p, MESSAGE_SECRET, name, value);
}

static void
send_certificates(struct process *p)
{
    struct secrets *s = &p->supervisor->secrets;
    for (size_t i = 0; i < s->certificates; i++) {
        send_secret(p, "certificate", buf_span(&s->chains[i]));
        send_secret(p, "key", buf_span(&s->keys[i]));
    }
    if (s->client_ca.n > 0 && is(p, "gate"))  // nobody logs in over HTTP
        send_secret(p, "client_ca", buf_span(&s->client_ca));
    ticket_seed_advance(s->session, clock_wall_s());
    send_secret(p, "session", span_of(s->session, sizeof s->session));
}

static bool
has_certificates(const struct process *p)
{
    return is(p, "gate") || is(p, "http");
}

static void
send_secrets(struct process *p)
{
    const struct secrets *s = &p->supervisor->secrets;
    if (is(p, "auth") || is(p, "mail"))
        send_secret(p, "ticket", span_of(s->ticket, sizeof s->ticket));
    if (is(p, "mail"))
        send_secret(p, "scripts", buf_span(&p->supervisor->scripts));
    if (has_certificates(p) && s->certificates > 0)
        send_certificates(p);
}

static void
send_socket(struct process *p, enum message_type type, const struct socket_row *row, int fd)
{
    struct listen_socket l = {span_str(row->service->service), row->service->tls,
                              span_str(row->address), row->proxy};
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    listen_socket_put(&b, &l);
    send_packed(p, type, &b, fd);
}

static void
send_listen(struct process *p, const struct socket_row *row)
{
    if (!is(p, row->service->role))
        return;
    int fd = fcntl(row->fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0)
        send_socket(p, MESSAGE_LISTEN, row, fd);
    else
        log_error("main", "no descriptor for a listener",
                  field_str("listener", "listener=%", row->address));
}

static void
send_sockets(struct process *p)
{
    const struct socket_table *t = &p->supervisor->sockets;
    for (size_t i = 0; i < t->n; i++)
        send_listen(p, &t->rows[i]);
}

static void
send_peer(struct process *to, const char *role, unsigned index, int fd)
{
    struct peer peer = {span_str(role), index};
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    peer_put(&b, &peer);
    send_packed(to, MESSAGE_PEER, &b, fd);
}

// `a` is the fresh one: without a channel it could only wait, so it is ended, and started again if it ever worked.
// Each side learns the other's role. Between a process and a mail thread the index is the thread's on both sides:
// mail knows where the channel belongs, the other which home it reaches. Else it is the other process's own.
static void
connect_pair(struct process *a, struct process *b, int thread)
{
    struct fault f;
    int pair[2];
    if (channel_pair(pair, &f) != R_OK) {
        log_error("main", "no channel between roles",
                  field_str("name", "name=%", a->role->name),
                  field_str("peer", "peer=%", b->role->name), log_fault(&f));
        process_kill(a);
        return;
    }
    send_peer(a, b->role->name, thread >= 0 ? (unsigned)thread : b->index, pair[0]);
    send_peer(b, a->role->name, thread >= 0 ? (unsigned)thread : a->index, pair[1]);
}

static void
connect_by(const struct wire *w, struct process *p, struct process *q)
{
    bool forward = is(p, w->one) && is(q, w->other),
         backward = is(q, w->one) && is(p, w->other);
    if (!forward && !backward)
        return;
    for (unsigned i = 0; w->per_mail_thread && i < p->supervisor->mail_threads; i++)
        connect_pair(p, q, (int)i);
    if (!w->per_mail_thread)
        connect_pair(p, q, -1);
}

void
wiring_introduce(struct process *p)
{
    struct supervisor *s = p->supervisor;
    send_secrets(p);
    for (size_t i = 0; i < s->process_count; i++) {
        struct process *q = &s->processes[i];
        for (size_t k = 0;
             q != p && q->channel != NULL && k < sizeof wires / sizeof wires[0]; k++)
            connect_by(&wires[k], p, q);
    }
    send_sockets(p);
}

void
wiring_again(struct process *p, const struct peer *lost)
{
    struct supervisor *s = p->supervisor;
    for (size_t k = 0; k < sizeof wires / sizeof wires[0]; k++) {
        const struct wire *w = &wires[k];
        if (!w->per_mail_thread || !is(p, w->other) || lost->index >= s->mail_threads ||
            !span_eq(lost->role, span_str(w->one)))
            continue;
        for (size_t i = 0; i < s->process_count; i++)
            if (s->processes[i].channel != NULL && is(&s->processes[i], w->one))
                connect_pair(&s->processes[i], p, (int)lost->index);
    }
}

// ---- reload ----

// The next that runs, from *at on.
static struct process *
next_running(struct supervisor *s, size_t *at)
{
    while (*at < s->process_count) {
        struct process *p = &s->processes[(*at)++];
        if (p->channel != NULL)
            return p;
    }
    return NULL;
}

void
wiring_settings(struct supervisor *s)
{
    struct buf b;
    buf_init(&b, LIMIT_config_packed);
    size_t at = 0;
    for (struct process *p; (p = next_running(s, &at)) != NULL;) {
        buf_reset(&b);
        start_put_settings(&b, s->options.config, p->role);
        must(!b.over);
        send_pieces(p, MESSAGE_SETTINGS, "settings", buf_span(&b));
    }
    buf_done(&b);
}

void
wiring_certificates(struct supervisor *s)
{
    size_t at = 0;
    for (struct process *p; (p = next_running(s, &at)) != NULL;)
        if (has_certificates(p))
            send_certificates(p);
}

void
wiring_scripts(struct supervisor *s)
{
    size_t at = 0;
    for (struct process *p; (p = next_running(s, &at)) != NULL;)
        if (is(p, "mail"))
            send_secret(p, "scripts", buf_span(&s->scripts));
}

void
wiring_listen(struct supervisor *s, const struct socket_row *row)
{
    size_t at = 0;
    for (struct process *p; (p = next_running(s, &at)) != NULL;)
        send_listen(p, row);
}

void
wiring_unlisten(struct supervisor *s, const struct socket_row *row)
{
    size_t at = 0;
    for (struct process *p; (p = next_running(s, &at)) != NULL;)
        if (is(p, row->service->role))
            send_socket(p, MESSAGE_UNLISTEN, row, -1);
}
