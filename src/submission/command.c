#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "mail/smtp_text.h"
#include "submission/capability.h"
#include "submission/inside.h"

// RFC 5321 section 4.1, RFC 6409.

static void
say_answer(struct submission_session *s, const struct submission_answer *a)
{
    submission_say(s, a->code, a->enhanced, a->text);
}

static struct submission_limits
limits_of(const struct submission_session *s)
{
    return (struct submission_limits){mail_size_max(s->host.mail), clock_wall_s(),
                                      s->host.domain};
}

// ---- the session ----

static bool
take_client(struct submission_session *s, struct span name)
{
    if (!submission_is_client(name)) {
        submission_say(s, 501, "5.5.4", "Syntax: EHLO hostname");
        return false;
    }
    submission_reset(s);
    buf_reset(&s->client);
    buf_put(&s->client, name);
    return true;
}

static void
run_ehlo(struct submission_session *s, struct span args)
{
    struct buf b;
    if (!take_client(s, args))
        return;
    buf_init(&b, LIMIT_channel_message);
    submission_capability_put(
        &b, &(struct submission_offer){.hostname = s->host.hostname,
                                       .size_max = mail_size_max(s->host.mail),
                                       .now_s = clock_wall_s(),
                                       .own_urls = s->host.own_urls,
                                       .mechanisms = SPAN("")});
    conn_write(s->conn, buf_span(&b));
    buf_done(&b);
}

static void
run_helo(struct submission_session *s, struct span args)
{
    if (take_client(s, args))
        conn_printf(s->conn, "250 %s\r\n", s->host.hostname);
}

// RFC 4954 section 4: once; and TLS was to be before it.
static void
run_too_late(struct submission_session *s, struct span args)
{
    (void)args;
    submission_say(s, 503, "5.5.1", "Not after login");
}

static void
run_rset(struct submission_session *s, struct span args)
{
    (void)args;
    submission_reset(s);
    submission_say(s, 250, "2.0.0", "OK");
}

static void
run_noop(struct submission_session *s, struct span args)
{
    (void)args;
    submission_say(s, 250, "2.0.0", "OK");
}

static void
run_vrfy(struct submission_session *s, struct span args)
{
    if (args.n == 0)
        submission_say(s, 501, "5.5.4", "Syntax: VRFY address");
    else
        submission_say(s, 252, "2.5.0", "Try RCPT TO");
}

static void
run_expn(struct submission_session *s, struct span args)
{
    (void)args;
    submission_say(s, 502, "5.5.1", "Lists are not told");
}

static void
run_help(struct submission_session *s, struct span args)
{
    (void)args;
    submission_say(s, 214, "2.0.0", "EHLO, MAIL, RCPT, DATA, BDAT, BURL, RSET, NOOP, QUIT");
}

static void
run_quit(struct submission_session *s, struct span args)
{
    (void)args;
    submission_say(s, 221, "2.0.0", "Bye");
    s->ending = "Logged out";
}

// ---- MAIL ----

static void
refuse_sender(struct submission_session *s, struct span from)
{
    log_info("submission", "Refused", field_text("from", "from=<%>", from),
             log_user(mail_user_name(s->user)), log_session(s->id),
             log_why("not an address of this user"));
    submission_say(s, 553, "5.7.1", "Sender address rejected: not owned by this user");
}

// May there be a transaction at all?
static bool
may_begin(struct submission_session *s)
{
    struct fault f;
    if (s->mail.there)
        submission_say(s, 503, "5.5.1", "Sender already given");
    else if (s->host.read_only)
        submission_say(s, 550, "5.7.1", "This password may only read");
    else if (!relay_is_set())
        submission_say(s, 451, "4.3.5",
                       "This server has no smarthost (relay_host): nothing can be sent");
    else if (s->host.may_go_on(s->host.arg, 1, false, &f) != R_OK)
        submission_say_fault(s, &f);
    else
        return true;
    return false;
}

// RFC 6409 section 3.2: <> is for everybody; notices of reading (RFC 8098) have it.
static void
run_mail(struct submission_session *s, struct span args)
{
    struct submission_limits l = limits_of(s);
    struct submission_answer why;
    struct relay_envelope e;
    struct fault f;
    if (!may_begin(s))
        return;
    if (submission_mail_read(args, &l, s->arena, &e, &why) != R_OK) {
        say_answer(s, &why);
        return;
    }
    enum result r = e.from.n == 0 ? R_OK : s->host.may_send(s->host.arg, e.from, &f);
    if (r == R_FAIL) {
        submission_say_fault(s, &f);
    } else if (r == R_NONE) {
        refuse_sender(s, e.from);
    } else {
        s->mail.envelope = e;
        s->mail.there = true;
        submission_say(s, 250, "2.1.0", "OK");
    }
}

// ---- RCPT ----

// RFC 6409 section 4.2: only whole names of domains leave.
static enum result
check_domain(struct submission_session *s, struct span domain, struct fault *f)
{
    if (span_find_char(domain, '.') < domain.n || domain.p[0] == '[')
        return R_OK;
    return s->host.is_local(s->host.arg, domain, f);
}

static bool
is_reachable(struct submission_session *s, const struct submission_rcpt *r)
{
    struct fault f;
    enum result whole = check_domain(s, r->path.domain, &f);
    enum result there =
        whole == R_OK ? s->host.is_somebody(s->host.arg, r->to.address, &f) : R_OK;
    if (whole == R_FAIL || there == R_FAIL)
        submission_say_fault(s, &f);
    else if (whole == R_NONE)
        submission_say(s, 550, "5.1.2", "The domain is not a whole name");
    else if (there == R_NONE)
        submission_say(s, 550, "5.1.1", "No such user here");
    return whole == R_OK && there == R_OK;
}

static void
add_recipient(struct submission_session *s, const struct submission_rcpt *r)
{
    struct submission_to *to = ARENA_NEW(s->arena, struct submission_to);
    to->to = r->to;
    *s->mail.end = to;
    s->mail.end = &to->next;
    s->mail.count++;
    submission_say(s, 250, "2.1.5", "OK");
}

static void
run_rcpt(struct submission_session *s, struct span args)
{
    struct submission_limits l = limits_of(s);
    struct submission_answer why;
    struct submission_rcpt r;
    struct fault f;
    if (!s->mail.there || s->mail.text) {
        submission_say(s, 503, "5.5.1",
                       s->mail.text ? "The text is under way" : "MAIL first");
    } else if (s->mail.tries++ >= LIMIT_recipient_tries) {
        submission_say(s, 421, "4.7.0", "Too many recipients tried");
        s->ending = "Too many recipients tried";
    } else if (s->mail.count >= LIMIT_submission_recipients) {
        submission_say(s, 452, "4.5.3", "Too many recipients");
    } else if (submission_rcpt_read(args, &l, s->mail.envelope.smtputf8, s->arena, &r,
                                    &why) != R_OK) {
        say_answer(s, &why);
    } else if (s->host.may_go_on(s->host.arg, s->mail.count + 1, false, &f) != R_OK) {
        submission_say_fault(s, &f);
    } else if (is_reachable(s, &r)) {
        add_recipient(s, &r);
    }
}

// ---- the text ----

// The client is gone, or says nothing (RFC 5321 section 4.5.3.2.5), or the server ends: then it is told so behind this.
static void
give_up(struct submission_session *s)
{
    submission_reset(s);
    if (s->draining)
        return;
    bool gone = conn_eof(s->conn);
    if (!gone)
        submission_say(s, 421, "4.4.2", "No text for too long");
    s->ending = gone ? "Connection closed in a mail" : "Inactivity in a mail";
}

static uint32_t
patience(const struct submission_session *s)
{
    return s->host.idle_ms;
}

static void
run_data(struct submission_session *s, struct span args)
{
    if (args.n > 0) {
        submission_say(s, 501, "5.5.4", "DATA takes no argument");
    } else if (s->mail.text) {
        submission_say(s, 503, "5.5.1", "The text is under way");
    } else if (s->mail.count == 0) {
        submission_say(s, s->mail.there ? 554 : 503, "5.5.1", "No valid recipients");
    } else if (s->mail.envelope.body == RELAY_BODY_BINARYMIME) {  // RFC 3030 section 3
        submission_say(s, 503, "5.5.1", "BINARYMIME needs BDAT");
    } else {
        s->mail.text = submission_text_new(s);
        conn_write_str(s->conn, "354 Go ahead, end with CRLF.CRLF\r\n");
        if (smtp_text_data(s->conn, patience(s), submission_text_take, s->mail.text) !=
            R_OK) {
            give_up(s);
            return;
        }
        submission_text_finish(s->mail.text);
        submission_reset(s);
    }
}

static void
take_chunk(struct submission_session *s, uint64_t size, bool last)
{
    bool good = s->mail.count > 0;
    if (good && !s->mail.text)
        s->mail.text = submission_text_new(s);
    if (smtp_text_chunk(s->conn, size, patience(s), good ? submission_text_take : NULL,
                        s->mail.text) != R_OK) {
        give_up(s);
    } else if (!good) {
        submission_say(s, 503, "5.5.1", "No valid recipients");
    } else if (!last) {
        conn_printf(s->conn, "250 2.0.0 %llu octets received\r\n",
                    (unsigned long long)size);
    } else {
        submission_text_finish(s->mail.text);
        submission_reset(s);
    }
}

static void
run_bdat(struct submission_session *s, struct span args)
{
    uint64_t size;
    bool last;
    if (smtp_chunk_parse(args, &size, &last) == R_OK) {
        take_chunk(s, size, last);
        return;
    }
    submission_say(s, 501, "5.5.4", "Syntax: BDAT size [LAST]");
    s->ending = "Malformed BDAT";  // there is no telling where the next command begins
}

static const struct {
    const char *name;
    void (*run)(struct submission_session *s, struct span args);
} verbs[] = {
    {"MAIL", run_mail},     {"RCPT", run_rcpt},         {"DATA", run_data},
    {"BDAT", run_bdat},     {"RSET", run_rset},         {"NOOP", run_noop},
    {"QUIT", run_quit},     {"EHLO", run_ehlo},         {"HELO", run_helo},
    {"VRFY", run_vrfy},     {"EXPN", run_expn},         {"HELP", run_help},
    {"AUTH", run_too_late}, {"STARTTLS", run_too_late}, {"BURL", submission_burl},
};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

static void
unknown(struct submission_session *s)
{
    submission_say(s, 500, "5.5.2", "Unknown command");
    if (++s->bad < LIMIT_bad_commands)
        return;
    submission_say(s, 421, "4.7.0", "Too many bad commands");
    s->ending = "Too many bad commands";
}

// VERBS: none.
static size_t
find(struct span verb)
{
    size_t i = 0;
    while (i < VERBS && !span_ieq(verb, span_str(verbs[i].name)))
        i++;
    return i;
}

bool
submission_may_be_shown(struct span line)
{
    struct smtp_command c;
    return smtp_command_parse(line, &c) == R_OK && find(c.verb) < VERBS &&
           !span_ieq(c.verb, SPAN("AUTH"));
}

void
submission_command(struct submission_session *s, struct span line)
{
    struct smtp_command c;
    size_t i = VERBS;
    if (smtp_line_is_clean(line) && smtp_command_parse(line, &c) == R_OK)
        i = find(c.verb);
    if (i == VERBS) {
        unknown(s);
        return;
    }
    s->bad = 0;
    verbs[i].run(s, c.args);
}
