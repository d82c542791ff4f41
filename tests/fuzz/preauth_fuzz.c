// IMAP, POP3, ManageSieve and submission before login: nothing is consumed beyond what was given, the same octets in other pieces get the same answers, and
// only auth's OK lets anybody in. The first two octets choose the protocol, the connection's facts and auth's answers.
#include "imap/preauth.h"
#include "managesieve/preauth.h"
#include "pop3/preauth.h"
#include "submission/preauth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct gate {
    const struct preauth_service *service;
    struct preauth *m;
    struct preauth_facts facts;
    struct buf said;
    unsigned answers;
    bool starts_tls;
};

static void
on_write(void *arg, struct span s)
{
    struct gate *g = arg;
    size_t at = span_find(s, SPAN("250-FUTURERELEASE"));  // tells the time
    buf_put(&g->said, span_slice(s, 0, at));
    s = span_skip(s, at);
    buf_put(&g->said, span_skip(s, span_find_char(s, '\n')));
}

static void
on_close(void *arg)
{
    on_write(arg, SPAN("[close]"));
}

static void
on_starttls(void *arg)
{
    struct gate *g = arg;
    g->starts_tls = true;
}

static void
on_abort(void *arg)
{
    on_write(arg, SPAN("[abort]"));
}

static void
on_start(void *arg, const struct auth_start *s)
{
    struct gate *g = arg;
    buf_printf(&g->said, "[%.*s %.*s %.*s %.*s]", SPAN_ARG(s->mechanism), SPAN_ARG(s->user),
               SPAN_ARG(s->password), SPAN_ARG(s->initial));
}

static void
on_step(void *arg, struct span s)
{
    struct gate *g = arg;
    buf_printf(&g->said, "[step %.*s]", SPAN_ARG(s));
}

static void
on_speaks_for(void *arg, struct span remote, struct span local, struct span session)
{
    struct gate *g = arg;
    must(g->facts.trusted);
    buf_printf(&g->said, "[for %.*s %.*s %.*s]", SPAN_ARG(remote), SPAN_ARG(local),
               SPAN_ARG(session));
}

// Auth's and the handshake's turn.
static void
answer(struct gate *g)
{
    static const uint8_t faults[] = {FAULT_AUTHFAILED, FAULT_UNAVAILABLE, FAULT_BAD,
                                     FAULT_LIMIT};
    struct auth_reply reply = {.verdict = (uint8_t)((g->answers & 3) % 3),
                               .fault = faults[g->answers >> 2 & 3],
                               .data = SPAN("challenge")};
    g->answers = g->answers >> 2 | g->answers << 6;
    if (g->starts_tls) {
        g->starts_tls = false;
        g->facts.tls = true;
        preauth_tls_started(g->m);
    } else {
        preauth_auth_reply(g->m, &reply);
        must((g->m->state == PREAUTH_DONE) == (reply.verdict == AUTH_OK));
    }
}

static const struct preauth_service *
service_of(unsigned how)
{
    if (!(how & 128))
        return &imap_preauth_service;
    if (!(how & 16))
        return &pop3_preauth_service;
    return how & 64 ? &submission_preauth_service : &managesieve_preauth_service;
}

static void
play(struct span in, size_t step, unsigned how, unsigned answers, struct buf *out)
{
    static const struct preauth_ops ops = {.write = on_write,
                                           .start_tls = on_starttls,
                                           .authenticate = on_start,
                                           .auth_step = on_step,
                                           .auth_abort = on_abort,
                                           .close_after_output = on_close,
                                           .speaks_for = on_speaks_for};
    const struct preauth_service *service = service_of(how);
    struct gate g = {.service = service,
                     .answers = answers,
                     .facts = {.tls = how & 1,
                               .can_starttls = how & 2,
                               .plaintext_auth = how & 4,
                               .secure = how & 32,
                               .trusted = how & 64,
                               .hostname = "h",
                               .message_size_max = 1000,
                               .mechanisms = how & 8
                                                 ? SPAN("SCRAM-SHA-256-PLUS PLAIN LOGIN")
                                                 : SPAN("")}};
    size_t given = 0, n;
    buf_init(&g.said, SIZE_MAX);
    g.m = preauth_open(service, &g.facts, &ops, &g);
    service->greet(g.m);
    while (g.m->state == PREAUTH_READING && given < in.n) {
        given = given + step < in.n ? given + step : in.n;
        while (g.m->state == PREAUTH_READING &&
               (n = service->input(g.m, span_slice(in, 0, given))) > 0) {
            must(n <= given);
            in = span_skip(in, n);
            given -= n;
            if (g.m->state == PREAUTH_WAITING)
                answer(&g);
        }
    }
    if (g.m->state == PREAUTH_READING)
        preauth_end(g.m, (enum preauth_end)(how >> 4 & 1));
    buf_put(out, buf_span(&g.said));
    struct handover told = {0};
    service->tell(g.m, &told);
    buf_put(out, told.client_id);
    buf_put(out, told.tag);
    preauth_free(&g.m);
    buf_done(&g.said);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, cut;
    if (size < 2)
        return 0;
    buf_init(&whole, SIZE_MAX);
    buf_init(&cut, SIZE_MAX);
    struct span in = span_of(data + 2, size - 2);
    play(in, in.n + 1, data[0], data[1], &whole);
    play(in, 1, data[0], data[1], &cut);
    if (span_ifind(in, SPAN("STARTTLS")) == in.n &&
        span_ifind(in, SPAN("STLS")) == in.n)  // what comes with it ends the connection
        must(span_eq(buf_span(&whole), buf_span(&cut)));
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
