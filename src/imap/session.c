#include "imap/notify.h"
#include "imap/response.h"

#include "base/clock.h"
#include "base/keep.h"
#include "base/limits.h"
#include "base/audit.h"
#include "io/task.h"

// DESIGN.md section 5: an idle connection is one event and a small struct.
_Static_assert(sizeof(struct imap_session) <= 600, "sessions are small");

enum { STEP_MS = 1000 };

static _Thread_local struct imap_session *sessions;
static _Thread_local unsigned session_count;

static void
link_session(struct imap_session *s)
{
    s->next = sessions;
    s->at = &sessions;
    if (sessions)
        sessions->at = &s->next;
    sessions = s;
    session_count++;
}

static void
unlink_session(struct imap_session *s)
{
    *s->at = s->next;
    if (s->next)
        s->next->at = s->at;
    session_count--;
}

unsigned
imap_session_count(void)
{
    return session_count;
}

void
imap_session_others(struct imap_session *s,
                    void (*fn)(struct imap_session *other, void *arg), void *arg)
{
    uint64_t account = account_id(mail_user_account(s->user));
    for (struct imap_session *other = sessions; other; other = other->next)
        if (other != s && account_id(mail_user_account(other->user)) == account)
            fn(other, arg);
}

static void
reader_reset(struct imap_session *s)
{
    command_reader_init(&s->reader, LIMIT_line, LIMIT_command);
}

// Frees the session; what is left of it is its connection.
static struct conn *
session_close(struct imap_session *s)
{
    struct conn *conn = s->conn;
    for (const struct imap_ext *const *e = imap_exts; *e; e++)
        if ((*e)->on_end)
            (*e)->on_end(s);
    if (s->host.ops->ended)
        s->host.ops->ended(s->host.arg);
    imap_record(s, NULL);
    unlink_session(s);
    timer_clear(&s->timer);
    imap_unselect(s);
    mail_user_close(&s->user);
    keep_cstr_free(&s->client);
    buf_done(&s->line);
    keep_span_free(&s->idle_tag);
    KEEP_FREE(s);
    return conn;
}

static void
session_end(struct imap_session *s)
{
    struct span user = mail_user_name(s->user);
    log_audit(LOGOUT, "imap", "Disconnected",
              field_str("reason", ": %", s->bye ? s->bye : "Connection closed"),
              log_user(user), log_session(s->id),
              field_number("in", "in=%", conn_octets_in(s->conn)),
              field_number("out", "out=%", conn_octets_out(s->conn)));
    struct conn *conn = session_close(s);
    conn_finish(&conn);
}

// RFC 8437: the next user of the connection finds nothing of this one.
static void
session_leave(struct imap_session *s)
{
    struct imap_host host = s->host;
    struct span user = mail_user_name(s->user);
    log_audit(UNAUTHENTICATED, "imap", "Unauthenticated", log_user(user),
              log_session(s->id), field_number("in", "in=%", conn_octets_in(s->conn)),
              field_number("out", "out=%", conn_octets_out(s->conn)));
    struct conn *conn = session_close(s);
    host.ops->give_back(&conn, host.arg);
}

// Moves one framed command from the connection's input into an arena of its own.
static void
command_new(struct imap_session *s, size_t size, bool has_stream)
{
    struct arena *a = arena_new();
    struct imap_command *c = ARENA_NEW(a, struct imap_command);
    struct span text = arena_dup(a, span_slice(conn_input(s->conn), 0, size));
    *c = (struct imap_command){.session = s, .arena = a, .has_stream = has_stream};
    c->tag = command_tag(text);
    c->stream = s->reader.literal;
    c->inflow.left = has_stream ? c->stream.size : 0;
    c->progress.since_ms = clock_mono_ms();
    buf_init(&c->answer, LIMIT_answer_line);
    parse_init(&c->parse, text, a, imap_utf8(s));
    if (s->recorder)
        imap_record_command(s, text);
    conn_consume(s->conn, size);
    s->command = c;
}

static void
command_free(struct imap_session *s)
{
    struct imap_command *c = s->command;
    s->command = NULL;
    buf_done(&c->answer);
    arena_free(&(struct arena *){c->arena});
    reader_reset(s);
}

// A line while idling: DONE ends it, RFC 2177. False when there is no whole line.
static bool
idle_take(struct imap_session *s)
{
    struct span in = conn_input(s->conn);
    size_t end = span_find_char(in, '\n');
    if (end == in.n && in.n > LIMIT_line)
        imap_bye(s, "Line too long");
    if (end == in.n)
        return false;
    bool done = span_ieq(span_trim(span_slice(in, 0, end)), SPAN("DONE"));
    if (s->recorder && done)
        imap_record_piece(s, span_slice(in, 0, end + 1));
    else if (s->recorder)
        imap_record_refused(s, end + 1);
    conn_consume(s->conn, end + 1);
    s->idling = false;
    conn_write(s->conn, s->idle_tag);
    if (done)
        imap_say(s, " OK ", "IDLE completed");
    else
        imap_say(s, " BAD ", "DONE expected");
    keep_span_free(&s->idle_tag);
    return true;
}

static void
refuse(struct imap_session *s, size_t size)
{
    struct span tag = command_tag(conn_input(s->conn));
    struct buf copy;  // the input moves when it is consumed
    buf_init(&copy, LIMIT_line);
    buf_put(&copy, tag);
    const struct served_recorder *recorder = s->recorder;
    if (recorder) {
        imap_record_refused(s, size);
        imap_record(s, NULL);  // the answer tells the tag, which may be anything
    }
    imap_refused_send(s, buf_span(&copy), s->reader.kind);
    if (recorder)
        imap_record(s, recorder);
    buf_done(&copy);
    conn_consume(s->conn, size);
    reader_reset(s);
    if (++s->bad_commands >= LIMIT_bad_commands)
        imap_bye(s, "Too many bad commands");
}

// Takes the next whole command off the input into s->command; false when there is none (yet).
static bool
command_take(struct imap_session *s)
{
    size_t size = 0;
    while (!s->bye) {
        if (s->idling) {
            if (!idle_take(s))
                return false;
            continue;
        }
        enum command_state state =
            command_reader_feed(&s->reader, conn_input(s->conn), &size);
        switch (state) {
        case COMMAND_MORE:
            return false;
        case COMMAND_CONTINUE:
            conn_write_str(s->conn, "+ OK\r\n");
            break;
        case COMMAND_WHOLE:
        case COMMAND_STREAM:
            command_new(s, size, state == COMMAND_STREAM);
            return true;
        case COMMAND_REFUSED:
            refuse(s, size);
            break;
        case COMMAND_FATAL:
            imap_bye(s, s->reader.kind == FAULT_TOOBIG ? "[TOOBIG] Command too large"
                                                       : "Command too large");
            return false;
        }
    }
    return false;
}

// Idle sessions wake the thread together, once a second, and not each at a time of its own.
static uint32_t
in_step(uint64_t now_ms, uint32_t delay_ms)
{
    uint32_t step = delay_ms / 8 < STEP_MS ? delay_ms / 8 : STEP_MS;
    return step > 0 ? delay_ms + step - (uint32_t)((now_ms + delay_ms) % step) : delay_ms;
}

// Is the client told of changes while no command runs?
static bool
is_listening(const struct imap_session *s)
{
    return s->idling || imap_notify_pushes(s);
}

// The next "Still here" of IDLE or NOTIFY, or the end of the silence that ends the session.
static void
set_timer(struct imap_session *s)
{
    uint64_t now = clock_mono_ms(), silent = now - s->input_ms;
    uint32_t left = silent < s->host.idle_ms ? s->host.idle_ms - (uint32_t)silent : 1;
    bool tells = is_listening(s) && s->host.notify_ms > 0 && s->host.notify_ms < left;
    timer_set(&s->timer, in_step(now, tells ? s->host.notify_ms : left));
}

// Nothing is to be done: give memory back and wait, or end.
static void
session_rest(struct imap_session *s)
{
    if (s->due.draining)
        imap_bye(s, "Server shutting down");
    if (s->due.leaving && !s->bye && !conn_failed(s->conn)) {
        session_leave(s);
        return;
    }
    if (s->bye || s->due.leaving || conn_eof(s->conn)) {
        session_end(s);
        return;
    }
    // What was looked at stays in the input until the command is whole: room for a line comes on top of that.
    size_t held =
        s->reader.literal_end > s->reader.at ? s->reader.literal_end : s->reader.at;
    buf_done(&s->line);
    if (is_listening(s))
        conn_rest(s->conn);
    conn_input_max(s->conn, held + LIMIT_line + 2);
    set_timer(s);
}

// RFC 5465 section 6.1.2: with SELECTED-DELAYED expunges wait for a command, or IDLE.
static bool
may_push_expunges(const struct imap_session *s)
{
    return s->idling || !s->notify->wish.delayed;
}

// Tells a client that runs no command what changed.
static void
push(struct imap_session *s)
{
    struct fault f;
    struct arena *a = arena_new();
    s->due.poked = false;
    if (imap_sync(s, may_push_expunges(s) ? VIEW_EXPUNGE : 0, a, &f) != R_OK)
        log_line(fault_info(f.kind)->level, "imap", "push failed", log_session(s->id),
                 log_fault(&f));
    arena_free(&a);
}

// What the command could not tell (an expunge, after FETCH) comes right behind its answer.
static void
after_command(struct imap_session *s)
{
    if (imap_notify_pushes(s) && may_push_expunges(s) && s->view && view_pending(s->view))
        s->due.poked = true;
}

// RFC 8437 section 5: compression ends behind the tagged OK. A descriptor that is given away takes no queue along.
static void
make_ready(struct imap_session *s)
{
    if (conn_is_compressed(s->conn) && conn_uncompress(s->conn) != R_OK)
        imap_bye(s, "Compression did not end behind UNAUTHENTICATE");
    conn_await_sent(s->conn);
}

static bool
may_push(const struct imap_session *s)
{
    return !s->bye && s->due.poked && is_listening(s) && !conn_failed(s->conn);
}

static void
session_task(void *arg)
{
    struct imap_session *s = arg;
    do {
        if (s->command) {
            imap_dispatch(s);
            command_free(s);
            after_command(s);
        }
        if (!s->due.leaving && may_push(s))
            push(s);
        task_yield();
    } while (!s->due.draining && !s->due.leaving && (command_take(s) || may_push(s)));
    if (s->due.leaving)
        make_ready(s);
    s->busy = false;
    session_rest(s);
}

static void
start_task(struct imap_session *s)
{
    s->busy = true;
    timer_set(&s->timer, s->host.progress_ms);
    task_start_for(account_id(mail_user_account(s->user)), session_task, s);
}

static void
on_input(struct conn *conn, void *arg)
{
    struct imap_session *s = arg;
    (void)conn;
    s->input_ms = clock_mono_ms();
    if (s->busy)
        return;
    if (command_take(s))
        start_task(s);
    else
        session_rest(s);
}

// Nothing is said while the client is to send, or has not taken what it was sent, or within a line.
static bool
may_tell_progress(const struct imap_session *s)
{
    const struct imap_command *c = s->command;
    return !s->bye && !c->has_stream && !c->progress.line_open && !conn_writing(s->conn) &&
           conn_queued(s->conn) == 0;
}

// The command under way takes long.
static void
tick(struct imap_session *s)
{
    struct imap_command *c = s->command;
    uint64_t now = clock_mono_ms();
    uint32_t left = s->host.progress_ms;
    if (c && c->has_stream)
        c->progress.since_ms = now;
    if (c && now - c->progress.since_ms < left)
        left -= (uint32_t)(now - c->progress.since_ms);
    else if (c && may_tell_progress(s))
        for (const struct imap_ext *const *e = imap_exts; *e; e++)
            if ((*e)->on_tick)
                (*e)->on_tick(s);
    timer_set(&s->timer, left);
}

// While nothing is done: the client is told that its connection lives, or the session ends.
static void
on_silence(struct imap_session *s)
{
    bool silent = clock_mono_ms() - s->input_ms >= s->host.idle_ms;
    if (silent)
        imap_bye(s, "Autologout; idle for too long");
    else if (is_listening(s) &&
             conn_queued(s->conn) == 0)  // QUIRKS.md, Outlook: keeps NAT entries alive
        imap_say(s, "* OK ", "Still here");
    session_rest(s);
}

static void
on_timer(void *arg)
{
    struct imap_session *s = arg;
    if (s->busy)
        tick(s);
    else
        on_silence(s);
}

void
imap_session_poke(void *arg)
{
    struct imap_session *s = arg;
    if (!is_listening(s))
        return;
    s->due.poked = true;
    if (!s->busy)
        start_task(s);
}

static void
facts(const void *session, struct served_facts *out)
{
    const struct imap_session *s = session;
    *out = (struct served_facts){
        .client = s->client ? span_str(s->client) : SPAN(""),
        .mailbox = s->mailbox ? span_str(s->mailbox) : SPAN(""),
        .silent_ms = clock_mono_ms() - s->input_ms,
        .idling = s->idling,
        .octets_in = conn_octets_in(s->conn),
        .octets_out = conn_octets_out(s->conn),
    };
}

static void
record(void *session, const struct served_recorder *r)
{
    imap_record(session, r);
}

const struct served_ops imap_served = {facts, record};

static void
greet(struct imap_session *s, struct span tag)
{
    struct buf *b = imap_line(s);
    buf_put(b, tag);
    buf_put_str(b, " OK [CAPABILITY ");
    imap_capabilities_put(s, b);
    buf_put_str(b, "] ");
    buf_put_str(b, imap_text(s->language, "Logged in"));
    imap_line_send(s);
}

void
imap_session_start(struct conn *conn, struct mail_user *user, const struct handover *h,
                   const struct imap_host *host)
{
    struct imap_session *s = KEEP_NEW(struct imap_session);
    s->conn = conn;
    s->user = user;
    s->host = *host;
    if (s->host.idle_ms == 0)
        s->host.idle_ms = LIMIT_idle_ms;
    if (s->host.progress_ms == 0)
        s->host.progress_ms = LIMIT_progress_ms;
    s->id = h->session;
    s->language = h->language < LANGUAGES ? h->language : LANGUAGE_DEFAULT;
    s->input_ms = clock_mono_ms();
    s->busy = true;  // until the answer is out
    reader_reset(s);
    buf_init(&s->line, LIMIT_answer_line);
    timer_init(&s->timer, on_timer, s);
    link_session(s);
    conn_handler(conn, on_input, s);
    conn_unread(conn, h->unread);
    imap_client_known(s, h->client_id);
    if (host->ops->started)
        host->ops->started(host->arg, s);
    greet(s, h->tag);
    s->busy = false;
    set_timer(s);
    conn_input_max(conn, LIMIT_line + 2);
    // the handler runs from the loop: this is a task of the caller's
    conn_read_resume(conn);
}

void
imap_session_drain(void)
{
    struct imap_session *next;
    for (struct imap_session *s = sessions; s; s = next) {
        next = s->next;
        s->due.draining = true;
        if (!s->busy)
            session_rest(s);
    }
}
