#include "pop3/capability.h"
#include "pop3/preauth_inside.h"
#include "base/utf8.h"
#include "wire/base64.h"

enum { REPLY_MAX = 512 };  // RFC 2449 section 4

// Answers.

void
pop3_preauth_say(struct preauth *m, bool ok, const char *code, const char *text)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    pop3_reply_put(&b, m->language, ok, code, text);
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

void
pop3_preauth_finish(struct preauth *m)
{
    m->state = PREAUTH_CLOSED;
    m->ops->close_after_output(m->gate);
}

static void
count_bad(struct preauth *m)
{
    if (++m->bad < LIMIT_bad_preauth)
        return;
    pop3_preauth_say(m, false, "", "Too many bad commands");
    pop3_preauth_finish(m);
}

void
pop3_preauth_say_bad(struct preauth *m, const char *text)
{
    pop3_preauth_say(m, false, "", text);
    count_bad(m);
}

static const struct fault_words refusals[] = {
#define PREAUTH_REPLY(kind, code, text) {FAULT_##kind, code, text},
#include "pop3/preauth_reply.def"
#undef PREAUTH_REPLY
};
void
pop3_preauth_refuse(struct preauth *m, enum fault_kind kind)
{
    const struct fault_words *w =
        fault_words_of(refusals, sizeof refusals / sizeof refusals[0], kind);
    m->state = PREAUTH_READING;
    pop3_preauth_say(m, false, w->code, w->text);
    if (w->kind == FAULT_BAD)
        count_bad(m);
}

// Capabilities.

void
pop3_preauth_offer(struct preauth *m)
{
    struct buf *b = &m->offered;
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
    pop3_reply_put(&b, m->language, true, "", "Capability list follows");
    pop3_capability_put(&b, &c);
    buf_put(&b, buf_span(&m->offered));
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
    pop3_preauth_finish(m);
}

static void
run_stls(struct preauth *m, struct span argument)
{
    if (argument.n > 0) {
        pop3_preauth_say_bad(m, "Invalid arguments");
    } else if (m->mode & POP3_UTF8) {  // RFC 6856 section 2.1
        pop3_preauth_say_bad(m, "STLS comes before UTF8");
    } else if (!preauth_may_start_tls(m->facts)) {
        pop3_preauth_say_bad(m, preauth_is_encrypted(m->facts) ? "TLS is active already"
                                                               : "TLS is not available");
    } else {
        pop3_preauth_say(m, true, "", "Begin TLS negotiation now");
        m->state = PREAUTH_WAITING;
        m->ops->start_tls(m->gate);
    }
}

static void
run_utf8(struct preauth *m, struct span argument)
{
    if (argument.n > 0) {
        pop3_preauth_say_bad(m, "Invalid arguments");
        return;
    }
    m->mode |= POP3_UTF8;
    pop3_preauth_say(m, true, "", "UTF8 enabled");
}

static void
run_lang(struct preauth *m, struct span argument)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    pop3_language_run(&b, argument, &m->language);
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

// The answer says nothing of the user. A password is not to be sent where it would be refused.
static void
run_user(struct preauth *m, struct span argument)
{
    buf_reset(&m->user);
    if (argument.n == 0) {
        pop3_preauth_say_bad(m, "Invalid arguments");
    } else if (!utf8_valid(argument)) {
        pop3_preauth_say_bad(m, "Not UTF-8");
    } else if (!preauth_may_log_in(m->facts)) {
        pop3_preauth_refuse(m, FAULT_PRIVACY);
    } else {
        buf_put(&m->user, argument);
        pop3_preauth_say(m, true, "", "Name is a string");
    }
}

// Spaces belong to the password.
static void
run_pass(struct preauth *m, struct span argument)
{
    struct auth_start start = {.user = buf_span(&m->user), .password = argument};
    if (start.user.n == 0) {
        pop3_preauth_say_bad(m, "USER first");
    } else if (argument.n == 0) {
        pop3_preauth_say_bad(m, "Invalid arguments");
    } else if (!utf8_valid(argument)) {
        pop3_preauth_say_bad(m, "Not UTF-8");
    } else if (!preauth_may_log_in(m->facts)) {
        pop3_preauth_refuse(m, FAULT_PRIVACY);
    } else {
        m->state = PREAUTH_WAITING;
        m->is_pass = true;
        m->ops->authenticate(m->gate, &start);
    }
    buf_reset(&m->user);
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
    pop3_reply_put(&b, m->language, true, "", "Mechanisms follow");
    if (preauth_may_log_in(m->facts))
        preauth_put_mechanisms(m->facts, &b, "", "\r\n");
    buf_put_str(&b, ".\r\n");
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

static void
start_exchange(struct preauth *m, struct span mechanism, struct span initial)
{
    struct buf decoded;
    buf_init(&decoded, LIMIT_sasl_response);
    if (initial.p && base64_decode_word(initial, &decoded)) {
        pop3_preauth_say_bad(m, "Invalid base64");
    } else {
        struct auth_start start = {.mechanism = mechanism,
                                   .has_initial = initial.p != NULL,
                                   .initial = buf_span(&decoded)};
        m->state = PREAUTH_WAITING;
        m->is_pass = false;
        m->ops->authenticate(m->gate, &start);
    }
    buf_wipe(&decoded);
}

// QUIRKS.md, Outlook: a blank behind the mechanism.
static void
run_auth(struct preauth *m, struct span argument)
{
    struct span rest = span_trim(argument), mechanism;
    if (span_next_field(&rest, ' ', &mechanism) != R_OK || mechanism.n == 0)
        list_mechanisms(m);
    else if (!preauth_may_log_in(m->facts))
        pop3_preauth_refuse(m, FAULT_PRIVACY);
    else
        start_exchange(m, mechanism, rest.n > 0 ? rest : SPAN_NONE);
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
