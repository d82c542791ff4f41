#include "ctl/account_file.h"
#include "ctl/feed.h"
#include "ctl/mbox.h"
#include "base/limits.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

// ---- which files there are ----

static enum result find_files(struct feed *fd, const char *path, struct span name,
                              unsigned depth, struct fault *f);

static struct span
without(struct span name, struct span ending)
{
    return span_ends(name, ending) && name.n > ending.n
               ? span_slice(name, 0, name.n - ending.n)
               : name;
}

static bool
is_helper(struct span name)
{
    return name.p[0] == '.' || span_ends(name, SPAN(".msf")) ||
           span_ends(name, SPAN(".lock")) || span_ends(name, SPAN(".dat")) ||
           span_eq(name, SPAN(ACCOUNT_FILE));
}

// Files are mailboxes, "x.mbox" is x; the children of x lie in x or (Thunderbird) in x.sbd.
static enum result
look_at(struct feed *fd, const char *path, struct span above, struct span entry,
        unsigned depth, struct fault *f)
{
    char below[4200], name[4200];
    struct stat st;
    bool top = path[0] == '\0';
    int n =
        snprintf(below, sizeof below, "%s%s%.*s", path, top ? "" : "/", SPAN_ARG(entry));
    if (is_helper(entry) || n < 0 || (size_t)n >= sizeof below ||
        fstatat(fd->root, below, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return R_OK;
    bool dir = S_ISDIR(st.st_mode);
    struct span level = without(entry, dir ? SPAN(".sbd") : SPAN(".mbox"));
    n = snprintf(name, sizeof name, "%.*s%s%.*s", SPAN_ARG(above), top ? "" : "/",
                 SPAN_ARG(level));
    if (n < 0 || (size_t)n >= sizeof name)
        return R_OK;
    if (!dir)
        return S_ISREG(st.st_mode) ? feed_folder_add(fd, below, span_str(name), '/', f)
                                   : R_OK;
    return depth < LIMIT_mailbox_depth ? find_files(fd, below, span_str(name), depth + 1, f)
                                       : R_OK;
}

static enum result
find_files(struct feed *fd, const char *path, struct span name, unsigned depth,
           struct fault *f)
{
    int dir = openat(fd->root, path[0] ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = dir < 0 ? NULL : fdopendir(dir);
    struct dirent *e;
    if (d == NULL)
        return feed_problem(fd, path, strerror(errno), f);
    enum result r = R_OK;
    while (r == R_OK && (e = readdir(d)) != NULL)
        r = look_at(fd, path, name, span_str(e->d_name), depth, f);
    closedir(d);
    return r;
}

static int
by_name(const void *a, const void *b)
{
    const struct feed_folder *x = a, *y = b;
    return span_cmp(x->name, y->name);
}

// ---- one file ----

struct reading {
    struct feed *feed;
    const struct feed_folder *folder;
    bool begun;  // the mailbox
};

static enum result
begin_mailbox(struct reading *r, uint32_t uidvalidity, uint32_t uid_last, struct fault *f)
{
    struct parcel_mailbox head = {.name = r->folder->name,
                                  .uidvalidity = uidvalidity,
                                  .uidnext =
                                      uid_last < UINT32_MAX ? uid_last + 1 : uid_last};
    r->begun = true;
    return feed_mailbox(r->feed, &head, f);
}

static size_t
split_keywords(struct span text, struct span *out, size_t max)
{
    size_t n = 0, at = 0;
    while (at < text.n && n < max) {
        size_t from = at;
        while (at < text.n && !ascii_is_space(text.p[at]))
            at++;
        if (at > from)
            out[n++] = span_slice(text, from, at);
        at++;
    }
    return n;
}

static enum result
on_begin(void *arg, const struct mbox_message *m, struct fault *f)
{
    struct reading *r = arg;
    char where[1024];
    if (!r->begun && begin_mailbox(r, m->uidvalidity, m->uid_last, f) != R_OK)
        return R_FAIL;
    struct span *keywords = calloc(LIMIT_keywords, sizeof *keywords);
    must(keywords != NULL);
    snprintf(where, sizeof where, "%.900s:%llu", r->folder->path,
             (unsigned long long)m->line);
    struct parcel_message head = {
        .uid = m->uid,
        .flags = m->flags,
        .has_date = m->has_date,
        .date = m->date,
        .zone_min = m->zone_min,
        .where = span_str(where),
        .keywords = keywords,
        .uidl = m->uidl,
        .keyword_count = split_keywords(m->keywords, keywords, LIMIT_keywords)};
    enum result done = feed_message(r->feed, &head, f);
    free(keywords);
    return done;
}

static enum result
on_octets(void *arg, struct span bytes, struct fault *f)
{
    struct reading *r = arg;
    for (; bytes.n > 0; bytes = span_skip(bytes, PARCEL_MAX))
        if (feed_send(r->feed, PARCEL_OCTETS, span_slice(bytes, 0, PARCEL_MAX), f) != R_OK)
            return R_FAIL;
    return R_OK;
}

static enum result
on_end(void *arg, struct fault *f)
{
    struct reading *r = arg;
    return feed_send(r->feed, PARCEL_END, SPAN_NONE, f);
}

// FAULT_BAD: no mbox. FAULT_DISK: a read failed; the message that was under way is dropped.
static enum result
read_file(struct reading *r, int file, struct fault *f)
{
    static const struct mbox_ops ops = {on_begin, on_octets, on_end};
    char piece[PARCEL_PIECE];
    struct mbox m;
    ssize_t n;
    enum result done = R_OK;
    mbox_init(&m, &ops, r);
    while (done == R_OK && (n = read(file, piece, sizeof piece)) > 0)
        done = mbox_read(&m, span_of(piece, (size_t)n), f);
    if (done == R_OK && n < 0) {
        const char *why = strerror(errno);
        if (m.inside && !m.in_header && !m.internal)
            done = feed_send(r->feed, PARCEL_ABORT, span_str(why), f);
        if (done == R_OK)
            done = feed_problem(r->feed, r->folder->path, why, f);
    } else if (done == R_OK) {
        done = mbox_end(&m, f);
    }
    if (done == R_OK && !r->begun)  // UIDVALIDITY of an internal message alone
        done = begin_mailbox(r, m.message.uidvalidity, m.message.uid_last, f);
    mbox_done(&m);
    return done;
}

static enum result
send_file(struct feed *fd, const struct feed_folder *folder, struct fault *f)
{
    struct reading reading = {fd, folder, false};
    int file = openat(fd->root, folder->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return feed_problem(fd, folder->path, strerror(errno), f);
    enum result r = read_file(&reading, file, f);
    close(file);
    if (r == R_FAIL && f->kind == FAULT_BAD && !reading.begun)
        return feed_problem(fd, folder->path, f->why, f);
    return r;
}

// ---- all ----

static enum result
find(struct feed *fd, struct fault *f)
{
    struct stat st;
    if (stat(fd->path.p, &st) != 0)
        return fault_errno(f, FAULT_BAD, fd->path.p);
    if (!S_ISDIR(st.st_mode)) {
        fd->root = AT_FDCWD;
        return feed_folder_add(fd, fd->path.p, SPAN("INBOX"), '/', f);
    }
    fd->root = open(fd->path.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd->root < 0)
        return fault_errno(f, FAULT_BAD, fd->path.p);
    return find_files(fd, "", SPAN(""), 0, f);
}

enum result
feed_mbox(struct feed *fd, struct fault *f)
{
    if (find(fd, f) != R_OK)
        return R_FAIL;
    if (fd->count == 0)
        return fault_set(f, FAULT_BAD, "%.150s holds no files", fd->path.p);
    qsort(fd->folders, fd->count, sizeof *fd->folders, by_name);
    for (size_t i = 0; i < fd->count; i++)
        if (feed_send(fd, PARCEL_ANNOUNCE, fd->folders[i].name, f) != R_OK)
            return R_FAIL;
    if (fd->root >= 0 && feed_subscriptions(fd, ".subscriptions", '/', f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < fd->count; i++)
        if (send_file(fd, &fd->folders[i], f) != R_OK)
            return R_FAIL;
    return R_OK;
}
