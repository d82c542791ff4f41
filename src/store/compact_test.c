// What compaction frees, and that it frees no more.
#include "store/scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

struct forgetter {
    struct store *s;
    int count;
};

static enum result
forget(uint64_t account, uint64_t mailbox, uint64_t up_to_modseq, void *arg)
{
    struct forgetter *g = arg;
    struct fault f;
    struct buf meta;
    buf_init(&meta, 64);
    record_forgotten_put(&meta, &(struct record_forgotten){mailbox, up_to_modseq});
    struct store_batch *b = store_batch_new(g->s, account, 0, 0);
    store_batch_add(b, RECORD_FORGOTTEN, buf_span(&meta), NULL);
    enum result r = store_commit(g->s, b, &f);
    store_batch_free(&b);
    buf_done(&meta);
    g->count++;
    return r;
}

static uint64_t
readable(struct store *s, struct state *st)
{
    uint64_t n = 0;
    struct fault f;
    char octets[16];
    for (uint32_t i = 0; i < st->mailbox_count; i++)
        for (uint32_t row = 0; row < st->mailboxes[i]->counts.exists; row++, n++)
            if (store_blob_read(s, st->mailboxes[i]->rows[row].blob, 0, 16, octets, &f) !=
                    R_OK ||
                memcmp(octets, "Subject: message", 16) != 0)
                fail_msg("a body is gone: %s", f.why);
    return n;
}

static void
compact_engine(const char *engine, const char *codec)
{
    struct store_options o = scene_options(engine, codec);
    o.segment_size = 65536;
    struct store *s = scene_open(&o);
    struct generator g;
    struct fault f;
    struct state *st;
    uint64_t freed = 0, again = 1;
    generator_init(&g, 5, 99);
    for (int i = 0; i < 300; i++)
        scene_commit(s, &g, NULL, 8);
    struct forgetter forgetter = {.s = s};
    struct store_compaction how = {.now_s = 1LL << 40, .forget = forget, .arg = &forgetter};
    assert_int_equal(store_compact(s, &how, &freed, &f), R_OK);
    assert_true(freed > 10000 && forgetter.count > 0);
    assert_int_equal(store_compact(s, &how, &again, &f), R_OK);
    assert_int_equal(again, 0);
    assert_int_equal(store_state_load(s, 5, &st, &f), R_OK);
    scene_load_tables(s, st);
    assert_true(readable(s, st) > 0);
    scene_expect_verified(s, 0);
    state_free(&st);
    store_close(&s);
    generator_done(&g);
    if (strcmp(engine, "mem") == 0)
        return;
    assert_int_equal(store_rebuild(&o, scene_note, NULL, &f), R_OK);
    s = scene_open(&o);
    scene_expect_verified(s, 0);
    store_close(&s);
}

static void
test_compact(void **unused)
{
    (void)unused;
    compact_engine("embedded", "identity");
    compact_engine("embedded", "zstd");
    compact_engine("mem", "identity");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_compact, scene_begin, scene_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
