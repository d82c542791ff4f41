#include "lmtp/question.h"

#include "base/limits.h"
#include "base/log.h"
#include "io/loop.h"
#include "io/task.h"

#include <utlist.h>

struct question_session {
    struct question_session *prev, *next;
    struct conn *conn;
    const struct lmtp_host *host;
    const struct question_ops *ops;
    struct timer silence;  // between questions
    bool busy, quitting;
};

static _Thread_local struct question_session *sessions;
static _Thread_local unsigned session_count;

static void
session_free(struct question_session *s)
{
    DL_DELETE(sessions, s);
    session_count--;
    timer_clear(&s->silence);
    conn_finish(&s->conn);
    free(s);
}

// As ops->end; QUESTION_BAD also for one that is too long.
static long
question_end(const struct question_session *s, struct span in)
{
    long end = s->ops->end(in);
    size_t n = end > 0 ? (size_t)end : in.n;
    return end >= 0 && n > s->ops->max ? QUESTION_BAD : end;
}

static void
answer(struct question_session *s, struct span text)
{
    struct fault f;
    if (s->ops->answer(s->host, s->conn, text, &f) == R_OK)
        return;
    log_warning(s->ops->name, "a request was not understood", log_fault(&f));
    s->quitting = true;
}

static void
run_questions(struct question_session *s)
{
    while (!s->quitting && !conn_failed(s->conn)) {
        struct span in = conn_input(s->conn);
        long n = question_end(s, in);
        if (n < 0) {
            log_warning(s->ops->name, "a request is malformed or too long");
            s->quitting = true;
        }
        if (n <= 0)
            return;
        struct arena *a = arena_new_small();
        struct span text = arena_dup(a, span_slice(in, 0, (size_t)n));
        conn_consume(s->conn, (size_t)n);
        answer(s, text);
        arena_free(&a);
        task_yield();
    }
}

static void
run(void *arg)
{
    struct question_session *s = arg;
    conn_read_pause(s->conn);
    run_questions(s);
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
    struct question_session *s = arg;
    if (s->busy)
        return;
    if (question_end(s, conn_input(c)) != 0) {
        s->busy = true;
        timer_clear(&s->silence);
        task_start_for(0, run, s);
    } else if (conn_eof(c)) {
        session_free(s);
    }
}

void
question_session_start(struct conn *conn, const struct lmtp_host *host,
                       const struct question_ops *ops)
{
    struct question_session *s = calloc(1, sizeof *s);
    must(s != NULL);
    s->conn = conn;
    s->host = host;
    s->ops = ops;
    timer_init(&s->silence, on_silence, s);
    timer_set(&s->silence, LIMIT_lmtp_ms);
    DL_APPEND(sessions, s);
    session_count++;
    conn_input_max(conn, ops->max * 2);
    conn_handler(conn, on_input, s);
}

void
question_session_drain(void)
{
    struct question_session *s, *tmp;
    DL_FOREACH_SAFE(sessions, s, tmp)
    {
        s->quitting = true;
        if (!s->busy)
            session_free(s);
    }
}

unsigned
question_session_count(void)
{
    return session_count;
}
