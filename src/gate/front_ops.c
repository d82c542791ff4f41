#include "gate/inside.h"

// What the machine asks during a call is noted here and carried out by front_settle after it.

static void
op_write(void *gate, struct span s)
{
    struct front *f = gate;
    conn_write(f->conn, s);
}

static void
op_start_tls(void *gate)
{
    struct front *f = gate;
    f->after = AFTER_TLS;
}

static void
op_authenticate(void *gate, const struct auth_start *asked)
{
    struct front *f = gate;
    struct auth_start start = *asked;
    struct tls_scratch scratch;
    SSL *ssl = f->facts.tls ? conn_ssl(f->conn) : NULL;
    start.service = span_str(f->service->name);
    start.remote = span_str(f->ends.remote);
    start.local = span_str(f->ends.local);
    start.session = f->session;
    start.tls = ssl ? tls_facts_of(ssl, f->tls, f->gate->options.client_name, &scratch)
                    : (struct tls_facts){.kind = f->facts.secure ? TLS_PROXY : TLS_NONE};

    struct span method = asked->mechanism.n > 0 ? asked->mechanism : SPAN("PLAIN");
    snprintf(f->story.method, sizeof f->story.method, "%.*s",
             SPAN_ARG(span_slice(method, 0, 20)));
    f->story.attempts++;
    buf_reset(&f->story.user);
    buf_put(&f->story.user, span_slice(asked->user, 0, f->story.user.max));
    exchange_start(f->gate, &f->exchange, front_answer, f, &start);
}

static void
op_auth_step(void *gate, struct span response)
{
    struct front *f = gate;
    exchange_step(f->gate, f->exchange, response);
}

static void
op_auth_abort(void *gate)
{
    struct front *f = gate;
    exchange_drop(f->gate, &f->exchange, true);
}

static void
op_close_after_output(void *gate)
{
    struct front *f = gate;
    f->after = AFTER_CLOSE;
}

// What is no address says nothing.
static void
take_address(struct span told, char out[46])
{
    char text[46];
    struct sockaddr_storage a;
    snprintf(text, sizeof text, "%.*s", SPAN_ARG(span_slice(told, 0, 45)));
    a = listener_address_of(text);
    if (told.n <= 45 && strlen(text) == told.n && a.ss_family != AF_UNIX)
        listener_address_text(&a, out);
}

static void
op_speaks_for(void *gate, struct span remote, struct span local, struct span session)
{
    struct front *f = gate;
    struct front_ends ends = f->ends;
    take_address(remote, ends.remote);
    take_address(local, ends.local);
    snprintf(f->story.proxy_session, sizeof f->story.proxy_session, "%.*s",
             SPAN_ARG(span_slice(session, 0, 64)));
    front_ends_set(f, &ends);
}

const struct preauth_ops front_ops = {
    .write = op_write,
    .start_tls = op_start_tls,
    .authenticate = op_authenticate,
    .auth_step = op_auth_step,
    .auth_abort = op_auth_abort,
    .close_after_output = op_close_after_output,
    .speaks_for = op_speaks_for,
};
