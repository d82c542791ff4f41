#include "scan/link.h"

#include "base/limits.h"
#include "base/log.h"
#include "io/ask.h"
#include "io/message.h"

#include <fcntl.h>
#include <unistd.h>

enum { TRIES = 2 };

struct question {
    struct ask_question ask;  // first
    enum scan_status status;
    struct buf *answer;
};

static _Thread_local struct ask_way way = {.role = "scan"};

// ---- the channel ----

static enum result
take_answer(struct span body)
{
    struct scan_answer m;
    if (scan_answer_get(body, &m) != R_OK || m.status >= SCAN_STATUSES)
        return R_FAIL;
    struct question *q = (struct question *)ask_find(&way, m.request);
    if (q == NULL)
        return R_FAIL;
    q->status = (enum scan_status)m.status;
    buf_put(q->answer, m.text);
    ask_finish(&way, &q->ask);
    return R_OK;
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    (void)c, (void)arg;
    if (fd < 0 && type == MESSAGE_SCAN_ANSWER && take_answer(body) == R_OK)
        return;
    log_error("mail", "a message from scan is malformed");
    if (fd >= 0)
        close(fd);
    ask_close(&way);
}

void
scan_link_open(int fd, const struct scan_link_ops *ops)
{
    way.lost = ops->lost;
    way.arg = ops->arg;
    ask_open(&way, fd, on_message);
}

void
scan_link_close(void)
{
    ask_close(&way);
}

// ---- questions ----

static enum result
send_question(struct question *q, enum scan_kind kind, struct span about,
              const struct scan_text *text, struct fault *f)
{
    struct buf b;
    int fd = fcntl(text->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "a text for scan");
    uint64_t request = ask_number(&way, &q->ask);
    buf_init(&b, LIMIT_channel_message);
    scan_ask_put(&b, &(struct scan_ask){request, (uint8_t)kind, text->size, about});
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
    if (ask_await_role(&way, LIMIT_scan_wait_ms, f) != R_OK ||
        send_question(q, kind, about, text, f) != R_OK)
        return R_FAIL;
    return ask_await(&way, &q->ask, f);
}

enum result
scan_ask(enum scan_kind kind, struct span about, const struct scan_text *text,
         struct buf *answer, enum scan_status *status_out, struct fault *f)
{
    struct question q = {.answer = answer};
    enum result r = R_NONE;
    if (ask_enter(&way, LIMIT_scan_waiting, LIMIT_scan_room_ms, f) != R_OK)
        return R_FAIL;
    for (unsigned i = 0; i < TRIES && r == R_NONE; i++)
        r = ask_once(&q, kind, about, text, f);
    ask_leave(&way);
    if (r != R_OK)
        return R_FAIL;
    *status_out = q.status;
    return R_OK;
}
