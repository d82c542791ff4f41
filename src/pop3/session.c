#include "pop3/inside.h"
#include "pop3/preauth.h"
#include "base/audit.h"
#include "base/clock.h"
#include "base/limits.h"
#include "io/task.h"
#include <utlist.h>

enum { INPUT_MAX = 16384 };  // read ahead of clients that pipeline

static _Thread_local struct pop3_session *sessions;

// ---- who looks on ----

static void
on_output(void *arg, struct span text)
{
    const struct pop3_session *s = arg;
    s->recorder->put(s->recorder->arg, false, text);
}

static void
record(void *session, const struct served_recorder *r)
{
    struct pop3_session *s = session;
    s->recorder = r;
    conn_tap(s->conn, r ? on_output : NULL, s);
}

// ---- the end ----

static void
log_end(const struct pop3_session *s)
{
    log_audit(
        LOGOUT, "pop3", "Disconnected",
        field_str("reason", ": %", s->ending ? s->ending : "Connection closed"),
        log_user(mail_user_name(s->user)), log_session(s->id),
        field_number("retrieved", "retr=%", s->fetched),
        field_number("deleted", "del=%", maildrop_last(s->drop) - maildrop_count(s->drop)),
        field_number("in", "in=%", conn_octets_in(s->conn)),
        field_number("out", "out=%", conn_octets_out(s->conn)));
    if (s->gone > 0)
        log_audit(EXPUNGED, "pop3", "expunged", log_user(mail_user_name(s->user)),
                  log_session(s->id), field_str("command", "command=%", "QUIT"),
                  field_number("messages", "messages=%", s->gone),
                  field_text("owner", "owner=<%>", mail_user_name(s->user)),
                  field_str("mailbox", "mailbox=<%>", "INBOX"));
}

static void
session_free(struct pop3_session *s)
{
    struct conn *conn = s->conn;
    log_end(s);
    record(s, NULL);
    if (s->host.ended)
        s->host.ended(s->host.arg);
    DL_DELETE(sessions, s);
    timer_clear(&s->timer);
    pop3_ahead_drop(&s->ahead);
    maildrop_close(&s->drop);
    mail_user_close(&s->user);
    free(s->offered);
    free(s);
    conn_finish(&conn);
}

void
pop3_see(struct pop3_session *s)
{
    struct fault f;
    if (maildrop_see(s->drop, &f) != R_OK)
        log_line(fault_info(f.kind)->level, "pop3", "\\Seen is not kept",
                 log_session(s->id), log_fault(&f));
}

// Without QUIT nothing is deleted, but what was read was read.
static void
abandon(void *arg)
{
    struct pop3_session *s = arg;
    pop3_see(s);
    session_free(s);
}

static void
session_end(struct pop3_session *s)
{
    timer_clear(&s->timer);
    if (maildrop_has_seen(s->drop)) {
        s->busy = true;
        task_start_for(account_id(mail_user_account(s->user)), abandon, s);
    } else {
        session_free(s);
    }
}

// ---- commands ----

static void
show(struct pop3_session *s, struct span line)
{
    char hidden[64];
    if (!s->recorder)
        return;
    snprintf(hidden, sizeof hidden, "[%zu octets hidden]", line.n);
    s->recorder->put(s->recorder->arg, true, pop3_is_known(line) ? line : span_str(hidden));
    s->recorder->put(s->recorder->arg, true, SPAN("\r\n"));
}

static bool
is_over(const struct pop3_session *s)
{
    return s->ending || conn_failed(s->conn);
}

// What has come of a line that is too long goes, up to its end: then it is answered, in whatever pieces it came. One that has no
// end ends the session. False: its end is still to come.
static bool
pass_over(struct pop3_session *s, size_t n, bool whole)
{
    s->passed_over += n;
    conn_consume(s->conn, n + whole);
    if (!whole && s->passed_over <= LIMIT_pop3_endless)
        return false;
    s->ending = s->passed_over > LIMIT_pop3_endless ? "Line too long" : s->ending;
    s->passed_over = 0;
    pop3_say(s, false, "", "Line too long");
    return true;
}

// Takes the next line off the input; *out SPAN_NONE: it was too long, and that was said. False: there is none.
static bool
take_line(struct pop3_session *s, char line[LIMIT_pop3_line], struct span *out)
{
    struct span in = conn_input(s->conn);
    size_t n = span_find_char(in, '\n');
    bool whole = n < in.n;
    *out = SPAN_NONE;
    if (s->passed_over > 0 || n >= LIMIT_pop3_line)
        return pass_over(s, n, whole);
    if (!whole)
        return false;
    memcpy(line, in.p, n);
    conn_consume(s->conn, n + 1);
    *out = span_of(line, n);
    if (span_ends(*out, SPAN("\r")))
        out->n--;
    return true;
}

static void
run_line(struct pop3_session *s, struct span line)
{
    struct account *a = mail_user_account(s->user);
    struct fault f;
    if (!line.p)
        return;
    show(s, line);
    if (account_command_begin(a, &f) != R_OK) {
        pop3_say_fault(s, &f);
        return;
    }
    pop3_command(s, line);
    account_command_end(a);
}

static void
rest(struct pop3_session *s)
{
    s->busy = false;
    if (s->draining && !s->ending) {
        pop3_say(s, false, "SYS/TEMP", "Server is shutting down");
        s->ending = "Server shutting down";
    }
    if (is_over(s) || conn_eof(s->conn)) {
        session_end(s);
        return;
    }
    timer_set(&s->timer, s->host.idle_ms);
    conn_read_resume(s->conn);
}

static void
run(void *arg)
{
    struct pop3_session *s = arg;
    char text[LIMIT_pop3_line];
    struct span line;
    conn_read_pause(s->conn);
    while (!is_over(s) && !s->draining && take_line(s, text, &line)) {
        run_line(s, line);
        task_yield();
    }
    if (!is_over(s) && !s->draining)
        pop3_ahead_read(s);
    rest(s);
}

static void
start(struct pop3_session *s)
{
    s->busy = true;
    timer_clear(&s->timer);
    task_start_for(account_id(mail_user_account(s->user)), run, s);
}

static void
on_input(struct conn *c, void *arg)
{
    struct pop3_session *s = arg;
    struct span in = conn_input(c);
    s->input_ms = clock_mono_ms();
    if (s->busy)
        return;
    if (span_find_char(in, '\n') < in.n || in.n > LIMIT_pop3_line)
        start(s);
    else if (conn_eof(c))
        session_end(s);
}

// RFC 1939 section 3: the session ends without the UPDATE state.
static void
on_silence(void *arg)
{
    struct pop3_session *s = arg;
    pop3_say(s, false, "", "No command for too long");
    s->ending = "Inactivity";
    session_end(s);
}

static void
facts(const void *session, struct served_facts *out)
{
    const struct pop3_session *s = session;
    *out = (struct served_facts){.client = SPAN(""),
                                 .mailbox = SPAN("INBOX"),
                                 .silent_ms = clock_mono_ms() - s->input_ms,
                                 .octets_in = conn_octets_in(s->conn),
                                 .octets_out = conn_octets_out(s->conn)};
}

const struct served_ops pop3_served = {facts, record};

void
pop3_session_drain(void)
{
    struct pop3_session *s, *next;
    DL_FOREACH_SAFE(sessions, s, next)
    {
        s->draining = true;
        if (!s->busy)
            rest(s);
    }
}

// ---- the beginning ----

static enum language
language_of(const struct handover *h)
{
    return h->language < LANGUAGES ? (enum language)h->language : LANGUAGE_DEFAULT;
}

// RFC 3206: whether the client is to ask its user for another password.
void
pop3_refuse(struct conn *conn, const struct handover *h, const struct fault *f)
{
    const char *code = fault_info(f->kind)->pop3_code;
    const char *text = f->kind == FAULT_INUSE ? "Another POP3 session has the mailbox"
                       : f->kind == FAULT_TOOSOON
                           ? "The last login was too short a time ago"
                           : "Your mail cannot be opened now";
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    pop3_reply_put(&b, language_of(h), false, code[0] != '\0' ? code : "SYS/TEMP", text);
    conn_write(conn, buf_span(&b));
    buf_done(&b);
}

static struct pop3_session *
session_new(struct conn *conn, struct mail_user *user, const struct handover *h,
            const struct pop3_host *host)
{
    struct pop3_session *s = calloc(1, sizeof *s);
    must(s != NULL);
    *s = (struct pop3_session){.conn = conn,
                               .user = user,
                               .host = *host,
                               .language = language_of(h),
                               .utf8 = h->mode & POP3_UTF8,
                               .busy = true,
                               .input_ms = clock_mono_ms(),
                               .id = h->session};
    if (s->host.idle_ms == 0)
        s->host.idle_ms = LIMIT_pop3_idle_ms;
    s->offered = strndup(h->offered.p ? h->offered.p : "", h->offered.n);
    must(s->offered != NULL);
    return s;
}

void
pop3_session_start(struct conn *conn, struct mail_user *user, const struct handover *h,
                   const struct pop3_host *host)
{
    struct maildrop *drop;
    struct fault f;
    if (maildrop_open(user, &host->policy, &drop, &f) != R_OK) {
        log_audit_line('w', LOGIN_REFUSED, "pop3", "a login is refused",
                       log_user(mail_user_name(user)), log_session(h->session),
                       log_fault(&f));
        pop3_refuse(conn, h, &f);
        mail_user_close(&user);
        conn_finish(&conn);
        return;
    }
    struct pop3_session *s = session_new(conn, user, h, host);
    s->drop = drop;
    DL_APPEND(sessions, s);
    timer_init(&s->timer, on_silence, s);
    pop3_ahead_init(&s->ahead);
    conn_handler(conn, on_input, s);
    conn_unread(conn, h->unread);
    conn_input_max(conn, INPUT_MAX);
    if (host->started)
        host->started(host->arg, s);
    pop3_say(s, true, "", "Logged in");
    rest(s);
}
