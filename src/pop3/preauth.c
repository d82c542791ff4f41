#include "pop3/preauth_inside.h"
#include "wire/base64.h"
#include "wire/command.h"

// Framing.

static void
give_up(struct preauth *m, const char *text)
{
    pop3_preauth_say(m, false, "", text);
    pop3_preauth_finish(m);
}

// What came with STLS in one piece was put there to be answered inside TLS (RFC 2595 section 4).
static bool
is_injected(struct span line, struct span behind)
{
    return behind.n > 0 && span_ieq(span_trim(line), SPAN("STLS"));
}

static void
cancel(struct preauth *m, const char *text)
{
    m->ops->auth_abort(m->gate);
    pop3_preauth_say_bad(m, text);
}

static void
take_response(struct preauth *m, struct span line)
{
    struct buf decoded;
    m->in_sasl = false;
    if (span_eq(line, SPAN("*"))) {
        cancel(m, "Authentication cancelled");
        return;
    }
    if (m->is_lost) {
        pop3_preauth_refuse(m, m->lost_to);
        return;
    }
    buf_init(&decoded, LIMIT_sasl_response);
    if (base64_decode(line, &decoded)) {
        cancel(m, "Invalid base64");
    } else {
        m->state = PREAUTH_WAITING;
        m->ops->auth_step(m->gate, buf_span(&decoded));
    }
    buf_wipe(&decoded);
}

static void
take_line(struct preauth *m, struct span line, struct span behind)
{
    if (command_is_http(line))
        give_up(m, "This is a POP3 server");
    else if (line.n + 2 > LIMIT_pop3_line)
        pop3_preauth_say_bad(m, "Line too long");
    else if (is_injected(line, behind))
        pop3_preauth_finish(m);
    else
        pop3_preauth_dispatch(m, line);
}

// A line that never ends.
static size_t
endless(struct preauth *m, struct span in)
{
    if (m->in_sasl)
        m->ops->auth_abort(m->gate);
    give_up(m, m->in_sasl ? "SASL response too long" : "Line too long");
    return in.n;
}

static size_t
input(struct preauth *m, struct span in)
{
    must(m->state == PREAUTH_READING);
    size_t n = span_find_char(in, '\n');
    if (n > LIMIT_line_preauth)
        return endless(m, in);
    if (n == in.n)
        return 0;
    struct span line = span_slice(in, 0, n);
    if (span_ends(line, SPAN("\r")))
        line.n--;
    if (m->in_sasl)
        take_response(m, line);
    else
        take_line(m, line, span_skip(in, n + 1));
    return n + 1;
}

// The service.

static struct preauth *
preauth_open(const struct preauth_facts *facts, const struct preauth_ops *ops, void *gate)
{
    struct preauth *m = calloc(1, sizeof *m);
    must(m != NULL);
    m->facts = facts;
    m->ops = ops;
    m->gate = gate;
    buf_init(&m->user, LIMIT_pop3_line);
    buf_init(&m->offered, LIMIT_channel_message / 4);
    return m;
}

static void
preauth_free(struct preauth **m)
{
    if (!*m)
        return;
    buf_done(&(*m)->user);
    buf_done(&(*m)->offered);
    free(*m);
    *m = NULL;
}

static void
greet(struct preauth *m)
{
    pop3_preauth_say(m, true, "", "Posthorn ready");
}

static void
tls_started(struct preauth *m)
{
    must(m->state == PREAUTH_WAITING && m->facts->tls);
    m->state = PREAUTH_READING;
    m->language = LANGUAGE_DEFAULT;
    buf_done(&m->user);
}

static void
challenge(struct preauth *m, struct span data)
{
    struct buf b;
    buf_init(&b, 2 * LIMIT_sasl_response);
    buf_put_str(&b, "+ ");
    base64_encode(data, &b);
    buf_put_str(&b, "\r\n");
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
    m->in_sasl = true;
    m->is_lost = false;
    m->state = PREAUTH_READING;
}

static void
auth_reply(struct preauth *m, const struct auth_reply *reply)
{
    // The exchange ended while the client has the word: auth died or lost patience. It is told with its next line.
    if (m->state == PREAUTH_READING && m->in_sasl) {
        m->is_lost = true;
        m->lost_to = preauth_fault(reply);
        return;
    }
    must(m->state == PREAUTH_WAITING);
    if (reply->verdict == AUTH_OK) {
        pop3_preauth_offer(m);
        m->state = PREAUTH_DONE;
    } else if (reply->verdict == AUTH_CONTINUE && !m->is_pass) {
        challenge(m, reply->data);
    } else {
        pop3_preauth_refuse(m, preauth_fault(reply));
    }
}

static void
end(struct preauth *m, enum preauth_end why)
{
    static const char *const byes[] = {
        [PREAUTH_END_TIMEOUT] = "No login in time",
        [PREAUTH_END_DRAIN] = "Server is shutting down",
        [PREAUTH_END_CROWDED] = "Too many connections",
    };
    pop3_preauth_say(m, false, why == PREAUTH_END_TIMEOUT ? "" : "SYS/TEMP", byes[why]);
    pop3_preauth_finish(m);
}

static enum preauth_state
state(const struct preauth *m)
{
    return m->state;
}

static void
tell(const struct preauth *m, struct handover *out)
{
    out->language = (uint8_t)m->language;
    out->mode = m->mode;
    out->offered = buf_span(&m->offered);
}

const struct preauth_service pop3_preauth_service = {
    .name = "pop3",
    .alpn = "pop3",
    .input_max = LIMIT_line_preauth + 1,
    .open = preauth_open,
    .free = preauth_free,
    .greet = greet,
    .input = input,
    .tls_started = tls_started,
    .auth_reply = auth_reply,
    .end = end,
    .state = state,
    .tell = tell,
};
