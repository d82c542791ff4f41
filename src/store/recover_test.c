#include "store/journal_fixture.h"

#include "base/limits.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENT = 512 << 10, BATCHES = 7 };  // none of these has a body file

// A segment's octets, and where each batch ends in it.
struct image {
    struct buf bytes;
    uint64_t ends[BATCHES + 1], end;
};

static uint64_t
data_end(const struct fixture *x)
{
    return journal_segment_get(x->j, 1).octets;
}

static void
file_read(const char *path, struct buf *out)
{
    struct stat st = {0};
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    char *room = buf_reserve(out, (size_t)st.st_size);
    assert_true(read(fd, room, (size_t)st.st_size) == st.st_size);
    out->n = (size_t)st.st_size;
    close(fd);
}

static void
file_write(const char *path, struct span s)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, s.p, s.n) == (ssize_t)s.n);
    close(fd);
}

static void
image_make(struct image *m, const char *how)
{
    struct fixture x;
    char path[128];
    fixture_init(&x, how, SEGMENT);
    assert_int_equal(fixture_open(&x), R_OK);
    m->ends[0] = data_end(&x);
    for (uint64_t i = 1; i <= BATCHES; i++) {
        assert_int_equal(fixture_commit(x.j, i, NULL, &x.fault), R_OK);
        m->ends[i] = data_end(&x);
    }
    m->end = m->ends[BATCHES];
    buf_init(&m->bytes, 8 << 20);
    fixture_path(&x, "journal/00000001.seg", path);
    file_read(path, &m->bytes);
    fixture_done(&x);
}

static void
image_put(struct fixture *x, struct span bytes)
{
    char path[128];
    fixture_path(x, "journal", path);
    mkdir(path, 0700);
    fixture_path(x, "journal/00000001.seg", path);
    file_write(path, bytes);
}

// After recovery the journal works: one more batch, and all is there after reopening.
static void
goes_on(struct fixture *x, uint64_t batches)
{
    assert_int_equal(fixture_commit(x->j, batches + 1, NULL, &x->fault), R_OK);
    journal_close(&x->j);
    assert_int_equal(fixture_open(x), R_OK);
    assert_int_equal(x->recovery.cut_octets, 0);
    assert_int_equal(fixture_batches(x->j), batches + 1);
}

// kill -9 or a power cut while appending: the file ends anywhere.
static void
test_truncated_anywhere(void **state)
{
    struct image m;
    image_make(&m, *state);
    uint64_t want = 0;
    for (uint64_t cut = LAYOUT_SEGMENT; cut <= m.end;
         cut += cut < 1500 || cut + 200 > m.end ? 11 : 3777) {
        struct fixture x;
        fixture_init(&x, *state, SEGMENT);
        image_put(&x, span_of(m.bytes.p, cut));
        while (want < BATCHES && m.ends[want + 1] <= cut)
            want++;
        if (fixture_open(&x) != R_OK)
            fail_msg("cut at %llu: %s", (unsigned long long)cut, x.fault.why);
        assert_int_equal(fixture_batches(x.j), want);
        goes_on(&x, want);
        fixture_done(&x);
    }
    buf_done(&m.bytes);
}

static enum result
ignore_record(const struct journal_record *r, void *arg, struct fault *f)
{
    (void)r;
    (void)arg;
    (void)f;
    return R_OK;
}

// Densely where batches begin, sparsely inside bodies.
static uint64_t
flip_step(const struct image *m, uint64_t at)
{
    uint64_t step = 2003;
    for (size_t i = 0; i <= BATCHES; i++) {
        uint64_t from = m->ends[i] - 40, to = m->ends[i] + 300;
        if (at >= from && at < to)
            return 13;
        if (at < from && from - at < step)
            step = from - at;
    }
    return step;
}

// One flipped bit: either it is reported, or it was in the last batch, which could be a torn write.
static void
test_flipped_bits(void **state)
{
    struct image m;
    uint64_t reported = 0, cut = 0;
    image_make(&m, *state);
    for (uint64_t at = 0; at < m.end; at += flip_step(&m, at)) {
        struct fixture x;
        fixture_init(&x, *state, SEGMENT);
        m.bytes.p[at] ^= (char)(1 << at % 8);
        image_put(&x, buf_span(&m.bytes));
        m.bytes.p[at] ^= (char)(1 << at % 8);
        enum result r = fixture_open(&x);
        struct journal_scan s = {.from = 1, .bodies = true, .record = ignore_record};
        if (r == R_OK && at < m.ends[BATCHES - 1])
            r = journal_scan(x.j, &s, &x.fault);
        if (r == R_FAIL) {
            assert_int_equal(x.fault.kind, FAULT_CORRUPTION);
            assert_true(at < m.ends[BATCHES - 1]);
            reported++;
        } else {
            assert_true(at >= m.ends[BATCHES - 1]);
            assert_true(x.recovery.cut_octets > 0);
            assert_int_equal(fixture_batches(x.j), BATCHES - 1);
            cut++;
        }
        fixture_done(&x);
    }
    assert_true(reported > 50 && cut > 50);
    buf_done(&m.bytes);
}

// What the index has folded was durable: when it is missing, that is damage, never a torn tail.
static void
test_known_records_are_not_cut(void **state)
{
    struct image m;
    struct fixture x;
    (void)state;
    image_make(&m, "scramble");
    fixture_init(&x, "scramble", SEGMENT);
    image_put(&x, span_of(m.bytes.p, m.end - 1));
    x.known_seq = 1;
    assert_int_equal(fixture_open(&x), R_OK);
    x.known_seq = journal_end(x.j);
    journal_close(&x.j);
    image_put(&x, span_of(m.bytes.p, m.end - 1));
    assert_int_equal(fixture_open(&x), R_FAIL);
    assert_int_equal(x.fault.kind, FAULT_CORRUPTION);
    fixture_done(&x);
    buf_done(&m.bytes);
}

struct damage_count {
    unsigned lines;
    uint64_t records;
};

static enum result
count_record(const struct journal_record *r, void *arg, struct fault *f)
{
    (void)r;
    (void)f;
    ((struct damage_count *)arg)->records++;
    return R_OK;
}

static void
count_damage(const char *line, void *arg)
{
    assert_true(strlen(line) > 10);
    ((struct damage_count *)arg)->lines++;
}

// Who inspects reads around the damage and hears of it; nothing is changed.
static void
test_inspect(void **state)
{
    struct image m;
    struct fixture x;
    char path[128];
    struct buf after;
    (void)state;
    image_make(&m, "scramble");
    fixture_init(&x, "scramble", SEGMENT);
    m.bytes.p[m.ends[2] + 20] ^= 1;    // a header of batch 3
    m.bytes.p[m.ends[5] - 3000] ^= 1;  // the body of batch 4 or 5
    image_put(&x, buf_span(&m.bytes));
    assert_int_equal(fixture_open(&x), R_FAIL);
    x.inspect = true;
    assert_int_equal(fixture_open(&x), R_OK);
    struct damage_count c = {0};
    struct journal_scan s = {.from = 1,
                             .bodies = true,
                             .record = count_record,
                             .damage = count_damage,
                             .arg = &c};
    assert_int_equal(journal_scan(x.j, &s, &x.fault), R_OK);
    assert_true(c.lines >= 2);
    // all but the one whose header is damaged
    assert_int_equal(c.records, 2 + 3 + 1 + 2 + 3 + 1 + 2 - 1);
    buf_init(&after, 8 << 20);
    fixture_path(&x, "journal/00000001.seg", path);
    file_read(path, &after);
    assert_true(span_eq(buf_span(&after), buf_span(&m.bytes)));
    buf_done(&after);
    buf_done(&m.bytes);
    fixture_done(&x);
}

// ---- a group of several batches ----

enum { GROUP = 5 };

struct gate {
    sem_t arrived, open;
    bool waits;
};

static void
hold_thread(struct store_batch *b, void *arg)
{
    struct gate *g = arg;
    (void)b;
    if (!g->waits)
        return;
    g->waits = false;
    sem_post(&g->arrived);
    sem_wait(&g->open);
}

struct committer {
    struct fixture *x;
    uint64_t number;
    pthread_t thread;
};

static void *
committer_main(void *arg)
{
    struct committer *c = arg;
    struct fault f;
    assert_int_equal(fixture_commit(c->x->j, c->number, NULL, &f), R_OK);
    return NULL;
}

// Batches 1 and 2 alone, then GROUP batches in one write.
static void
group_make(struct fixture *x, struct buf *bytes, uint64_t *from, uint64_t *to)
{
    struct gate g = {.waits = false};
    struct committer c[GROUP + 1];
    struct journal_stats before, after;
    char path[128];
    sem_init(&g.arrived, 0, 0);
    sem_init(&g.open, 0, 0);
    fixture_init(x, "identity", SEGMENT);
    x->on_durable = hold_thread;
    x->arg = &g;
    assert_int_equal(fixture_open(x), R_OK);
    assert_int_equal(fixture_commit(x->j, 1, NULL, &x->fault), R_OK);
    g.waits = true;
    for (size_t i = 0; i <= GROUP; i++) {
        c[i] = (struct committer){.x = x, .number = 2 + i % 3};
        assert_int_equal(pthread_create(&c[i].thread, NULL, committer_main, &c[i]), 0);
        if (i == 0)
            sem_wait(&g.arrived);
    }
    usleep(200000);  // all others have queued
    *from = data_end(x);
    journal_stats_get(x->j, &before);
    sem_post(&g.open);
    for (size_t i = 0; i <= GROUP; i++)
        pthread_join(c[i].thread, NULL);
    journal_stats_get(x->j, &after);
    assert_int_equal(after.syncs, before.syncs + 1);
    *to = data_end(x);
    buf_init(bytes, 8 << 20);
    fixture_path(x, "journal/00000001.seg", path);
    file_read(path, bytes);
    journal_close(&x->j);
    x->on_durable = NULL;
}

// A power cut may lose any page of an unsynced group, also in its middle: it is cut, not refused, because
// the records behind the hole do not claim that what is missing was durable.
static void
test_torn_group(void **state)
{
    struct fixture x;
    struct buf bytes;
    uint64_t from, to;
    (void)state;
    group_make(&x, &bytes, &from, &to);
    for (uint64_t at = from; at < to; at += 1021) {
        size_t n = to - at < 512 ? (size_t)(to - at) : 512;
        char lost[512];
        memcpy(lost, bytes.p + at, n);
        memset(bytes.p + at, 0, n);
        image_put(&x, buf_span(&bytes));
        memcpy(bytes.p + at, lost, n);
        if (fixture_open(&x) != R_OK)
            fail_msg("hole at %llu: %s", (unsigned long long)at, x.fault.why);
        assert_true(data_end(&x) >= from && data_end(&x) <= at);
        struct damage_count c = {0};
        struct journal_scan s = {
            .from = 1, .bodies = true, .record = count_record, .arg = &c};
        assert_int_equal(journal_scan(x.j, &s, &x.fault), R_OK);
        assert_int_equal(c.records + 1, journal_end(x.j));
        uint64_t end = journal_end(x.j);
        assert_int_equal(fixture_commit(x.j, 3, NULL, &x.fault), R_OK);
        journal_close(&x.j);
        assert_int_equal(fixture_open(&x), R_OK);  // nothing of the torn group came back
        assert_int_equal(x.recovery.cut_octets, 0);
        assert_int_equal(journal_end(x.j), end + 1);
        journal_close(&x.j);
    }
    buf_done(&bytes);
    fixture_done(&x);
}

// Octets of another store's segment, or of an older life of this one, never replay.
static void
test_foreign_records(void **state)
{
    struct image a, b;
    struct fixture x;
    (void)state;
    image_make(&a, "scramble");
    image_make(&b, "scramble");
    memcpy(a.bytes.p + a.ends[3], b.bytes.p + a.ends[3], a.end - a.ends[3]);
    fixture_init(&x, "scramble", SEGMENT);
    image_put(&x, buf_span(&a.bytes));
    assert_int_equal(fixture_open(&x), R_OK);
    assert_true(x.recovery.cut_octets > 0);
    assert_int_equal(fixture_batches(x.j), 3);
    fixture_done(&x);
    buf_done(&a.bytes);
    buf_done(&b.bytes);
}

static void
test_segments_missing(void **state)
{
    struct fixture x;
    char path[128];
    (void)state;
    fixture_init(&x, "identity", 256 << 10);
    assert_int_equal(fixture_open(&x), R_OK);
    for (uint64_t i = 1; i <= 40; i++)
        assert_int_equal(fixture_commit(x.j, i, NULL, &x.fault), R_OK);
    assert_true(journal_segment_count(x.j) > 3);
    journal_close(&x.j);
    fixture_path(&x, "journal/00000002.seg", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(fixture_open(&x), R_FAIL);
    assert_int_equal(x.fault.kind, FAULT_CORRUPTION);
    fixture_done(&x);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_truncated_anywhere, "scramble"),
        cmocka_unit_test_prestate(test_truncated_anywhere, "identity zstd"),
        cmocka_unit_test_prestate(test_flipped_bits, "scramble"),
        cmocka_unit_test_prestate(test_flipped_bits, "identity zstd"),
        cmocka_unit_test(test_known_records_are_not_cut),
        cmocka_unit_test(test_inspect),
        cmocka_unit_test(test_torn_group),
        cmocka_unit_test(test_foreign_records),
        cmocka_unit_test(test_segments_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
