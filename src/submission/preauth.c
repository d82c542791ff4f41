#include "submission/preauth_inside.h"
#include "wire/base64.h"
#include "wire/command.h"
#include "wire/smtp.h"

// ---- framing ----

static void
give_up(struct preauth *m, const char *code, const char *text)
{
    submission_preauth_say(m, code, text);
    submission_preauth_finish(m);
}

// What came with STARTTLS in one piece was put there to be answered inside TLS (RFC 3207 section 4.2).
static bool
is_injected(struct span line, struct span behind)
{
    return behind.n > 0 && span_ieq(span_trim(line), SPAN("STARTTLS"));
}

static void
cancel(struct preauth *m, const char *code, const char *text)
{
    m->ops->auth_abort(m->gate);
    submission_preauth_say_bad(m, code, text);
}

static void
take_response(struct preauth *m, struct span line)
{
    struct buf decoded;
    m->in_sasl = false;
    if (span_eq(line, SPAN("*"))) {
        cancel(m, "501 5.7.0", "Authentication cancelled");
        return;
    }
    if (m->is_lost) {
        submission_preauth_refuse(m, m->lost_to);
        return;
    }
    buf_init(&decoded, LIMIT_sasl_response);
    if (base64_decode(line, &decoded)) {
        cancel(m, "501 5.5.2", "Invalid base64");
    } else {
        m->state = PREAUTH_WAITING;
        m->ops->auth_step(m->gate, buf_span(&decoded));
    }
    buf_wipe(&decoded);
}

// RFC 4954 section 4: what AUTH says may be longer than other commands.
static bool
is_long(struct span line)
{
    return line.n > LIMIT_smtp_line && !span_istarts(line, SPAN("AUTH "));
}

static void
take_line(struct preauth *m, struct span line, struct span behind)
{
    if (command_is_http(line))
        give_up(m, "554 5.7.0", "This is a mail submission server");
    else if (is_long(line))
        submission_preauth_say_bad(m, "500 5.5.2", "Line too long");
    else if (is_injected(line, behind))
        submission_preauth_finish(m);
    else
        submission_preauth_dispatch(m, line);
}

// A line that never ends.
static size_t
endless(struct preauth *m, struct span in)
{
    if (m->in_sasl) {
        m->ops->auth_abort(m->gate);
        give_up(m, "500 5.5.6", "Authentication exchange line is too long");
    } else if (command_is_http(in)) {
        give_up(m, "554 5.7.0", "This is a mail submission server");
    } else {
        give_up(m, "500 5.5.2", "Line too long");
    }
    return in.n;
}

static size_t
input(struct preauth *m, struct span in)
{
    must(m->state == PREAUTH_READING);
    size_t n = smtp_line(in);
    if (n > LIMIT_line_preauth || (n == 0 && in.n > LIMIT_line_preauth))
        return endless(m, in);
    if (n == 0)
        return 0;
    if (m->in_sasl)
        take_response(m, span_slice(in, 0, n - 2));
    else
        take_line(m, span_slice(in, 0, n), span_skip(in, n));
    return n;
}

// ---- the service ----

static struct preauth *
preauth_open(const struct preauth_facts *facts, const struct preauth_ops *ops, void *gate)
{
    struct preauth *m = calloc(1, sizeof *m);
    must(m != NULL);
    m->facts = facts;
    m->ops = ops;
    m->gate = gate;
    buf_init(&m->client, LIMIT_smtp_line);
    return m;
}

static void
preauth_free(struct preauth **m)
{
    if (!*m)
        return;
    buf_done(&(*m)->client);
    free(*m);
    *m = NULL;
}

static void
greet(struct preauth *m)
{
    struct buf b;
    buf_init(&b, LIMIT_smtp_line);
    buf_printf(&b, "220 %s ESMTP Posthorn ready\r\n", m->facts->hostname);
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

// RFC 3207 section 4.2: what was said before is forgotten.
static void
tls_started(struct preauth *m)
{
    must(m->state == PREAUTH_WAITING && m->facts->tls);
    m->state = PREAUTH_READING;
    buf_reset(&m->client);
}

static void
challenge(struct preauth *m, struct span data)
{
    struct buf b;
    buf_init(&b, (size_t)2 * LIMIT_sasl_response);
    buf_put_str(&b, "334 ");
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
    if (reply->verdict == AUTH_OK)
        m->state = PREAUTH_DONE;
    else if (reply->verdict == AUTH_CONTINUE)
        challenge(m, reply->data);
    else
        submission_preauth_refuse(m, preauth_fault(reply));
}

static void
end(struct preauth *m, enum preauth_end why)
{
    static const struct {
        const char *code, *text;
    } byes[] = {
        [PREAUTH_END_TIMEOUT] = {"421 4.4.2", "No login in time"},
        [PREAUTH_END_DRAIN] = {"421 4.3.2", "Server is shutting down"},
        [PREAUTH_END_CROWDED] = {"421 4.7.0", "Too many connections"},
    };
    give_up(m, byes[why].code, byes[why].text);
}

static enum preauth_state
state(const struct preauth *m)
{
    return m->state;
}

static void
tell(const struct preauth *m, struct handover *out)
{
    out->client_id = buf_span(&m->client);
}

const struct preauth_service submission_preauth_service = {
    .name = "submission",
    .alpn = "submission",
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
