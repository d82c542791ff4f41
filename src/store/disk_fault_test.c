#include "store/journal_fixture.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

// The disk fails: these stand in front of libc's and fail on demand.

static struct {
    atomic_int fdatasync, pwritev, ftruncate, renameat,
        fsync;                // errno to fail with; 0: works
    atomic_int short_octets;  // of a failing pwritev, written nevertheless
    atomic_int fsync_after;   // so many fsyncs work before one fails
    atomic_int syncs;
} disk;

int
fdatasync(int fd)
{
    disk.syncs++;
    if (disk.fdatasync != 0) {
        errno = disk.fdatasync;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    if (disk.pwritev == 0)
        return syscall(SYS_pwritev, fd, iov, (long)n, offset, 0L);
    int some = atomic_exchange(&disk.short_octets, 0);
    if (some > 0)
        return pwrite(fd, iov[0].iov_base,
                      (size_t)some < iov[0].iov_len ? (size_t)some : iov[0].iov_len,
                      offset);
    errno = disk.pwritev;
    return -1;
}

int
ftruncate(int fd, off_t size)
{
    if (disk.ftruncate != 0) {
        errno = disk.ftruncate;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, fd, size);
}

int
fsync(int fd)
{
    if (disk.fsync != 0 && disk.fsync_after-- <= 0) {
        errno = disk.fsync;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int
renameat(int from, const char *old_name, int to, const char *new_name)
{
    if (disk.renameat != 0) {
        errno = disk.renameat;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from, old_name, to, new_name, 0);
}

static void
disk_works(void)
{
    disk.fdatasync = disk.pwritev = disk.ftruncate = disk.renameat = disk.fsync = 0;
}

enum { SEGMENT = 256 << 10 };

static void
begin(struct fixture *x)
{
    fixture_init(x, "identity", SEGMENT);
    assert_int_equal(fixture_open(x), R_OK);
    assert_int_equal(fixture_commit(x->j, 1, NULL, &x->fault), R_OK);
    assert_int_equal(fixture_commit(x->j, 2, NULL, &x->fault), R_OK);
}

static void
commit_fails(struct fixture *x, uint64_t number)
{
    x->fault.kind = FAULT_COUNT;
    assert_int_equal(fixture_commit(x->j, number, NULL, &x->fault), R_FAIL);
    assert_int_equal(x->fault.kind, FAULT_DISK);
}

// After a failed fdatasync nobody knows what is on disk: nothing is answered OK again, nothing is retried.
static void
test_failed_sync_stops_for_ever(void **state)
{
    struct fixture x;
    (void)state;
    begin(&x);
    disk.fdatasync = EIO;
    commit_fails(&x, 3);
    assert_true(journal_stopped(x.j));
    disk_works();
    int syncs = disk.syncs;
    commit_fails(&x, 3);
    assert_int_equal(disk.syncs, syncs);
    assert_int_equal(fixture_batches(x.j), 2);
    journal_close(&x.j);
    // the unknown batch is there or not, but never half
    assert_int_equal(fixture_open(&x), R_OK);
    uint64_t n = fixture_batches(x.j);
    assert_true(n == 2 || n == 3);
    fixture_done(&x);
}

static void
test_failing_writes(void **state)
{
    static const struct {
        int pwritev, short_octets, ftruncate;
        bool want_stopped;
    } rows[] = {
        {ENOSPC, 0, 0, false}, {ENOSPC, 200, 0, false}, {EDQUOT, 1, 0, false},
        {EIO, 0, 0, true},     {EIO, 200, 0, true},     {ENOSPC, 200, EIO, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture x;
        begin(&x);
        disk.short_octets = rows[i].short_octets;
        disk.ftruncate = rows[i].ftruncate;
        disk.pwritev = rows[i].pwritev;
        commit_fails(&x, 3);
        disk_works();
        assert_int_equal(journal_stopped(x.j), rows[i].want_stopped);
        if (!rows[i].want_stopped)
            assert_int_equal(fixture_commit(x.j, 3, NULL, &x.fault), R_OK);
        uint64_t want = rows[i].want_stopped ? 2 : 3;
        assert_int_equal(fixture_batches(x.j), want);
        journal_close(&x.j);
        assert_int_equal(fixture_open(&x), R_OK);
        assert_int_equal(fixture_batches(x.j), want);
        fixture_done(&x);
    }
}

// The next segment cannot be made: that batch fails, the journal goes on when it can.
static void
test_no_next_segment(void **state)
{
    struct fixture x;
    uint64_t n = 0;
    (void)state;
    fixture_init(&x, "identity", SEGMENT);
    assert_int_equal(fixture_open(&x), R_OK);
    disk.renameat = ENOSPC;
    while (fixture_commit(x.j, n + 1, NULL, &x.fault) == R_OK)
        n++;
    assert_int_equal(x.fault.kind, FAULT_DISK);
    assert_false(journal_stopped(x.j));
    assert_int_equal(journal_segment_count(x.j), 1);
    disk_works();
    for (; n < 30; n++)
        assert_int_equal(fixture_commit(x.j, n + 1, NULL, &x.fault), R_OK);
    assert_int_equal(fixture_batches(x.j), 30);
    journal_close(&x.j);
    assert_int_equal(fixture_open(&x), R_OK);
    assert_int_equal(fixture_batches(x.j), 30);
    fixture_done(&x);
}

// Rolling fails at its first fsync (the new file: goes on), its second (the folder: the new segment may be
// there after a crash or not: stops) or its third (the sealed segment: stops).
static void
test_roll_fsync_fails(void **state)
{
    (void)state;
    for (int after = 0; after < 3; after++) {
        struct fixture x;
        uint64_t n = 0;
        fixture_init(&x, "identity", SEGMENT);
        assert_int_equal(fixture_open(&x), R_OK);
        for (; n < 6; n++)  // none has a body file; number 18 below needs half a segment
            assert_int_equal(fixture_commit(x.j, n + 1, NULL, &x.fault), R_OK);
        disk.fsync_after = after;
        disk.fsync = EIO;
        assert_int_equal(journal_segment_count(x.j), 1);
        while (n < 18 && fixture_commit(x.j, 18, NULL, &x.fault) == R_OK)
            n++;
        assert_int_equal(x.fault.kind, FAULT_DISK);
        assert_int_equal(journal_stopped(x.j), after > 0);
        disk_works();
        journal_close(&x.j);
        assert_int_equal(fixture_open(&x), R_OK);
        fixture_done(&x);
    }
}

// A body file that cannot be synced is no body.
static void
test_body_file_fails(void **state)
{
    struct fixture x;
    char text[1000] = {0};
    (void)state;
    begin(&x);
    struct store_body *b = body_new(x.j);
    for (int i = 0; i < 200; i++)
        assert_int_equal(store_body_write(b, span_of(text, sizeof text), &x.fault), R_OK);
    disk.fdatasync = EIO;
    assert_int_equal(store_body_finish(b, &x.fault), R_FAIL);
    assert_int_equal(x.fault.kind, FAULT_DISK);
    disk_works();
    store_body_free(&b);
    assert_false(journal_stopped(x.j));
    assert_int_equal(fixture_commit(x.j, 3, NULL, &x.fault), R_OK);
    fixture_done(&x);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failed_sync_stops_for_ever),
        cmocka_unit_test(test_failing_writes),
        cmocka_unit_test(test_no_next_segment),
        cmocka_unit_test(test_roll_fsync_fails),
        cmocka_unit_test(test_body_file_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
