#include "submission/preauth_inside.h"
#include "wire/command.h"
#include "wire/smtp.h"

// ---- framing ----

static void
give_up(struct preauth *m, const char *code, const char *text)
{
    submission_preauth_say(m, code, text);
    preauth_close(m);
}

// What came with STARTTLS in one piece was put there to be answered inside TLS (RFC 3207 section 4.2).
static bool
is_injected(struct span line, struct span behind)
{
    return behind.n > 0 && span_ieq(span_trim(line), SPAN("STARTTLS"));
}

static void
take_response(struct preauth *m, struct span line)
{
    enum preauth_response r = preauth_respond(m, line);
    if (r == PREAUTH_CANCELLED)
        submission_preauth_say_bad(m, "501 5.7.0", "Authentication cancelled");
    else if (r == PREAUTH_GARBLED)
        submission_preauth_say_bad(m, "501 5.5.2", "Invalid base64");
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
        preauth_close(m);
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

static void
init(struct preauth *m)
{
    buf_init(submission_preauth_client(m), LIMIT_smtp_line);
}

static void
done(struct preauth *m)
{
    buf_done(submission_preauth_client(m));
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
    buf_reset(submission_preauth_client(m));
}

static void
bye(struct preauth *m, enum preauth_end why)
{
    static const struct {
        const char *code, *text;
    } byes[] = {
        [PREAUTH_END_TIMEOUT] = {"421 4.4.2", "No login in time"},
        [PREAUTH_END_DRAIN] = {"421 4.3.2", "Server is shutting down"},
        [PREAUTH_END_CROWDED] = {"421 4.7.0", "Too many connections"},
        [PREAUTH_END_BAD] = {"421 4.7.0", "Too many bad commands"},
    };
    submission_preauth_say(m, byes[why].code, byes[why].text);
}

static void
tell(const struct preauth *m, struct handover *out)
{
    out->client_id = buf_span(&((const struct submission_preauth *)m)->client);
}

static const struct fault_words refusals[] = {
#define PREAUTH_REPLY(kind, code, text) {FAULT_##kind, code, text},
#include "submission/preauth_reply.def"
#undef PREAUTH_REPLY
};

const struct preauth_service submission_preauth_service = {
    .name = "submission",
    .alpn = "submission",
    .input_max = LIMIT_line_preauth + 1,
    .size = sizeof(struct submission_preauth),
    .refusals = refusals,
    .refusal_count = sizeof refusals / sizeof refusals[0],
    .init = init,
    .done = done,
    .greet = greet,
    .input = input,
    .tls_started = tls_started,
    .refuse = submission_preauth_say,
    .prompt = "334 ",
    .bye = bye,
    .tell = tell,
};
