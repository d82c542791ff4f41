#include "store/journal_fixture.h"

#include "base/budget.h"
#include "base/limits.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SEGMENT = 256 << 10, BATCHES = 60 };

static void
fill(struct fixture *x, uint64_t *blobs)
{
    for (uint64_t i = 1; i <= BATCHES; i++)
        assert_int_equal(fixture_commit(x->j, i, &blobs[i], &x->fault), R_OK);
}

static void
check_all(struct fixture *x, const uint64_t *blobs)
{
    assert_int_equal(fixture_batches(x->j), BATCHES);
    for (uint64_t i = 1; i <= BATCHES; i++)
        assert_true(fixture_blob_good(x->j, blobs[i], i));
}

// What was committed is there, also after closing, with either codec, compressed or not, over many segments.
static void
test_commit_and_reopen(void **state)
{
    static const char *hows[] = {"identity", "scramble", "identity zstd", "scramble zstd"};
    uint64_t blobs[BATCHES + 1];
    (void)state;
    for (size_t k = 0; k < sizeof hows / sizeof hows[0]; k++) {
        struct fixture x;
        fixture_init(&x, hows[k], SEGMENT);
        assert_int_equal(fixture_open(&x), R_OK);
        assert_int_equal(journal_end(x.j), 1);
        fill(&x, blobs);
        assert_true(journal_segment_count(x.j) > 3);
        check_all(&x, blobs);
        journal_close(&x.j);
        assert_int_equal(fixture_open(&x), R_OK);
        assert_int_equal(x.recovery.cut_octets, 0);
        check_all(&x, blobs);
        x.known_seq = journal_end(x.j) - 1;
        journal_close(&x.j);
        assert_int_equal(fixture_open(&x), R_OK);
        journal_close(&x.j);
        x.known_seq++;  // an index that has seen more than the journal holds
        assert_int_equal(fixture_open(&x), R_FAIL);
        assert_int_equal(x.fault.kind, FAULT_CORRUPTION);
        fixture_done(&x);
    }
}

// With a codec that hides, nothing of the mail can be read in the data directory.
static void
test_scramble_leaves_no_text(void **state)
{
    uint64_t blobs[BATCHES + 1];
    char command[200];
    (void)state;
    for (int hidden = 0; hidden < 2; hidden++) {
        struct fixture x;
        fixture_init(&x, hidden ? "scramble" : "identity", SEGMENT);
        assert_int_equal(fixture_open(&x), R_OK);
        fill(&x, blobs);
        journal_close(&x.j);
        snprintf(command, sizeof command, "grep -raqE 'secret|Subject|Private|mailbox' %s",
                 x.path);
        assert_int_equal(system(command) == 0, !hidden);
        fixture_done(&x);
    }
}

// Offset tables are disposable: lost, damaged or foreign ones are made anew.
static void
test_tables_are_disposable(void **state)
{
    static const char *breaks[] = {
        "rm %s/journal/*.idx",
        "for f in %s/journal/*.idx; do printf x | dd of=$f bs=1 seek=20 conv=notrunc "
        "status=none; done",
        "for f in %s/journal/*.idx; do printf xyz | dd of=$f bs=1 seek=69 conv=notrunc "
        "status=none; done",
        "for f in %s/journal/*.idx; do cp %s/journal/00000001.idx $f 2>&-; done; true",
        "for f in %s/journal/*.idx; do truncate -s 65 $f; done",
    };
    uint64_t blobs[BATCHES + 1];
    struct fixture x;
    char command[400];
    (void)state;
    fixture_init(&x, "identity", SEGMENT);
    assert_int_equal(fixture_open(&x), R_OK);
    fill(&x, blobs);
    for (size_t i = 0; i < sizeof breaks / sizeof breaks[0]; i++) {
        journal_close(&x.j);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(command, sizeof command, breaks[i], x.path, x.path);
#pragma GCC diagnostic pop
        assert_int_equal(system(command), 0);
        assert_int_equal(fixture_open(&x), R_OK);
        check_all(&x, blobs);
    }
    fixture_done(&x);
}

static unsigned
body_files(const struct fixture *x)
{
    char command[128];
    unsigned n = 0;
    snprintf(command, sizeof command, "find %s/bodies -type f | wc -l", x->path);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    assert_int_equal(fscanf(p, "%u", &n), 1);  // NOLINT(cert-err34-c): the result of wc
    pclose(p);
    return n;
}

// A body file that no record names is removed: by its owner, or at the next start after a crash.
static void
test_orphans_are_removed(void **state)
{
    struct fixture x;
    uint64_t blob;
    char command[256];
    (void)state;
    fixture_init(&x, "identity", SEGMENT);
    assert_int_equal(fixture_open(&x), R_OK);
    assert_int_equal(fixture_commit(x.j, 1, NULL, &x.fault), R_OK);
    for (uint64_t i = 2; i <= 10; i++)
        assert_int_equal(fixture_commit(x.j, i, &blob, &x.fault), R_OK);
    unsigned named = body_files(&x);
    assert_true(named >= 3);
    struct store_body *b = fixture_body(x.j, 5, 200000);
    assert_int_equal(body_files(&x), named + 1);
    store_body_free(&b);
    assert_int_equal(body_files(&x), named);
    snprintf(command, sizeof command,
             "mkdir -p %s/bodies/0a && echo x > %s/bodies/0a/000000000000000a", x.path,
             x.path);
    journal_close(&x.j);
    assert_int_equal(system(command), 0);
    assert_int_equal(body_files(&x), named + 1);
    assert_int_equal(fixture_open(&x), R_OK);
    assert_int_equal(body_files(&x), named);
    assert_true(fixture_blob_good(x.j, blob, 10));
    fixture_done(&x);
}

// One message for several accounts: each record has its own name for the file.
static void
test_body_in_several_batches(void **state)
{
    static const size_t sizes[] = {1000, 300001};
    struct fixture x;
    fixture_init(&x, *state, SEGMENT);
    assert_int_equal(fixture_open(&x), R_OK);
    for (size_t k = 0; k < 2; k++) {
        struct store_body *body = fixture_body(x.j, 10, sizes[k]);
        uint64_t blobs[3];
        unsigned before = body_files(&x);
        for (uint64_t i = 0; i < 3; i++) {
            struct store_batch *b = store_batch_new(NULL, i, 1, 1);
            store_batch_add(b, RECORD_ADDED, SPAN("meta"), body);
            assert_int_equal(journal_commit(x.j, b, &x.fault), R_OK);
            blobs[i] = store_batch_place(b, 0).blob;
            store_batch_free(&b);
        }
        store_body_free(&body);
        assert_int_equal(body_files(&x), before + (k == 1 ? 2 : 0));
        char got[1000], want[1000];
        assert_int_equal(journal_blob_read(x.j, blobs[0], 0, 1000, want, &x.fault), R_OK);
        assert_memory_equal(want, "Subject: secret 10\r\n", 20);
        for (size_t i = 1; i < 3; i++) {
            assert_int_equal(journal_blob_read(x.j, blobs[i], 0, 1000, got, &x.fault),
                             R_OK);
            assert_memory_equal(got, want, 1000);
        }
    }
    fixture_done(&x);
}

// No space: the commit fails, nothing of it is ever seen, and commits work again when space returns.
static void
test_no_space(void **state)
{
    struct fixture x;
    struct rlimit old, low;
    uint64_t ok = 0;
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    fixture_init(&x, "identity", 512 << 10);
    assert_int_equal(fixture_open(&x), R_OK);
    getrlimit(RLIMIT_FSIZE, &old);
    low = (struct rlimit){.rlim_cur = 400 << 10, .rlim_max = old.rlim_max};
    for (; ok < 4; ok++)
        assert_int_equal(fixture_commit(x.j, ok + 1, NULL, &x.fault), R_OK);
    setrlimit(RLIMIT_FSIZE, &low);
    while (fixture_commit(x.j, ok + 1, NULL, &x.fault) == R_OK)
        ok++;
    assert_int_equal(x.fault.kind, FAULT_DISK);
    assert_false(journal_stopped(x.j));
    assert_int_equal(fixture_batches(x.j), ok);
    assert_int_equal(fixture_commit(x.j, ok + 1, NULL, &x.fault), R_FAIL);
    struct fixture crashed;  // as a crash right now would leave it
    fixture_copy(&x, &crashed);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(fixture_open(&crashed), R_OK);
    assert_int_equal(crashed.recovery.cut_octets, 0);
    assert_int_equal(fixture_batches(crashed.j), ok);
    fixture_done(&crashed);
    for (; ok < 30; ok++)
        assert_int_equal(fixture_commit(x.j, ok + 1, NULL, &x.fault), R_OK);
    assert_int_equal(fixture_batches(x.j), 30);
    fixture_done(&x);
    assert_int_equal(budget_used(BUDGET_INTAKE), 0);
}

// Over the intake budget a body goes to its file frame by frame.
static void
test_budget_spills(void **state)
{
    struct fixture x;
    (void)state;
    fixture_init(&x, "identity", SEGMENT);
    assert_int_equal(fixture_open(&x), R_OK);
    budget_limits(1000, 1000);
    struct store_body *body = fixture_body(x.j, 1, 100000);
    assert_int_equal(body_files(&x), 1);
    store_body_free(&body);
    body = fixture_body(x.j, 1, 5000);  // at most a frame: stays
    assert_int_equal(body_files(&x), 0);
    store_body_free(&body);
    budget_limits(SIZE_MAX, SIZE_MAX);
    assert_int_equal(budget_used(BUDGET_INTAKE), 0);
    fixture_done(&x);
}

// Where a record of segment 1 begins; *nonce_out is the segment's.
static uint64_t
record_find(int fd, uint64_t blob, struct record_header *h, uint64_t *nonce_out)
{
    struct segment_header segment;
    char text[LAYOUT_RECORD];
    uint64_t at = LAYOUT_SEGMENT;
    assert_int_equal(pread(fd, text, LAYOUT_SEGMENT, 0), LAYOUT_SEGMENT);
    assert_int_equal(segment_header_get(span_of(text, LAYOUT_SEGMENT), &segment), R_OK);
    *nonce_out = segment.nonce;
    for (;; at += record_size(h)) {
        assert_int_equal(pread(fd, text, sizeof text, (off_t)at), sizeof text);
        assert_int_equal(record_header_get(span_of(text, sizeof text), segment.nonce, h),
                         R_OK);
        if (h->recno == (uint32_t)blob)
            return at;
    }
}

static void
flip(int fd, uint64_t at)
{
    char c;
    assert_int_equal(pread(fd, &c, 1, (off_t)at), 1);
    c ^= 4;
    assert_int_equal(pwrite(fd, &c, 1, (off_t)at), 1);
}

// The record stands in the same place with another body id: as after a write that failed and was made again.
static void
renew(int fd, uint64_t at, struct record_header h, uint64_t nonce, struct span body)
{
    char text[LAYOUT_RECORD], sum[LAYOUT_SUM];
    off_t base = (off_t)(at + LAYOUT_RECORD + h.meta_stored);
    h.body_id++;
    record_header_put(text, &h, nonce);
    layout_put_u64(sum, layout_frame_sum(h.body_id, 0, body));
    assert_int_equal(pwrite(fd, text, sizeof text, (off_t)at), sizeof text);
    assert_int_equal(pwrite(fd, sum, sizeof sum, base + (off_t)body.n), sizeof sum);
}

// The header of the record behind comes with a body: what changes on the disk meanwhile is noticed all the same.
static void
test_read_in_order(void **state)
{
    enum { FIRST = 24, SIZE_1 = 700, SIZE_2 = 5000 };
    char one[SIZE_1], two[SIZE_2], name[128];
    uint64_t blob[2], nonce;
    struct record_header h;
    struct fixture x;
    (void)state;
    fixture_init(&x, "identity", 0);
    assert_int_equal(fixture_open(&x), R_OK);
    for (uint64_t i = 0; i < 2; i++)
        assert_int_equal(fixture_commit(x.j, FIRST + i, &blob[i], &x.fault), R_OK);
    assert_int_equal(blob[1], blob[0] + 1);
    fixture_path(&x, "journal/00000001.seg", name);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    uint64_t at = record_find(fd, blob[1], &h, &nonce);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(journal_blob_read(x.j, blob[0], 0, SIZE_1, one, &x.fault), R_OK);
        if (round > 0)
            flip(fd, at + LAYOUT_RECORD + h.meta_stored + 99);
        enum result want = round == 1 ? R_FAIL : R_OK;
        assert_int_equal(journal_blob_read(x.j, blob[1], 0, SIZE_2, two, &x.fault), want);
        assert_int_equal(journal_blob_read(x.j, blob[1], 0, SIZE_2, NULL, &x.fault), want);
    }
    assert_int_equal(journal_blob_read(x.j, blob[0], 0, SIZE_1, one, &x.fault), R_OK);
    renew(fd, at, h, nonce, span_of(two, SIZE_2));
    assert_true(fixture_blob_good(x.j, blob[1], FIRST + 1));
    close(fd);
    fixture_done(&x);
}

static void
test_reads_refuse(void **state)
{
    struct fixture x;
    uint64_t blob;
    char dst[10];
    (void)state;
    fixture_init(&x, "identity", SEGMENT);
    assert_int_equal(fixture_open(&x), R_OK);
    assert_int_equal(fixture_commit(x.j, 2, &blob, &x.fault), R_OK);  // 700 octets
    static const struct {
        uint64_t plus, offset;
        size_t len;
    } rows[] = {{0, 700, 1}, {0, 695, 10}, {0, UINT64_MAX, 2},
                {1, 0, 1},   {3, 0, 1},    {(uint64_t)1 << 32, 0, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(journal_blob_read(x.j, blob + rows[i].plus, rows[i].offset,
                                           rows[i].len, dst, &x.fault),
                         R_FAIL);
        assert_int_equal(x.fault.kind, FAULT_CORRUPTION);
        assert_int_equal(journal_blob_read(x.j, blob + rows[i].plus, rows[i].offset,
                                           rows[i].len, NULL, &x.fault),
                         R_FAIL);
    }
    assert_int_equal(journal_blob_read(x.j, 0, 0, 1, dst, &x.fault), R_FAIL);
    fixture_done(&x);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit_and_reopen),
        cmocka_unit_test(test_scramble_leaves_no_text),
        cmocka_unit_test(test_tables_are_disposable),
        cmocka_unit_test(test_orphans_are_removed),
        cmocka_unit_test_prestate(test_body_in_several_batches, "scramble"),
        cmocka_unit_test_prestate(test_body_in_several_batches, "identity zstd"),
        cmocka_unit_test(test_no_space),
        cmocka_unit_test(test_budget_spills),
        cmocka_unit_test(test_read_in_order),
        cmocka_unit_test(test_reads_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
