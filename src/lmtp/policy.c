#include "lmtp/policy.h"

#include "base/limits.h"
#include "base/log.h"
#include "io/loop.h"
#include "io/task.h"
#include "mail/recipient.h"
#include "wire/policy.h"

#include <utlist.h>

struct policy_session {
    struct policy_session *prev, *next;
    struct conn *conn;
    const struct lmtp_host *host;
    struct timer silence;  // between requests
    bool busy, quitting;
};

static _Thread_local struct policy_session *sessions;
static _Thread_local unsigned session_count;

// ---- one request ----

// A user, looked for by auth. R_NONE: there is none.
static enum result
room_of(const struct lmtp_host *host, const struct policy_request *r, struct fault *f)
{
    struct buf user, detail;
    struct recipient who = {.account = 0};
    buf_init(&user, LIMIT_user_name);
    buf_init(&detail, LIMIT_mailbox_name);
    enum result found =
        host->find_user(host->arg, r->recipient, &who.account, &user, &detail, f);
    who.user = buf_span(&user);
    if (found == R_OK)
        found = recipient_has_room(host->mail, &who, r->size, f);
    buf_done(&user);
    buf_done(&detail);
    return found;
}

// Mail for others goes through the same Postfix.
static const char *
unknown(const struct lmtp_host *host, struct span recipient)
{
    size_t at = span_behind_last(recipient, '@');
    bool ours = at == 0 || host->is_local(host->arg, span_skip(recipient, at));
    return ours && host->policy_refuses_unknown ? "550 5.1.1 No such user here" : "DUNNO";
}

static const char *
action(const struct lmtp_host *host, const struct policy_request *r)
{
    struct fault f;
    if (!span_eq(r->protocol_state, SPAN("RCPT")) || r->recipient.n == 0)
        return "DUNNO";
    switch (room_of(host, r, &f)) {
    case R_OK:
        return "DUNNO";
    case R_NONE:
        return unknown(host, r->recipient);
    default:
        break;
    }
    log_info("policy", "Refused", field_text("to", "to=<%>", r->recipient), log_fault(&f));
    if (f.kind != FAULT_OVERQUOTA)
        return "DEFER_IF_PERMIT 4.3.0 Temporary failure, try again later";
    return mail_quota_permanent(host->mail) ? "552 5.2.2 Mailbox is full"
                                            : "452 4.2.2 Mailbox is full";
}

static void
answer(struct policy_session *s, struct span text)
{
    struct policy_request r;
    struct fault f;
    enum result done = policy_request_parse(text, &r, &f);
    if (done == R_OK && !span_eq(r.request, SPAN("smtpd_access_policy")))
        done = fault_set(&f, FAULT_BAD, "not a request of smtpd_access_policy");
    if (done == R_OK) {
        conn_printf(s->conn, "action=%s\n\n", action(s->host, &r));
        return;
    }
    log_warning("policy", "a request was not understood", log_fault(&f));
    s->quitting = true;
}

// ---- the session ----

static void
session_free(struct policy_session *s)
{
    DL_DELETE(sessions, s);
    session_count--;
    timer_clear(&s->silence);
    conn_finish(&s->conn);
    free(s);
}

static bool
too_much(struct span in)
{
    size_t end = policy_request_end(in);
    return (end > 0 ? end : in.n) > LIMIT_policy_request;
}

static void
run_requests(struct policy_session *s)
{
    while (!s->quitting && !conn_failed(s->conn)) {
        struct span in = conn_input(s->conn);
        size_t n = policy_request_end(in);
        if (too_much(in)) {
            log_warning("policy", "a request is too long");
            s->quitting = true;
        }
        if (n == 0 || s->quitting)
            return;
        struct arena *a = arena_new_small();
        struct span text = arena_dup(a, span_slice(in, 0, n));
        conn_consume(s->conn, n);
        answer(s, text);
        arena_free(&a);
        task_yield();
    }
}

static void
run(void *arg)
{
    struct policy_session *s = arg;
    conn_read_pause(s->conn);
    run_requests(s);
    s->busy = false;
    if (s->quitting || conn_eof(s->conn)) {
        session_free(s);
        return;
    }
    timer_set(&s->silence, LIMIT_lmtp_ms);
    conn_read_resume(s->conn);
}

static void
on_silence(void *arg)
{
    session_free(arg);
}

static void
on_input(struct conn *c, void *arg)
{
    struct policy_session *s = arg;
    struct span in = conn_input(c);
    if (s->busy)
        return;
    if (policy_request_end(in) > 0 || too_much(in)) {
        s->busy = true;
        timer_clear(&s->silence);
        task_start_for(0, run, s);
    } else if (conn_eof(c)) {
        session_free(s);
    }
}

void
policy_session_start(struct conn *conn, const struct lmtp_host *host)
{
    struct policy_session *s = calloc(1, sizeof *s);
    must(s != NULL);
    s->conn = conn;
    s->host = host;
    timer_init(&s->silence, on_silence, s);
    timer_set(&s->silence, LIMIT_lmtp_ms);
    DL_APPEND(sessions, s);
    session_count++;
    conn_input_max(conn, LIMIT_policy_request * 2);
    conn_handler(conn, on_input, s);
}

void
policy_session_drain(void)
{
    struct policy_session *s, *tmp;
    DL_FOREACH_SAFE(sessions, s, tmp)
    {
        s->quitting = true;
        if (!s->busy)
            session_free(s);
    }
}

unsigned
policy_session_count(void)
{
    return session_count;
}
