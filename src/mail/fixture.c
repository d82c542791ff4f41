#include "mail/fixture.h"

#include "base/limits.h"
#include "io/loop.h"
#include "io/task.h"

#include <pthread.h>

enum { HOMES = 2 };

struct run {
    struct fixture fixture;
    struct loop *loops[HOMES];
    void (*test)(struct fixture *x);
};

static void
run_task(void *arg)
{
    struct run *r = arg;
    r->test(&r->fixture);
    task_sleep(20);  // what was posted at the end (closing) still runs
    for (int i = 0; i < HOMES; i++)
        loop_stop(r->loops[i]);
}

static void
run_start(void *arg)
{
    task_start(run_task, arg);
}

static void *
loop_thread(void *arg)
{
    loop_run(arg);
    return NULL;
}

void
fixture_run(const char *path, void (*test)(struct fixture *x))
{
    struct run r = {.test = test};
    pthread_t threads[HOMES];
    struct fault f;
    for (int i = 0; i < HOMES; i++)
        must((r.loops[i] = loop_new()) != NULL);
    struct store_options so = {.path = path ? path : "",
                               .engine = path ? "embedded" : "mem",
                               .codec = "identity",
                               .retention_s = 1000};
    must(store_open(&so, &r.fixture.store, &f) == R_OK);
    struct mail_options mo = {.store = r.fixture.store,
                              .homes = r.loops,
                              .home_count = HOMES,
                              .folder_language = "en",
                              .message_size_max = 1 << 20};
    r.fixture.mail = mail_new(&mo);
    for (int i = 0; i < HOMES; i++)
        must(pthread_create(&threads[i], NULL, loop_thread, r.loops[i]) == 0);
    loop_post(r.loops[0], run_start, &r);
    for (int i = 0; i < HOMES; i++)
        pthread_join(threads[i], NULL);
    mail_free(&r.fixture.mail);
    store_close(&r.fixture.store);
    for (int i = 0; i < HOMES; i++)
        loop_free(&r.loops[i]);
}
