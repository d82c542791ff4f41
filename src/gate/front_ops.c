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
    start.remote = span_str(f->remote);
    start.local = span_str(f->local);
    start.session = f->session;
    start.tls = ssl ? tls_facts_of(ssl, f->tls, f->gate->options.client_name, &scratch)
                    : (struct tls_facts){0};

    struct span method = asked->mechanism.n > 0 ? asked->mechanism : SPAN("PLAIN");
    snprintf(f->story.method, sizeof f->story.method, "%.*s",
             SPAN_ARG(span_slice(method, 0, 20)));
    f->story.attempts++;
    buf_reset(&f->story.user);
    buf_put(&f->story.user, span_slice(asked->user, 0, f->story.user.max));
    exchange_start(f, &start);
}

static void
op_auth_step(void *gate, struct span response)
{
    exchange_step(gate, response);
}

static void
op_auth_abort(void *gate)
{
    exchange_drop(gate, true);
}

static void
op_close_after_output(void *gate)
{
    struct front *f = gate;
    f->after = AFTER_CLOSE;
}

const struct preauth_ops front_ops = {
    .write = op_write,
    .start_tls = op_start_tls,
    .authenticate = op_authenticate,
    .auth_step = op_auth_step,
    .auth_abort = op_auth_abort,
    .close_after_output = op_close_after_output,
};
