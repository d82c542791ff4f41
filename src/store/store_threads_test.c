#include "store/scene.h"

#include "io/loop.h"
#include "io/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <pthread.h>

// Everything at once on one store: on several loops, homes commit, drop and load tables, read lists and caches,
// while one keeps verifying and compacting and the checkpoint thread is pushed by a small bound. Meant for TSan.

enum { LOOPS = 2, HOMES = 3, ROUNDS = 25 };

struct world {
    struct store *store;
    atomic_uint committing, living[LOOPS];
};

struct home {
    struct world *w;
    struct loop *loop;
    unsigned index;
    struct generator g;
    struct state *st;
    pthread_t thread;
};

static void
read_caches(struct home *h)
{
    struct store_cache_reader *r = store_cache_begin(h->w->store);
    struct span cache;
    for (uint32_t i = 0; i < h->st->mailbox_count; i++) {
        const struct mailbox_state *m = h->st->mailboxes[i];
        for (uint32_t row = 0; m->loaded && row < m->counts.exists; row++)
            if (store_cache_find(r, m->rows[row].blob, &cache) == R_OK)
                must(span_eq(cache, SPAN("(\"envelope\" \"structure\")")));
    }
    store_cache_end(&r);
}

static void
read_bodies(struct home *h)
{
    struct fault f;
    char octets[8];
    for (uint32_t i = 0; i < h->st->mailbox_count; i++) {
        const struct mailbox_state *m = h->st->mailboxes[i];
        if (m->loaded && m->counts.exists > 0 &&
            store_blob_read(h->w->store, m->rows[0].blob, 0, 8, octets, &f) != R_OK)
            scene_fail(f.why);
    }
}

static void
one_round(struct home *h)
{
    struct fault f;
    scene_commit(h->w->store, &h->g, h->st, 8);
    if (!h->st && store_state_load(h->w->store, h->g.state->account, &h->st, &f) == R_FAIL)
        scene_fail(f.why);
    switch (generator_random(&h->g, 5)) {
    case 0:
        scene_load_tables(h->w->store, h->st);
        break;
    case 1:
        state_free(&h->st);
        break;
    case 2:
        read_caches(h);
        break;
    case 3:
        read_bodies(h);
        break;
    default:
        for (uint32_t i = 0; i < h->st->mailbox_count; i++)
            state_table_drop(h->st->mailboxes[i]);
        break;
    }
}

static void
home_task(void *arg)
{
    struct home *h = arg;
    for (int i = 0; i < ROUNDS; i++) {
        one_round(h);
        task_yield();
    }
    scene_expect_model(h->w->store, &h->g);
    state_free(&h->st);
    generator_done(&h->g);
    atomic_fetch_sub(&h->w->committing, 1);
    if (atomic_fetch_sub(&h->w->living[h->index], 1) == 1)
        loop_stop(h->loop);
    free(h);
}

static enum result
no_forget(uint64_t account, uint64_t mailbox, uint64_t up_to_modseq, void *arg)
{
    (void)account, (void)mailbox, (void)up_to_modseq, (void)arg;
    return R_OK;
}

static void
keeper_task(void *arg)
{
    struct home *h = arg;
    struct store *s = h->w->store;
    while (atomic_load(&h->w->committing) > 0) {
        struct fault f;
        uint64_t freed;
        scene_expect_verified(s, 0);
        if (store_compact(s, &(struct store_compaction){.forget = no_forget}, &freed, &f) !=
                R_OK ||
            store_checkpoint(s, &f) != R_OK)
            scene_fail(f.why);
        task_sleep(5);
    }
    if (atomic_fetch_sub(&h->w->living[h->index], 1) == 1)
        loop_stop(h->loop);
    free(h);
}

static struct home *
home_new(const struct home *of, uint64_t account)
{
    struct home *h = calloc(1, sizeof *h);
    must(h != NULL);
    *h = *of;
    generator_init(&h->g, account, account * 17);
    return h;
}

static void
start_tasks(void *arg)
{
    struct home *l = arg;
    for (uint64_t i = 0; i < HOMES; i++)
        task_start(home_task, home_new(l, 10 * (l->index + 1) + i));
    if (l->index == 0) {
        struct home *keeper = calloc(1, sizeof *keeper);
        must(keeper != NULL);
        *keeper = *l;
        task_start(keeper_task, keeper);
    }
}

static void *
loop_main(void *arg)
{
    struct home *l = arg;
    loop_post(l->loop, start_tasks, l);
    loop_run(l->loop);
    return NULL;
}

static void
run_engine(const char *engine)
{
    struct world w = {0};
    struct home loops[LOOPS] = {0};
    struct store_options o = scene_options(engine, "scramble");
    o.segment_size = 32768;
    o.unfolded_max = 20000;
    w.store = scene_open(&o);
    atomic_store(&w.committing, LOOPS * HOMES);
    for (unsigned i = 0; i < LOOPS; i++) {
        loops[i] = (struct home){.w = &w, .loop = loop_new(), .index = i};
        atomic_store(&w.living[i], HOMES + (i == 0));
    }
    for (unsigned i = 0; i < LOOPS; i++)
        assert_int_equal(pthread_create(&loops[i].thread, NULL, loop_main, &loops[i]), 0);
    for (unsigned i = 0; i < LOOPS; i++) {
        pthread_join(loops[i].thread, NULL);
        loop_free(&loops[i].loop);
    }
    scene_expect_verified(w.store, 0);
    store_close(&w.store);
}

static void
test_embedded(void **unused)
{
    (void)unused;
    run_engine("embedded");
}

static void
test_mem(void **unused)
{
    (void)unused;
    run_engine("mem");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_embedded, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(test_mem, scene_begin, scene_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
