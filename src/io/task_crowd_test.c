// Many tasks: the cap of live ones, and accounts whose tasks start, yield, wake and wait for one another at random.
#include "io/stage.h"

#include "base/clock.h"
#include "base/limits.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

struct crowd {
    unsigned count, peak, ended;
    struct task *tasks[10000];
    struct task *starter;
};

static void
crowd_member(void *arg)
{
    struct crowd *c = arg;
    volatile char frame[3000];  // its own stack, kept over the suspension
    memset((char *)frame, (int)(c->count & 0x7f), sizeof frame);
    char want = frame[17];
    c->tasks[c->count++] = task_self();
    if (task_live() > c->peak)
        c->peak = task_live();
    task_suspend();
    assert_int_equal(frame[2999], want);
    if (++c->ended == 10000)
        task_wake(c->starter);
}

static void
crowd_run(void *arg)
{
    struct crowd *c = arg;
    c->starter = task_self();
    for (int i = 0; i < 10000; i++)
        task_start(crowd_member, c);
    for (unsigned woken = 0; c->ended < 10000; task_sleep(0))
        while (woken < c->count)
            task_wake(c->tasks[woken++]);
}

static void
test_ten_thousand_tasks_under_the_cap(void **state)
{
    (void)state;
    static struct crowd c;
    on_stage(crowd_run, &c);
    assert_int_equal(c.ended, 10000);
    assert_int_equal(c.peak, LIMIT_tasks);
}

// At the cap of live tasks, each of which waits for one more: for a helper, or for an errand on a loop that is full, too.
struct full {
    struct loop *there;  // NULL: helpers
    struct full *other;
    struct task *members[LIMIT_tasks], *waiter;
    atomic_uint *full_loops;
    unsigned started, ended, helped;
    bool go;
};

struct help {
    struct full *full;
    struct task *asker;
    bool done;
};

static void
help(void *arg)
{
    struct help *h = arg;
    task_sleep(1);
    h->full->helped++;
    h->done = true;
    task_wake(h->asker);
}

static void
errand_there(void *arg)
{
    ((struct full *)arg)->helped++;
}

static void
full_member(void *arg)
{
    struct full *f = arg;
    struct help h = {f, task_self(), false};
    f->members[f->started++] = h.asker;
    while (!f->go)
        task_suspend();
    if (f->there)
        task_run_on(f->there, errand_there, f->other);
    else
        task_start_helper(1, help, &h);
    while (!f->there && !h.done)
        task_suspend();
    if (++f->ended == f->started)
        task_wake(f->waiter);
}

static void
full_run(void *arg)
{
    struct full *f = arg;
    f->waiter = task_self();
    while (f->started + 1 < LIMIT_tasks)
        task_start(full_member, f);
    assert_int_equal(task_live(), LIMIT_tasks);
    for (atomic_fetch_add(f->full_loops, 1); f->there && atomic_load(f->full_loops) < 2;)
        task_sleep(1);
    f->go = true;
    for (unsigned i = 0; i < f->started; i++)
        task_wake(f->members[i]);
    while (f->ended < f->started)
        task_suspend();
    // the other's errands still come by
    while (f->there && f->helped < f->started)
        task_sleep(1);
}

static void
test_helpers_at_the_cap(void **state)
{
    (void)state;
    static struct full f;
    atomic_uint full_loops = 0;
    f.full_loops = &full_loops;
    on_stage(full_run, &f);
    assert_int_equal(f.helped, LIMIT_tasks - 1);
}

// 8,192 tasks at once: ThreadSanitizer wants a megabyte for each.
#ifndef __SANITIZE_THREAD__
static void *
stage_thread(void *arg)
{
    struct full *f = arg;
    struct stage s = {full_run, f};
    loop_post(f->other->there, stage_start, &s);
    loop_run(f->other->there);
    return NULL;
}

static void
test_errands_between_full_loops(void **state)
{
    (void)state;
    static struct full here, there;
    struct loop *loops[2] = {loop_new(), loop_new()};
    atomic_uint full_loops = 0;
    pthread_t threads[2];
    here = (struct full){.there = loops[1], .other = &there, .full_loops = &full_loops};
    there = (struct full){.there = loops[0], .other = &here, .full_loops = &full_loops};
    assert_int_equal(pthread_create(&threads[0], NULL, stage_thread, &here), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, stage_thread, &there), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++)
        loop_free(&loops[i]);
    assert_int_equal(here.helped, LIMIT_tasks - 1);
    assert_int_equal(there.helped, LIMIT_tasks - 1);
}
#endif

// Two loops, each with tasks of several accounts that do what tasks do; every one of them ends.
enum { ACCOUNTS = 30, PLAYERS = 150, ACTS = 40 };

struct game {
    struct loop *here, *there;
    struct task *waiter;
    unsigned ended, helped;
    atomic_uint errands;
    atomic_uint *over;
};

struct player {
    struct game *game;
    uint64_t account;
    unsigned dice;
};

static unsigned throw(struct player * p)
{
    return (p->dice = p->dice * 1103515245 + 12345) >> 16;
}

static void
errand_played(void *arg)
{
    struct game *g = arg;
    unsigned n = atomic_fetch_add(&g->errands, 1);
    if (n % 8 == 0)
        task_sleep(0);
    if (n % 64 == 0)
        task_run_on(g->here, errand_played, g);  // this runs on the other loop
}

static void
helper_played(void *arg)
{
    struct help *h = arg;
    task_yield();
    h->done = true;
    task_wake(h->asker);
}

static void
ask_helper(struct player *p)
{
    struct help h = {NULL, task_self(), false};
    task_start_helper(p->account, helper_played, &h);
    task_wake(h.asker);  // one that is for nobody
    while (!h.done)
        task_suspend();
    p->game->helped++;
}

// Sometimes for longer than a slice.
static void
work_on(struct player *p)
{
    uint64_t start = clock_mono_us();
    uint64_t us = throw(p) % 16 == 0 ? LIMIT_task_slice_ms * 1000 + 100 : 20;
    while (clock_mono_us() - start < us)
        continue;
}

static void
player_run(void *arg)
{
    struct player *p = arg;
    struct game *g = p->game;
    for (unsigned i = 0; i < ACTS; i++) {
        switch (throw(p) % 5) {
        case 0:
            task_sleep(throw(p) % 3);
            break;
        case 1:
            ask_helper(p);
            break;
        case 2:
            task_run_on(g->there, errand_played, g);
            break;
        default:
            work_on(p);
            task_yield();
        }
    }
    g->ended++;
    task_wake(g->waiter);
}

static void
game_run(void *arg)
{
    static _Thread_local struct player players[PLAYERS];
    struct game *g = arg;
    g->waiter = task_self();
    for (unsigned i = 0; i < PLAYERS; i++) {
        players[i] = (struct player){g, i * i % ACCOUNTS, i + 1};
        task_start_for(players[i].account, player_run, &players[i]);
    }
    while (g->ended < PLAYERS)
        task_suspend();
    for (atomic_fetch_add(g->over, 1); atomic_load(g->over) < 2 || task_live() > 1;)
        task_sleep(1);  // errands of the other's
}

static void *
game_thread(void *arg)
{
    struct game *g = arg;
    struct stage s = {game_run, g};
    loop_post(g->here, stage_start, &s);
    loop_run(g->here);
    return NULL;
}

static void
test_accounts_at_random(void **state)
{
    (void)state;
    struct game games[2];
    pthread_t threads[2];
    atomic_uint over = 0;
    struct loop *loops[2] = {loop_new(), loop_new()};
    for (int i = 0; i < 2; i++)
        games[i] = (struct game){.here = loops[i], .there = loops[1 - i], .over = &over};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, game_thread, &games[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++)
        loop_free(&loops[i]);  // checks that no task is left
    for (int i = 0; i < 2; i++) {
        assert_int_equal(games[i].ended, PLAYERS);
        assert_true(games[i].helped > PLAYERS);
        assert_true(games[i].errands > PLAYERS);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_thousand_tasks_under_the_cap),
        cmocka_unit_test(test_helpers_at_the_cap),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(test_errands_between_full_loops),
#endif
        cmocka_unit_test(test_accounts_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
