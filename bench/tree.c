#include "bench/tree.h"

#include "base/buf.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { PROCESSES_MAX = 32768, TEXT_MAX = 8192 };

struct process {
    uint32_t pid, parent;
    uint64_t ticks;
    bool inside;
};

static struct span
read_text(uint32_t pid, const char *name, char text[TEXT_MAX])
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, TEXT_MAX);
    if (fd >= 0)
        close(fd);
    return span_of(text, n > 0 ? (size_t)n : 0);
}

// The number behind "name" in lines "name   123 kB".
static uint64_t
number_of(struct span text, struct span name)
{
    uint64_t n = 0;
    struct span rest = span_trim(span_slice(text, span_find(text, name) + name.n, text.n));
    for (size_t i = 0; i < rest.n && ascii_is_digit(rest.p[i]); i++)
        n = n * 10 + (uint64_t)(rest.p[i] - '0');
    return n;
}

// proc(5): "pid (name) S ppid", utime, stime, cutime and cstime are the fields 14 to 17.
static bool
read_process(const char *name, struct process *p)
{
    char text[TEXT_MAX];
    if (span_to_u32(span_str(name), &p->pid) != R_OK)
        return false;
    struct span rest = read_text(p->pid, "stat", text), field;
    size_t paren = rest.n;
    while (paren > 0 && rest.p[paren - 1] != ')')
        paren--;
    rest = span_skip(rest, paren + 1);
    for (int i = 3; i <= 17 && span_next_field(&rest, ' ', &field) == R_OK; i++) {
        uint64_t n = 0;
        if (i != 4 && i < 14)
            continue;
        if (span_to_u64(field, &n) != R_OK)
            return false;
        if (i == 4)
            p->parent = (uint32_t)n;
        else
            p->ticks += n;
    }
    return p->ticks > 0 || p->parent > 0;
}

static size_t
read_all(struct process *all)
{
    size_t n = 0;
    DIR *d = opendir("/proc");
    must(d != NULL);
    for (struct dirent *e; n < PROCESSES_MAX && (e = readdir(d)) != NULL;) {
        all[n] = (struct process){0};
        if (read_process(e->d_name, &all[n]))
            n++;
    }
    closedir(d);
    return n;
}

static bool
parent_inside(const struct process *all, size_t n, uint32_t parent)
{
    for (size_t i = 0; i < n; i++)
        if (all[i].pid == parent)
            return all[i].inside;
    return false;
}

static void
add(struct tree *t, const struct process *p)
{
    char text[TEXT_MAX];
    t->cpu_us += p->ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    t->processes++;
    struct span status = read_text(p->pid, "status", text);
    t->rss_kb += number_of(status, SPAN("VmRSS:"));
    t->page_tables_kb += number_of(status, SPAN("VmPTE:"));
    t->pss_kb += number_of(read_text(p->pid, "smaps_rollup", text), SPAN("\nPss:"));
}

// Sectors written are the 7th field (Documentation/admin-guide/iostats.rst).
static uint64_t
device_written(const char *folder)
{
    char path[64], text[512];
    struct stat st;
    unsigned long sectors = 0;
    int fd = folder[0] != '\0' ? open(folder, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    must(syncfs(fd) == 0 && fstat(fd, &st) == 0);
    close(fd);
    (void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/stat", major(st.st_dev),
                   minor(st.st_dev));
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fgets(text, sizeof text, file) == NULL ||
        sscanf(text, "%*u %*u %*u %*u %*u %*u %lu", &sectors) != 1)
        sectors = 0;
    (void)fclose(file);
    return sectors * 512;
}

struct tree
tree_read(pid_t root, const char *folder)
{
    static struct process all[PROCESSES_MAX];
    struct tree t = {.written = device_written(folder)};
    size_t n = root > 0 ? read_all(all) : 0;
    for (bool grew = true; grew;) {
        grew = false;
        for (size_t i = 0; i < n; i++) {
            if (all[i].inside ||
                !(all[i].pid == (uint32_t)root || parent_inside(all, n, all[i].parent)))
                continue;
            all[i].inside = grew = true;
            add(&t, &all[i]);
        }
    }
    return t;
}
