#include "io/loop_inside.h"

#include <signal.h>

struct job {  // lives on the stack of the task that waits for it
    struct job *next;
    task_fn *fn;
    void *arg;
    struct loop *loop;
    struct task *task;
    bool done;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct job *first, **last;  // under lock
    bool ending;                // under lock
    unsigned count;
    pthread_t threads[];
};

static struct job *
take(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    while (!p->first && !p->ending)
        pthread_cond_wait(&p->filled, &p->lock);
    struct job *j = p->first;
    if (j)
        p->first = j->next;
    if (!p->first)
        p->last = &p->first;
    pthread_mutex_unlock(&p->lock);
    return j;
}

static void
job_done(void *arg)
{
    struct job *j = arg;
    j->done = true;
    task_wake(j->task);
}

static void *
work(void *arg)
{
    struct job *j;
    while ((j = take(arg)) != NULL) {
        j->fn(j->arg);
        loop_post(j->loop, job_done, j);
    }
    return NULL;
}

// Signals belong to the role's main thread.
static void
start_threads(struct pool *p, unsigned threads)
{
    sigset_t all, old;
    sigfillset(&all);
    // a page of a map that cannot be read: its handler must run here too
    sigdelset(&all, SIGBUS);
    must(pthread_sigmask(SIG_BLOCK, &all, &old) == 0);
    for (; p->count < threads; p->count++)
        must(pthread_create(&p->threads[p->count], NULL, work, p) == 0);
    must(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
}

struct pool *
pool_new(unsigned threads)
{
    must(threads > 0 && threads <= 1024);
    struct pool *p = calloc(1, sizeof *p + threads * sizeof p->threads[0]);
    must(p != NULL);
    must(pthread_mutex_init(&p->lock, NULL) == 0 &&
         pthread_cond_init(&p->filled, NULL) == 0);
    p->last = &p->first;
    start_threads(p, threads);
    return p;
}

void
pool_free(struct pool **pp)
{
    struct pool *p = *pp;
    if (!p)
        return;
    *pp = NULL;
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_cond_broadcast(&p->filled);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->count; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->filled);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void
pool_run(struct pool *p, task_fn *fn, void *arg)
{
    struct job j = {.fn = fn, .arg = arg, .loop = loop_self(), .task = task_self()};
    if (!j.task) {
        fn(arg);
        return;
    }
    pthread_mutex_lock(&p->lock);
    *p->last = &j;
    p->last = &j.next;
    pthread_mutex_unlock(&p->lock);
    pthread_cond_signal(&p->filled);
    while (!j.done)
        task_suspend();
}
