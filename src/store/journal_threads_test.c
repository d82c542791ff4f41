#include "store/journal_fixture.h"

#include "io/loop.h"
#include "io/task.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

// Everything at once on one journal: tasks on several loops and plain threads commit and read, while
// segments are scanned, rewritten and backed up. Meant for TSan. cmocka asserts in the main thread only.

enum { LOOPS = 3, TASKS = 8, COMMITS = 12, THREADS = 2, SEGMENT = 256 << 10 };

struct world {
    struct fixture x;
    struct pool *pool;
    atomic_uint committed, live_tasks[LOOPS];
    uint64_t told_seq;  // of on_durable: journal thread only
    atomic_uint told;
};

struct worker {
    struct world *w;
    struct loop *loop;
    unsigned index;
    uint64_t number;
    pthread_t thread;
};

// Called in order of sequence, before the committer hears of it.
static void
on_durable(struct store_batch *b, void *arg)
{
    struct world *w = arg;
    must(store_batch_place(b, 0).seq == w->told_seq + 1);
    w->told_seq += store_batch_count(b);
    *(bool *)b->unfolded = true;
    atomic_fetch_add(&w->told, 1);
}

static void
commit_one(struct world *w, uint64_t number)
{
    struct fault f;
    bool told = false;
    struct store_body *body = fixture_body(w->x.j, number, fixture_body_size(number));
    struct store_batch *b = store_batch_new(NULL, number, 1, 2);
    b->unfolded = &told;
    store_batch_add(b, RECORD_ADDED, SPAN("the metadata"), body);
    store_batch_add(b, RECORD_RECENT, SPAN("more"), NULL);
    must(journal_commit(w->x.j, b, &f) == R_OK);
    must(told);
    must(fixture_blob_good(w->x.j, store_batch_place(b, 0).blob, number));
    store_batch_free(&b);
    store_body_free(&body);
    atomic_fetch_add(&w->committed, 1);
}

static void
commit_task(void *arg)
{
    struct worker *k = arg;
    for (uint64_t i = 0; i < COMMITS; i++)
        commit_one(k->w, k->number + i);
    if (atomic_fetch_sub(&k->w->live_tasks[k->index], 1) == 1)
        loop_stop(k->loop);
    free(k);
}

static void
start_tasks(void *arg)
{
    struct worker *k = arg;
    for (uint64_t i = 0; i < TASKS; i++) {
        struct worker *t = calloc(1, sizeof *t);
        *t = *k;
        t->number = i;
        task_start(commit_task, t);
    }
}

static void *
loop_main(void *arg)
{
    struct worker *k = arg;
    loop_post(k->loop, start_tasks, k);
    loop_run(k->loop);
    return NULL;
}

static void *
thread_main(void *arg)
{
    struct worker *k = arg;
    for (uint64_t i = 0; i < COMMITS; i++)
        commit_one(k->w, i);
    return NULL;
}

static enum result
no_record(const struct journal_record *r, void *arg, struct fault *f)
{
    (void)arg;
    (void)f;
    must(r->header.seq == r->place.seq);
    return R_OK;
}

static bool
all_live(uint64_t blob, void *arg)
{
    (void)arg;
    return (blob & 15) != 15;  // a few are dropped; readers read at once after their commit
}

static enum result
no_sink(struct span bytes, void *arg, struct fault *f)
{
    (void)arg;
    (void)f;
    must(bytes.n > 0);
    return R_OK;
}

static void *
keeper_main(void *arg)
{
    struct worker *k = arg;
    struct journal *j = k->w->x.j;
    struct fault f;
    uint32_t done = 0;
    while (atomic_load(&k->w->committed) < LOOPS * TASKS * COMMITS) {
        struct journal_scan s = {.from = 1, .record = no_record};
        uint64_t freed;
        must(journal_scan(j, &s, &f) == R_OK);
        if (done + 4 < journal_segment_count(j))  // far behind the readers
            must(journal_rewrite(j, ++done, all_live, NULL, &freed, &f) == R_OK);
        must(journal_backup(j, no_sink, NULL, &f) == R_OK);
    }
    return NULL;
}

static void
test_all_at_once(void **state)
{
    struct world w = {0};
    struct worker loops[LOOPS], threads[THREADS], keeper = {.w = &w};
    (void)state;
    w.pool = pool_new(2);
    fixture_init(&w.x, "scramble", SEGMENT);
    w.x.pool = w.pool;
    w.x.on_durable = on_durable;
    w.x.arg = &w;
    assert_int_equal(fixture_open(&w.x), R_OK);
    for (unsigned i = 0; i < LOOPS; i++) {
        loops[i] = (struct worker){.w = &w, .loop = loop_new(), .index = i};
        atomic_store(&w.live_tasks[i], TASKS);
        pthread_create(&loops[i].thread, NULL, loop_main, &loops[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct worker){.w = &w};
        pthread_create(&threads[i].thread, NULL, thread_main, &threads[i]);
    }
    pthread_create(&keeper.thread, NULL, keeper_main, &keeper);
    for (unsigned i = 0; i < LOOPS; i++) {
        pthread_join(loops[i].thread, NULL);
        loop_free(&loops[i].loop);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i].thread, NULL);
    pthread_join(keeper.thread, NULL);
    unsigned want = LOOPS * TASKS * COMMITS + THREADS * COMMITS;
    assert_int_equal(atomic_load(&w.committed), want);
    assert_int_equal(atomic_load(&w.told), want);
    assert_int_equal(journal_end(w.x.j), 1 + 2 * want);
    journal_close(&w.x.j);
    w.x.on_durable = NULL;
    assert_int_equal(fixture_open(&w.x), R_OK);
    assert_int_equal(journal_end(w.x.j), 1 + 2 * want);
    fixture_done(&w.x);
    pool_free(&w.pool);
}

// ---- reads that miss the page cache ----

enum { COLD = 25 };

struct cold {
    struct fixture x;
    struct loop *loop;
    uint64_t blobs[COLD + 1];
};

static void
read_task(void *arg)
{
    struct cold *c = arg;
    for (uint64_t i = 1; i <= COLD; i++) {
        journal_blob_readahead(c->x.j, c->blobs[i]);
        must(fixture_blob_good(c->x.j, c->blobs[i], i));
    }
    loop_stop(c->loop);
}

static void
read_start(void *arg)
{
    task_start(read_task, arg);
}

// Nothing is cached: the task suspends while the pool reads.
static void
test_cold_reads(void **state)
{
    static const char *hows[] = {"identity", "scramble", "identity zstd", "scramble zstd"};
    char command[256];
    (void)state;
    for (size_t k = 0; k < sizeof hows / sizeof hows[0]; k++) {
        struct cold c = {.loop = loop_new()};
        fixture_init(&c.x, hows[k], SEGMENT);
        assert_int_equal(fixture_open(&c.x), R_OK);
        for (uint64_t i = 1; i <= COLD; i++)
            assert_int_equal(fixture_commit(c.x.j, i, &c.blobs[i], &c.x.fault), R_OK);
        journal_close(&c.x.j);
        c.x.pool = pool_new(2);
        assert_int_equal(fixture_open(&c.x), R_OK);
        snprintf(command, sizeof command,
                 "sync; find %s -type f -exec dd of={} oflag=nocache "
                 "conv=notrunc,fdatasync count=0 status=none \\;",
                 c.x.path);
        assert_int_equal(system(command), 0);
        loop_post(c.loop, read_start, &c);
        loop_run(c.loop);
        loop_free(&c.loop);
        fixture_done(&c.x);
        pool_free(&c.x.pool);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_at_once),
                                       cmocka_unit_test(test_cold_reads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
