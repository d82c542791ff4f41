#include "imap/preauth_inside.h"
#include "base/load.h"
#include "wire/client_id.h"

enum { REPLY_MAX = 1024, ID_PAIRS_MAX = 30 };  // RFC 2971 section 3.3

// Answers.

void
imap_preauth_say(struct preauth *m, const char *status, const char *text)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    buf_put(&b, imap_preauth_tag(m));
    buf_printf(&b, " %s ", status);
    imap_text_put(&b, imap_preauth_of(m)->language, text);
    buf_put_str(&b, "\r\n");
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

void
imap_preauth_say_line(struct preauth *m, const char *line)
{
    m->ops->write(m->gate, span_str(line));
}

void
imap_preauth_bye(struct preauth *m, const char *text)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    buf_put_str(&b, "* BYE ");
    imap_text_put(&b, imap_preauth_of(m)->language, text);
    buf_put_str(&b, "\r\n");
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

void
imap_preauth_say_bad(struct preauth *m, const char *text)
{
    imap_preauth_say(m, "BAD", text);
    preauth_bad(m);
}

// Capabilities.

static void
put_capabilities(struct preauth *m, struct buf *b)
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
imap_preauth_greet(struct preauth *m)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    buf_put_str(&b, "* OK [");
    put_capabilities(m, &b);
    buf_printf(&b, "] %s\r\n", imap_text(imap_preauth_of(m)->language, "Posthorn ready."));
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
    imap_preauth_say_bad(m, "Invalid arguments.");
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
    imap_preauth_say(m, "OK", "Capability completed.");
}

static void
run_noop(struct preauth *m, struct parse *p)
{
    if (ends(m, p))
        imap_preauth_say(m, "OK", "NOOP completed.");
}

static void
run_logout(struct preauth *m, struct parse *p)
{
    if (!ends(m, p))
        return;
    imap_preauth_bye(m, "Logging out.");
    imap_preauth_say(m, "OK", "Logout completed.");
    preauth_close(m);
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
            keep_id_pair(&imap_preauth_of(m)->client_id, name, value);
    }
}

static void
run_id(struct preauth *m, struct parse *p)
{
    struct client_id id = {0};
    buf_reset(&imap_preauth_of(m)->client_id);
    parse_sp(p);
    read_id(m, p, &id);
    if (!ends(m, p)) {
        buf_done(&imap_preauth_of(m)->client_id);
        return;
    }
    if (m->facts->trusted)
        m->ops->speaks_for(m->gate, id.origin.remote, id.origin.local, id.origin.session);
    if (m->facts->shed_background && client_id_is_background(&id) && load_is_high()) {
        imap_preauth_say(m, "NO",
                         "[UNAVAILABLE] Too busy for downloads in the background.");
        return;
    }
    imap_preauth_say_line(m, "* ID (\"name\" \"Posthorn\" \"version\" \"" POSTHORN_VERSION
                             "\")\r\n");
    imap_preauth_say(m, "OK", "ID completed.");
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
        imap_preauth_say(m, "NO", "None of these languages is spoken");
        return;
    }
    buf_init(&b, REPLY_MAX);
    if (wish.lists)
        imap_language_list(&b);
    else
        buf_printf(&b, "* LANGUAGE (%s)",
                   language_tag(imap_preauth_of(m)->language = wish.language));
    buf_put_str(&b, "\r\n");
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
    imap_preauth_say(m, "OK",
                     wish.lists ? "These languages are spoken" : "Now speaking English");
}

static void
run_starttls(struct preauth *m, struct parse *p)
{
    if (!ends(m, p))
        return;
    if (!preauth_may_start_tls(m->facts)) {
        imap_preauth_say_bad(m, preauth_is_encrypted(m->facts) ? "TLS is active already."
                                                               : "TLS is not available.");
        return;
    }
    imap_preauth_say(m, "OK", "Begin TLS negotiation now.");
    preauth_start_tls(m);
}

static bool
is_private(struct preauth *m)
{
    if (preauth_may_log_in(m->facts))
        return true;
    preauth_deny(m, FAULT_PRIVACY);
    return false;
}

static void
run_login(struct preauth *m, struct parse *p)
{
    parse_sp(p);
    struct span user = parse_astring(p);
    parse_sp(p);
    struct span password = parse_astring(p);
    if (ends(m, p) && is_private(m))
        preauth_login(m, user, password);
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
    if (ends(m, p) && is_private(m) && preauth_exchange(m, mechanism, initial) != R_OK)
        imap_preauth_say_bad(m, "Invalid base64 in the initial response.");
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
imap_preauth_dispatch(struct preauth *m, struct span verb, struct parse *p)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (span_ieq(verb, span_str(verbs[i].name))) {
            verbs[i].run(m, p);
            return;
        }
    }
    imap_preauth_say_bad(m, "Unknown command, or not before login.");
}
