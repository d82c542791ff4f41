#include "store/index_block.h"
#include "store/scene.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// Random batches with tables dropped and loaded, states dropped and loaded, stores closed and opened.
static void
run_random(const char *engine, const char *codec, uint64_t seed)
{
    struct store_options o = scene_options(engine, codec);
    struct store *s = scene_open(&o);
    struct generator g[2];
    struct state *home = NULL;
    struct fault f;
    bool persists = strcmp(engine, "mem") != 0;
    generator_init(&g[0], 7, seed);
    generator_init(&g[1], 9, seed + 1);
    for (int round = 0; round < 200; round++) {
        struct generator *one = &g[round % 3 == 0];
        scene_commit(s, one, one == g ? home : NULL, 12);
        uint64_t dice = generator_random(one, 20);
        if (dice < 3 && home) {
            scene_load_tables(s, home);
        } else if (dice < 6 && home && home->mailbox_count > 0) {
            state_table_drop(home->mailboxes[generator_random(one, home->mailbox_count)]);
        } else if (dice < 8) {
            state_free(&home);
            enum result r = store_state_load(s, 7, &home, &f);
            assert_true(r == R_OK || r == R_NONE);
        } else if (dice < 9) {
            assert_int_equal(store_checkpoint(s, &f), R_OK);
        } else if (dice < 10 && persists) {
            state_free(&home);
            store_close(&s);
            s = scene_open(&o);
        }
    }
    scene_expect_model(s, &g[0]);
    scene_expect_model(s, &g[1]);
    scene_expect_verified(s, 0);
    if (home) {
        scene_load_tables(s, home);
        struct buf want, got;
        scene_dump(g[0].state, &want);
        scene_dump(home, &got);
        assert_string_equal(got.p, want.p);
        buf_done(&want);
        buf_done(&got);
        state_free(&home);
    }
    store_close(&s);
    if (persists) {
        assert_int_equal(store_rebuild(&o, scene_note, NULL, &f), R_OK);
        s = scene_open(&o);
        scene_expect_model(s, &g[0]);
        scene_expect_model(s, &g[1]);
        scene_expect_verified(s, 0);
        assert_true(store_id_next(s) > (9ull << 40 | g[1].id));  // no id of a record again
        store_close(&s);
    }
    generator_done(&g[0]);
    generator_done(&g[1]);
}

static void
test_embedded(void **unused)
{
    (void)unused;
    run_random("embedded", "identity", 41);
}

static void
test_scramble(void **unused)
{
    (void)unused;
    run_random("embedded", "scramble", 43);
}

static void
test_compressed(void **unused)
{
    (void)unused;
    run_random("embedded", "zstd", 53);
}

static void
test_mem(void **unused)
{
    (void)unused;
    run_random("mem", "identity", 47);
}

// A process that ends without closing, at any point of the fold.
static void
test_killed(void **unused)
{
    (void)unused;
    struct store_options o = scene_options("embedded", "identity");
    for (uint64_t seed = 1; seed < 4; seed++) {
        struct generator g;
        // so that the bodies' places are those of the engine mem
        scene_clean(scene_folder);
        generator_init(&g, 100 + seed, seed * 77);
        pid_t child = fork();
        if (child == 0) {
            struct store *s = scene_open(&o);
            struct fault f;
            for (int i = 0; i < 30; i++) {
                scene_commit(s, &g, NULL, 8);
                if (i == (int)seed * 7)
                    must(store_checkpoint(s, &f) == R_OK);
            }
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        struct store *s = scene_open(&o);
        struct store *scratch;
        struct store_options mem = scene_options("mem", "identity");
        assert_int_equal(store_open(&mem, &scratch, &(struct fault){0}), R_OK);
        for (int i = 0; i < 30; i++)
            scene_commit(scratch, &g, NULL, 8);
        store_close(&scratch);
        scene_expect_model(s, &g);
        scene_expect_verified(s, 0);
        store_close(&s);
        generator_done(&g);
    }
}

static void
fill(const struct store_options *o, struct generator *g)
{
    struct store *s = scene_open(o);
    generator_init(g, 5, 99);
    for (int i = 0; i < 60; i++)
        scene_commit(s, g, NULL, 8);
    store_close(&s);
}

static void
file_of(char out[160], const char *name)
{
    must(snprintf(out, 160, "%s/%s", scene_folder, name) < 160);
}

static void
test_damaged_index(void **unused)
{
    (void)unused;
    static const struct {
        const char *what;
        off_t cut, overwrite;
    } rows[] = {{"cut short", 9000, -1}, {"empty", 0, -1}, {"both meta pages", -1, 0}};
    struct store_options o = scene_options("embedded", "identity");
    struct generator g;
    char name[160];
    fill(&o, &g);
    file_of(name, "index/0/data.mdb");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char garbage[8192];
        memset(garbage, 0x5a, sizeof garbage);
        int fd = open(name, O_RDWR);
        if (rows[i].cut >= 0)
            assert_int_equal(ftruncate(fd, rows[i].cut), 0);
        if (rows[i].overwrite >= 0)
            assert_int_equal(pwrite(fd, garbage, sizeof garbage, rows[i].overwrite),
                             sizeof garbage);
        close(fd);
        scene_reports = 0;
        struct store *s = scene_open(&o);
        assert_true(scene_reports > 0);
        scene_expect_model(s, &g);
        scene_expect_verified(s, 0);
        store_close(&s);
    }
    store_index_distrust(scene_folder);
    scene_reports = 0;
    struct store *s = scene_open(&o);
    assert_true(scene_reports > 0);
    scene_expect_model(s, &g);
    store_close(&s);
    generator_done(&g);
}

// What is changed in the index behind the store's back is found.
static void
test_verify_finds(void **unused)
{
    (void)unused;
    struct store_options o = scene_options("embedded", "identity");
    struct generator g;
    struct folder f;
    struct fault why;
    char name[160];
    fill(&o, &g);
    file_of(name, "index");
    for (int what = 0; what < 3; what++) {
        struct index *ix;
        MDB_txn *txn;
        MDB_cursor *cursor;
        assert_int_equal(folder_open(scene_folder, false, &f, &why), R_OK);
        assert_int_equal(index_open(name, f.uuid, codec_by_name("identity"), &ix, &why),
                         R_OK);
        struct index_key prefix = index_key(5, INDEX_ROW);
        MDB_val k = {prefix.n, prefix.p}, v;
        assert_int_equal(mdb_txn_begin(ix->env, NULL, 0, &txn), 0);
        assert_int_equal(mdb_cursor_open(txn, what == 2 ? ix->caches : ix->rows, &cursor),
                         0);
        assert_int_equal(
            mdb_cursor_get(cursor, &k, &v, what == 2 ? MDB_FIRST : MDB_SET_RANGE), 0);
        if (what == 1) {
            struct index_block block;
            struct buf now;
            buf_init(&now, SIZE_MAX);
            assert_int_equal(index_block_get(span_of(k.mv_data, k.mv_size),
                                             span_of(v.mv_data, v.mv_size), &block),
                             R_OK);
            block.rows[0].flags ^= FLAG_FLAGGED;
            index_block_put(&now, &block);
            v = (MDB_val){now.n, now.p};
            assert_int_equal(mdb_put(txn, ix->rows, &k, &v, 0), 0);
            buf_done(&now);
        } else {
            assert_int_equal(mdb_cursor_del(cursor, 0), 0);
        }
        assert_int_equal(mdb_txn_commit(txn), 0);
        index_close(&ix);
        folder_close(&f);
        struct store *s = scene_open(&o);
        scene_expect_verified(s, 1);
        store_close(&s);
        assert_int_equal(store_rebuild(&o, scene_note, NULL, &why), R_OK);
        s = scene_open(&o);
        scene_expect_verified(s, 0);
        store_close(&s);
    }
    generator_done(&g);
}

// A table that the index has further than the home: it is not handed out before the home has applied the batch.
static void
test_home_behind(void **unused)
{
    (void)unused;
    struct store_options o = scene_options("embedded", "identity");
    struct generator g;
    struct fault f;
    struct state *st;
    fill(&o, &g);
    struct store *s = scene_open(&o);
    assert_int_equal(store_state_load(s, 5, &st, &f), R_OK);
    struct mailbox_state *m = st->mailboxes[0];
    struct record_added a = {.mailbox = m->id, .counts = m->counts};
    struct store_body *body = store_body_new(s);
    struct store_batch *b = store_batch_new(s, 5, 0, 0);
    struct buf meta;
    assert_int_equal(store_body_finish(body, &f), R_OK);
    a.row = (struct message_row){.uid = m->counts.uidnext++, .modseq = st->modseq + 1};
    a.counts.uidnext++;
    a.counts.exists++;
    a.counts.unseen++;
    a.counts.modseq = a.row.modseq;
    buf_init(&meta, 4096);
    record_added_put(&meta, &a);
    store_batch_add(b, RECORD_ADDED, buf_span(&meta), body);
    assert_int_equal(store_commit(s, b, &f), R_OK);
    assert_int_equal(store_checkpoint(s, &f), R_OK);
    // outside a task it cannot wait
    assert_int_equal(store_table_load(s, st, m->id, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_SERVERBUG);
    assert_int_equal(
        state_apply(st, RECORD_ADDED, buf_span(&meta), store_batch_place(b, 0), &f), R_OK);
    assert_int_equal(store_table_load(s, st, m->id, &f), R_OK);
    assert_int_equal(m->rows[m->counts.exists - 1].uid, a.row.uid);
    state_free(&st);
    store_batch_free(&b);
    store_body_free(&body);
    buf_done(&meta);
    store_close(&s);
    generator_done(&g);
}

static int broken_calls;

static void
note_broken(const struct fault *f, void *arg)
{
    (void)arg;
    broken_calls += f->kind == FAULT_CORRUPTION;
}

// Damage that shows while the store is in use: commits fail, and the next start makes the index anew.
static void
test_damage_in_use(void **unused)
{
    (void)unused;
    struct store_options o = scene_options("embedded", "identity");
    struct generator g;
    struct fault f = {0};
    fill(&o, &g);
    scene_index_damage(index_key(5, INDEX_ACCOUNT), false);
    o.broken = note_broken;
    struct store *s = scene_open(&o);
    struct state *st;
    assert_int_equal(store_state_load(s, 5, &st, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_CORRUPTION);
    scene_commit(s, &g, NULL, 1);  // durable: the journal is whole
    assert_int_equal(store_checkpoint(s, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_CORRUPTION);
    assert_int_equal(broken_calls, 1);
    struct store_batch *b = store_batch_new(s, 5, 0, 0);
    store_batch_add(b, g.type, buf_span(&g.meta), NULL);
    assert_int_equal(store_commit(s, b, &f), R_FAIL);
    store_batch_free(&b);
    store_close(&s);
    scene_reports = 0;
    s = scene_open(&o);
    assert_true(scene_reports > 0);
    scene_expect_model(s, &g);
    scene_expect_verified(s, 0);
    store_close(&s);
    generator_done(&g);
}

// ---- backup and restore ----

static enum result
sink(struct span bytes, void *arg, struct fault *f)
{
    (void)f;
    buf_put(arg, bytes);
    return R_OK;
}

static enum result
source(char *dst, size_t len, size_t *n_out, void *arg, struct fault *f)
{
    struct span *rest = arg;
    (void)f;
    *n_out = len < rest->n ? len : rest->n;
    memcpy(dst, rest->p, *n_out);
    *rest = span_skip(*rest, *n_out);
    return R_OK;
}

static void
test_restore(void **unused)
{
    (void)unused;
    struct store_options o = scene_options("embedded", "zstd");
    struct generator g;
    struct fault f;
    struct buf stream;
    buf_init(&stream, SIZE_MAX);
    fill(&o, &g);
    struct store *s = scene_open(&o);
    uint64_t id = store_id_next(s);
    assert_int_equal(store_backup(s, sink, &stream, &f), R_OK);
    store_close(&s);
    struct span rest = buf_span(&stream);
    assert_int_equal(store_restore(&o, source, &rest, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_ALREADYEXISTS);
    o.path = scene_copy;
    rest = buf_span(&stream);
    if (store_restore(&o, source, &rest, &f) != R_OK)
        fail_msg("%s", f.why);
    assert_int_equal(store_open(&o, &s, &f), R_FAIL);
    assert_int_equal(store_restore_end(&o, &f), R_OK);
    s = scene_open(&o);
    struct state *st;
    assert_int_equal(store_state_load(s, 5, &st, &f), R_OK);
    assert_true(st->modseq >= g.state->modseq + (1ull << 32));
    for (uint32_t i = 0; i < st->mailbox_count; i++) {
        const struct mailbox_state *m = state_mailbox(g.state, st->mailboxes[i]->id);
        assert_in_range(st->mailboxes[i]->counts.uidnext - m->counts.uidnext, 1 << 20,
                        1 << 21);
        assert_int_equal(st->mailboxes[i]->counts.exists, m->counts.exists);
        assert_int_equal(st->mailboxes[i]->uidvalidity, m->uidvalidity);
    }
    scene_load_tables(s, st);
    assert_true(store_id_next(s) >= id + (1ull << 32));
    scene_expect_verified(s, 0);
    state_free(&st);
    store_close(&s);
    buf_done(&stream);
    generator_done(&g);
}

struct restored {
    uint64_t modseq, id;
    uint32_t uidnext;  // of the first mailbox
};

static struct restored
restore_copy(const struct store_options *o, struct span stream)
{
    struct state *st;
    struct fault f;
    if (store_restore(o, source, &stream, &f) != R_OK || store_restore_end(o, &f) != R_OK)
        fail_msg("%s", f.why);
    struct store *s = scene_open(o);
    assert_int_equal(store_state_load(s, 5, &st, &f), R_OK);
    struct restored now = {st->modseq, store_id_next(s), st->mailboxes[0]->counts.uidnext};
    state_free(&st);
    store_close(&s);
    return now;
}

// Clients have seen what the first restore has given.
static void
test_restore_twice(void **unused)
{
    (void)unused;
    struct store_options o = scene_options("embedded", "identity");
    struct generator g;
    struct fault f;
    struct buf stream;
    buf_init(&stream, SIZE_MAX);
    fill(&o, &g);
    struct store *s = scene_open(&o);
    assert_int_equal(store_backup(s, sink, &stream, &f), R_OK);
    store_close(&s);
    o.path = scene_copy;
    struct restored first = restore_copy(&o, buf_span(&stream));
    scene_clean(scene_copy);
    sleep(1);
    struct restored second = restore_copy(&o, buf_span(&stream));
    assert_true(second.uidnext > first.uidnext);
    assert_true(second.modseq > first.modseq);
    assert_true(second.id > first.id);
    buf_done(&stream);
    generator_done(&g);
}

// Caches of folded and of unfolded messages, and shared by copies.
static void
test_caches(void **unused)
{
    (void)unused;
    struct store_options o = scene_options("embedded", "scramble");
    struct store *s = scene_open(&o);
    struct generator g;
    struct fault f;
    struct state *st;
    generator_init(&g, 5, 7);
    for (int i = 0; i < 50; i++) {
        scene_commit(s, &g, NULL, 8);
        if (i == 25)
            assert_int_equal(store_checkpoint(s, &f), R_OK);
    }
    assert_int_equal(store_state_load(s, 5, &st, &f), R_OK);
    scene_load_tables(s, st);
    struct store_cache_reader *r = store_cache_begin(s);
    uint64_t found = 0, missing = 0;
    for (uint32_t i = 0; i < st->mailbox_count; i++)
        for (uint32_t row = 0; row < st->mailboxes[i]->counts.exists; row++) {
            struct span cache;
            if (store_cache_find(r, st->mailboxes[i]->rows[row].blob, &cache) == R_OK) {
                assert_true(span_eq(cache, SPAN("(\"envelope\" \"structure\")")));
                found++;
            } else {
                missing++;
            }
        }
    store_cache_end(&r);
    assert_true(found > 2 * missing && missing > 0);
    struct arena *a = arena_new();
    struct store_thread_key *keys;
    size_t n;
    assert_int_equal(store_thread_keys(s, st, a, &keys, &n, &f), R_OK);
    assert_true(n > 0 && n % 2 == 0);
    arena_free(&a);
    state_free(&st);
    store_close(&s);
    generator_done(&g);
}

static void
test_folder(void **unused)
{
    (void)unused;
    struct store_options o = scene_options("embedded", "identity");
    struct store *s = scene_open(&o), *second;
    struct fault f;
    char name[160];
    assert_int_equal(store_open(&o, &second, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_INUSE);
    store_close(&s);
    file_of(name, "format");
    int fd = open(name, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "posthorn store 3\n", 17), 17);
    close(fd);
    assert_int_equal(store_open(&o, &second, &f), R_FAIL);
    assert_non_null(strstr(f.why, "format 3"));
}

static void
expect_format(const char *folder, char number)
{
    char name[160], text[32] = {0};
    must((size_t)snprintf(name, sizeof name, "%s/format", folder) < sizeof name);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof text), 17);
    assert_int_equal(text[15], number);
    close(fd);
}

// The format rises when compressed bodies may come, and never falls; so does that of what is restored, and of its backup.
static void
test_format_rises(void **unused)
{
    (void)unused;
    struct store_options o = scene_options("embedded", "identity");
    struct store *s = scene_open(&o);
    struct fault f;
    struct buf stream;
    expect_format(scene_folder, '1');
    store_close(&s);
    o.compress = true;
    s = scene_open(&o);
    expect_format(scene_folder, '2');
    store_close(&s);
    o.compress = false;
    s = scene_open(&o);
    expect_format(scene_folder, '2');
    buf_init(&stream, SIZE_MAX);
    assert_int_equal(store_backup(s, sink, &stream, &f), R_OK);
    store_close(&s);
    struct span rest = buf_span(&stream);
    assert_true(span_starts(rest, SPAN("posthorn backup2")));
    o.path = scene_copy;
    assert_int_equal(store_restore(&o, source, &rest, &f), R_OK);
    expect_format(scene_copy, '2');
    buf_done(&stream);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_begin, scene_end)
    const struct CMUnitTest tests[] = {
        TEST(test_format_rises),  TEST(test_compressed),    TEST(test_folder),
        TEST(test_mem),           TEST(test_embedded),      TEST(test_scramble),
        TEST(test_killed),        TEST(test_restore),       TEST(test_caches),
        TEST(test_damaged_index), TEST(test_verify_finds),  TEST(test_damage_in_use),
        TEST(test_home_behind),   TEST(test_restore_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
