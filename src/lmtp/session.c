#include "lmtp/session.h"

#include "base/limits.h"
#include "base/log.h"
#include "io/task.h"

#include <stdatomic.h>
#include <utlist.h>

enum { INPUT_MAX = 65536 };

static conn_fn on_input;
static task_fn run;

static _Thread_local struct lmtp_session *sessions;
static _Thread_local bool drained;  // this thread takes no session any more
static atomic_uint session_count;   // of all threads, and those between two

void
lmtp_say(struct lmtp_session *s, int code, const char *enhanced, const char *text)
{
    conn_printf(s->conn, "%d %s%s%s\r\n", code, enhanced, *enhanced ? " " : "", text);
}

// Texts for people; what exactly went wrong is in the log.
static const char *
fault_text(enum fault_kind kind)
{
    switch (kind) {
    case FAULT_NONEXISTENT:
        return "No such user here";
    case FAULT_TOOBIG:
        return "Message too large";
    case FAULT_OVERQUOTA:
        return "Mailbox is full";
    case FAULT_NOPERM:
        return "Not allowed";
    case FAULT_DISK:
        return "Cannot store mail now, try again later";
    case FAULT_BAD:
        return "Syntax error in parameters";
    default:
        return "Temporary failure, try again later";
    }
}

// A full mailbox may be a lasting state, by the setting quota_exceeded.
static struct fault_info
info_of(const struct lmtp_session *s, enum fault_kind kind)
{
    struct fault_info info = *fault_info(kind);
    if (kind == FAULT_OVERQUOTA && mail_quota_permanent(s->host->mail)) {
        info.smtp_code = 552;
        info.smtp_enhanced = "5.2.2";
    }
    return info;
}

void
lmtp_say_fault(struct lmtp_session *s, const struct fault *f, struct span address)
{
    const struct fault_info told = info_of(s, f->kind), *info = &told;
    log_line(info->level, "lmtp", "Refused", field_text("to", "to=<%>", address),
             field_number("status", ": %", (uint64_t)info->smtp_code),
             field_str("enhanced", " %", info->smtp_enhanced),
             field_str("code", "", info->name), field_str("error", " %", f->why));
    if (address.p)
        conn_printf(s->conn, "%d %s <%.*s> %s\r\n", info->smtp_code, info->smtp_enhanced,
                    SPAN_ARG(address), fault_text(f->kind));
    else
        lmtp_say(s, info->smtp_code, info->smtp_enhanced, fault_text(f->kind));
}

void
lmtp_reset(struct lmtp_session *s)
{
    intake_free(&s->intake);
    lmtp_scan_end(s);
    s->scan.fate = LMTP_DELIVER;
    s->scan.said = (struct filter_scan){0};
    arena_reset(s->arena);
    s->has_sender = false;
    s->rcpt.first = NULL;
    s->rcpt.end = &s->rcpt.first;
    s->rcpt.count = s->rcpt.tries = 0;
    s->rcpt.targets = 0;
    s->rcpt.done = NULL;
    s->rcpt.gone = NULL;
    s->digest = NULL;
    s->intake_failed = false;
}

static void
session_free(struct lmtp_session *s)
{
    lmtp_reset(s);
    DL_DELETE(sessions, s);
    atomic_fetch_sub(&session_count, 1);
    timer_clear(&s->silence);
    arena_free(&s->arena);
    buf_done(&s->client);
    conn_finish(&s->conn);
    struct arena *lifetime = s->lifetime;
    arena_free(&lifetime);
}

static void
dismiss(struct lmtp_session *s)
{
    lmtp_say(s, 421, "4.3.2", "Shutting down");
    session_free(s);
}

// To this thread's sessions.
static void
join(struct lmtp_session *s)
{
    DL_APPEND(sessions, s);
    conn_input_max(s->conn, INPUT_MAX);
    conn_handler(s->conn, on_input, s);
}

// ---- the way to an account's home ----

bool
lmtp_session_leaves(struct lmtp_session *s, struct lmtp_recipient *r)
{
    const struct lmtp_host *host = s->host;
    const struct lmtp_target *first = r->targets.list;
    if (!host->at_home || s->rcpt.first || lmtp_is_elsewhere(first) ||
        host->at_home(host->arg, first->account) == host)
        return false;
    conn_send_now(s->conn);  // a peer that does not take it keeps the session here
    if (conn_queued(s->conn) > 0 || conn_failed(s->conn))
        return false;
    s->rcpt.bound = r;
    return true;
}

struct passage {
    struct lmtp_session *session;
    struct buf unread;
    int fd;
};

static void
arrive(void *arg)
{
    struct passage *p = arg;
    struct lmtp_session *s = p->session;
    s->conn = conn_new(p->fd, NULL, NULL);
    conn_unread(s->conn, buf_span(&p->unread));
    buf_done(&p->unread);
    free(p);
    join(s);
    if (drained)
        dismiss(s);
    else
        task_start_for(0, run, s);
}

static void
leave(struct lmtp_session *s)
{
    struct passage *p = calloc(1, sizeof *p);
    const struct lmtp_host *host = s->host;  // the other one is the other thread's
    must(p != NULL);
    uint64_t account = s->rcpt.bound->targets.list->account;
    DL_DELETE(sessions, s);
    buf_init(&p->unread, SIZE_MAX);
    p->session = s;
    p->fd = conn_detach(&s->conn, &p->unread);
    s->host = host->at_home(host->arg, account);
    loop_post(mail_home(host->mail, account), arrive, p);
}

// ---- commands ----

// Runs commands while whole lines are there. An endless line ends the session.
static void
run_lines(struct lmtp_session *s)
{
    while (!s->quitting && !s->rcpt.bound && !conn_failed(s->conn)) {
        struct span in = conn_input(s->conn);
        size_t n = smtp_line(in);
        if (n == 0 && in.n > LIMIT_smtp_line) {
            lmtp_say(s, 500, "5.5.2", "Line too long");
            s->quitting = true;
        }
        if (n == 0)
            return;
        if (n > LIMIT_smtp_line) {
            conn_consume(s->conn, n);
            lmtp_say(s, 500, "5.5.2", "Line too long");
            continue;
        }
        s->scratch = arena_new();
        struct span line = arena_dup(s->scratch, span_slice(in, 0, n));
        conn_consume(s->conn, n);
        lmtp_command(s, line);
        arena_free(&s->scratch);
        task_yield();
    }
}

static void
run(void *arg)
{
    struct lmtp_session *s = arg;
    struct lmtp_recipient *r = s->rcpt.bound;
    conn_read_pause(s->conn);
    s->rcpt.bound = NULL;
    if (r != NULL)
        lmtp_recipient_arrived(s, r);
    run_lines(s);
    s->busy = s->rcpt.bound != NULL;
    if (s->draining) {
        dismiss(s);
    } else if (s->busy) {
        leave(s);
    } else if (s->quitting || conn_eof(s->conn)) {
        session_free(s);
    } else {
        timer_set(&s->silence, LIMIT_lmtp_ms);
        conn_read_resume(s->conn);
    }
}

// RFC 5321 section 4.5.3.2.7.
static void
on_silence(void *arg)
{
    struct lmtp_session *s = arg;
    lmtp_say(s, 421, "4.4.2", "No command for too long");
    session_free(s);
}

static void
on_input(struct conn *c, void *arg)
{
    struct lmtp_session *s = arg;
    struct span in = conn_input(c);
    if (s->busy)
        return;
    if (smtp_line(in) > 0 || in.n > LIMIT_smtp_line) {
        s->busy = true;
        timer_clear(&s->silence);
        task_start_for(0, run, s);
    } else if (conn_eof(c)) {
        session_free(s);
    }
}

void
lmtp_session_start(struct conn *conn, const struct lmtp_host *host, struct span remote)
{
    struct arena *lifetime = arena_new();
    struct lmtp_session *s = ARENA_NEW(lifetime, struct lmtp_session);
    s->lifetime = lifetime;
    s->conn = conn;
    s->host = host;
    s->arena = arena_new();
    s->remote = arena_dup(lifetime, remote);
    buf_init(&s->client, 255);
    timer_init(&s->silence, on_silence, s);
    timer_set(&s->silence, LIMIT_lmtp_ms);
    lmtp_reset(s);
    atomic_fetch_add(&session_count, 1);
    conn_printf(conn, "220 %s LMTP Posthorn ready\r\n", host->hostname);
    join(s);
}

void
lmtp_session_drain(void)
{
    struct lmtp_session *s, *tmp;
    drained = true;
    DL_FOREACH_SAFE(sessions, s, tmp)
    {
        s->quitting = s->draining = true;
        if (!s->busy)
            dismiss(s);
    }
}

void
lmtp_session_hurry(void)
{
    struct lmtp_session *s;
    DL_FOREACH(sessions, s)
    conn_wait_cancel(s->conn);
}

unsigned
lmtp_session_count(void)
{
    return atomic_load(&session_count);
}
