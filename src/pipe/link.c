#include "pipe/link.h"

#include "base/limits.h"
#include "base/log.h"
#include "io/ask.h"
#include "io/message.h"

#include <fcntl.h>
#include <unistd.h>

struct question {
    struct ask_question ask;  // first
    enum pipe_status status;
};

static _Thread_local struct ask_way way = {.role = "pipe"};

// ---- the channel ----

static enum result
take_answer(struct span body)
{
    struct pipe_answer m;
    if (pipe_answer_get(body, &m) != R_OK || m.status >= PIPE_STATUSES)
        return R_FAIL;
    struct question *q = (struct question *)ask_find(&way, m.request);
    if (q == NULL)
        return R_FAIL;
    q->status = (enum pipe_status)m.status;
    ask_finish(&way, &q->ask);
    return R_OK;
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    (void)c, (void)arg;
    if (fd < 0 && type == MESSAGE_PIPE_ANSWER && take_answer(body) == R_OK)
        return;
    log_error("mail", "a message from pipe is malformed");
    if (fd >= 0)
        close(fd);
    ask_close(&way);
}

void
pipe_link_open(int fd, const struct pipe_link_ops *ops)
{
    way.lost = ops->lost;
    way.arg = ops->arg;
    ask_open(&way, fd, on_message);
}

void
pipe_link_close(void)
{
    ask_close(&way);
}

// ---- questions ----

static enum result
send_message(struct question *q, struct span about, const struct pipe_message *m,
             struct fault *f)
{
    struct buf b;
    int fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "a message for a program");
    uint64_t request = ask_number(&way, &q->ask);
    buf_init(&b, LIMIT_channel_message);
    pipe_ask_put(&b, &(struct pipe_ask){request, m->size, about});
    must(!b.over);
    channel_send(way.channel, MESSAGE_PIPE_ASK, buf_span(&b), fd);
    buf_done(&b);
    return R_OK;
}

// Once: where the role fell meanwhile the program may have done its work.
static enum result
ask(struct question *q, struct span about, const struct pipe_message *m, struct fault *f)
{
    if (ask_enter(&way, LIMIT_pipe_waiting, LIMIT_pipe_queue_ms, f) != R_OK)
        return R_FAIL;
    enum result r = ask_await_role(&way, LIMIT_pipe_wait_ms, f);
    if (r == R_OK)
        r = send_message(q, about, m, f);
    if (r == R_OK)
        r = ask_await(&way, &q->ask, f);
    ask_leave(&way);
    return r == R_OK ? R_OK : R_FAIL;
}

enum result
pipe_run(const struct pipe_call *c, const struct pipe_message *message,
         enum pipe_status *status_out, struct fault *f)
{
    struct question q = {.status = PIPE_FAILED};
    struct buf about;
    buf_init(&about, LIMIT_pipe_about);
    pipe_call_put(&about, c);
    enum result r =
        about.over ? fault_set(f, FAULT_TOOBIG, "the arguments and addresses are too long")
                   : ask(&q, buf_span(&about), message, f);
    buf_done(&about);
    if (r == R_OK)
        *status_out = q.status;
    return r;
}
