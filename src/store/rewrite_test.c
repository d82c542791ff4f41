#include "store/journal_fixture.h"
#include "store/journal_inside.h"

#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

enum { SEGMENT = 256 << 10, BATCHES = 50, STREAM_MAX = 64 << 20 };

static void
fill(struct fixture *x, uint64_t *blobs)
{
    for (uint64_t i = 1; i <= BATCHES; i++)
        assert_int_equal(fixture_commit(x->j, i, &blobs[i], &x->fault), R_OK);
}

// ---- rewriting ----

// Only bodies of odd batches live.
static bool
is_live(uint64_t blob, void *arg)
{
    const uint64_t *blobs = arg;
    uint64_t i = 1;
    while (i <= BATCHES && blobs[i] != blob)
        i++;
    assert_true(i <= BATCHES);
    return i % 2 == 1;
}

static uint64_t
rewrite_all(struct fixture *x, uint64_t *blobs)
{
    uint64_t freed = 0, sum = 0;
    for (uint32_t n = 1; n < journal_segment_count(x->j); n++) {
        uint64_t before = journal_segment_get(x->j, n).octets;
        assert_int_equal(journal_rewrite(x->j, n, is_live, blobs, &freed, &x->fault), R_OK);
        assert_true(journal_segment_get(x->j, n).octets + freed >= before);
        sum += freed;
    }
    return sum;
}

static void
check_rewritten(struct fixture *x, const uint64_t *blobs)
{
    uint64_t sealed = journal_segment_count(x->j);
    char c;
    // every record is there, with its sequence
    assert_int_equal(fixture_batches(x->j), BATCHES);
    for (uint64_t i = 1; i <= BATCHES; i++) {
        bool dead = i % 2 == 0 && blobs[i] >> 32 < sealed && fixture_body_size(i) > 0;
        if (!dead) {
            assert_true(fixture_blob_good(x->j, blobs[i], i));
            continue;
        }
        assert_int_equal(journal_blob_read(x->j, blobs[i], 0, 1, &c, &x->fault), R_FAIL);
        assert_int_equal(x->fault.kind, FAULT_CORRUPTION);
    }
}

static void
test_rewrite(void **state)
{
    uint64_t blobs[BATCHES + 1];
    struct fixture x;
    fixture_init(&x, *state, SEGMENT);
    assert_int_equal(fixture_open(&x), R_OK);
    fill(&x, blobs);
    for (uint64_t i = 1; i <= BATCHES; i++)  // old descriptors and tables are in the cache
        assert_true(fixture_blob_good(x.j, blobs[i], i));
    assert_true(rewrite_all(&x, blobs) > 500000);
    check_rewritten(&x, blobs);
    assert_int_equal(rewrite_all(&x, blobs), 0);
    uint64_t freed;
    assert_int_equal(
        journal_rewrite(x.j, journal_segment_count(x.j), is_live, blobs, &freed, &x.fault),
        R_FAIL);
    journal_close(&x.j);
    assert_int_equal(fixture_open(&x), R_OK);
    check_rewritten(&x, blobs);
    fixture_done(&x);
}

// The open segment is ended when it is asked for by its number, once, and never when it is empty.
static void
test_seal(void **state)
{
    uint64_t blobs[BATCHES + 1], freed = 0;
    struct fixture x;
    (void)state;
    fixture_init(&x, "identity", 64 << 20);
    assert_int_equal(fixture_open(&x), R_OK);
    assert_int_equal(journal_seal(x.j, 1, &x.fault), R_OK);
    assert_int_equal(journal_segment_count(x.j), 1);
    fill(&x, blobs);
    assert_int_equal(journal_segment_count(x.j), 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(journal_seal(x.j, 1, &x.fault), R_OK);
    assert_int_equal(journal_segment_count(x.j), 2);
    assert_true(journal_segment_get(x.j, 1).sealed);
    assert_int_equal(journal_rewrite(x.j, 1, is_live, blobs, &freed, &x.fault), R_OK);
    assert_true(freed > 500000);
    check_rewritten(&x, blobs);
    assert_int_equal(fixture_commit(x.j, BATCHES + 1, NULL, &x.fault), R_OK);
    journal_close(&x.j);
    assert_int_equal(fixture_open(&x), R_OK);
    assert_int_equal(fixture_batches(x.j), BATCHES + 1);
    fixture_done(&x);
}

// Each state that a crash can leave: a half new file, a new segment with the old table, and the reverse.
static void
test_rewrite_crashes(void **state)
{
    static const char *const mixes[] = {
        "head -c 5000 new/journal/00000002.seg > old/journal/00000002.new",
        "cp new/journal/00000002.seg old/journal/00000002.seg",
        "cp new/journal/00000002.idx old/journal/00000002.idx",
        "cp new/journal/00000002.idx old/journal/00000002.idn",
    };
    uint64_t blobs[BATCHES + 1];
    (void)state;
    for (size_t i = 0; i < sizeof mixes / sizeof mixes[0]; i++) {
        struct fixture x, old;
        char command[512];
        fixture_init(&x, "identity", SEGMENT);
        assert_int_equal(fixture_open(&x), R_OK);
        fill(&x, blobs);
        fixture_copy(&x, &old);
        rewrite_all(&x, blobs);
        snprintf(command, sizeof command, "cd %s && ln -sfn %s new && ln -sfn . old && %s",
                 old.path, x.path, mixes[i]);
        assert_int_equal(system(command), 0);
        assert_int_equal(fixture_open(&old), R_OK);
        assert_int_equal(fixture_batches(old.j), BATCHES);
        for (uint64_t k = 1; k <= BATCHES; k += 2)
            assert_true(fixture_blob_good(old.j, blobs[k], k));
        fixture_done(&old);
        fixture_done(&x);
    }
}

// ---- backup ----

struct stream {
    struct buf bytes;
    size_t read, piece;
    bool compressed;    // the restored journal may have such bodies
    struct fixture *x;  // commits and compacts during the backup
    uint64_t *blobs;
};

static enum result
sink(struct span bytes, void *arg, struct fault *f)
{
    struct stream *s = arg;
    uint64_t freed;
    if (s->x && s->bytes.n == 0) {
        assert_int_equal(journal_rewrite(s->x->j, 1, is_live, s->blobs, &freed, f), R_FAIL);
        assert_int_equal(f->kind, FAULT_INUSE);
        for (uint64_t i = 1; i <= 12; i++)
            assert_int_equal(fixture_commit(s->x->j, BATCHES + i, NULL, f), R_OK);
    }
    buf_put(&s->bytes, bytes);
    assert_false(s->bytes.over);
    return R_OK;
}

static enum result
source(char *dst, size_t len, size_t *n_out, void *arg, struct fault *f)
{
    struct stream *s = arg;
    (void)f;
    size_t n = s->bytes.n - s->read;
    n = n < len ? n : len;
    n = n < s->piece ? n : s->piece;
    memcpy(dst, s->bytes.p + s->read, n);
    s->read += n;
    *n_out = n;
    return R_OK;
}

static enum result
restore(struct stream *s, struct fixture *to)
{
    fixture_init(to, "identity", SEGMENT);
    s->read = 0;
    s->piece = 10007;
    return journal_restore(to->path, source, s, &s->compressed, &to->fault);
}

static void
test_backup_and_restore(void **state)
{
    uint64_t blobs[BATCHES + 1];
    struct fixture x, y;
    struct stream s = {.x = &x, .blobs = blobs};
    fixture_init(&x, *state, SEGMENT);
    assert_int_equal(fixture_open(&x), R_OK);
    fill(&x, blobs);
    buf_init(&s.bytes, STREAM_MAX);
    assert_int_equal(journal_backup(x.j, sink, &s, &x.fault), R_OK);
    assert_int_equal(fixture_batches(x.j), BATCHES + 12);
    assert_int_equal(restore(&s, &y), R_OK);
    assert_int_equal(s.compressed, x.compress);
    assert_int_equal(fixture_open(&y), R_OK);
    assert_int_equal(y.recovery.cut_octets, 0);
    // what was durable at the call, no more
    assert_int_equal(fixture_batches(y.j), BATCHES);
    for (uint64_t i = 1; i <= BATCHES; i++)
        assert_true(fixture_blob_good(y.j, blobs[i], i));
    assert_int_equal(fixture_commit(y.j, BATCHES + 1, NULL, &y.fault), R_OK);
    assert_int_equal(fixture_batches(y.j), BATCHES + 1);
    s.read = 0;
    journal_close(&y.j);
    // only into an empty one
    assert_int_equal(journal_restore(y.path, source, &s, &s.compressed, &y.fault), R_FAIL);
    assert_int_equal(y.fault.kind, FAULT_ALREADYEXISTS);
    fixture_done(&y);
    uint64_t freed;
    assert_int_equal(journal_rewrite(x.j, 1, is_live, blobs, &freed, &x.fault), R_OK);
    buf_done(&s.bytes);
    fixture_done(&x);
}

// A reader opened a segment, and it was replaced before the reader came to keep it: a backup has the one that is there.
static void
test_late_reader(void **state)
{
    uint64_t blobs[BATCHES + 1];
    struct fixture x, y;
    struct stream s = {.x = NULL};
    struct handle *late = NULL, *now = NULL;
    (void)state;
    fixture_init(&x, "identity", SEGMENT);
    assert_int_equal(fixture_open(&x), R_OK);
    fill(&x, blobs);
    struct segments *all = &x.j->segments;
    assert_int_equal(segment_open(all, 1, O_RDONLY, &late, &x.fault), R_OK);
    assert_int_equal(segments_table_open(all, late, &x.fault), R_OK);
    assert_true(rewrite_all(&x, blobs) > 500000);
    handles_forget(&all->handles, HANDLE_SEGMENT, 1);
    handles_keep(&all->handles, late);
    assert_int_equal(segments_pin(all, 1, false, &now, &x.fault), R_OK);
    assert_int_equal(now->segment.rewrites, late->segment.rewrites + 1);
    handle_unpin(&all->handles, &now);
    handle_unpin(&all->handles, &late);
    buf_init(&s.bytes, STREAM_MAX);
    assert_int_equal(journal_backup(x.j, sink, &s, &x.fault), R_OK);
    assert_int_equal(restore(&s, &y), R_OK);
    assert_int_equal(fixture_open(&y), R_OK);
    check_rewritten(&y, blobs);
    fixture_done(&y);
    buf_done(&s.bytes);
    fixture_done(&x);
}

static void
test_damaged_streams(void **state)
{
    struct fixture x, y;
    struct stream s = {.x = NULL};
    (void)state;
    fixture_init(&x, "identity", SEGMENT);
    assert_int_equal(fixture_open(&x), R_OK);
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(fixture_commit(x.j, i, NULL, &x.fault), R_OK);
    buf_init(&s.bytes, STREAM_MAX);
    assert_int_equal(journal_backup(x.j, sink, &s, &x.fault), R_OK);
    size_t whole = s.bytes.n;
    for (size_t at = 0; at < whole; at += at < 60 || at + 40 > whole ? 5 : 50021) {
        s.bytes.p[at] ^= 4;
        assert_int_equal(restore(&s, &y), R_FAIL);
        assert_int_equal(y.fault.kind, FAULT_CORRUPTION);
        fixture_done(&y);
        s.bytes.p[at] ^= 4;
        s.bytes.n = at;
        assert_int_equal(restore(&s, &y), R_FAIL);
        assert_int_equal(y.fault.kind, FAULT_CORRUPTION);
        s.bytes.n = whole;
        s.read = 0;  // a second attempt after the failed one
        assert_int_equal(journal_restore(y.path, source, &s, &s.compressed, &y.fault),
                         R_OK);
        fixture_done(&y);
    }
    buf_done(&s.bytes);
    fixture_done(&x);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_rewrite, "scramble"),
        cmocka_unit_test_prestate(test_rewrite, "identity zstd"),
        cmocka_unit_test(test_seal),
        cmocka_unit_test(test_rewrite_crashes),
        cmocka_unit_test_prestate(test_backup_and_restore, "scramble"),
        cmocka_unit_test_prestate(test_backup_and_restore, "identity zstd"),
        cmocka_unit_test(test_late_reader),
        cmocka_unit_test(test_damaged_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
