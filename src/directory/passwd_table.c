#include "directory/passwd_table.h"
#include "auth/passwd_file.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#define HASH_FUNCTION(key, size, value)                                                    \
    ((value) = (unsigned)hash_keyed(span_of((key), (size))))
#include "base/table.h"

#include <errno.h>
#include <sys/stat.h>

enum { SETTLE_MS = 300 };

// One user; the texts lie behind it.
struct row {
    UT_hash_handle hh;
    bool disabled;
    bool unclear;  // the line cannot be used
    struct user_quota quota;
    size_t name_n, hash_n, nets_n;
    char text[];
};

struct state {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct passwd_table {
    const char *path;
    passwd_bad_fn *bad;
    void *arg;
    struct row *rows;
    bool there;  // rows are the file's
    bool known;  // they were once
    int fd;      // which is kept open, so that no other file gets its inode; -1: none
    struct state state;   // of the file that they are of
    struct state looked;  // as it was seen last
    uint64_t looked_ms;   // when that was first seen
};

struct passwd_table *
passwd_table_new(const char *path, passwd_bad_fn *bad, void *arg)
{
    struct passwd_table *t = calloc(1, sizeof *t);
    must(t != NULL);
    *t = (struct passwd_table){.path = path, .bad = bad, .arg = arg, .fd = -1};
    return t;
}

static void
rows_free(struct row **rows)
{
    struct row *r, *next;
    HASH_ITER(hh, *rows, r, next)
    {
        HASH_DEL(*rows, r);
        explicit_bzero(r->text, r->name_n + r->hash_n + r->nets_n);
        free(r);
    }
}

static void
keep_fd(struct passwd_table *t, int fd)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = fd;
}

void
passwd_table_free(struct passwd_table **tp)
{
    if (*tp == NULL)
        return;
    rows_free(&(*tp)->rows);
    keep_fd(*tp, -1);
    free(*tp);
    *tp = NULL;
}

static void
put_row(struct row **rows, const struct passwd_line *l, bool unclear)
{
    struct row *r = calloc(1, sizeof *r + l->name.n + l->hash.n + l->nets.n), *old;
    must(r != NULL);
    *r = (struct row){.disabled = l->disabled,
                      .unclear = unclear,
                      .quota = l->quota,
                      .name_n = l->name.n,
                      .hash_n = l->hash.n,
                      .nets_n = l->nets.n};
    memcpy(r->text, l->name.text, l->name.n);
    memcpy(r->text + r->name_n, l->hash.n > 0 ? l->hash.p : "", l->hash.n);
    memcpy(r->text + r->name_n + r->hash_n, l->nets.n > 0 ? l->nets.p : "", l->nets.n);
    HASH_FIND(hh, *rows, r->text, r->name_n, old);
    if (old != NULL) {
        HASH_DEL(*rows, old);
        free(old);
    }
    HASH_ADD_KEYPTR(hh, *rows, r->text, r->name_n, r);
}

static struct row *
parse(const struct passwd_table *t, struct span text)
{
    struct row *rows = NULL;
    struct span line;
    struct passwd_line l;
    struct fault f;
    unsigned said = 0;
    buf_init(&l.hash, LIMIT_password_hash);
    buf_init(&l.nets, LIMIT_user_networks);
    for (uint64_t n = 1; span_next_field(&text, '\n', &line) == R_OK; n++) {
        enum result r = passwd_line_parse(line, &l, &f);
        if (r == R_OK || (r == R_FAIL && l.name.n > 0))
            put_row(&rows, &l, r == R_FAIL);
        if (r == R_FAIL && said++ < LIMIT_passwd_file_said)
            t->bad(n, f.why, t->arg);
    }
    buf_done(&l.hash);
    buf_done(&l.nets);
    return rows;
}

static struct state
state_of(const struct stat *s)
{
    return (struct state){s->st_dev, s->st_ino, s->st_size, s->st_mtim};
}

static bool
same_state(const struct state *a, const struct state *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

static enum result
read_text(int fd, size_t size, struct buf *text, struct fault *f)
{
    char *room = buf_reserve(text, size + 1);
    ssize_t n = 1;
    if (room == NULL)
        return fault_set(f, FAULT_UNAVAILABLE, "the passwd-file is larger than %d octets",
                         LIMIT_passwd_file);
    while (n != 0 && text->n <= size) {
        n = read(fd, text->p + text->n, size + 1 - text->n);
        if (n < 0)
            return fault_errno(f, FAULT_UNAVAILABLE, "the passwd-file");
        text->n += (size_t)n;
    }
    return R_OK;
}

// The text of the file. R_NONE: somebody wrote to it meanwhile.
static enum result
read_whole(int fd, struct buf *text, struct state *state, struct fault *f)
{
    struct stat before, after;
    if (fstat(fd, &before) != 0 || !S_ISREG(before.st_mode))
        return fault_set(f, FAULT_UNAVAILABLE, "userdb_passwd_file is no file");
    if (read_text(fd, (size_t)before.st_size, text, f) != R_OK)
        return R_FAIL;
    *state = state_of(&before);
    if (fstat(fd, &after) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "the passwd-file");
    struct state now = state_of(&after);
    return same_state(state, &now) ? R_OK : R_NONE;
}

static enum result
load(struct passwd_table *t, struct fault *f)
{
    struct buf text;
    struct state state;
    int fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "userdb_passwd_file");
    buf_init(&text, LIMIT_passwd_file);
    enum result r = read_whole(fd, &text, &state, f);
    if (r != R_OK) {
        close(fd);
    } else {
        keep_fd(t, fd);
        struct row *rows = parse(t, buf_span(&text));
        rows_free(&t->rows);
        t->rows = rows;
        t->state = state;
        t->there = t->known = true;
    }
    buf_wipe(&text);
    return r;
}

static enum result
lose(struct passwd_table *t, enum result r)
{
    rows_free(&t->rows);
    keep_fd(t, -1);
    t->there = false;
    return r;
}

// A new file that was renamed, or given its rights, after its last octet was written: nobody is at it.
static bool
is_finished(const struct passwd_table *t, const struct stat *s)
{
    bool later = s->st_ctim.tv_sec != s->st_mtim.tv_sec
                     ? s->st_ctim.tv_sec > s->st_mtim.tv_sec
                     : s->st_ctim.tv_nsec > s->st_mtim.tv_nsec;
    return s->st_ino != t->state.inode && later;
}

enum result
passwd_table_refresh(struct passwd_table *t, struct fault *f)
{
    struct stat s;
    uint64_t now_ms = clock_mono_ms();
    if (stat(t->path, &s) != 0)
        return lose(t, fault_errno(f, FAULT_UNAVAILABLE, "userdb_passwd_file"));
    struct state now = state_of(&s);
    if (t->there && same_state(&now, &t->state))
        return R_NONE;
    if (!same_state(&now, &t->looked)) {
        t->looked = now;
        t->looked_ms = now_ms;
    }
    bool waits = t->known && !is_finished(t, &s) && now_ms - t->looked_ms < SETTLE_MS;
    enum result r = waits ? R_NONE : load(t, f);
    if (r == R_NONE && !t->there)
        return fault_set(f, FAULT_UNAVAILABLE, "the passwd-file is being written");
    return r == R_FAIL ? lose(t, r) : r;
}

enum result
passwd_table_find(struct passwd_table *t, struct span name, struct directory_user *out,
                  struct fault *f)
{
    struct row *r;
    if (!t->there)
        return fault_set(f, FAULT_UNAVAILABLE, "the passwd-file cannot be read");
    HASH_FIND(hh, t->rows, name.p, name.n, r);
    if (r == NULL)
        return R_NONE;
    if (r->unclear)
        return fault_set(f, FAULT_BAD, "the user's line in the passwd-file cannot be used");
    out->disabled = r->disabled;
    out->quota = r->quota;
    buf_put(&out->hash, span_of(r->text + r->name_n, r->hash_n));
    buf_put(&out->networks, span_of(r->text + r->name_n + r->hash_n, r->nets_n));
    return R_OK;
}

enum result
passwd_table_list(const struct passwd_table *t, struct buf *out, struct fault *f)
{
    struct row *r, *next;
    if (!t->there)
        return fault_set(f, FAULT_UNAVAILABLE, "the passwd-file cannot be read");
    HASH_ITER(hh, t->rows, r, next)
    {
        directory_put_name(out, span_of(r->text, r->name_n), SPAN_NONE);
    }
    return out->over ? fault_set(f, FAULT_LIMIT, "there are too many users") : R_OK;
}
