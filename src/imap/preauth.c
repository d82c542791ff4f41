#include "imap/preauth_inside.h"
#include "wire/base64.h"

// Framing.

static void
keep_tag(struct preauth *m, struct span command)
{
    struct span tag = command_tag(command);
    if (tag.n > LIMIT_tag)
        tag = SPAN("*");
    memcpy(m->tag, tag.p, tag.n);
    m->tag_n = tag.n;
}

static void
next_command(struct preauth *m)
{
    command_reader_init(&m->reader, LIMIT_line_preauth, LIMIT_line_preauth);
    m->reader.nonsync_max = LIMIT_literal_nonsync;
    m->reader.buffered = true;
}

static void
run_command(struct preauth *m, struct span command)
{
    struct arena *arena = arena_new();
    struct parse p;
    keep_tag(m, command);
    parse_init(&p, command, arena, true);  // clients send UTF-8 in names and passwords
    (void)parse_tag(&p);
    parse_sp(&p);
    struct span verb = parse_atom(&p);
    if (p.bad || span_eq(span_of(m->tag, m->tag_n), SPAN("*")))
        preauth_say_bad(m, "Not a command.");
    else
        preauth_dispatch(m, verb, &p);
    arena_free(&arena);
}

static void
give_up(struct preauth *m, const char *bye)
{
    preauth_bye(m, bye);
    preauth_finish(m);
}

// What came with STARTTLS in one piece was put there to be answered inside TLS (RFC 9051 section 6.2.1).
static bool
is_injected(struct span command, struct span behind)
{
    struct span tag = command_tag(command), verb = span_skip(command, tag.n + 1);
    return behind.n > 0 && span_istarts(verb, SPAN("STARTTLS"));
}

static size_t
whole_command(struct preauth *m, struct span in, size_t size)
{
    struct span command = span_slice(in, 0, size);
    next_command(m);
    if (command_is_http(command))
        give_up(m, "This is an IMAP server.");
    else if (size > LIMIT_line_preauth)
        give_up(m, "[TOOBIG] Command too long.");
    else if (is_injected(command, span_skip(in, size)))
        preauth_finish(m);
    else
        run_command(m, command);
    return size;
}

static size_t
refused_command(struct preauth *m, struct span in, size_t size)
{
    bool big = m->reader.kind == FAULT_TOOBIG;
    keep_tag(m, span_slice(in, 0, size));
    next_command(m);
    preauth_say_bad(m, big ? "[TOOBIG] Literal too large." : "Invalid command.");
    return size;
}

static size_t
fatal_command(struct preauth *m, struct span in)
{
    if (command_is_http(in))
        give_up(m, "This is an IMAP server.");
    else
        give_up(m, "[TOOBIG] Command too long.");
    return in.n;
}

// Nothing before login takes a streamed literal (APPEND): it is not asked for.
static size_t
streamed_command(struct preauth *m, struct span in, size_t size)
{
    m->reader.kind = FAULT_BAD;
    return refused_command(m, in, size);
}

static size_t
command_input(struct preauth *m, struct span in)
{
    size_t size = 0;
    enum command_state state = command_reader_feed(&m->reader, in, &size);
    while (state == COMMAND_CONTINUE) {
        preauth_say_line(m, "+ OK\r\n");
        state = command_reader_feed(&m->reader, in, &size);
    }
    switch (state) {
    case COMMAND_WHOLE:
        return whole_command(m, in, size);
    case COMMAND_REFUSED:
        return refused_command(m, in, size);
    case COMMAND_STREAM:
        return streamed_command(m, in, size);
    case COMMAND_MORE:
        return in.n > LIMIT_line_preauth ? fatal_command(m, in) : 0;
    default:
        return fatal_command(m, in);
    }
}

static void
cancel(struct preauth *m, const char *text)
{
    m->ops->auth_abort(m->gate);
    preauth_say_bad(m, text);
}

static void
take_response(struct preauth *m, struct span line)
{
    struct buf decoded;
    if (span_eq(line, SPAN("*"))) {
        cancel(m, "Authentication cancelled.");
        return;
    }
    if (m->is_lost) {
        preauth_refuse(m, m->lost_to);
        return;
    }
    buf_init(&decoded, LIMIT_sasl_response);
    if (base64_decode(line, &decoded)) {
        cancel(m, "Invalid base64.");
    } else {
        m->state = PREAUTH_WAITING;
        m->ops->auth_step(m->gate, buf_span(&decoded));
    }
    buf_wipe(&decoded);
}

static size_t
sasl_input(struct preauth *m, struct span in)
{
    size_t n = span_find_char(in, '\n');
    if (n > LIMIT_line_preauth) {
        m->ops->auth_abort(m->gate);
        give_up(m, "[TOOBIG] SASL response too long.");
        return in.n;
    }
    if (n == in.n)
        return 0;
    struct span line = span_slice(in, 0, n);
    if (span_ends(line, SPAN("\r")))
        line.n--;
    m->in_sasl = false;
    take_response(m, line);
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
    buf_init(&m->client_id, LIMIT_client_id);
    next_command(m);
    return m;
}

static void
preauth_free(struct preauth **m)
{
    if (!*m)
        return;
    buf_done(&(*m)->client_id);
    free(*m);
    *m = NULL;
}

static size_t
input(struct preauth *m, struct span in)
{
    must(m->state == PREAUTH_READING);
    if (in.n == 0)
        return 0;
    return m->in_sasl ? sasl_input(m, in) : command_input(m, in);
}

static void
tls_started(struct preauth *m)
{
    must(m->state == PREAUTH_WAITING && m->facts->tls);
    m->state = PREAUTH_READING;
    m->tag_n = 0;
    m->language = LANGUAGE_DEFAULT;
    buf_done(&m->client_id);
    next_command(m);
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

// The code is the status.
static const struct fault_words refusals[] = {
#define PREAUTH_REPLY(kind, status, text) {FAULT_##kind, status, text},
#include "imap/preauth_reply.def"
#undef PREAUTH_REPLY
};

void
preauth_refuse(struct preauth *m, enum fault_kind kind)
{
    const struct fault_words *w =
        fault_words_of(refusals, sizeof refusals / sizeof refusals[0], kind);
    m->state = PREAUTH_READING;
    preauth_say(m, w->code, w->text);
    if (w->kind == FAULT_BAD)
        preauth_count_bad(m);
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
    else if (reply->verdict == AUTH_CONTINUE && !m->is_login)
        challenge(m, reply->data);
    else
        preauth_refuse(m, preauth_fault(reply));
}

static void
end(struct preauth *m, enum preauth_end why)
{
    static const char *const byes[] = {
        [PREAUTH_END_TIMEOUT] = "Disconnected: no login in time.",
        [PREAUTH_END_DRAIN] = "[UNAVAILABLE] Server is shutting down.",
        [PREAUTH_END_CROWDED] = "[UNAVAILABLE] Too many connections.",
    };
    give_up(m, byes[why]);
}

static enum preauth_state
state(const struct preauth *m)
{
    return m->state;
}

static void
tell(const struct preauth *m, struct handover *out)
{
    out->tag = span_of(m->tag, m->tag_n);
    out->client_id = buf_span(&m->client_id);
    out->language = (uint8_t)m->language;
}

const struct preauth_service imap_preauth_service = {
    .name = "imap",
    .alpn = "imap",
    .input_max = LIMIT_line_preauth + 1,
    .open = preauth_open,
    .free = preauth_free,
    .greet = preauth_greet,
    .input = input,
    .tls_started = tls_started,
    .auth_reply = auth_reply,
    .end = end,
    .state = state,
    .tell = tell,
};
