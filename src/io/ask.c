#include "io/ask.h"
#include "io/task.h"

#include <utlist.h>

enum { STEP_MS = 50, ASK_MS = 1000 };

// ---- the channel ----

static void
on_end(struct channel *c, void *arg)
{
    (void)c;
    ask_close(arg);
}

void
ask_open(struct ask_way *w, int fd, channel_fn *on_message)
{
    ask_close(w);
    w->channel = channel_new(fd, on_message, on_end, w);
}

void
ask_close(struct ask_way *w)
{
    if (w->channel == NULL)
        return;
    channel_close(&w->channel);
    while (w->questions != NULL) {
        w->questions->failed = true;
        ask_finish(w, w->questions);
    }
}

struct ask_question *
ask_find(const struct ask_way *w, uint64_t request)
{
    struct ask_question *q;
    DL_FOREACH(w->questions, q)
    if (q->request == request)
        return q;
    return NULL;
}

void
ask_finish(struct ask_way *w, struct ask_question *q)
{
    DL_DELETE(w->questions, q);
    q->done = true;
    task_wake(q->task);
}

// ---- questions ----

enum result
ask_enter(struct ask_way *w, unsigned most, uint32_t wait_ms, struct fault *f)
{
    for (uint32_t waited = 0; w->waiting >= most; waited += STEP_MS) {
        if (wait_ms > 0 && waited >= wait_ms)
            return fault_set(f, FAULT_UNAVAILABLE, "too many wait for the role %s",
                             w->role);
        task_sleep(STEP_MS);
    }
    w->waiting++;
    return R_OK;
}

void
ask_leave(struct ask_way *w)
{
    w->waiting--;
}

enum result
ask_await_role(struct ask_way *w, uint32_t wait_ms, struct fault *f)
{
    if (w->channel == NULL && w->missed && w->lost != NULL)
        w->lost(w->arg);
    for (uint32_t waited = 0; w->channel == NULL && !w->missed && waited < wait_ms;
         waited += STEP_MS) {
        if (waited == ASK_MS && w->lost != NULL)
            w->lost(w->arg);
        task_sleep(STEP_MS);
    }
    w->missed = w->channel == NULL;
    return w->missed ? fault_set(f, FAULT_UNAVAILABLE, "the role %s is away", w->role)
                     : R_OK;
}

uint64_t
ask_number(struct ask_way *w, struct ask_question *q)
{
    q->done = q->failed = false;
    q->request = ++w->last;
    return q->request;
}

enum result
ask_await(struct ask_way *w, struct ask_question *q, struct fault *f)
{
    q->task = task_self();
    DL_APPEND(w->questions, q);
    while (!q->done)
        task_suspend();
    if (!q->failed)
        return R_OK;
    fault_set(f, FAULT_UNAVAILABLE, "the role %s went away", w->role);
    return R_NONE;
}
