#include "base/audit.h"
#include "base/clock.h"
#include "base/limits.h"
#include "io/task.h"
#include "submission/inside.h"
#include "wire/url.h"

#include <utlist.h>

enum { INPUT_MAX = 65536 };
// BURL takes every URL that GENURLAUTH gives (RFC 4468): its longest line.
enum { BURL_LINE = LIMIT_url + sizeof "BURL  LAST\r\n" - 1 };

static _Thread_local struct submission_session *sessions;

// ---- answers ----

void
submission_say(struct submission_session *s, int code, const char *enhanced,
               const char *text)
{
    conn_printf(s->conn, "%d %s %s\r\n", code, enhanced, text);
}

void
submission_say_fault(struct submission_session *s, const struct fault *f)
{
    const struct fault_info *info = fault_info(f->kind);
    log_line(info->level, "submission", "Refused", log_session(s->id), log_fault(f));
    if (f->kind == FAULT_TOOSOON)
        submission_say(s, 450, "4.7.1", f->why);
    else
        submission_say(s, info->smtp_code, info->smtp_enhanced,
                       "Temporary failure, try again later");
}

void
submission_reset(struct submission_session *s)
{
    submission_text_free(&s->mail.text);
    arena_reset(s->arena);
    s->mail.there = false;
    s->mail.first = NULL;
    s->mail.end = &s->mail.first;
    s->mail.count = s->mail.tries = s->mail.urls = 0;
}

// ---- who looks on ----

static void
on_output(void *arg, struct span text)
{
    const struct submission_session *s = arg;
    s->recorder->put(s->recorder->arg, false, text);
}

static void
record(void *session, const struct served_recorder *r)
{
    struct submission_session *s = session;
    s->recorder = r;
    conn_tap(s->conn, r ? on_output : NULL, s);
}

static void
facts(const void *session, struct served_facts *out)
{
    const struct submission_session *s = session;
    *out = (struct served_facts){.client = buf_span(&s->client),
                                 .mailbox = SPAN(""),
                                 .silent_ms = clock_mono_ms() - s->input_ms,
                                 .octets_in = conn_octets_in(s->conn),
                                 .octets_out = conn_octets_out(s->conn)};
}

const struct served_ops submission_served = {facts, record};

// ---- the end ----

static void
session_free(struct submission_session *s)
{
    struct conn *conn = s->conn;
    log_audit(LOGOUT, "submission", "Disconnected",
              field_str("reason", ": %", s->ending ? s->ending : "Connection closed"),
              log_user(mail_user_name(s->user)), log_session(s->id),
              field_number("sent", "sent=%", s->sent),
              field_number("recipients", "recipients=%", s->recipients),
              field_number("in", "in=%", conn_octets_in(conn)),
              field_number("out", "out=%", conn_octets_out(conn)));
    submission_reset(s);
    record(s, NULL);
    if (s->host.ended)
        s->host.ended(s->host.arg);
    DL_DELETE(sessions, s);
    timer_clear(&s->timer);
    mail_user_close(&s->user);
    arena_free(&s->arena);
    buf_done(&s->client);
    free(s->hostname);
    free(s->domain);
    free(s);
    conn_finish(&conn);
}

// ---- commands ----

static bool
is_over(const struct submission_session *s)
{
    return s->ending || conn_failed(s->conn);
}

static void
show(struct submission_session *s, struct span line)
{
    struct buf b;
    if (!s->recorder)
        return;
    buf_init(&b, BURL_LINE * 2);
    if (submission_may_be_shown(line))
        url_put_masked(&b, line);
    else
        buf_printf(&b, "[%zu octets hidden]\r\n", line.n);
    s->recorder->put(s->recorder->arg, true, buf_span(&b));
    buf_done(&b);
}

static size_t
line_most(struct span in)
{
    return span_istarts(in, SPAN("BURL ")) ? BURL_LINE : LIMIT_smtp_line;
}

// Runs a command. False: there is none yet. An endless line ends the session.
static bool
run_line(struct submission_session *s)
{
    struct span in = conn_input(s->conn);
    size_t n = smtp_line(in), most = line_most(in);
    bool endless = n == 0 && in.n > most;
    if (n == 0 && !endless)
        return false;
    if (n > most || endless) {
        conn_consume(s->conn, endless ? in.n : n);
        submission_say(s, 500, "5.5.2", "Line too long");
        s->ending = endless ? "Line too long" : s->ending;
        return true;
    }
    s->scratch = arena_new();
    struct span line = arena_dup(s->scratch, span_slice(in, 0, n));
    conn_consume(s->conn, n);
    show(s, line);
    submission_command(s, line);
    arena_free(&s->scratch);
    return true;
}

static void
rest(struct submission_session *s)
{
    s->busy = false;
    if (s->draining && !s->ending) {
        submission_say(s, 421, "4.3.2", "Server is shutting down");
        s->ending = "Server shutting down";
    }
    if (is_over(s) || conn_eof(s->conn)) {
        session_free(s);
        return;
    }
    timer_set(&s->timer, s->host.idle_ms);
    conn_read_resume(s->conn);
}

static void
run(void *arg)
{
    struct submission_session *s = arg;
    conn_read_pause(s->conn);
    while (!is_over(s) && !s->draining && run_line(s))
        task_yield();
    rest(s);
}

static void
on_input(struct conn *c, void *arg)
{
    struct submission_session *s = arg;
    struct span in = conn_input(c);
    s->input_ms = clock_mono_ms();
    if (s->busy)
        return;
    if (smtp_line(in) > 0 || in.n > line_most(in)) {
        s->busy = true;
        timer_clear(&s->timer);
        task_start_for(account_id(mail_user_account(s->user)), run, s);
    } else if (conn_eof(c)) {
        session_free(s);
    }
}

// RFC 5321 section 4.5.3.2.7.
static void
on_silence(void *arg)
{
    struct submission_session *s = arg;
    submission_say(s, 421, "4.4.2", "No command for too long");
    s->ending = "Inactivity";
    session_free(s);
}

void
submission_session_drain(void)
{
    struct submission_session *s, *next;
    DL_FOREACH_SAFE(sessions, s, next)
    {
        s->draining = true;
        if (!s->busy)
            rest(s);
    }
}

void
submission_session_hurry(void)
{
    struct submission_session *s;
    DL_FOREACH(sessions, s)
    conn_wait_cancel(s->conn);
}

// ---- the beginning ----

void
submission_refuse(struct conn *conn, const struct handover *h, const struct fault *f)
{
    (void)h;
    conn_write_str(conn, f->kind == FAULT_AUTHFAILED
                             ? "535 5.7.8 Authentication failed\r\n"
                             : "421 4.3.2 You cannot send now, try again later\r\n");
}

// The address as Received has it (RFC 5321 section 4.1.3); "local" is none.
static struct span
literal_of(char out[64], struct span remote)
{
    bool six = span_find_char(remote, ':') < remote.n;
    if (!six && span_find_char(remote, '.') == remote.n)
        return SPAN("");
    snprintf(out, 64, "%s%.*s", six ? "IPv6:" : "", SPAN_ARG(span_slice(remote, 0, 46)));
    return span_str(out);
}

static struct submission_session *
session_new(struct conn *conn, struct mail_user *user, const struct handover *h,
            const struct submission_host *host)
{
    struct submission_session *s = calloc(1, sizeof *s);
    must(s != NULL);
    *s = (struct submission_session){.conn = conn,
                                     .user = user,
                                     .host = *host,
                                     .arena = arena_new(),
                                     .tls = h->tls.kind != TLS_NONE,
                                     .busy = true,
                                     .input_ms = clock_mono_ms(),
                                     .id = h->session};
    // a reload changes them for sessions to come
    s->hostname = strdup(host->hostname);
    s->domain = strndup(host->domain.p, host->domain.n);
    must(s->hostname != NULL && s->domain != NULL);
    s->host.hostname = s->hostname;
    s->host.domain = span_str(s->domain);
    s->remote = literal_of(s->remote_text, h->remote);
    buf_init(&s->client, LIMIT_smtp_line);
    buf_put(&s->client, h->client_id);
    if (s->host.idle_ms == 0)
        s->host.idle_ms = LIMIT_submission_ms;
    submission_reset(s);
    return s;
}

void
submission_session_start(struct conn *conn, struct mail_user *user,
                         const struct handover *h, const struct submission_host *host)
{
    struct submission_session *s = session_new(conn, user, h, host);
    DL_APPEND(sessions, s);
    timer_init(&s->timer, on_silence, s);
    conn_handler(conn, on_input, s);
    conn_unread(conn, h->unread);
    conn_input_max(conn, INPUT_MAX);
    if (host->started)
        host->started(host->arg, s);
    submission_say(s, 235, "2.7.0", "Authentication successful");
    rest(s);
}
