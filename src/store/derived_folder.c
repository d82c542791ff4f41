#include "store/derived_files.h"

#include "base/limits.h"
#include "base/order.h"
#include "io/task.h"
#include "store/disk.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

// Without the folder mail works as before, and each call below says why it fails.
void
derived_files_start(struct store *s)
{
    char path[PATH_MAX];
    struct derived_table *t = calloc(1, sizeof *t);
    must(t != NULL);
    must(pthread_mutex_init(&t->mutex, NULL) == 0);
    must((size_t)snprintf(path, sizeof path, "%s/derived", s->path) < sizeof path);
    t->fd = -1;
    if (disk_folder_open(AT_FDCWD, path, &t->fd, &t->fault) != R_OK)
        t->fd = -1;
    s->derived_table = t;
}

void
derived_files_stop(struct store *s)
{
    struct derived_table *t = s->derived_table;
    must(t->writers == NULL);
    if (t->fd >= 0)
        close(t->fd);
    pthread_mutex_destroy(&t->mutex);
    free(t);
    s->derived_table = NULL;
}

static void
job_run(void *arg)
{
    struct derived_job *j = arg;
    j->result = j->fn(j);
}

enum result
derived_run(struct derived_job *j, struct store *s,
            enum result (*fn)(struct derived_job *j), struct fault *f)
{
    j->store = s;
    j->fn = fn;
    j->f = f;
    if (s->derived_table->fd < 0) {
        *f = s->derived_table->fault;
        return R_FAIL;
    }
    pool_run(s->pool, job_run, j);
    return j->result;
}

void
derived_folder_name(char out[DERIVED_FOLDER], uint64_t account)
{
    snprintf(out, DERIVED_FOLDER, "%016llx", (unsigned long long)account);
}

// R_NONE: the account has none.
enum result
derived_folder_open(const struct store *s, uint64_t account, int *fd_out, struct fault *f)
{
    char name[DERIVED_FOLDER];
    derived_folder_name(name, account);
    int fd = openat(s->derived_table->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? R_NONE : fault_errno(f, FAULT_DISK, name);
    *fd_out = fd;
    return R_OK;
}

void
derived_name_new(char out[DERIVED_FILE], const char *name)
{
    must(snprintf(out, DERIVED_FILE, "%s.new", name) > 0);
}

void
derived_writer_listed(struct derived_writer *w, bool listed)
{
    struct derived_table *t = w->store->derived_table;
    pthread_mutex_lock(&t->mutex);
    if (listed) {
        w->next = t->writers;
        w->prev = &t->writers;
        if (w->next)
            w->next->prev = &w->next;
        t->writers = w;
    } else {
        *w->prev = w->next;
        if (w->next)
            w->next->prev = w->prev;
        w->prev = NULL;
    }
    pthread_mutex_unlock(&t->mutex);
}

static bool
being_written(const struct store *s, uint64_t account, const char *name)
{
    struct derived_table *t = s->derived_table;
    char temp[DERIVED_FILE];
    bool found = false;
    pthread_mutex_lock(&t->mutex);
    for (const struct derived_writer *w = t->writers; w && !found; w = w->next) {
        derived_name_new(temp, w->name);
        found = w->account == account && strcmp(temp, name) == 0;
    }
    pthread_mutex_unlock(&t->mutex);
    return found;
}

// ---- all of them ----

// Calls fn for each entry of the folder, which it closes.
typedef enum result entry_fn(struct derived_job *j, int folder, const char *name);
static enum result
each_entry(struct derived_job *j, int folder, entry_fn *fn)
{
    enum result r = R_OK;
    DIR *dir = fdopendir(folder);
    if (!dir) {
        r = fault_errno(j->f, FAULT_DISK, "a folder of derived strings");
        close(folder);
        return r;
    }
    errno = 0;
    for (struct dirent *e; r == R_OK && (e = readdir(dir)); errno = 0)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = fn(j, folder, e->d_name);
    if (r == R_OK && errno != 0)
        r = fault_errno(j->f, FAULT_DISK, "a folder of derived strings");
    closedir(dir);
    return r;
}

static enum result
remove_file(struct derived_job *j, int folder, const char *name)
{
    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
        return R_OK;
    return fault_errno(j->f, FAULT_DISK, name);
}

static enum result
remove_one(struct derived_job *j)
{
    int folder;
    enum result r = derived_folder_open(j->store, j->account, &folder, j->f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : r;
    r = remove_file(j, folder, j->name);
    close(folder);
    return r;
}

enum result
derived_files_remove(struct store *s, uint64_t account, const char *name, struct fault *f)
{
    struct derived_job j = {.account = account, .name = name};
    return derived_run(&j, s, remove_one, f);
}

static enum result
list_entry(struct derived_job *j, int folder, const char *name)
{
    struct derived_list *out = j->list;
    struct stat st;
    if (!derived_name_good(name))  // not whole, unless it is under way
        return being_written(j->store, j->account, name) ? R_OK
                                                         : remove_file(j, folder, name);
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? R_OK : fault_errno(j->f, FAULT_DISK, name);
    if (out->n == LIMIT_derived_strings)
        return fault_set(j->f, FAULT_LIMIT, "too many derived strings");
    if ((out->n & (out->n - 1)) == 0) {
        struct derived_entry *more =
            arena_array(out->a, 2 * out->n + 1, sizeof *out->entries);
        if (out->n > 0)
            memcpy(more, out->entries, out->n * sizeof *more);
        out->entries = more;
    }
    out->entries[out->n++] =
        (struct derived_entry){arena_dup(out->a, span_str(name)), (uint64_t)st.st_size};
    return R_OK;
}

static enum result
list(struct derived_job *j)
{
    int folder;
    enum result r = derived_folder_open(j->store, j->account, &folder, j->f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : r;
    return each_entry(j, folder, list_entry);
}

enum result
derived_files_list(struct store *s, uint64_t account, struct derived_list *out,
                   struct fault *f)
{
    struct derived_job j = {.account = account, .list = out};
    enum result r = derived_run(&j, s, list, f);
    if (r == R_OK && out->n > 0)
        qsort(out->entries, out->n, sizeof *out->entries, derived_entry_compare);
    return r;
}

// A folder that a writer has made anew meanwhile is no fault.
static enum result
clear(struct derived_job *j)
{
    char name[DERIVED_FOLDER];
    int folder;
    enum result r = derived_folder_open(j->store, j->account, &folder, j->f);
    if (r == R_OK)
        r = each_entry(j, folder, remove_file);
    derived_folder_name(name, j->account);
    if (r == R_OK && unlinkat(j->store->derived_table->fd, name, AT_REMOVEDIR) != 0 &&
        errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
        return fault_errno(j->f, FAULT_DISK, name);
    return r == R_NONE ? R_OK : r;
}

enum result
derived_files_clear(struct store *s, uint64_t account, struct fault *f)
{
    struct derived_job j = {.account = account};
    return derived_run(&j, s, clear, f);
}

static enum result
account_entry(struct derived_job *j, int folder, const char *name)
{
    char *end;
    (void)folder;
    uint64_t id = strtoull(name, &end, 16);
    if (strlen(name) == DERIVED_FOLDER - 1 && *end == '\0')
        buf_put(&j->ids, span_of((const char *)&id, sizeof id));
    return R_OK;
}

static enum result
accounts(struct derived_job *j)
{
    int folder =
        openat(j->store->derived_table->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return fault_errno(j->f, FAULT_DISK, "data/derived");
    return each_entry(j, folder, account_entry);
}

enum result
derived_files_accounts(struct store *s, uint64_t **ids_out, size_t *n_out, struct fault *f)
{
    struct derived_job j = {0};
    buf_init(&j.ids, LIMIT_derived_accounts);
    enum result r = derived_run(&j, s, accounts, f);
    if (r == R_OK && j.ids.over)
        r = fault_set(f, FAULT_LIMIT, "too many accounts with derived strings");
    if (r != R_OK) {
        buf_done(&j.ids);
        return r;
    }
    if (j.ids.n > 0)
        qsort(j.ids.p, j.ids.n / sizeof(uint64_t), sizeof(uint64_t), order_u64);
    *n_out = j.ids.n / sizeof(uint64_t);
    *ids_out = (uint64_t *)(void *)j.ids.p;
    return R_OK;
}

enum result
derived_files_clear_all(struct store *s, struct fault *f)
{
    uint64_t *ids = NULL;
    size_t n = 0;
    enum result r = derived_files_accounts(s, &ids, &n, f);
    for (size_t i = 0; r == R_OK && i < n; i++)
        r = derived_files_clear(s, ids[i], f);
    free(ids);
    return r;
}
