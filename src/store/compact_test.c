// What compaction frees, and that it frees no more.
#include "store/scene.h"

#include "base/seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static const int64_t OVER = 1LL << 40;  // when everything that was expunged is

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
    struct store_compaction how = {.now_s = OVER, .forget = forget, .arg = &forgetter};
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

// Of the sealed segments among the first `count`.
static uint64_t
octets(struct store *s, uint32_t count)
{
    uint64_t sum = 0;
    for (uint32_t n = 1; n < count; n++)
        sum += journal_segment_get(s->journal, n).octets;
    return sum;
}

static struct index_key
account_entry(const struct state *st)
{
    return index_key(st->account, INDEX_ACCOUNT);
}

static struct index_key
tombstones(const struct state *st)
{
    return index_key(st->account, INDEX_TOMBSTONE);
}

// Of a mailbox that is there: those of a deleted one are forgotten unread.
static struct index_key
live_rows(const struct state *st)
{
    struct index_key key = index_key(st->account, INDEX_ROW);
    uint32_t i = 0;
    while (i < st->mailbox_count && st->mailboxes[i]->counts.exists == 0)
        i++;
    assert_true(i < st->mailbox_count);
    index_key_u64(&key, st->mailboxes[i]->id);
    return key;
}

static void
expect_refused(struct store *s, const struct store_compaction *how, const char *want_why)
{
    struct fault f = {0};
    uint32_t count = journal_segment_count(s->journal);
    uint64_t freed = 77, before = octets(s, count);
    assert_int_equal(store_compact(s, how, &freed, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_CORRUPTION);
    assert_non_null(strstr(f.why, want_why));
    assert_int_equal(freed, 77);
    assert_int_equal(octets(s, count), before);
}

// Rows that cannot be read, or are not there, name bodies that nobody knows of: nothing is dropped then, until they were
// made anew. Of tombstones none must be over, since those may be forgotten unread.
static void
test_damaged_rows(void **unused)
{
    static const struct {
        struct index_key (*entry)(const struct state *st);
        bool gone;
        int64_t now_s;
        const char *want_why;
    } rows[] = {{tombstones, false, 0, "index: tombstone"},
                {live_rows, false, OVER, "index: rows"},
                {live_rows, true, OVER, "index: rows are missing"},
                {account_entry, true, OVER, "index: account"}};
    struct store_options o = scene_options("embedded", "zstd");
    struct generator g;
    struct fault f;
    (void)unused;
    o.segment_size = 65536;
    struct store *s = scene_open(&o);
    generator_init(&g, 5, 99);
    for (int i = 0; i < 300; i++)
        scene_commit(s, &g, NULL, 8);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(store_checkpoint(s, &f), R_OK);
        store_close(&s);
        scene_index_damage(rows[i].entry(g.state), rows[i].gone);
        s = scene_open(&o);
        struct forgetter forgetter = {.s = s};
        struct store_compaction how = {
            .now_s = rows[i].now_s, .forget = forget, .arg = &forgetter};
        expect_refused(s, &how, rows[i].want_why);
        assert_true(readable(s, g.state) > 0);
        store_close(&s);
        assert_int_equal(store_rebuild(&o, scene_note, NULL, &f), R_OK);
        s = scene_open(&o);
    }
    uint64_t freed = 0, whole = readable(s, g.state);
    struct forgetter forgetter = {.s = s};
    struct store_compaction how = {.now_s = OVER, .forget = forget, .arg = &forgetter};
    assert_int_equal(store_compact(s, &how, &freed, &f), R_OK);
    assert_true(freed > 10000);
    assert_int_equal(readable(s, g.state), whole);
    scene_expect_verified(s, 0);
    store_close(&s);
    generator_done(&g);
}

// ---- what files weigh ----

// A body with a file of its own, of so many frames: words, or noise that nothing makes smaller.
static struct store_body *
file_body(struct store *s, bool noise, int frames)
{
    char frame[CODEC_FRAME];
    struct fault f;
    uint64_t seed = 7;
    struct store_body *b = store_body_new(s);
    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = noise ? (char)seeded_u64(&seed) : (char)('a' + i % 20);
    for (int i = 0; i < frames; i++)
        assert_int_equal(store_body_write(b, span_of(frame, sizeof frame), &f), R_OK);
    assert_int_equal(store_body_finish(b, &f), R_OK);
    return b;
}

// m NULL: of no mailbox that is there, so that nobody wants its body.
static void
commit_file(struct store *s, struct mailbox_state *m, bool noise, int frames)
{
    struct fault f;
    struct buf meta;
    struct record_added a = {.mailbox = 1, .counts = {.uidnext = 1}};
    struct store_body *body = file_body(s, noise, frames);
    struct store_batch *b = store_batch_new(s, 5, 0, 0);
    if (m) {
        a.mailbox = m->id;
        a.counts = m->counts;
    }
    a.row.uid = a.counts.uidnext++;
    a.row.modseq = ++a.counts.modseq;
    a.counts.exists++;
    a.counts.unseen++;
    buf_init(&meta, 4096);
    record_added_put(&meta, &a);
    store_batch_add(b, RECORD_ADDED, buf_span(&meta), body);
    assert_int_equal(store_commit(s, b, &f), R_OK);
    store_batch_free(&b);
    store_body_free(&body);
    buf_done(&meta);
}

// A segment is rewritten for what its dead bodies take on the disk, not for what they were.
static void
test_weights(void **unused)
{
    static const struct {
        int live, dead;  // frames
        bool dead_is_noise, want_dropped;
    } rows[] = {
        {40, 40, false,
         false},  // half of the octets that came, and next to none of those that lie here
        {160, 40, true, true},  // the reverse
    };
    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct store_options o = scene_options("embedded", "zstd");
        struct generator g;
        struct fault f;
        uint64_t freed = 0;
        scene_clean(scene_folder);
        struct store *s = scene_open(&o);
        generator_init(&g, 5, 99);
        while (g.state->mailbox_count == 0)
            scene_commit(s, &g, NULL, 8);
        commit_file(s, g.state->mailboxes[0], !rows[i].dead_is_noise, rows[i].live);
        commit_file(s, NULL, rows[i].dead_is_noise, rows[i].dead);
        assert_int_equal(journal_seal(s->journal, 1, &f), R_OK);
        struct store_compaction how = {.forget = forget};
        assert_int_equal(store_compact(s, &how, &freed, &f), R_OK);
        assert_int_equal(freed > (uint64_t)rows[i].dead * CODEC_FRAME,
                         rows[i].want_dropped);
        assert_true(rows[i].want_dropped || freed == 0);
        scene_expect_verified(s, 0);
        store_close(&s);
        generator_done(&g);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_compact, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(test_damaged_rows, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(test_weights, scene_begin, scene_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
