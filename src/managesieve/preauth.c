#include "managesieve/preauth.h"

#include "base/limits.h"
#include "managesieve/capability.h"
#include "managesieve/grammar.h"
#include "wire/command.h"

struct managesieve_preauth {
    struct preauth frame;
    struct buf mechanisms;  // as they are told: capabilities do not change (section 1.7)
    struct managesieve_reader reader;
};

static struct managesieve_preauth *
own(struct preauth *m)
{
    return (struct managesieve_preauth *)m;
}

// ---- answers ----

static void
say(struct preauth *m, const char *status, const char *code, const char *text)
{
    struct buf b;
    buf_init(&b, LIMIT_line_preauth);
    managesieve_put_answer(&b, status, code, span_str(text));
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

static void
give_up(struct preauth *m, const char *text)
{
    say(m, "BYE", "", text);
    preauth_close(m);
}

static void
say_bad(struct preauth *m, const char *text)
{
    say(m, "NO", "", text);
    preauth_bad(m);
}

// ---- capabilities ----

// With the OK behind them.
static void
tell_capabilities(struct preauth *m, const char *text)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    if (own(m)->mechanisms.n == 0 && preauth_may_log_in(m->facts))
        preauth_put_mechanisms(m->facts, &own(m)->mechanisms, "", " ");
    struct span list = span_trim(buf_span(&own(m)->mechanisms));
    struct managesieve_offer o = {.mechanisms = list.n > 0 ? list : SPAN(""),
                                  .starttls = preauth_may_start_tls(m->facts),
                                  .redirects = m->facts->redirects};
    managesieve_put_capabilities(&b, &o);
    managesieve_put_answer(&b, "OK", "", span_str(text));
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

static void
greet(struct preauth *m)
{
    tell_capabilities(m, "Posthorn ready.");
}

// ---- commands: each reads its arguments, checks their end, acts and answers ----

static bool
ends(struct preauth *m, struct managesieve_parse *p)
{
    if (managesieve_parse_end(p))
        return true;
    say_bad(m, "Invalid arguments.");
    return false;
}

static void
run_capability(struct preauth *m, struct managesieve_parse *p)
{
    if (ends(m, p))
        tell_capabilities(m, "Capability completed.");
}

static void
run_noop(struct preauth *m, struct managesieve_parse *p)
{
    struct span tag = SPAN_NONE;
    struct buf b;
    if (managesieve_parse_more(p))
        tag = managesieve_parse_string(p);
    if (!ends(m, p))
        return;
    buf_init(&b, (size_t)3 * LIMIT_line_preauth);
    managesieve_put_noop(&b, tag);
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

static void
run_logout(struct preauth *m, struct managesieve_parse *p)
{
    if (!ends(m, p))
        return;
    say(m, "OK", "", "Logging out.");
    preauth_close(m);
}

static void
run_starttls(struct preauth *m, struct managesieve_parse *p)
{
    if (!ends(m, p))
        return;
    if (!preauth_may_start_tls(m->facts)) {
        say_bad(m, preauth_is_encrypted(m->facts) ? "TLS is active already."
                                                  : "TLS is not available.");
        return;
    }
    say(m, "OK", "", "Begin TLS negotiation now.");
    preauth_start_tls(m);
}

static void
run_authenticate(struct preauth *m, struct managesieve_parse *p)
{
    struct span initial = SPAN_NONE;
    struct span mechanism = managesieve_parse_string(p);
    if (managesieve_parse_more(p))
        initial = managesieve_parse_string(p);
    if (!ends(m, p))
        return;
    if (mechanism.n == 0)
        say_bad(m, "Invalid arguments.");
    else if (!preauth_may_log_in(m->facts))
        preauth_deny(m, FAULT_PRIVACY);
    else if (preauth_exchange(m, mechanism, initial) != R_OK)
        say_bad(m, "Invalid base64 in the initial response.");
}

static const struct {
    const char *name;
    void (*run)(struct preauth *m, struct managesieve_parse *p);
} verbs[] = {
    {"AUTHENTICATE", run_authenticate},
    {"CAPABILITY", run_capability},
    {"STARTTLS", run_starttls},
    {"NOOP", run_noop},
    {"LOGOUT", run_logout},
};

static void
run_command(struct preauth *m, struct span command)
{
    struct arena *arena = arena_new();
    struct managesieve_parse p = managesieve_parse_of(command, arena);
    struct span verb = managesieve_parse_atom(&p);
    size_t i = 0, n = sizeof verbs / sizeof verbs[0];
    while (i < n && !span_ieq(verb, span_str(verbs[i].name)))
        i++;
    if (i < n)
        verbs[i].run(m, &p);
    else
        say_bad(m, p.bad ? "Not a command." : "Unknown command, or not before login.");
    arena_free(&arena);
}

// ---- framing ----

// What came with STARTTLS in one piece was put there to be answered inside TLS.
static bool
is_injected(struct span command, struct span behind)
{
    return behind.n > 0 && span_istarts(command, SPAN("STARTTLS"));
}

static void
whole_command(struct preauth *m, struct span command, struct span behind)
{
    if (command_is_http(command))
        give_up(m, "This is a ManageSieve server.");
    else if (is_injected(command, behind))
        preauth_close(m);
    else
        run_command(m, command);
}

static void
respond(struct preauth *m, struct span text)
{
    enum preauth_response r = preauth_respond(m, text);
    if (r == PREAUTH_CANCELLED)
        say_bad(m, "Authentication cancelled.");
    else if (r == PREAUTH_GARBLED)
        say_bad(m, "Invalid base64.");
}

static void
take_response(struct preauth *m, struct span line)
{
    struct arena *arena = arena_new();
    struct managesieve_parse p = managesieve_parse_of(line, arena);
    struct span text = managesieve_parse_response(&p);
    if (managesieve_parse_end(&p)) {
        respond(m, text);
    } else {
        preauth_abort(m);
        say_bad(m, "Not a string.");
    }
    arena_free(&arena);
}

static size_t
fatal(struct preauth *m, struct span in, const char *text)
{
    if (m->in_sasl)
        m->ops->auth_abort(m->gate);
    struct span line = span_slice(in, 0, LIMIT_line_preauth + 1);
    bool http = !m->in_sasl && command_is_http(line);
    give_up(m, http ? "This is a ManageSieve server." : text);
    return in.n;
}

static size_t
input(struct preauth *m, struct span in)
{
    size_t size = 0;
    must(m->state == PREAUTH_READING);
    enum managesieve_end end = managesieve_reader_feed(&own(m)->reader, in, &size);
    if (end == MANAGESIEVE_MORE && in.n <= LIMIT_line_preauth)
        return 0;
    if (end == MANAGESIEVE_SYNC)
        return fatal(m, in, "Literals are to be non-synchronising, {5+}.");
    if (end != MANAGESIEVE_WHOLE || size > LIMIT_line_preauth)
        return fatal(m, in, "Command too long.");
    managesieve_reader_next(&own(m)->reader);
    if (m->in_sasl)
        take_response(m, span_slice(in, 0, size));
    else
        whole_command(m, span_slice(in, 0, size), span_skip(in, size));
    return size;
}

// ---- the service ----

static void
init(struct preauth *m)
{
    buf_init(&own(m)->mechanisms, LIMIT_channel_message);
    managesieve_reader_init(&own(m)->reader, LIMIT_line_preauth, LIMIT_line_preauth);
}

static void
done(struct preauth *m)
{
    buf_done(&own(m)->mechanisms);
}

// RFC 5804 section 2.2: the capabilities are told anew.
static void
tls_started(struct preauth *m)
{
    buf_reset(&own(m)->mechanisms);
    managesieve_reader_next(&own(m)->reader);
    tell_capabilities(m, "TLS negotiation successful.");
}

static void
refuse(struct preauth *m, const char *code, const char *text)
{
    say(m, "NO", code, text);
}

static void
challenge(struct preauth *m, struct span base64)
{
    struct buf b;
    buf_init(&b, (size_t)3 * LIMIT_sasl_response);
    managesieve_put_string(&b, base64);
    buf_put_str(&b, "\r\n");
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

static void
bye(struct preauth *m, enum preauth_end why)
{
    static const char *const byes[] = {
        [PREAUTH_END_TIMEOUT] = "Disconnected: no login in time.",
        [PREAUTH_END_DRAIN] = "Server is shutting down.",
        [PREAUTH_END_CROWDED] = "Too many connections.",
        [PREAUTH_END_BAD] = "Too many bad commands.",
    };
    bool later = why == PREAUTH_END_DRAIN || why == PREAUTH_END_CROWDED;
    say(m, "BYE", later ? "TRYLATER" : "", byes[why]);
}

// The capabilities after login have it too (RFC 5804 section 1.7).
static void
tell(const struct preauth *m, struct handover *out)
{
    out->offered =
        span_trim(buf_span(&((const struct managesieve_preauth *)m)->mechanisms));
}

static const struct fault_words refusals[] = {
#define PREAUTH_REPLY(kind, code, text) {FAULT_##kind, code, text},
#include "managesieve/preauth_reply.def"
#undef PREAUTH_REPLY
};

const struct preauth_service managesieve_preauth_service = {
    .name = "managesieve",
    .alpn = "managesieve",
    .input_max = LIMIT_line_preauth + 1,
    .size = sizeof(struct managesieve_preauth),
    .sasl_strings = true,  // RFC 5804 section 2.1
    .refusals = refusals,
    .refusal_count = sizeof refusals / sizeof refusals[0],
    .init = init,
    .done = done,
    .greet = greet,
    .input = input,
    .tls_started = tls_started,
    .refuse = refuse,
    .challenge = challenge,
    .bye = bye,
    .tell = tell,
};
