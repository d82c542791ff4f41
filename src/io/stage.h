#ifndef IO_STAGE_H
#define IO_STAGE_H

// For tests: a task on a loop of its own.

#include "io/loop.h"
#include "io/task.h"

struct stage {
    task_fn *fn;
    void *arg;
};

static inline void
stage_body(void *arg)
{
    struct stage *s = arg;
    s->fn(s->arg);
    loop_stop(loop_self());
}

static inline void
stage_start(void *arg)
{
    task_start(stage_body, arg);
}

// Runs fn(arg) in a task on a fresh loop until it ends.
static inline void
on_stage(task_fn *fn, void *arg)
{
    struct loop *l = loop_new();
    struct stage s = {fn, arg};
    loop_post(l, stage_start, &s);
    loop_run(l);
    loop_free(&l);
}

#endif
