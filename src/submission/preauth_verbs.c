#include "base/clock.h"
#include "submission/capability.h"
#include "submission/preauth_inside.h"
#include "wire/smtp.h"

// ---- answers ----

void
submission_preauth_say(struct preauth *m, const char *code, const char *text)
{
    struct buf b;
    buf_init(&b, LIMIT_smtp_line);
    buf_printf(&b, "%s %s\r\n", code, text);
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

void
submission_preauth_say_bad(struct preauth *m, const char *code, const char *text)
{
    submission_preauth_say(m, code, text);
    preauth_bad(m);
}

// ---- commands ----

static bool
take_client(struct preauth *m, struct span name)
{
    if (!submission_is_client(name)) {
        submission_preauth_say_bad(m, "501 5.5.4", "Syntax: EHLO hostname");
        return false;
    }
    buf_reset(submission_preauth_client(m));
    buf_put(submission_preauth_client(m), name);
    return true;
}

static void
run_ehlo(struct preauth *m, struct span args)
{
    struct buf b, mechanisms;
    if (!take_client(m, args))
        return;
    buf_init(&b, LIMIT_channel_message);
    buf_init(&mechanisms, LIMIT_channel_message);
    if (preauth_may_log_in(m->facts))
        preauth_put_mechanisms(m->facts, &mechanisms, " ", "");
    submission_capability_put(
        &b, &(struct submission_offer){.hostname = m->facts->hostname,
                                       .size_max = m->facts->message_size_max,
                                       .now_s = clock_wall_s(),
                                       .starttls = preauth_may_start_tls(m->facts),
                                       .mechanisms = buf_span(&mechanisms)});
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
    buf_done(&mechanisms);
}

static void
run_helo(struct preauth *m, struct span args)
{
    if (take_client(m, args))
        submission_preauth_say(m, "250", m->facts->hostname);
}

static void
run_starttls(struct preauth *m, struct span args)
{
    if (args.n > 0) {
        submission_preauth_say_bad(m, "501 5.5.4", "STARTTLS takes no argument");
    } else if (!preauth_may_start_tls(m->facts)) {
        bool active = preauth_is_encrypted(m->facts);
        submission_preauth_say_bad(m, active ? "503 5.5.1" : "454 4.7.0",
                                   active ? "TLS is active already"
                                          : "TLS is not available");
    } else {
        submission_preauth_say(m, "220 2.0.0", "Ready to start TLS");
        preauth_start_tls(m);
    }
}

static void
run_auth(struct preauth *m, struct span args)
{
    struct span rest = args, mechanism;
    if (submission_preauth_client(m)->n == 0)
        submission_preauth_say_bad(m, "503 5.5.1", "Say EHLO first");
    else if (span_next_field(&rest, ' ', &mechanism) != R_OK || mechanism.n == 0)
        submission_preauth_say_bad(m, "501 5.5.4", "Syntax: AUTH mechanism");
    else if (!preauth_may_log_in(m->facts))
        preauth_deny(m, FAULT_PRIVACY);
    else if (preauth_exchange(m, mechanism,
                              span_trim(rest).n > 0 ? span_trim(rest) : SPAN_NONE) != R_OK)
        submission_preauth_say_bad(m, "501 5.5.2", "Invalid base64");
}

static void
run_ok(struct preauth *m, struct span args)
{
    (void)args;
    submission_preauth_say(m, "250 2.0.0", "OK");
}

static void
run_help(struct preauth *m, struct span args)
{
    (void)args;
    submission_preauth_say(m, "214 2.0.0",
                           "Mail submission: EHLO, STARTTLS, AUTH (RFC 6409)");
}

static void
run_quit(struct preauth *m, struct span args)
{
    (void)args;
    submission_preauth_say(m, "221 2.0.0", "Bye");
    preauth_close(m);
}

static void
run_mail(struct preauth *m, struct span args)
{
    (void)args;
    submission_preauth_say_bad(m, "530 5.7.0", "Authentication required");
}

// The octets of a chunk would be read as commands.
static void
run_chunk(struct preauth *m, struct span args)
{
    (void)args;
    submission_preauth_say(m, "530 5.7.0", "Authentication required");
    preauth_close(m);
}

static const struct {
    const char *name;
    void (*run)(struct preauth *m, struct span args);
} verbs[] = {
    {"EHLO", run_ehlo}, {"HELO", run_helo}, {"STARTTLS", run_starttls}, {"AUTH", run_auth},
    {"NOOP", run_ok},   {"RSET", run_ok},   {"HELP", run_help},         {"QUIT", run_quit},
    {"MAIL", run_mail}, {"RCPT", run_mail}, {"DATA", run_mail},         {"VRFY", run_mail},
    {"EXPN", run_mail}, {"BURL", run_mail}, {"BDAT", run_chunk},
};

void
submission_preauth_dispatch(struct preauth *m, struct span line)
{
    struct smtp_command c;
    if (!smtp_line_is_clean(line) || smtp_command_parse(line, &c) != R_OK) {
        submission_preauth_say_bad(m, "500 5.5.2", "Not a command");
        return;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (span_ieq(c.verb, span_str(verbs[i].name))) {
            verbs[i].run(m, c.args);
            return;
        }
    submission_preauth_say_bad(m, "500 5.5.2", "Unknown command");
}
