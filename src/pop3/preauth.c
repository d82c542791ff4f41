#include "pop3/preauth_inside.h"
#include "wire/command.h"

// Framing.

static void
give_up(struct preauth *m, const char *text)
{
    pop3_preauth_say(m, false, "", text);
    preauth_close(m);
}

// What came with STLS in one piece was put there to be answered inside TLS (RFC 2595 section 4).
static bool
is_injected(struct span line, struct span behind)
{
    return behind.n > 0 && span_ieq(span_trim(line), SPAN("STLS"));
}

static void
take_response(struct preauth *m, struct span line)
{
    enum preauth_response r = preauth_respond(m, line);
    if (r == PREAUTH_CANCELLED)
        pop3_preauth_say_bad(m, "Authentication cancelled");
    else if (r == PREAUTH_GARBLED)
        pop3_preauth_say_bad(m, "Invalid base64");
}

static void
take_line(struct preauth *m, struct span line, struct span behind)
{
    if (command_is_http(line))
        give_up(m, "This is a POP3 server");
    else if (line.n + 2 > LIMIT_pop3_line)
        pop3_preauth_say_bad(m, "Line too long");
    else if (is_injected(line, behind))
        preauth_close(m);
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

static void
init(struct preauth *m)
{
    buf_init(&pop3_preauth_of(m)->user, LIMIT_pop3_line);
    buf_init(&pop3_preauth_of(m)->offered, LIMIT_channel_message / 4);
}

static void
done(struct preauth *m)
{
    buf_done(&pop3_preauth_of(m)->user);
    buf_done(&pop3_preauth_of(m)->offered);
}

static void
greet(struct preauth *m)
{
    pop3_preauth_say(m, true, "", "Posthorn ready");
}

static void
tls_started(struct preauth *m)
{
    pop3_preauth_of(m)->language = LANGUAGE_DEFAULT;
    buf_done(&pop3_preauth_of(m)->user);
}

static void
refuse(struct preauth *m, const char *code, const char *text)
{
    pop3_preauth_say(m, false, code, text);
}

static void
bye(struct preauth *m, enum preauth_end why)
{
    static const char *const byes[] = {
        [PREAUTH_END_TIMEOUT] = "No login in time",
        [PREAUTH_END_DRAIN] = "Server is shutting down",
        [PREAUTH_END_CROWDED] = "Too many connections",
        [PREAUTH_END_BAD] = "Too many bad commands",
    };
    bool later = why == PREAUTH_END_DRAIN || why == PREAUTH_END_CROWDED;
    pop3_preauth_say(m, false, later ? "SYS/TEMP" : "", byes[why]);
}

static void
tell(const struct preauth *m, struct handover *out)
{
    const struct pop3_preauth *own = (const struct pop3_preauth *)m;
    out->language = (uint8_t)own->language;
    out->mode = own->mode;
    out->offered = buf_span(&own->offered);
}

static const struct fault_words refusals[] = {
#define PREAUTH_REPLY(kind, code, text) {FAULT_##kind, code, text},
#include "pop3/preauth_reply.def"
#undef PREAUTH_REPLY
};

const struct preauth_service pop3_preauth_service = {
    .name = "pop3",
    .alpn = "pop3",
    .input_max = LIMIT_line_preauth + 1,
    .size = sizeof(struct pop3_preauth),
    .refusals = refusals,
    .refusal_count = sizeof refusals / sizeof refusals[0],
    .init = init,
    .done = done,
    .greet = greet,
    .input = input,
    .tls_started = tls_started,
    .refuse = refuse,
    .prompt = "+ ",
    .granted = pop3_preauth_offer,
    .bye = bye,
    .tell = tell,
};
