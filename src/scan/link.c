#include "scan/link.h"

#include "base/limits.h"
#include "base/log.h"
#include "io/channel.h"
#include "io/message.h"
#include "io/task.h"

#include <fcntl.h>
#include <unistd.h>
#include <utlist.h>

enum { AWAY_STEP_MS = 50, ASK_MS = 1000, TRIES = 2 };

// A question under way: lives on the stack of the task that waits for its answer.
struct question {
    struct question *prev, *next;
    uint64_t request;
    struct task *task;
    bool done, failed;  // failed: the role fell meanwhile
    enum scan_status status;
    struct buf *answer;
};

static _Thread_local struct {
    struct channel *channel;
    struct scan_link_ops ops;
    struct question *questions;
    unsigned waiting;
    uint64_t last;
    bool missed;  // it was waited for in vain
} way;

// ---- the channel ----

static void
finish(struct question *q)
{
    DL_DELETE(way.questions, q);
    q->done = true;
    task_wake(q->task);
}

static void
on_end(struct channel *c, void *arg)
{
    (void)c, (void)arg;
    channel_close(&way.channel);
    while (way.questions != NULL) {
        way.questions->failed = true;
        finish(way.questions);
    }
}

static enum result
take_answer(struct span body)
{
    struct scan_answer m;
    struct question *q;
    if (scan_answer_get(body, &m) != R_OK || m.status >= SCAN_STATUSES)
        return R_FAIL;
    DL_FOREACH(way.questions, q)
    if (q->request == m.request)
        break;
    if (q == NULL)
        return R_FAIL;
    q->status = (enum scan_status)m.status;
    buf_put(q->answer, m.text);
    finish(q);
    return R_OK;
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    if (fd < 0 && type == MESSAGE_SCAN_ANSWER && take_answer(body) == R_OK)
        return;
    log_error("mail", "a message from scan is malformed");
    if (fd >= 0)
        close(fd);
    on_end(c, arg);
}

void
scan_link_open(int fd, const struct scan_link_ops *ops)
{
    scan_link_close();
    way.ops = *ops;
    way.channel = channel_new(fd, on_message, on_end, NULL);
}

void
scan_link_close(void)
{
    if (way.channel != NULL)
        on_end(way.channel, NULL);
}

// ---- questions ----

// Started again within a second when it died. Who asks after it was waited for in vain does not wait.
static enum result
await_channel(struct fault *f)
{
    if (way.channel == NULL && way.missed && way.ops.lost != NULL)
        way.ops.lost(way.ops.arg);
    for (unsigned waited = 0;
         way.channel == NULL && !way.missed && waited < LIMIT_scan_wait_ms;
         waited += AWAY_STEP_MS) {
        if (waited == ASK_MS && way.ops.lost != NULL)
            way.ops.lost(way.ops.arg);
        task_sleep(AWAY_STEP_MS);
    }
    way.missed = way.channel == NULL;
    return way.missed ? fault_set(f, FAULT_UNAVAILABLE, "the role scan is away") : R_OK;
}

static enum result
send_question(struct question *q, enum scan_kind kind, struct span about,
              const struct scan_text *text, struct fault *f)
{
    struct buf b;
    int fd = fcntl(text->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "a text for scan");
    q->request = ++way.last;
    buf_init(&b, LIMIT_channel_message);
    scan_ask_put(&b, &(struct scan_ask){q->request, (uint8_t)kind, text->size, about});
    must(!b.over);
    channel_send(way.channel, MESSAGE_SCAN_ASK, buf_span(&b), fd);
    buf_done(&b);
    return R_OK;
}

// R_NONE: the role fell meanwhile.
static enum result
ask_once(struct question *q, enum scan_kind kind, struct span about,
         const struct scan_text *text, struct fault *f)
{
    q->done = q->failed = false;
    if (await_channel(f) != R_OK || send_question(q, kind, about, text, f) != R_OK)
        return R_FAIL;
    q->task = task_self();
    DL_APPEND(way.questions, q);
    while (!q->done)
        task_suspend();
    if (!q->failed)
        return R_OK;
    fault_set(f, FAULT_UNAVAILABLE, "the role scan went away");
    return R_NONE;
}

enum result
scan_ask(enum scan_kind kind, struct span about, const struct scan_text *text,
         struct buf *answer, enum scan_status *status_out, struct fault *f)
{
    struct question q = {.answer = answer};
    enum result r = R_NONE;
    while (way.waiting >= LIMIT_scan_waiting)
        task_sleep(AWAY_STEP_MS);
    way.waiting++;
    for (unsigned i = 0; i < TRIES && r == R_NONE; i++)
        r = ask_once(&q, kind, about, text, f);
    way.waiting--;
    if (r != R_OK)
        return R_FAIL;
    *status_out = q.status;
    return R_OK;
}
