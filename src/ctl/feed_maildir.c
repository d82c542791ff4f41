#include "ctl/feed.h"
#include "ctl/maildir.h"
#include "ctl/uidl_format.h"
#include "base/limits.h"
#include "store/row.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

// ---- which folders there are ----

static int
by_name(const void *a, const void *b)
{
    const struct feed_folder *x = a, *y = b;
    return span_cmp(x->name, y->name);
}

// ".Folder.Sub" of Maildir++, or the directories of other layouts: "Folder/Sub".
static enum result find_folders(struct feed *fd, const char *path, unsigned depth,
                                struct fault *f);

static enum result
look_at(struct feed *fd, const char *path, const char *name, unsigned depth,
        struct fault *f)
{
    char below[4200];
    struct stat st;
    bool top = path[0] == '\0', dotted = name[0] == '.';
    int n = snprintf(below, sizeof below, "%s%s%s", path, top ? "" : "/", name);
    if (n < 0 || (size_t)n >= sizeof below ||
        fstatat(fd->root, below, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return R_OK;
    if (S_ISLNK(st.st_mode) && maildir_is(fd->root, below))
        return feed_problem(fd, below, "is a symbolic link, which is not followed", f);
    if (!S_ISDIR(st.st_mode))
        return R_OK;
    if (dotted && (!top || name[1] == '\0' || name[1] == '.'))
        return R_OK;
    bool is = maildir_is(fd->root, below);
    if (dotted)
        return is ? feed_folder_add(fd, below, span_str(name + 1), '.', f) : R_OK;
    if (is && feed_folder_add(fd, below, span_str(below), '/', f) != R_OK)
        return R_FAIL;
    return depth < LIMIT_mailbox_depth ? find_folders(fd, below, depth + 1, f) : R_OK;
}

static bool
is_part(const char *name)
{
    static const char *const parts[] = {".", "..", "cur", "new", "tmp"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (span_eq(span_str(name), span_str(parts[i])))
            return true;
    return false;
}

static enum result
find_folders(struct feed *fd, const char *path, unsigned depth, struct fault *f)
{
    int dir = openat(fd->root, path[0] ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = dir < 0 ? NULL : fdopendir(dir);
    struct dirent *e;
    if (d == NULL)
        return feed_problem(fd, path, strerror(errno), f);
    enum result r = R_OK;
    while (r == R_OK && (e = readdir(d)) != NULL)
        if (!is_part(e->d_name))
            r = look_at(fd, path, e->d_name, depth, f);
    closedir(d);
    return r;
}

static enum result
announce(struct feed *fd, struct fault *f)
{
    for (size_t i = 0; i < fd->count; i++)
        if (feed_send(fd, PARCEL_ANNOUNCE, fd->folders[i].name, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

// ---- one message ----

// As Dovecot serves it: a LF without its CR gets one, unless the name says that this is the size on the wire.
struct ends {
    bool keep, after_cr;
};

static void
put_octets(struct buf *out, struct span piece, struct ends *ends)
{
    for (size_t i = 0; i < piece.n; i++) {
        if (piece.p[i] == '\n' && !ends->after_cr && !ends->keep)
            buf_put_char(out, '\r');
        buf_put_char(out, piece.p[i]);
        ends->after_cr = piece.p[i] == '\r';
    }
}

static enum result
send_octets(struct feed *fd, int file, struct ends ends, struct fault *f)
{
    char piece[PARCEL_PIECE];
    struct buf wire;
    ssize_t n;
    enum result r = R_OK;
    buf_init(&wire, sizeof piece * 2);
    while (r == R_OK && (n = read(file, piece, sizeof piece)) != 0) {
        if (n < 0)
            break;
        buf_reset(&wire);
        put_octets(&wire, span_of(piece, (size_t)n), &ends);
        r = feed_send(fd, PARCEL_OCTETS, buf_span(&wire), f);
    }
    if (r == R_OK && n < 0)
        r = feed_send(fd, PARCEL_ABORT, span_str(strerror(errno)), f);
    else if (r == R_OK)
        r = feed_send(fd, PARCEL_END, SPAN_NONE, f);
    buf_done(&wire);
    return r;
}

// By Dovecot's mail_compress: gzip, bzip2, xz, zstd, LZ4. No message begins so.
static bool
is_compressed(int file)
{
    static const struct span magics[] = {SPAN("\x1f\x8b"), SPAN("BZh91AY&SY"),
                                         SPAN("\xfd"
                                              "7zXZ"),
                                         SPAN("\x28\xb5\x2f\xfd"), SPAN("Dovecot-LZ4")};
    char head[16];
    ssize_t n = pread(file, head, sizeof head, 0);
    for (size_t i = 0; n > 0 && i < sizeof magics / sizeof magics[0]; i++)
        if (span_starts(span_of(head, (size_t)n), magics[i]))
            return true;
    return false;
}

static uint16_t
flags_of(struct span letters)
{
    static const struct {
        char letter;
        uint16_t flag;
    } rows[] = {{'S', FLAG_SEEN},
                {'R', FLAG_ANSWERED},
                {'F', FLAG_FLAGGED},
                {'T', FLAG_DELETED},
                {'D', FLAG_DRAFT}};
    uint16_t flags = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (span_find_char(letters, rows[i].letter) < letters.n)
            flags |= rows[i].flag;
    return flags;
}

// Lower-case letters by dovecot-keywords; P (passed on) is $Forwarded.
static size_t
keywords_of(const struct maildir *m, struct span letters, struct span *out)
{
    size_t n = 0;
    for (size_t i = 0; i < letters.n; i++) {
        char c = letters.p[i];
        if (c >= 'a' && c <= 'z' && m->keywords[c - 'a'].n > 0 && n < MAILDIR_LETTERS)
            out[n++] = m->keywords[c - 'a'];
    }
    if (span_find_char(letters, 'P') < letters.n)
        out[n++] = SPAN("$Forwarded");
    return n;
}

static int16_t
zone_at(time_t at)
{
    struct tm tm;
    int16_t zone = 0;
    if (localtime_r(&at, &tm) != NULL)
        zone = (int16_t)(tm.tm_gmtoff / 60);
    return zone;
}

// POP3's unique id as Dovecot told it: only of INBOX, and only where it had given a UID. In `room`.
static struct span
uidl_of(const struct feed *fd, const struct feed_folder *folder, const struct maildir *m,
        const struct maildir_message *msg, struct buf *room)
{
    const struct uidl_facts facts = {msg->uid, m->uidvalidity, msg->base, msg->guid};
    bool told = msg->uid > 0 && span_eq(span_str(folder->path), SPAN("."));
    if (msg->uidl.n > 0 || !told)
        return msg->uidl;
    uidl_format_put(fd->uidl_format, &facts, room);
    return buf_span(room);
}

static enum result
send_message(struct feed *fd, const struct feed_folder *folder, const struct maildir *m,
             const struct maildir_message *msg, struct fault *f)
{
    char where[1024];
    int file;
    struct stat st;
    struct fault why;
    struct buf uidl;
    struct span letters = msg->fresh ? SPAN("") : maildir_letters(msg->file),
                keywords[MAILDIR_LETTERS + 1];
    uint64_t wire = 0;
    snprintf(where, sizeof where, "%.500s/%s/%.400s", folder->path,
             msg->fresh ? "new" : "cur", msg->file.p);
    if (maildir_open_message(m, msg, &file, &why) != R_OK)
        return feed_problem(fd, where, why.why, f);
    if (is_compressed(file)) {
        close(file);
        return feed_problem(fd, where,
                            "is compressed; an import from its IMAP server brings it", f);
    }
    must(fstat(file, &st) == 0);
    buf_init(&uidl, LIMIT_uidl * 2);
    struct parcel_message head = {.uid = msg->uid,
                                  .flags = flags_of(letters),
                                  .has_date = true,
                                  .date = st.st_mtime,
                                  .zone_min = msg->zone_min,
                                  .where = span_str(where),
                                  .keywords = keywords,
                                  .keyword_count = keywords_of(m, letters, keywords),
                                  .uidl = uidl_of(fd, folder, m, msg, &uidl)};
    if (!msg->has_zone)
        head.zone_min = zone_at(st.st_mtime);
    struct ends ends = {.keep = maildir_wire_size(msg->base, &wire) == R_OK &&
                                wire == (uint64_t)st.st_size};
    enum result r = feed_message(fd, &head, f);
    if (r == R_OK)
        r = send_octets(fd, file, ends, f);
    close(file);
    buf_done(&uidl);
    return r;
}

// ---- all ----

struct problem_at {
    struct feed *feed;
    const char *path;
    enum result told;
    struct fault *fault;
};

static void
on_problem(void *arg, const char *why)
{
    struct problem_at *p = arg;
    if (p->told == R_OK)
        p->told = feed_problem(p->feed, p->path, why, p->fault);
}

static enum result
send_folder(struct feed *fd, const struct feed_folder *folder, struct fault *f)
{
    struct problem_at at = {fd, folder->path, R_OK, f};
    struct maildir m = {.problem = on_problem, .problem_arg = &at};
    struct fault why;
    struct arena *a = arena_new();
    enum result r = maildir_open(fd->root, folder->path, a, &m, &why);
    if (r != R_OK) {
        arena_free(&a);
        return at.told == R_OK ? feed_problem(fd, folder->path, why.why, f) : R_FAIL;
    }
    struct parcel_mailbox head = {.name = folder->name,
                                  .uidvalidity = m.uidvalidity,
                                  .uidnext = m.uidnext,
                                  .messages = (uint32_t)m.count};
    r = at.told == R_OK ? feed_mailbox(fd, &head, f) : R_FAIL;
    for (size_t i = 0; r == R_OK && i < m.count; i++)
        r = send_message(fd, folder, &m, &m.messages[i], f);
    arena_free(&a);
    return r;
}

enum result
feed_maildir(struct feed *fd, struct fault *f)
{
    fd->root = open(fd->path.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd->root < 0)
        return fault_errno(f, FAULT_BAD, fd->path.p);
    if (maildir_is(fd->root, ".") &&
        feed_folder_add(fd, ".", SPAN("INBOX"), '.', f) != R_OK)
        return R_FAIL;
    if (find_folders(fd, "", 0, f) != R_OK)
        return R_FAIL;
    if (fd->count == 0)
        return fault_set(f, FAULT_BAD, "%.150s holds no Maildir", fd->path.p);
    qsort(fd->folders, fd->count, sizeof *fd->folders, by_name);
    if (announce(fd, f) != R_OK || feed_subscriptions(fd, "subscriptions", '.', f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < fd->count; i++)
        if (send_folder(fd, &fd->folders[i], f) != R_OK)
            return R_FAIL;
    return R_OK;
}
