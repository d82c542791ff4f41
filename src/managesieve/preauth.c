#include "managesieve/preauth.h"

#include "base/limits.h"
#include "managesieve/capability.h"
#include "managesieve/grammar.h"
#include "wire/base64.h"
#include "wire/command.h"

struct preauth {
    const struct preauth_facts *facts;
    const struct preauth_ops *ops;
    void *gate;
    enum preauth_state state;
    bool in_sasl;  // the next line is a SASL response
    bool is_lost;  // and there is no exchange any more
    enum fault_kind lost_to;
    unsigned bad;
    struct buf mechanisms;  // as they are told: capabilities do not change (section 1.7)
    struct managesieve_reader reader;
};

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
finish(struct preauth *m)
{
    m->state = PREAUTH_CLOSED;
    m->ops->close_after_output(m->gate);
}

static void
give_up(struct preauth *m, const char *text)
{
    say(m, "BYE", "", text);
    finish(m);
}

// The last one ends the connection.
static void
count_bad(struct preauth *m)
{
    if (++m->bad >= LIMIT_bad_preauth)
        give_up(m, "Too many bad commands.");
}

static void
say_bad(struct preauth *m, const char *text)
{
    say(m, "NO", "", text);
    count_bad(m);
}

static const struct fault_words refusals[] = {
#define PREAUTH_REPLY(kind, code, text) {FAULT_##kind, code, text},
#include "managesieve/preauth_reply.def"
#undef PREAUTH_REPLY
};

static void
refuse(struct preauth *m, enum fault_kind kind)
{
    const struct fault_words *w =
        fault_words_of(refusals, sizeof refusals / sizeof refusals[0], kind);
    m->state = PREAUTH_READING;
    say(m, "NO", w->code, w->text);
    if (w->kind == FAULT_BAD)
        count_bad(m);
}

// ---- capabilities ----

// With the OK behind them.
static void
tell_capabilities(struct preauth *m, const char *text)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    if (m->mechanisms.n == 0 && preauth_may_log_in(m->facts))
        preauth_put_mechanisms(m->facts, &m->mechanisms, "", " ");
    struct span list = span_trim(buf_span(&m->mechanisms));
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
    finish(m);
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
    m->state = PREAUTH_WAITING;
    m->ops->start_tls(m->gate);
}

// RFC 5804 section 2.1: an empty string is an empty response.
static void
start_exchange(struct preauth *m, struct span mechanism, struct span initial)
{
    struct buf decoded;
    buf_init(&decoded, LIMIT_sasl_response);
    if (initial.p && base64_decode(initial, &decoded) != R_OK) {
        say_bad(m, "Invalid base64 in the initial response.");
    } else {
        struct auth_start start = {
            .mechanism = mechanism, .has_initial = initial.p != NULL, .final_ok = true};
        start.initial = buf_span(&decoded);
        m->state = PREAUTH_WAITING;
        m->ops->authenticate(m->gate, &start);
    }
    buf_wipe(&decoded);
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
        refuse(m, FAULT_PRIVACY);
    else
        start_exchange(m, mechanism, initial);
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
        finish(m);
    else
        run_command(m, command);
}

static void
take_response(struct preauth *m, struct span line)
{
    struct arena *arena = arena_new();
    struct managesieve_parse p = managesieve_parse_of(line, arena);
    struct span text = managesieve_parse_response(&p);
    bool good = managesieve_parse_end(&p);
    struct buf decoded;
    buf_init(&decoded, LIMIT_sasl_response);
    m->in_sasl = false;
    if (!good || span_eq(text, SPAN("*"))) {
        m->ops->auth_abort(m->gate);
        say_bad(m, good ? "Authentication cancelled." : "Not a string.");
    } else if (m->is_lost) {
        refuse(m, m->lost_to);
    } else if (base64_decode(text, &decoded) != R_OK) {
        m->ops->auth_abort(m->gate);
        say_bad(m, "Invalid base64.");
    } else {
        m->state = PREAUTH_WAITING;
        m->ops->auth_step(m->gate, buf_span(&decoded));
    }
    buf_wipe(&decoded);
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
    enum managesieve_end end = managesieve_reader_feed(&m->reader, in, &size);
    if (end == MANAGESIEVE_MORE && in.n <= LIMIT_line_preauth)
        return 0;
    if (end == MANAGESIEVE_SYNC)
        return fatal(m, in, "Literals are to be non-synchronising, {5+}.");
    if (end != MANAGESIEVE_WHOLE || size > LIMIT_line_preauth)
        return fatal(m, in, "Command too long.");
    managesieve_reader_next(&m->reader);
    if (m->in_sasl)
        take_response(m, span_slice(in, 0, size));
    else
        whole_command(m, span_slice(in, 0, size), span_skip(in, size));
    return size;
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
    buf_init(&m->mechanisms, LIMIT_channel_message);
    managesieve_reader_init(&m->reader, LIMIT_line_preauth, LIMIT_line_preauth);
    return m;
}

static void
preauth_free(struct preauth **m)
{
    if (!*m)
        return;
    buf_done(&(*m)->mechanisms);
    free(*m);
    *m = NULL;
}

// RFC 5804 section 2.2: the capabilities are told anew.
static void
tls_started(struct preauth *m)
{
    must(m->state == PREAUTH_WAITING && m->facts->tls);
    m->state = PREAUTH_READING;
    buf_reset(&m->mechanisms);
    managesieve_reader_next(&m->reader);
    tell_capabilities(m, "TLS negotiation successful.");
}

static void
challenge(struct preauth *m, struct span data)
{
    struct buf b, text;
    buf_init(&b, (size_t)3 * LIMIT_sasl_response);
    buf_init(&text, (size_t)2 * LIMIT_sasl_response);
    base64_encode(data, &text);
    managesieve_put_string(&b, buf_span(&text));
    buf_put_str(&b, "\r\n");
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
    buf_done(&text);
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
        refuse(m, preauth_fault(reply));
}

static void
end(struct preauth *m, enum preauth_end why)
{
    static const char *const byes[] = {
        [PREAUTH_END_TIMEOUT] = "Disconnected: no login in time.",
        [PREAUTH_END_DRAIN] = "Server is shutting down.",
        [PREAUTH_END_CROWDED] = "Too many connections.",
    };
    say(m, "BYE", why == PREAUTH_END_TIMEOUT ? "" : "TRYLATER", byes[why]);
    finish(m);
}

static enum preauth_state
state(const struct preauth *m)
{
    return m->state;
}

// The capabilities after login have it too (RFC 5804 section 1.7).
static void
tell(const struct preauth *m, struct handover *out)
{
    out->offered = span_trim(buf_span(&m->mechanisms));
}

const struct preauth_service managesieve_preauth_service = {
    .name = "managesieve",
    .alpn = "managesieve",
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
