#include "imap/preauth_inside.h"

// Framing.

static void
keep_tag(struct preauth *m, struct span command)
{
    struct imap_preauth *own = imap_preauth_of(m);
    struct span tag = command_tag(command);
    if (tag.n > LIMIT_tag)
        tag = SPAN("*");
    memcpy(own->tag, tag.p, tag.n);
    own->tag_n = tag.n;
}

static void
next_command(struct preauth *m)
{
    struct command_reader *reader = &imap_preauth_of(m)->reader;
    command_reader_init(reader, LIMIT_line_preauth, LIMIT_line_preauth);
    reader->nonsync_max = LIMIT_literal_nonsync;
    reader->buffered = true;
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
    if (p.bad || span_eq(imap_preauth_tag(m), SPAN("*")))
        imap_preauth_say_bad(m, "Not a command.");
    else
        imap_preauth_dispatch(m, verb, &p);
    arena_free(&arena);
}

static void
give_up(struct preauth *m, const char *bye)
{
    imap_preauth_bye(m, bye);
    preauth_close(m);
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
        preauth_close(m);
    else
        run_command(m, command);
    return size;
}

static size_t
refused_command(struct preauth *m, struct span in, size_t size)
{
    bool big = imap_preauth_of(m)->reader.kind == FAULT_TOOBIG;
    keep_tag(m, span_slice(in, 0, size));
    next_command(m);
    imap_preauth_say_bad(m, big ? "[TOOBIG] Literal too large." : "Invalid command.");
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
    imap_preauth_of(m)->reader.kind = FAULT_BAD;
    return refused_command(m, in, size);
}

static size_t
command_input(struct preauth *m, struct span in)
{
    size_t size = 0;
    enum command_state state = command_reader_feed(&imap_preauth_of(m)->reader, in, &size);
    while (state == COMMAND_CONTINUE) {
        imap_preauth_say_line(m, "+ OK\r\n");
        state = command_reader_feed(&imap_preauth_of(m)->reader, in, &size);
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
take_response(struct preauth *m, struct span line)
{
    enum preauth_response r = preauth_respond(m, line);
    if (r == PREAUTH_CANCELLED)
        imap_preauth_say_bad(m, "Authentication cancelled.");
    else if (r == PREAUTH_GARBLED)
        imap_preauth_say_bad(m, "Invalid base64.");
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
    take_response(m, line);
    return n + 1;
}

// The service.

static void
init(struct preauth *m)
{
    buf_init(&imap_preauth_of(m)->client_id, LIMIT_client_id);
    next_command(m);
}

static void
done(struct preauth *m)
{
    buf_done(&imap_preauth_of(m)->client_id);
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
    struct imap_preauth *own = imap_preauth_of(m);
    own->tag_n = 0;
    own->language = LANGUAGE_DEFAULT;
    buf_done(&own->client_id);
    next_command(m);
}

static void
bye(struct preauth *m, enum preauth_end why)
{
    static const char *const byes[] = {
        [PREAUTH_END_TIMEOUT] = "Disconnected: no login in time.",
        [PREAUTH_END_DRAIN] = "[UNAVAILABLE] Server is shutting down.",
        [PREAUTH_END_CROWDED] = "[UNAVAILABLE] Too many connections.",
        [PREAUTH_END_BAD] = "Too many bad commands.",
    };
    imap_preauth_bye(m, byes[why]);
}

static void
tell(const struct preauth *m, struct handover *out)
{
    const struct imap_preauth *own = (const struct imap_preauth *)m;
    out->tag = span_of(own->tag, own->tag_n);
    out->client_id = buf_span(&own->client_id);
    out->language = (uint8_t)own->language;
}

// The code is the status.
static const struct fault_words refusals[] = {
#define PREAUTH_REPLY(kind, status, text) {FAULT_##kind, status, text},
#include "imap/preauth_reply.def"
#undef PREAUTH_REPLY
};

const struct preauth_service imap_preauth_service = {
    .name = "imap",
    .alpn = "imap",
    .input_max = LIMIT_line_preauth + 1,
    .size = sizeof(struct imap_preauth),
    .refusals = refusals,
    .refusal_count = sizeof refusals / sizeof refusals[0],
    .init = init,
    .done = done,
    .greet = imap_preauth_greet,
    .input = input,
    .tls_started = tls_started,
    .refuse = imap_preauth_say,
    .prompt = "+ ",
    .bye = bye,
    .tell = tell,
};
