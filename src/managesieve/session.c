#include "managesieve/inside.h"

#include "base/audit.h"
#include "base/clock.h"
#include "base/limits.h"
#include "io/task.h"
#include "wire/base64.h"

#include <utlist.h>

static _Thread_local struct managesieve_session *sessions;
static _Thread_local unsigned session_count;

unsigned
managesieve_session_count(void)
{
    return session_count;
}

// ---- answers ----

void
managesieve_say(struct managesieve_session *s, const char *status, const char *code,
                const char *text)
{
    struct buf b;
    buf_init(&b, LIMIT_line);
    managesieve_put_answer(&b, status, code, span_str(text));
    conn_write(s->conn, buf_span(&b));
    buf_done(&b);
}

void
managesieve_bye(struct managesieve_session *s, const char *code, const char *text)
{
    if (s->bye)
        return;
    s->bye = text;
    managesieve_say(s, "BYE", code, text);
}

static const struct fault_words codes[] = {
#define CODE(kind, code, text) {FAULT_##kind, code, text},
#include "managesieve/codes.def"
#undef CODE
};

void
managesieve_say_fault(struct managesieve_session *s, enum fault_kind kind)
{
    const struct fault_words *w =
        fault_words_of(codes, sizeof codes / sizeof codes[0], kind);
    managesieve_say(s, "NO", w->code, w->text);
}

void
managesieve_refuse(struct conn *conn, const struct handover *h, const struct fault *f)
{
    (void)h;
    bool forbidden = f->kind == FAULT_AUTHFAILED || f->kind == FAULT_NOPERM;
    conn_printf(conn, "NO%s \"Your scripts cannot be opened now\"\r\n",
                forbidden ? "" : " (TRYLATER)");
    conn_write_str(conn, "BYE \"Try again later\"\r\n");
}

// ---- who looks on ----

static void
on_output(void *arg, struct span text)
{
    const struct managesieve_session *s = arg;
    s->recorder->put(s->recorder->arg, false, text);
}

static void
record(void *session, const struct served_recorder *r)
{
    struct managesieve_session *s = session;
    s->recorder = r;
    conn_tap(s->conn, r ? on_output : NULL, s);
}

// What is not a command may be a secret that was meant for another place.
static void
show(const struct managesieve_session *s, struct span text)
{
    if (s->recorder && managesieve_is_known(text))
        s->recorder->put(s->recorder->arg, true, text);
    else if (s->recorder)
        s->recorder->put(s->recorder->arg, true, SPAN("[hidden]\r\n"));
}

static void
facts(const void *session, struct served_facts *out)
{
    const struct managesieve_session *s = session;
    *out = (struct served_facts){
        .client = SPAN(""),
        .mailbox = SPAN(""),
        .silent_ms = clock_mono_ms() - s->input_ms,
        .octets_in = conn_octets_in(s->conn),
        .octets_out = conn_octets_out(s->conn),
    };
}

const struct served_ops managesieve_served = {facts, record};

// ---- its end ----

// Frees the session; what is left of it is its connection.
static struct conn *
session_close(struct managesieve_session *s)
{
    struct conn *conn = s->conn;
    if (s->host.ended)
        s->host.ended(s->host.arg);
    record(s, NULL);
    DL_DELETE(sessions, s);
    session_count--;
    timer_clear(&s->timer);
    mail_user_close(&s->user);
    free(s->mechanisms);
    free(s);
    return conn;
}

static void
session_end(struct managesieve_session *s)
{
    log_audit(LOGOUT, "managesieve", "Disconnected",
              field_str("reason", ": %", s->bye ? s->bye : "Connection closed"),
              log_user(mail_user_name(s->user)), log_session(s->id),
              field_number("in", "in=%", conn_octets_in(s->conn)),
              field_number("out", "out=%", conn_octets_out(s->conn)));
    struct conn *conn = session_close(s);
    conn_finish(&conn);
}

// The next user of the connection finds nothing of this one.
static void
session_leave(struct managesieve_session *s)
{
    struct managesieve_host host = s->host;
    log_audit(UNAUTHENTICATED, "managesieve", "Unauthenticated",
              log_user(mail_user_name(s->user)), log_session(s->id),
              field_number("in", "in=%", conn_octets_in(s->conn)),
              field_number("out", "out=%", conn_octets_out(s->conn)));
    struct conn *conn = session_close(s);
    host.give_back(&conn, host.arg);
}

// ---- commands ----

static void
command_new(struct managesieve_session *s, size_t size)
{
    struct arena *a = arena_new();
    struct managesieve_command *c = ARENA_NEW(a, struct managesieve_command);
    *c = (struct managesieve_command){
        .session = s,
        .arena = a,
        .text = arena_dup(a, span_slice(conn_input(s->conn), 0, size)),
    };
    buf_init(&c->words, LIMIT_line);
    show(s, c->text);
    conn_consume(s->conn, size);
    managesieve_reader_next(&s->reader);
    s->command = c;
}

static void
command_free(struct managesieve_session *s)
{
    struct arena *a = s->command->arena;
    buf_done(&s->command->words);
    s->command = NULL;
    arena_free(&a);
}

// CHECKSCRIPT does not know of quotas (RFC 5804 section 2.12).
static void
drop(struct managesieve_session *s, size_t size)
{
    struct span in = span_slice(conn_input(s->conn), 0, size);
    if (s->reader.dropped == size)
        s->is_check = span_istarts(in, SPAN("CHECKSCRIPT "));
    if (s->recorder)
        s->recorder->put(s->recorder->arg, true, SPAN("[too large]\r\n"));
    conn_consume(s->conn, size);
}

static void
dropped(struct managesieve_session *s, size_t size)
{
    conn_consume(s->conn, size);
    managesieve_reader_next(&s->reader);
    if (s->is_check)
        managesieve_say(s, "NO", "", "The script is too large.");
    else
        managesieve_say_fault(s, FAULT_TOOBIG);
}

// Takes the next whole command off the input into s->command; false when there is none (yet).
static bool
command_take(struct managesieve_session *s)
{
    size_t size = 0;
    while (!s->bye) {
        switch (managesieve_reader_feed(&s->reader, conn_input(s->conn), &size)) {
        case MANAGESIEVE_MORE:
            return false;
        case MANAGESIEVE_DROP:
            drop(s, size);
            break;
        case MANAGESIEVE_WHOLE:
            if (!s->reader.is_dropped) {
                command_new(s, size);
                return true;
            }
            dropped(s, size);
            break;
        case MANAGESIEVE_LONG:
            managesieve_bye(s, "", "Command too long.");
            return false;
        case MANAGESIEVE_SYNC:
            managesieve_bye(s, "", "Literals are to be non-synchronising, {5+}.");
            return false;
        }
    }
    return false;
}

// Nothing is to be done: wait, or end.
static void
session_rest(struct managesieve_session *s)
{
    if (s->draining)
        managesieve_bye(s, "TRYLATER", "Server shutting down.");
    if (s->leaving && !s->bye && !conn_failed(s->conn)) {
        session_leave(s);
        return;
    }
    if (s->bye || s->leaving || conn_eof(s->conn)) {
        session_end(s);
        return;
    }
    conn_input_max(s->conn, managesieve_reader_needs(&s->reader) + LIMIT_line + 2);
    timer_set(&s->timer, s->host.idle_ms);
}

static void
session_task(void *arg)
{
    struct managesieve_session *s = arg;
    do {
        if (s->command) {
            managesieve_run(s->command);
            command_free(s);
        }
        task_yield();
    } while (!s->draining && !s->leaving && command_take(s));
    if (s->leaving)
        conn_await_sent(s->conn);  // a descriptor that is given away takes no queue along
    s->busy = false;
    session_rest(s);
}

static void
on_input(struct conn *conn, void *arg)
{
    struct managesieve_session *s = arg;
    (void)conn;
    s->input_ms = clock_mono_ms();
    if (s->busy)
        return;
    if (!command_take(s)) {
        session_rest(s);
        return;
    }
    s->busy = true;
    timer_clear(&s->timer);
    task_start_for(account_id(mail_user_account(s->user)), session_task, s);
}

static void
on_silence(void *arg)
{
    struct managesieve_session *s = arg;
    managesieve_bye(s, "", "Idle for too long.");
    session_rest(s);
}

// RFC 5804 section 1.3: SASL's last data come with the OK.
static void
greet(struct managesieve_session *s, struct span last)
{
    struct buf b, text;
    buf_init(&b, LIMIT_line);
    buf_init(&text, LIMIT_line);
    buf_put_str(&b, "OK");
    if (last.n > 0) {
        base64_encode(last, &text);
        buf_put_str(&b, " (SASL ");
        managesieve_put_string(&b, buf_span(&text));
        buf_put_char(&b, ')');
    }
    buf_put_str(&b, " \"Logged in.\"\r\n");
    conn_write(s->conn, buf_span(&b));
    buf_done(&b);
    buf_done(&text);
}

void
managesieve_session_start(struct conn *conn, struct mail_user *user,
                          const struct handover *h, const struct managesieve_host *host)
{
    struct managesieve_session *s = calloc(1, sizeof *s);
    must(s != NULL);
    s->conn = conn;
    s->user = user;
    s->host = *host;
    if (s->host.idle_ms == 0)
        s->host.idle_ms = LIMIT_idle_ms;
    s->id = h->session;
    s->mechanisms = strndup(h->offered.p ? h->offered.p : "", h->offered.n);
    must(s->mechanisms != NULL);
    s->input_ms = clock_mono_ms();
    s->busy = true;  // until the answer is out
    managesieve_reader_init(&s->reader, LIMIT_line,
                            (size_t)LIMIT_sieve_script + LIMIT_line);
    timer_init(&s->timer, on_silence, s);
    DL_APPEND(sessions, s);
    session_count++;
    conn_handler(conn, on_input, s);
    conn_unread(conn, h->unread);
    if (host->started)
        host->started(host->arg, s);
    greet(s, h->sasl_final);
    s->busy = false;
    timer_set(&s->timer, s->host.idle_ms);
    conn_input_max(conn, LIMIT_line + 2);
    // the handler runs from the loop: this is a task of the caller's
    conn_read_resume(conn);
}

void
managesieve_session_drain(void)
{
    struct managesieve_session *s, *next;
    DL_FOREACH_SAFE(sessions, s, next)
    {
        s->draining = true;
        if (!s->busy)
            session_rest(s);
    }
}
