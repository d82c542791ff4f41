#include "pop3/capability.h"
#include "pop3/preauth_inside.h"
#include "base/utf8.h"

enum { REPLY_MAX = 512 };  // RFC 2449 section 4

// Answers.

void
pop3_preauth_say(struct preauth *m, bool ok, const char *code, const char *text)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    pop3_reply_put(&b, pop3_preauth_of(m)->language, ok, code, text);
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

void
pop3_preauth_say_bad(struct preauth *m, const char *text)
{
    pop3_preauth_say(m, false, "", text);
    preauth_bad(m);
}

// Capabilities.

void
pop3_preauth_offer(struct preauth *m)
{
    struct buf *b = &pop3_preauth_of(m)->offered;
    buf_reset(b);
    if (preauth_may_start_tls(m->facts))
        buf_put_str(b, "STLS\r\n");
    if (!preauth_may_log_in(m->facts))
        return;
    buf_put_str(b, "USER\r\nSASL");
    preauth_put_mechanisms(m->facts, b, " ", "");
    buf_put_str(b, "\r\n");
}

static void
run_capa(struct preauth *m, struct span argument)
{
    struct pop3_capability c = {.before_login = true,
                                .expire_days = m->facts->expire_days,
                                .login_delay_s = m->facts->login_delay_s};
    struct buf b;
    if (argument.n > 0) {
        pop3_preauth_say_bad(m, "Invalid arguments");
        return;
    }
    pop3_preauth_offer(m);
    buf_init(&b, LIMIT_channel_message);
    pop3_reply_put(&b, pop3_preauth_of(m)->language, true, "", "Capability list follows");
    pop3_capability_put(&b, &c);
    buf_put(&b, buf_span(&pop3_preauth_of(m)->offered));
    buf_put_str(&b, ".\r\n");
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

// Commands.

static void
run_quit(struct preauth *m, struct span argument)
{
    (void)argument;
    pop3_preauth_say(m, true, "", "Logging out");
    preauth_close(m);
}

static void
run_stls(struct preauth *m, struct span argument)
{
    if (argument.n > 0) {
        pop3_preauth_say_bad(m, "Invalid arguments");
    } else if (pop3_preauth_of(m)->mode & POP3_UTF8) {  // RFC 6856 section 2.1
        pop3_preauth_say_bad(m, "STLS comes before UTF8");
    } else if (!preauth_may_start_tls(m->facts)) {
        pop3_preauth_say_bad(m, preauth_is_encrypted(m->facts) ? "TLS is active already"
                                                               : "TLS is not available");
    } else {
        pop3_preauth_say(m, true, "", "Begin TLS negotiation now");
        preauth_start_tls(m);
    }
}

static void
run_utf8(struct preauth *m, struct span argument)
{
    if (argument.n > 0) {
        pop3_preauth_say_bad(m, "Invalid arguments");
        return;
    }
    pop3_preauth_of(m)->mode |= POP3_UTF8;
    pop3_preauth_say(m, true, "", "UTF8 enabled");
}

static void
run_lang(struct preauth *m, struct span argument)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    pop3_language_run(&b, argument, &pop3_preauth_of(m)->language);
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

// The answer says nothing of the user. A password is not to be sent where it would be refused.
static void
run_user(struct preauth *m, struct span argument)
{
    buf_reset(&pop3_preauth_of(m)->user);
    if (argument.n == 0) {
        pop3_preauth_say_bad(m, "Invalid arguments");
    } else if (!utf8_valid(argument)) {
        pop3_preauth_say_bad(m, "Not UTF-8");
    } else if (!preauth_may_log_in(m->facts)) {
        preauth_deny(m, FAULT_PRIVACY);
    } else {
        buf_put(&pop3_preauth_of(m)->user, argument);
        pop3_preauth_say(m, true, "", "Name is a string");
    }
}

// Spaces belong to the password.
static void
run_pass(struct preauth *m, struct span argument)
{
    struct span user = buf_span(&pop3_preauth_of(m)->user);
    if (user.n == 0) {
        pop3_preauth_say_bad(m, "USER first");
    } else if (argument.n == 0) {
        pop3_preauth_say_bad(m, "Invalid arguments");
    } else if (!utf8_valid(argument)) {
        pop3_preauth_say_bad(m, "Not UTF-8");
    } else if (!preauth_may_log_in(m->facts)) {
        preauth_deny(m, FAULT_PRIVACY);
    } else {
        preauth_login(m, user, argument);
    }
    buf_reset(&pop3_preauth_of(m)->user);
}

static void
run_apop(struct preauth *m, struct span argument)
{
    (void)argument;
    pop3_preauth_say_bad(m, "APOP is not offered: it needs passwords kept in the clear");
}

// AUTH alone, as clients from before RFC 5034 ask.
static void
list_mechanisms(struct preauth *m)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    pop3_reply_put(&b, pop3_preauth_of(m)->language, true, "", "Mechanisms follow");
    if (preauth_may_log_in(m->facts))
        preauth_put_mechanisms(m->facts, &b, "", "\r\n");
    buf_put_str(&b, ".\r\n");
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

// QUIRKS.md, Outlook: a blank behind the mechanism.
static void
run_auth(struct preauth *m, struct span argument)
{
    struct span rest = span_trim(argument), mechanism;
    if (span_next_field(&rest, ' ', &mechanism) != R_OK || mechanism.n == 0)
        list_mechanisms(m);
    else if (!preauth_may_log_in(m->facts))
        preauth_deny(m, FAULT_PRIVACY);
    else if (preauth_exchange(m, mechanism, rest.n > 0 ? rest : SPAN_NONE) != R_OK)
        pop3_preauth_say_bad(m, "Invalid base64");
}

static const struct {
    const char *name;
    bool whole;  // blanks at the end belong to the argument
    void (*run)(struct preauth *m, struct span argument);
} verbs[] = {
    {"CAPA", false, run_capa}, {"QUIT", false, run_quit}, {"STLS", false, run_stls},
    {"UTF8", false, run_utf8}, {"LANG", false, run_lang}, {"USER", false, run_user},
    {"PASS", true, run_pass},  {"APOP", true, run_apop},  {"AUTH", false, run_auth},
};

static bool
is_clean(struct span line)
{
    for (size_t i = 0; i < line.n; i++)
        if ((unsigned char)line.p[i] < ' ' || line.p[i] == 0x7F)
            return false;
    return true;
}

void
pop3_preauth_dispatch(struct preauth *m, struct span line)
{
    size_t at = span_find_char(line, ' ');
    struct span verb = span_slice(line, 0, at), argument = span_skip(line, at + 1);
    for (size_t i = 0; is_clean(line) && i < sizeof verbs / sizeof verbs[0]; i++) {
        if (span_ieq(verb, span_str(verbs[i].name))) {
            verbs[i].run(m, verbs[i].whole ? argument : span_trim(argument));
            return;
        }
    }
    pop3_preauth_say_bad(m, "Unknown command, or not before login");
}
