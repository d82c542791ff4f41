#include "main/rawlog.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAME_USER = 64 };

struct rawlog {
    struct rawlog_writer *writer;
    atomic_bool over;  // full, or its file failed: no more is wanted
    uint64_t lost;     // octets that the queue did not take; under the writer's lock
    // the writer's
    char name[NAME_USER * 3 + 64];
    int fd;
    size_t written;
    char last;  // octet written
};

enum what { BEGIN, CLIENT, SERVER, END };

struct piece {
    struct piece *next;
    struct rawlog *of;
    enum what what;
    struct timespec at;
    uint64_t lost;  // octets before it
    size_t n;
    char octets[];
};

struct rawlog_writer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t come;
    struct piece *first, **last;
    size_t queued;
    bool ends;
    int folder;  // -1: not there
};

// ---- the sessions' side ----

// Pieces that begin or end a file are always taken.
static void
enqueue(struct rawlog *r, enum what what, struct span s)
{
    struct rawlog_writer *w = r->writer;
    struct piece *p = NULL;
    pthread_mutex_lock(&w->lock);
    bool fits = what == BEGIN || what == END || w->queued + s.n <= LIMIT_rawlog_queue;
    if (fits) {
        p = reallocarray(NULL, 1, sizeof *p + s.n);
        must(p != NULL);
        *p = (struct piece){.of = r, .what = what, .lost = r->lost, .n = s.n};
        clock_gettime(CLOCK_REALTIME, &p->at);
        if (s.n > 0)
            memcpy(p->octets, s.p, s.n);
        w->queued += s.n;
        *w->last = p;
        w->last = &p->next;
        pthread_cond_signal(&w->come);
    }
    r->lost = fits ? 0 : r->lost + s.n;
    pthread_mutex_unlock(&w->lock);
}

// A user's name as part of a file's.
static void
put_name(char *out, struct span user)
{
    size_t n = 0;
    for (size_t i = 0; i < user.n && i < NAME_USER; i++) {
        unsigned char c = (unsigned char)user.p[i];
        bool plain = ascii_is_alpha(user.p[i]) || ascii_is_digit(user.p[i]) || c == '@' ||
                     c == '_' || (c == '.' && i > 0);
        n += (size_t)snprintf(out + n, 4, plain ? "%c" : "%%%02x", c);
    }
}

struct rawlog *
rawlog_begin(struct rawlog_writer *w, struct span user, uint64_t session, struct span head)
{
    struct rawlog *r = calloc(1, sizeof *r);
    must(r != NULL);
    r->writer = w;
    r->fd = -1;
    char name[NAME_USER * 3 + 1] = "", stamp[32];
    struct tm tm;
    time_t now = time(NULL);
    localtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%S", &tm);
    put_name(name, user);
    snprintf(r->name, sizeof r->name, "%s-%s-%016llx.log", name, stamp,
             (unsigned long long)session);
    enqueue(r, BEGIN, head);
    return r;
}

void
rawlog_put(struct rawlog *r, bool by_client, struct span s)
{
    if (!r->over)
        enqueue(r, by_client ? CLIENT : SERVER, s);
}

bool
rawlog_goes_on(const struct rawlog *r)
{
    return !r->over;
}

void
rawlog_end(struct rawlog **r)
{
    if (*r != NULL)
        enqueue(*r, END, SPAN_NONE);
    *r = NULL;
}

// ---- the writer's side ----

// Old ones go; how many stay.
static unsigned
clean(struct rawlog_writer *w)
{
    unsigned stay = 0;
    int fd = openat(w->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    time_t now = time(NULL);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        struct stat st;
        if (fstatat(w->folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode))
            continue;
        if (now - st.st_mtime < LIMIT_rawlog_keep_s ||
            unlinkat(w->folder, e->d_name, 0) != 0)
            stay++;
    }
    closedir(dir);
    return stay;
}

static void
fail(struct rawlog *r, const char *why)
{
    log_warning("mail", "rawlog ends for a session", field_str("file", "file=%", r->name),
                log_why(why));
    r->over = true;
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

static void
write_all(struct rawlog *r, struct span s)
{
    while (s.n > 0 && r->fd >= 0) {
        ssize_t n = write(r->fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            fail(r, strerror(errno));
            return;
        }
        r->last = s.p[n - 1];
        r->written += (size_t)n;
        s = span_skip(s, (size_t)n);
    }
}

static void
open_file(struct rawlog *r, struct span head)
{
    struct rawlog_writer *w = r->writer;
    if (w->folder < 0 || clean(w) >= LIMIT_rawlog_files) {
        fail(r, w->folder < 0 ? "there is no folder for it" : "too many files");
        return;
    }
    r->fd = openat(w->folder, r->name,
                   O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (r->fd < 0)
        fail(r, strerror(errno));
    write_all(r, head);
}

// "--- 17:15:00.123456 C 27": so many octets of the client follow.
static void
write_piece(struct rawlog *r, const struct piece *p)
{
    char line[160], stamp[16];
    struct tm tm;
    if (r->fd < 0)
        return;
    localtime_r(&p->at.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%H:%M:%S", &tm);
    const char *before = r->last == '\n' ? "" : "\n";
    bool full = r->written + p->n > LIMIT_rawlog_file;
    if (p->lost > 0)
        snprintf(line, sizeof line, "%s--- %llu octets are lost\n", before,
                 (unsigned long long)p->lost);
    else
        line[0] = '\0';
    write_all(r, span_str(line));
    before = r->last == '\n' ? "" : "\n";
    snprintf(line, sizeof line, "%s--- %s.%06ld %c %zu\n", before, stamp,
             p->at.tv_nsec / 1000,
             full                ? 'X'
             : p->what == CLIENT ? 'C'
                                 : 'S',
             p->n);
    write_all(r, span_str(line));
    if (full)
        r->over = true;
    if (full && r->fd >= 0) {
        close(r->fd);
        r->fd = -1;
    }
    write_all(r, span_of(p->octets, p->n));
}

static void
end_file(struct rawlog *r)
{
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

static void
do_piece(struct piece *p)
{
    if (p->what == BEGIN)
        open_file(p->of, span_of(p->octets, p->n));
    else if (p->what == END)
        end_file(p->of);
    else
        write_piece(p->of, p);
    free(p);
}

static struct piece *
next_piece(struct rawlog_writer *w)
{
    pthread_mutex_lock(&w->lock);
    while (w->first == NULL && !w->ends)
        pthread_cond_wait(&w->come, &w->lock);
    struct piece *p = w->first;
    if (p != NULL) {
        w->first = p->next;
        w->queued -= p->n;
    }
    if (w->first == NULL)
        w->last = &w->first;
    pthread_mutex_unlock(&w->lock);
    return p;
}

static void *
writer_main(void *arg)
{
    struct rawlog_writer *w = arg;
    struct piece *p;
    if (w->folder >= 0)
        (void)clean(w);
    while ((p = next_piece(w)) != NULL)
        do_piece(p);
    return NULL;
}

struct rawlog_writer *
rawlog_writer_new(const char *folder)
{
    struct rawlog_writer *w = calloc(1, sizeof *w);
    must(w != NULL);
    w->last = &w->first;
    w->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(pthread_mutex_init(&w->lock, NULL) == 0 && pthread_cond_init(&w->come, NULL) == 0);
    must(pthread_create(&w->thread, NULL, writer_main, w) == 0);
    return w;
}

void
rawlog_writer_free(struct rawlog_writer **wp)
{
    struct rawlog_writer *w = *wp;
    if (w == NULL)
        return;
    *wp = NULL;
    pthread_mutex_lock(&w->lock);
    w->ends = true;
    pthread_cond_signal(&w->come);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    if (w->folder >= 0)
        close(w->folder);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->come);
    free(w);
}
