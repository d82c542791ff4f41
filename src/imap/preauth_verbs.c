#include "imap/preauth_inside.h"
#include "base/load.h"
#include "wire/base64.h"
#include "wire/client_id.h"

enum { REPLY_MAX = 1024, ID_PAIRS_MAX = 30 };  // RFC 2971 section 3.3

// Answers.

void
preauth_say(struct preauth *m, const char *status, const char *text)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    buf_put(&b, span_of(m->tag, m->tag_n));
    buf_printf(&b, " %s ", status);
    imap_text_put(&b, m->language, text);
    buf_put_str(&b, "\r\n");
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

void
preauth_say_line(struct preauth *m, const char *line)
{
    m->ops->write(m->gate, span_str(line));
}

void
preauth_bye(struct preauth *m, const char *text)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    buf_put_str(&b, "* BYE ");
    imap_text_put(&b, m->language, text);
    buf_put_str(&b, "\r\n");
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

void
preauth_finish(struct preauth *m)
{
    m->state = PREAUTH_CLOSED;
    m->ops->close_after_output(m->gate);
}

void
preauth_count_bad(struct preauth *m)
{
    if (++m->bad < LIMIT_bad_preauth)
        return;
    preauth_bye(m, "Too many bad commands.");
    preauth_finish(m);
}

void
preauth_say_bad(struct preauth *m, const char *text)
{
    preauth_say(m, "BAD", text);
    preauth_count_bad(m);
}

// Capabilities.

static void
put_capabilities(const struct preauth *m, struct buf *b)
{
    buf_put_str(b, "CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR LITERAL- ID ENABLE LANGUAGE");
    if (preauth_may_start_tls(m->facts))
        buf_put_str(b, " STARTTLS");
    if (preauth_may_log_in(m->facts))
        preauth_put_mechanisms(m->facts, b, " AUTH=", "");
    else
        buf_put_str(b, " LOGINDISABLED");
}

void
preauth_greet(struct preauth *m)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    buf_put_str(&b, "* OK [");
    put_capabilities(m, &b);
    buf_printf(&b, "] %s\r\n", imap_text(m->language, "Posthorn ready."));
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

// Commands. Each reads its arguments, checks their end, acts and answers.

static bool
ends(struct preauth *m, struct parse *p)
{
    struct fault f;
    if (parse_end(p, &f) == R_OK)
        return true;
    preauth_say_bad(m, "Invalid arguments.");
    return false;
}

static void
run_capability(struct preauth *m, struct parse *p)
{
    struct buf b;
    if (!ends(m, p))
        return;
    buf_init(&b, REPLY_MAX);
    buf_put_str(&b, "* ");
    put_capabilities(m, &b);
    buf_put_str(&b, "\r\n");
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
    preauth_say(m, "OK", "Capability completed.");
}

static void
run_noop(struct preauth *m, struct parse *p)
{
    if (ends(m, p))
        preauth_say(m, "OK", "NOOP completed.");
}

static void
run_logout(struct preauth *m, struct parse *p)
{
    if (!ends(m, p))
        return;
    preauth_bye(m, "Logging out.");
    preauth_say(m, "OK", "Logout completed.");
    preauth_finish(m);
}

static void
keep_id_text(struct buf *b, struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        bool control = (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f;
        buf_put_char(b, control || s.p[i] == '"' ? '?' : s.p[i]);
    }
}

// The pair is kept whole or not at all.
static void
keep_id_pair(struct buf *b, struct span name, struct span value)
{
    struct buf pair;
    buf_init(&pair, LIMIT_client_id);
    if (b->n > 0)
        buf_put_char(&pair, ' ');
    buf_put_char(&pair, '"');
    keep_id_text(&pair, name);
    buf_put_str(&pair, value.p ? "\" \"" : "\" NIL");
    if (value.p) {
        keep_id_text(&pair, value);
        buf_put_char(&pair, '"');
    }
    if (!pair.over)
        buf_put(b, buf_span(&pair));
    buf_done(&pair);
}

static void
read_id(struct preauth *m, struct parse *p, struct client_id *id)
{
    unsigned pairs = 0;
    if (parse_try_word(p, "NIL"))
        return;
    parse_list_open(p);
    while (parse_list_next(p)) {
        struct span name = parse_string(p);
        parse_sp(p);
        struct span value = parse_nstring(p);
        if (++pairs > ID_PAIRS_MAX)
            parse_fail(p, "more than 30 pairs");
        if (p->bad)
            return;
        client_id_note(id, name, value);
        if (!m->facts->trusted || !client_id_is_origin(name))
            keep_id_pair(&m->client_id, name, value);
    }
}

static void
run_id(struct preauth *m, struct parse *p)
{
    struct client_id id = {0};
    buf_reset(&m->client_id);
    parse_sp(p);
    read_id(m, p, &id);
    if (!ends(m, p)) {
        buf_done(&m->client_id);
        return;
    }
    if (m->facts->trusted)
        m->ops->speaks_for(m->gate, id.origin.remote, id.origin.local, id.origin.session);
    if (m->facts->shed_background && client_id_is_background(&id) && load_is_high()) {
        preauth_say(m, "NO", "[UNAVAILABLE] Too busy for downloads in the background.");
        return;
    }
    preauth_say_line(m, "* ID (\"name\" \"Posthorn\" \"version\" \"" POSTHORN_VERSION
                        "\")\r\n");
    preauth_say(m, "OK", "ID completed.");
}

// RFC 5255 section 3: LANGUAGE is for all states.
static void
run_language(struct preauth *m, struct parse *p)
{
    struct imap_language_wish wish = imap_language_parse(p);
    struct buf b;
    if (!ends(m, p))
        return;
    if (!wish.lists && !wish.found) {
        preauth_say(m, "NO", "None of these languages is spoken");
        return;
    }
    buf_init(&b, REPLY_MAX);
    if (wish.lists)
        imap_language_list(&b);
    else
        buf_printf(&b, "* LANGUAGE (%s)", language_tag(m->language = wish.language));
    buf_put_str(&b, "\r\n");
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
    preauth_say(m, "OK",
                wish.lists ? "These languages are spoken" : "Now speaking English");
}

static void
run_starttls(struct preauth *m, struct parse *p)
{
    if (!ends(m, p))
        return;
    if (!preauth_may_start_tls(m->facts)) {
        preauth_say_bad(m, preauth_is_encrypted(m->facts) ? "TLS is active already."
                                                          : "TLS is not available.");
        return;
    }
    preauth_say(m, "OK", "Begin TLS negotiation now.");
    m->state = PREAUTH_WAITING;
    m->ops->start_tls(m->gate);
}

static bool
is_private(struct preauth *m)
{
    if (preauth_may_log_in(m->facts))
        return true;
    preauth_refuse(m, FAULT_PRIVACY);
    return false;
}

static void
run_login(struct preauth *m, struct parse *p)
{
    struct auth_start start = {0};
    parse_sp(p);
    start.user = parse_astring(p);
    parse_sp(p);
    start.password = parse_astring(p);
    if (!ends(m, p) || !is_private(m))
        return;
    m->state = PREAUTH_WAITING;
    m->is_login = true;
    m->ops->authenticate(m->gate, &start);
}

static void
start_exchange(struct preauth *m, struct span mechanism, struct span initial)
{
    struct buf decoded;
    buf_init(&decoded, LIMIT_sasl_response);
    if (initial.p && base64_decode_word(initial, &decoded)) {
        preauth_say_bad(m, "Invalid base64 in the initial response.");
    } else {
        struct auth_start start = {.mechanism = mechanism,
                                   .has_initial = initial.p != NULL,
                                   .initial = buf_span(&decoded)};
        m->state = PREAUTH_WAITING;
        m->is_login = false;
        m->ops->authenticate(m->gate, &start);
    }
    buf_wipe(&decoded);
}

static void
run_authenticate(struct preauth *m, struct parse *p)
{
    struct span initial = SPAN_NONE;
    parse_sp(p);
    struct span mechanism = parse_atom(p);
    if (!p->bad && !parse_at_end(p)) {
        parse_sp(p);
        initial = parse_atom(p);
    }
    if (ends(m, p) && is_private(m))
        start_exchange(m, mechanism, initial);
}

static const struct {
    const char *name;
    void (*run)(struct preauth *m, struct parse *p);
} verbs[] = {
    {"CAPABILITY", run_capability}, {"NOOP", run_noop},
    {"LOGOUT", run_logout},         {"ID", run_id},
    {"LANGUAGE", run_language},     {"STARTTLS", run_starttls},
    {"LOGIN", run_login},           {"AUTHENTICATE", run_authenticate},
};

void
preauth_dispatch(struct preauth *m, struct span verb, struct parse *p)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (span_ieq(verb, span_str(verbs[i].name))) {
            verbs[i].run(m, p);
            return;
        }
    }
    preauth_say_bad(m, "Unknown command, or not before login.");
}
