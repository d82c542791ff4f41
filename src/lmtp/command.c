#include "lmtp/session.h"

#include "base/limits.h"
#include "base/log.h"
#include "relay/envelope.h"

// RFC 2033 section 4, RFC 5321 section 4.1.

typedef void command_fn(struct lmtp_session *s, struct span args);

static void
lhlo(struct lmtp_session *s, struct span args)
{
    if (args.n == 0) {
        lmtp_say(s, 501, "5.5.4", "Syntax: LHLO hostname");
        return;
    }
    lmtp_reset(s);
    buf_reset(&s->client);
    buf_put(&s->client, span_slice(args, 0, s->client.max));
    s->greeted = true;
    conn_printf(s->conn,
                "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-"
                "CHUNKING\r\n250-ENHANCEDSTATUSCODES\r\n%s250 SIZE %llu\r\n",
                s->host->hostname, lmtp_can_send(s) ? "250-DSN\r\n" : "",
                (unsigned long long)mail_size_max(s->host->mail));
}

// RFC 2033 section 4.1: HELO and EHLO are not LMTP.
static void
helo(struct lmtp_session *s, struct span args)
{
    (void)args;
    lmtp_say(s, 500, "5.5.1", "This is LMTP: say LHLO");
}

static bool
bad_value(struct lmtp_session *s, const char *text)
{
    lmtp_say(s, 501, "5.5.4", text);
    return false;
}

static bool
param_known(const struct smtp_param *p, const char *const *names)
{
    for (; *names; names++)
        if (span_ieq(p->name, span_str(*names)))
            return true;
    return false;
}

// Whoever takes a parameter of DSN has to write reports (RFC 3461 section 5.2.3). One that is there twice says two things (section 4).
static bool
params_known(struct lmtp_session *s, const struct smtp_envelope *e,
             const char *const *names)
{
    static const char *const dsn[] = {"RET", "ENVID", "NOTIFY", "ORCPT", NULL};
    for (unsigned i = 0; i < e->param_count; i++) {
        const struct smtp_param *p = &e->params[i];
        if (!param_known(p, names) || (param_known(p, dsn) && !lmtp_can_send(s))) {
            lmtp_say(s, 555, "5.5.4", "Unknown parameter");
            return false;
        }
        for (unsigned k = 0; k < i; k++)
            if (span_ieq(e->params[k].name, p->name))
                return bad_value(s, "A parameter is given twice");
    }
    return true;
}

static bool
size_fits(struct lmtp_session *s, const struct smtp_envelope *e)
{
    const struct smtp_param *p = smtp_param_find(e, "SIZE");
    uint64_t size = 0;
    if (p && span_to_u64(p->value, &size) != R_OK) {
        lmtp_say(s, 501, "5.5.4", "Bad SIZE");
        return false;
    }
    if (size > mail_size_max(s->host->mail)) {
        lmtp_say(s, 552, "5.3.4", "Message too large");
        return false;
    }
    s->announced = size;
    return true;
}

static bool
body_good(struct lmtp_session *s, const struct smtp_envelope *e)
{
    const struct smtp_param *p = smtp_param_find(e, "BODY");
    if (!p || span_ieq(p->value, SPAN("7BIT")) || span_ieq(p->value, SPAN("8BITMIME")))
        return true;
    lmtp_say(s, 501, "5.5.4", "Bad BODY");
    return false;
}

// A parameter's value; SPAN_NONE: not given, or not to be read.
static struct span
clear_param(struct lmtp_session *s, const struct smtp_envelope *e, const char *name,
            bool xtext)
{
    const struct smtp_param *p = smtp_param_find(e, name);
    struct buf text;
    if (!p || !p->value.p)
        return SPAN_NONE;
    buf_init(&text, LIMIT_smtp_line);
    struct span clear = p->value;
    if (xtext)
        clear = smtp_xtext_decode(p->value, &text) == R_OK ? buf_span(&text) : SPAN_NONE;
    clear = clear.n ? arena_dup(s->arena, clear) : clear.p ? SPAN("") : SPAN_NONE;
    buf_done(&text);
    return clear;
}

static bool
is_given(const struct smtp_envelope *e, const char *name)
{
    return smtp_param_find(e, name) != NULL;
}

// RFC 3461 sections 4.3 and 4.4.
static bool
read_mail_dsn(struct lmtp_session *s, const struct smtp_envelope *e)
{
    struct fault f;
    uint8_t ret;
    s->said.envid = clear_param(s, e, "ENVID", true);
    s->said.ret = clear_param(s, e, "RET", false);
    if (is_given(e, "ENVID") &&
        (!s->said.envid.p || relay_envid_check(s->said.envid, &f) != R_OK))
        return bad_value(s, "Bad ENVID");
    if (is_given(e, "RET") && relay_ret_read(s->said.ret, &ret) != R_OK)
        return bad_value(s, "Bad RET");
    return true;
}

// Sections 4.1 and 4.2.
static bool
read_rcpt_dsn(struct lmtp_session *s, const struct smtp_envelope *e,
              struct lmtp_recipient *r)
{
    struct fault f;
    uint8_t notify = 0;
    r->orcpt = clear_param(s, e, "ORCPT", true);
    r->notify = clear_param(s, e, "NOTIFY", false);
    if (is_given(e, "ORCPT") && (!r->orcpt.p || relay_orcpt_check(r->orcpt, &f) != R_OK))
        return bad_value(s, "Bad ORCPT");
    if (is_given(e, "NOTIFY") && relay_notify_read(r->notify, &notify) != R_OK)
        return bad_value(s, "Bad NOTIFY");
    r->wants_success = (notify & RELAY_NOTIFY_SUCCESS) && s->sender.n > 0;
    return true;
}

static void
mail(struct lmtp_session *s, struct span args)
{
    static const char *const known[] = {"SIZE",  "BODY", "SMTPUTF8", "RET",
                                        "ENVID", "AUTH", NULL};
    struct smtp_envelope e;
    struct fault f;
    if (!s->greeted || s->has_sender) {
        lmtp_say(s, 503, "5.5.1", s->greeted ? "Sender already given" : "Say LHLO first");
        return;
    }
    if (smtp_envelope_parse(args, "FROM", s->scratch, &e, &f) != R_OK) {
        lmtp_say(s, 501, "5.5.4", "Syntax: MAIL FROM:<address>");
        return;
    }
    if (!params_known(s, &e, known) || !body_good(s, &e) || !size_fits(s, &e))
        return;
    if (e.path.utf8 && !is_given(&e, "SMTPUTF8")) {
        lmtp_say(s, 553, "5.6.7", "Address needs SMTPUTF8");
        return;
    }
    if (!read_mail_dsn(s, &e))
        return;
    s->said.auth = clear_param(s, &e, "AUTH", true);
    s->said.utf8 = is_given(&e, "SMTPUTF8");
    s->sender = arena_dup(s->arena, e.path.null ? SPAN("") : e.path.address);
    s->has_sender = true;
    lmtp_say(s, 250, "2.1.0", "OK");
}

// The address as it was before the transfer agent changed it (RFC 3461 section 4.2), for X-Original-To.
static struct span
original_of(struct lmtp_session *s, const struct smtp_envelope *e)
{
    const struct smtp_param *p = smtp_param_find(e, "ORCPT");
    size_t kind = p ? span_find_char(p->value, ';') : 0;
    struct span original = e->path.address;
    struct buf text;
    buf_init(&text, LIMIT_smtp_line);
    if (p && span_ieq(span_slice(p->value, 0, kind), SPAN("rfc822")) &&
        smtp_xtext_decode(span_skip(p->value, kind + 1), &text) == R_OK &&
        lmtp_is_address(buf_span(&text)))
        original = buf_span(&text);
    original = arena_dup(s->arena, original);
    buf_done(&text);
    return original;
}

// Mail for elsewhere goes out through the relay. Without one it is the transfer agent's to forward: it has not asked, and keeps
// the mail until somebody sees to that.
static bool
all_reachable(struct lmtp_session *s, const struct lmtp_targets *t, struct span address)
{
    for (size_t i = 0; i < t->n; i++) {
        if (!lmtp_is_elsewhere(&t->list[i]) || lmtp_can_send(s))
            continue;
        log_warning("lmtp", "Refused", field_text("to", "to=<%>", address),
                    field_text("target", ": goes to <%>", t->list[i].name),
                    field_str("error",
                              ", which is elsewhere: set relay_host, or the mail server "
                              "has to ask %",
                              "the setting maps' table alias first"));
        conn_printf(s->conn,
                    "451 4.3.5 <%.*s> Goes elsewhere: Posthorn has no relay_host, and the "
                    "mail server has not asked the table alias of its maps\r\n",
                    SPAN_ARG(address));
        return false;
    }
    return true;
}

static enum result
all_take(struct lmtp_session *s, const struct lmtp_targets *t, struct fault *f)
{
    enum result r = R_OK;
    if (s->rcpt.targets + t->n > LIMIT_delivery_targets)
        return fault_set(f, FAULT_LIMIT, "more than %d mailboxes in one transaction",
                         LIMIT_delivery_targets);
    for (size_t i = 0; r == R_OK && i < t->n; i++)
        if (!lmtp_is_elsewhere(&t->list[i]))
            r = lmtp_target_takes(s->host, &t->list[i], s->announced, f);
    return r;
}

void
lmtp_recipient_arrived(struct lmtp_session *s, struct lmtp_recipient *r)
{
    struct fault f;
    if (all_take(s, &r->targets, &f) != R_OK) {
        lmtp_say_fault(s, &f, r->address);
        return;
    }
    *s->rcpt.end = r;
    s->rcpt.end = &r->next;
    s->rcpt.count++;
    s->rcpt.targets += r->targets.n;
    lmtp_say(s, 250, "2.1.5", "OK");
}

static void
add_recipient(struct lmtp_session *s, const struct smtp_envelope *e)
{
    struct lmtp_recipient *r = ARENA_NEW(s->arena, struct lmtp_recipient);
    struct fault f;
    if (!read_rcpt_dsn(s, e, r))
        return;
    r->address = arena_dup(s->arena, e->path.address);
    r->original = original_of(s, e);
    enum result found =
        s->host->resolve(s->host->arg, r->address, true, s->arena, &r->targets, &f);
    if (found == R_NONE)
        found = fault_set(&f, FAULT_NONEXISTENT, "no such user");
    if (found != R_OK)
        lmtp_say_fault(s, &f, r->address);
    else if (all_reachable(s, &r->targets, r->address) && !lmtp_session_leaves(s, r))
        lmtp_recipient_arrived(s, r);
}

static void
rcpt(struct lmtp_session *s, struct span args)
{
    static const char *const known[] = {"NOTIFY", "ORCPT", NULL};
    struct smtp_envelope e;
    struct fault f;
    if (!s->has_sender) {
        lmtp_say(s, 503, "5.5.1", "MAIL first");
        return;
    }
    if (s->intake) {  // whose header names the first ones already
        lmtp_say(s, 503, "5.5.1", "BDAT is under way");
        return;
    }
    if (s->rcpt.tries++ >= LIMIT_recipient_tries) {  // somebody guesses names
        lmtp_say(s, 421, "4.7.0", "Too many recipients tried");
        s->quitting = true;
        return;
    }
    if (smtp_envelope_parse(args, "TO", s->scratch, &e, &f) != R_OK || e.path.null) {
        lmtp_say(s, 501, "5.5.4", "Syntax: RCPT TO:<address>");
        return;
    }
    if (!params_known(s, &e, known))
        return;
    if (s->rcpt.count >= LIMIT_recipients) {
        lmtp_say(s, 452, "4.5.3", "Too many recipients");
        return;
    }
    add_recipient(s, &e);
}

static void
data(struct lmtp_session *s, struct span args)
{
    if (args.n > 0)
        lmtp_say(s, 501, "5.5.4", "DATA takes no argument");
    else if (s->intake)
        lmtp_say(s, 503, "5.5.1", "BDAT is under way");
    else if (!s->rcpt.first)  // RFC 2033 section 4.2
        lmtp_say(s, 503, "5.5.1", "No valid recipients");
    else
        lmtp_data(s);
}

static void
rset(struct lmtp_session *s, struct span args)
{
    (void)args;
    lmtp_reset(s);
    lmtp_say(s, 250, "2.0.0", "OK");
}

static void
noop(struct lmtp_session *s, struct span args)
{
    (void)args;
    lmtp_say(s, 250, "2.0.0", "OK");
}

static void
vrfy(struct lmtp_session *s, struct span args)
{
    (void)args;
    lmtp_say(s, 252, "2.5.0", "Try RCPT TO");
}

static void
quit(struct lmtp_session *s, struct span args)
{
    (void)args;
    lmtp_say(s, 221, "2.0.0", "Bye");
    s->quitting = true;
}

static const struct {
    const char *verb;
    command_fn *run;
} rows[] = {
    {"LHLO", lhlo}, {"HELO", helo}, {"EHLO", helo},      {"MAIL", mail},
    {"RCPT", rcpt}, {"DATA", data}, {"BDAT", lmtp_bdat}, {"RSET", rset},
    {"NOOP", noop}, {"VRFY", vrfy}, {"QUIT", quit},
};

static void
unknown(struct lmtp_session *s)
{
    lmtp_say(s, 500, "5.5.2", "Unknown command");
    if (++s->bad < LIMIT_bad_commands)
        return;
    lmtp_say(s, 421, "4.7.0", "Too many bad commands");
    s->quitting = true;
}

void
lmtp_command(struct lmtp_session *s, struct span line)
{
    struct smtp_command c;
    if (!smtp_line_is_clean(line) || smtp_command_parse(line, &c) != R_OK) {
        unknown(s);
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (span_ieq(c.verb, span_str(rows[i].verb))) {
            s->bad = 0;
            rows[i].run(s, c.args);
            return;
        }
    unknown(s);
}
