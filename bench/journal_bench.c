// Durable appends per second through the journal at 1, 8 and 64 tasks, with write amplification, and what
// the choices of preallocation cost: journal_bench FOLDER [octets of a message].

#include "base/clock.h"
#include "io/loop.h"
#include "io/task.h"
#include "store/journal.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SECONDS_MS = 2000, TASKS_MAX = 64 };

struct run {
    struct journal *j;
    struct loop *loop;
    struct span message;
    uint64_t until_ms, appends;
    unsigned live;
};

static void
append_one(struct run *r, uint64_t account)
{
    static const char meta[420];  // flags, dates and a usual cache
    struct fault f;
    struct store_body *body = body_new(r->j);
    struct store_batch *b = store_batch_new(NULL, account, 1, 1);
    bool good = store_body_write(body, r->message, &f) == R_OK &&
                store_body_finish(body, &f) == R_OK;
    store_batch_add(b, RECORD_ADDED, span_of(meta, sizeof meta), body);
    if (!good || journal_commit(r->j, b, &f) != R_OK) {
        fprintf(stderr, "%s\n", f.why);
        exit(1);
    }
    store_batch_free(&b);
    store_body_free(&body);
    r->appends++;
}

static void
append_task(void *arg)
{
    struct run *r = arg;
    uint64_t account = r->live;
    while (clock_mono_ms() < r->until_ms)
        append_one(r, account);
    if (--r->live == 0)
        loop_stop(r->loop);
}

static void
start(void *arg)
{
    struct run *r = arg;
    unsigned n = r->live;
    for (unsigned i = 0; i < n; i++)
        task_start(append_task, r);
}

static double
cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

// Octets of pages that this process had written, as the kernel counts them.
static double
written(void)
{
    unsigned long long n = 0;
    char line[128];
    FILE *io = fopen("/proc/self/io", "r");
    while (io && fgets(line, sizeof line, io))
        sscanf(line, "write_bytes: %llu", &n);
    if (io)
        fclose(io);
    return (double)n;
}

static void
measure(const char *folder, unsigned tasks, struct span message)
{
    struct journal_recovery found;
    struct journal_stats stats;
    struct fault f;
    struct journal_options o = {.path = folder, .codec = codec_by_name("identity")};
    struct run r = {.message = message, .live = tasks, .loop = loop_new()};
    if (journal_open(&o, &r.j, &found, &f) != R_OK) {
        fprintf(stderr, "%s\n", f.why);
        exit(1);
    }
    double cpu = cpu_us(), pages = written();
    uint64_t begin = clock_mono_us();
    r.until_ms = clock_mono_ms() + SECONDS_MS;
    loop_post(r.loop, start, &r);
    loop_run(r.loop);
    double seconds = (double)(clock_mono_us() - begin) / 1e6, n = (double)r.appends;
    cpu = cpu_us() - cpu;
    journal_stats_get(r.j, &stats);
    printf(
        "%2u tasks: %8.0f appends/s %7.1f per sync %6.1f us CPU each, octets written x%.3f, pages x%.2f\n",
        tasks, n / seconds, n / (double)stats.syncs, cpu / n,
        (double)stats.octets / (n * (double)message.n),
        (written() - pages) / (n * (double)message.n));
    journal_close(&r.j);
    loop_free(&r.loop);
}

// ---- how the file is prepared ----

enum prepare { EXTENDED, FALLOCATED, ZEROED };

static void
prepare(int fd, enum prepare how, size_t size)
{
    static const char zero[1 << 20];
    if (how == FALLOCATED && fallocate(fd, 0, 0, (off_t)size) != 0)
        perror("fallocate");
    for (size_t at = 0; how == ZEROED && at < size; at += sizeof zero)
        if (pwrite(fd, zero, sizeof zero, (off_t)at) != (ssize_t)sizeof zero)
            perror("pwrite");
    fsync(fd);
}

static void
measure_file(const char *folder, enum prepare how, size_t n)
{
    static const char *const names[] = {"extended", "fallocated", "zeroed"};
    static const char block[65536];
    enum { SIZE = 64 << 20 };
    char path[512];
    snprintf(path, sizeof path, "%s/prepared", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    prepare(fd, how, SIZE);
    double cpu = cpu_us();
    uint64_t begin = clock_mono_us(), count = 0;
    for (size_t at = 0; at + n <= SIZE && clock_mono_us() - begin < 1000000;
         at += n, count++)
        if (pwrite(fd, block, n, (off_t)at) != (ssize_t)n || fdatasync(fd) != 0)
            perror("append");
    double seconds = (double)(clock_mono_us() - begin) / 1e6;
    printf("%-10s file: %8.0f syncs/s of %zu octets, %6.1f us CPU each\n", names[how],
           (double)count / seconds, n, (cpu_us() - cpu) / (double)count);
    close(fd);
    unlink(path);
}

int
main(int argc, char **argv)
{
    size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 5000;
    if (argc < 2 || n == 0 || n > 65536) {
        fprintf(stderr, "usage: journal_bench FOLDER [octets, up to 65536]\n");
        return 2;
    }
    char *text = calloc(1, n);
    for (int how = EXTENDED; how <= ZEROED; how++)
        measure_file(argv[1], (enum prepare)how, n);
    for (unsigned tasks = 1; tasks <= TASKS_MAX; tasks *= 8)
        measure(argv[1], tasks, span_of(text, n));
    free(text);
    return 0;
}
