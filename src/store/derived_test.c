#include "store/derived_inside.h"
#include "store/layout.h"
#include "store/scene.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

// The disk fails: these stand in front of libc's and fail on demand.

static struct {
    atomic_int fdatasync, pwritev, renameat, fsync;  // errno to fail with; 0: works
} disk;

#define FAIL_ON_DEMAND(call)                                                               \
    if (disk.call != 0) {                                                                  \
        errno = disk.call;                                                                 \
        return -1;                                                                         \
    }

int
fdatasync(int fd)
{
    FAIL_ON_DEMAND(fdatasync)
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    FAIL_ON_DEMAND(pwritev)
    return syscall(SYS_pwritev, fd, iov, (long)n, offset, 0L);
}

int
fsync(int fd)
{
    FAIL_ON_DEMAND(fsync)
    return (int)syscall(SYS_fsync, fd);
}

int
renameat(int from, const char *old_name, int to, const char *new_name)
{
    FAIL_ON_DEMAND(renameat)
    return (int)syscall(SYS_renameat2, from, old_name, to, new_name, 0);
}

enum { ACCOUNT = 0x17, LONG = 700001 };

static char
octet(size_t i, unsigned seed)
{
    return (char)(i * 31 + i / 251 * seed + seed);
}

static struct derived_writer *
begin(struct store *s, struct span name, size_t n, unsigned seed)
{
    struct derived_writer *w;
    struct fault f;
    char piece[1000];
    assert_int_equal(derived_create(s, ACCOUNT, name, &w, &f), R_OK);
    for (size_t at = 0; at < n;) {
        size_t some = n - at < sizeof piece ? n - at : sizeof piece;
        for (size_t i = 0; i < some; i++)
            piece[i] = octet(at + i, seed);
        assert_int_equal(derived_append(w, span_of(piece, some), &f), R_OK);
        at += some;
    }
    assert_int_equal(derived_written(w), n);
    return w;
}

static void
put(struct store *s, struct span name, size_t n, unsigned seed)
{
    struct fault f;
    struct derived_writer *w = begin(s, name, n, seed);
    assert_int_equal(derived_commit(&w, &f), R_OK);
    assert_null(w);
}

static bool
reads_as(struct derived *d, size_t n, unsigned seed)
{
    struct fault f;
    char *all = calloc(1, n + 1);
    bool good = derived_size(d) == n && derived_read(d, 0, all, n, &f) == R_OK;
    for (size_t i = 0; good && i < n; i++)
        good = all[i] == octet(i, seed);
    for (size_t at = 1; good && at + 300 < n; at += 16000) {
        good = derived_read(d, at, all, 300, &f) == R_OK;
        for (size_t i = 0; good && i < 300; i++)
            good = all[i] == octet(at + i, seed);
    }
    free(all);
    return good && derived_read(d, n, &(char){0}, 1, &f) == R_FAIL;
}

static bool
there(struct store *s, struct span name, size_t n, unsigned seed)
{
    struct derived *d = NULL;
    struct fault f;
    enum result r = derived_open(s, ACCOUNT, name, &d, &f);
    bool good = r == R_OK && reads_as(d, n, seed);
    derived_close(&d);
    return good;
}

static size_t
count(struct store *s)
{
    struct derived_list list = {.a = arena_new()};
    struct fault f;
    assert_int_equal(derived_list(s, ACCOUNT, &list, &f), R_OK);
    for (size_t i = 1; i < list.n; i++)
        assert_true(span_cmp(list.entries[i - 1].name, list.entries[i].name) < 0);
    arena_free(&list.a);
    return list.n;
}

static size_t
accounts(struct store *s)
{
    struct arena *a = arena_new();
    uint64_t *ids;
    size_t n;
    struct fault f;
    assert_int_equal(derived_accounts(s, a, &ids, &n, &f), R_OK);
    assert_true(n == 0 || ids[0] == ACCOUNT);
    arena_free(&a);
    return n;
}

static void
run_life(const char *engine, const char *codec)
{
    struct store_options o = scene_options(engine, codec);
    struct store *s = scene_open(&o);
    struct derived *old;
    struct fault f;
    static const size_t sizes[] = {
        0, 1, DERIVED_FRAME - 1, DERIVED_FRAME, DERIVED_FRAME + 1, DERIVED_PIECE, LONG};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        put(s, SPAN("seg-1"), sizes[i], i);
        assert_true(there(s, SPAN("seg-1"), sizes[i], i));
    }
    put(s, SPAN("seg-0"), 10, 3);
    assert_int_equal(count(s), 2);
    assert_int_equal(accounts(s), 1);
    // what is open stays readable
    assert_int_equal(derived_open(s, ACCOUNT, SPAN("seg-1"), &old, &f), R_OK);
    put(s, SPAN("seg-1"), 5, 9);
    assert_int_equal(derived_remove(s, ACCOUNT, SPAN("seg-0"), &f), R_OK);
    assert_int_equal(derived_remove(s, ACCOUNT, SPAN("seg-0"), &f), R_OK);
    assert_int_equal(count(s), 1);
    assert_int_equal(derived_clear(s, ACCOUNT, &f), R_OK);
    assert_true(reads_as(old, LONG, 6));
    derived_close(&old);
    assert_int_equal(count(s), 0);
    assert_int_equal(derived_open(s, ACCOUNT, SPAN("seg-1"), &old, &f), R_NONE);
    // an aborted one was never there, and a cleared account can begin again
    struct derived_writer *w = begin(s, SPAN("seg-2"), LONG, 1);
    assert_int_equal(count(s), 0);
    derived_abort(&w);
    assert_int_equal(count(s), 0);
    put(s, SPAN("seg-3"), 100, 1);
    assert_int_equal(derived_clear_all(s, &f), R_OK);
    assert_int_equal(accounts(s), 0);
    store_close(&s);
}

static void
test_life(void **unused)
{
    (void)unused;
    run_life("mem", "identity");
    run_life("embedded", "identity");
    run_life("embedded", "scramble");
}

static void
path_of(char out[160], const char *file)
{
    assert_true(snprintf(out, 160, "%s/derived/%016x/%s", scene_folder, ACCOUNT, file) <
                160);
}

static void
test_reopened(void **unused)
{
    struct store_options o = scene_options("embedded", "scramble");
    struct store *s = scene_open(&o);
    struct fault f;
    char name[160];
    (void)unused;
    put(s, SPAN("kept"), LONG, 4);
    store_close(&s);
    // what a killed process left
    path_of(name, "half.new");
    int fd = open(name, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "half", 4), 4);
    close(fd);
    s = scene_open(&o);
    assert_true(there(s, SPAN("kept"), LONG, 4));
    assert_int_equal(count(s), 1);
    assert_int_not_equal(faccessat(AT_FDCWD, name, F_OK, 0), 0);
    // the plain octets are nowhere in the file
    path_of(name, "kept");
    char text[4096], plain[16];
    fd = open(name, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), sizeof text);
    close(fd);
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = octet(i, 4);
    assert_null(memmem(text, sizeof text, plain, sizeof plain));
    store_close(&s);
    assert_int_equal(store_rebuild(&o, NULL, NULL, &f), R_OK);
    s = scene_open(&o);
    assert_int_equal(accounts(s), 0);
    store_close(&s);
}

// A process that ends anywhere leaves nothing that is found.
static void
test_killed(void **unused)
{
    struct store_options o = scene_options("embedded", "identity");
    (void)unused;
    for (size_t n = 0; n < LONG; n += 130000) {
        pid_t child = fork();
        if (child == 0) {
            struct store *s = scene_open(&o);
            begin(s, SPAN("seg"), n, 1);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        struct store *s = scene_open(&o);
        assert_int_equal(count(s), 0);
        struct derived *d;
        struct fault f;
        assert_int_equal(derived_open(s, ACCOUNT, SPAN("seg"), &d, &f), R_NONE);
        store_close(&s);
    }
}

static bool
refused(struct store *s, size_t n)
{
    struct derived *d = NULL;
    struct fault f = {.kind = FAULT_COUNT};
    char *all = calloc(1, n);
    enum result r = derived_open(s, ACCOUNT, SPAN("seg"), &d, &f);
    if (r == R_OK)
        r = derived_read(d, 0, all, n, &f);
    derived_close(&d);
    free(all);
    return r == R_FAIL && f.kind == FAULT_CORRUPTION;
}

// Each flipped octet and each length is noticed, and verify tells of it.
static void
test_damaged(void **unused)
{
    struct store_options o = scene_options("embedded", "identity");
    struct store *s = scene_open(&o);
    enum { SIZE = 40000 };
    char name[160], other[160], c;
    struct stat st;
    (void)unused;
    put(s, SPAN("seg"), SIZE, 2);
    scene_expect_verified(s, 0);
    path_of(name, "seg");
    path_of(other, "moved");
    assert_int_equal(stat(name, &st), 0);
    int fd = open(name, O_RDWR);
    for (off_t at = 0; at < st.st_size; at += at < LAYOUT_DERIVED ? 1 : 997) {
        assert_int_equal(pread(fd, &c, 1, at), 1);
        c ^= 0x10;
        assert_int_equal(pwrite(fd, &c, 1, at), 1);
        assert_true(refused(s, SIZE));
        if (at == LAYOUT_DERIVED)
            scene_expect_verified(s, 1);
        c ^= 0x10;
        assert_int_equal(pwrite(fd, &c, 1, at), 1);
    }
    assert_true(there(s, SPAN("seg"), SIZE, 2));
    assert_int_equal(rename(name, other), 0);
    struct derived *d;
    struct fault f;
    assert_int_equal(derived_open(s, ACCOUNT, SPAN("moved"), &d, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_CORRUPTION);
    assert_int_equal(rename(other, name), 0);
    for (off_t n = st.st_size - 1; n >= 0; n -= 9000) {
        assert_int_equal(ftruncate(fd, n), 0);
        assert_true(refused(s, SIZE));
    }
    close(fd);
    store_close(&s);
}

static void
works_again(void)
{
    disk.fdatasync = disk.pwritev = disk.renameat = disk.fsync = 0;
}

// A disk that is full or fails: the string is absent (or the old one), and mail goes on.
static void
test_disk_fails(void **unused)
{
    struct store_options o = scene_options("embedded", "identity");
    struct store *s = scene_open(&o);
    atomic_int *const calls[] = {&disk.pwritev, &disk.fdatasync, &disk.renameat,
                                 &disk.fsync};
    static const int errors[] = {ENOSPC, EIO, EDQUOT};
    struct generator g;
    struct fault f;
    (void)unused;
    generator_init(&g, 5, 7);
    put(s, SPAN("seg"), 50, 7);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
            struct derived_writer *w = begin(s, SPAN("seg"), LONG / 10, 1);
            struct derived_writer *lost = begin(s, SPAN("other"), LONG / 10, 1);
            *calls[i] = errors[e];
            f.kind = FAULT_COUNT;
            assert_int_equal(derived_commit(&w, &f), R_FAIL);
            assert_int_equal(f.kind, FAULT_DISK);
            derived_abort(&lost);
            works_again();
            // after the rename it is there: only its folder may not be durable
            bool renamed = calls[i] == &disk.fsync;
            assert_true(there(s, SPAN("seg"), renamed ? LONG / 10 : 50, renamed ? 1 : 7));
            put(s, SPAN("seg"), 50, 7);
            assert_int_equal(count(s), 1);
            scene_commit(s, &g, NULL, 8);
        }
    scene_expect_model(s, &g);
    scene_expect_verified(s, 0);
    store_close(&s);
    generator_done(&g);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_begin, scene_end)
    const struct CMUnitTest tests[] = {
        TEST(test_life),    TEST(test_reopened),   TEST(test_killed),
        TEST(test_damaged), TEST(test_disk_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
