#include "ctl/sink.h"
#include "ctl/uidlist.h"
#include "base/hash.h"
#include "base/limits.h"
#include "store/row.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

// Maildir++ as Dovecot has it: dovecot-uidlist (with a field Z of ours: INTERNALDATE's zone), dovecot-keywords.

struct maildir_sink {
    int folder;
    FILE *uidlist, *message;
    struct arena *arena;  // of the mailbox
    struct span keywords[MAILDIR_LETTERS];
    uint64_t count;
    char base[128];  // of the message, before its sizes
    char letters[40];
    uint64_t size;
    struct parcel_message head;
    struct buf uidl;  // of it
    uint32_t uidvalidity;
};

static void *
open_state(struct sink *s)
{
    struct maildir_sink *m = ARENA_NEW(s->arena, struct maildir_sink);
    m->folder = -1;
    m->arena = arena_new();
    buf_init(&m->uidl, LIMIT_uidl);
    return m;
}

static FILE *
create(int at, const char *name)
{
    int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? NULL : fdopen(fd, "w");
}

static enum result
finish_file(FILE **file, const char *what, struct fault *f)
{
    FILE *it = *file;
    *file = NULL;
    bool wrong = ferror(it) != 0;
    wrong = fclose(it) != 0 || wrong;
    return wrong ? fault_errno(f, FAULT_DISK, what) : R_OK;
}

// ---- mailbox ----

static enum result
make_folder(struct sink *s, struct span name, struct fault *f)
{
    static const char *const parts[] = {"cur", "new", "tmp"};
    struct maildir_sink *m = s->state;
    bool inbox = span_ieq(name, SPAN("INBOX"));
    struct buf b;
    buf_init(&b, NAME_MAX);
    buf_put_char(&b, '.');
    if (!inbox)
        storage_name_encode(name, '.', &b);
    const char *path = b.over ? NULL : arena_cstr(m->arena, buf_span(&b));
    buf_done(&b);
    if (path == NULL)
        return fault_set(f, FAULT_CANNOT, "the name is too long for a file");
    if (!inbox && mkdirat(s->root, path, 0700) != 0)
        return fault_errno(f, errno == EEXIST ? FAULT_CANNOT : FAULT_DISK, path);
    m->folder = openat(s->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->folder < 0)
        return fault_errno(f, FAULT_DISK, path);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (mkdirat(m->folder, parts[i], 0700) != 0)
            return fault_errno(f, FAULT_DISK, parts[i]);
    FILE *mark = inbox ? NULL : create(m->folder, "maildirfolder");
    return inbox          ? R_OK
           : mark == NULL ? fault_errno(f, FAULT_DISK, path)
                          : finish_file(&mark, path, f);
}

static enum result
mailbox(struct sink *s, const struct parcel_mailbox *p, struct fault *f)
{
    struct maildir_sink *m = s->state;
    unsigned char guid[16];
    if (make_folder(s, p->name, f) != R_OK)
        return R_FAIL;
    m->uidlist = create(m->folder, "tmp/dovecot-uidlist");
    if (m->uidlist == NULL)
        return fault_errno(f, FAULT_DISK, "dovecot-uidlist");
    m->uidvalidity = p->uidvalidity;
    memset(m->keywords, 0, sizeof m->keywords);
    fprintf(m->uidlist, "3 V%u N%u G", p->uidvalidity, p->uidnext);
    random_bytes(guid, sizeof guid);
    for (size_t i = 0; i < sizeof guid; i++)
        fprintf(m->uidlist, "%02x", guid[i]);
    fputc('\n', m->uidlist);
    return R_OK;
}

static enum result
write_keywords(struct maildir_sink *m, struct fault *f)
{
    if (m->keywords[0].n == 0)
        return R_OK;
    FILE *file = create(m->folder, "dovecot-keywords");
    if (file == NULL)
        return fault_errno(f, FAULT_DISK, "dovecot-keywords");
    for (int i = 0; i < MAILDIR_LETTERS && m->keywords[i].n > 0; i++)
        fprintf(file, "%d %.*s\n", i, SPAN_ARG(m->keywords[i]));
    return finish_file(&file, "dovecot-keywords", f);
}

static enum result
mailbox_end(struct sink *s, struct fault *f)
{
    struct maildir_sink *m = s->state;
    if (finish_file(&m->uidlist, "dovecot-uidlist", f) != R_OK ||
        write_keywords(m, f) != R_OK)
        return R_FAIL;
    if (renameat(m->folder, "tmp/dovecot-uidlist", m->folder, "dovecot-uidlist") != 0)
        return fault_errno(f, FAULT_DISK, "dovecot-uidlist");
    close(m->folder);
    m->folder = -1;
    arena_reset(m->arena);
    return R_OK;
}

// ---- message ----

static char
letter_of(struct sink *s, struct span keyword)
{
    struct maildir_sink *m = s->state;
    for (int i = 0; i < MAILDIR_LETTERS; i++) {
        if (m->keywords[i].n == 0)
            m->keywords[i] = arena_dup(m->arena, keyword);
        if (span_ieq(m->keywords[i], keyword))
            return (char)('a' + i);
    }
    return '\0';
}

static int
by_letter(const void *a, const void *b)
{
    return *(const char *)a - *(const char *)b;
}

// Upper case, then lower case, each in the order of ASCII.
static void
put_letters(struct sink *s, const struct parcel_message *p)
{
    static const struct {
        uint16_t flag;
        char letter;
    } rows[] = {{FLAG_DRAFT, 'D'},
                {FLAG_FLAGGED, 'F'},
                {FLAG_ANSWERED, 'R'},
                {FLAG_SEEN, 'S'},
                {FLAG_DELETED, 'T'}};
    struct maildir_sink *m = s->state;
    size_t n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (p->flags & rows[i].flag)
            m->letters[n++] = rows[i].letter;
    size_t keywords = n;
    for (size_t i = 0; i < p->keyword_count; i++) {
        char c = letter_of(s, p->keywords[i]);
        if (c != '\0' && n < sizeof m->letters - 1)
            m->letters[n++] = c;
        else
            sink_problem(s, p->keywords[i], "Maildir has no letter left for this keyword");
    }
    qsort(m->letters + keywords, n - keywords, 1, by_letter);
    m->letters[n] = '\0';
}

static enum result
message(struct sink *s, const struct parcel_message *p, struct fault *f)
{
    struct maildir_sink *m = s->state;
    put_letters(s, p);
    m->head = *p;
    buf_reset(&m->uidl);
    buf_put(&m->uidl, p->uidl);
    m->size = 0;
    snprintf(m->base, sizeof m->base, "%lld.U%uV%u.posthorn", (long long)p->date, p->uid,
             m->uidvalidity);
    m->message = create(m->folder, "tmp/message");
    return m->message ? R_OK : fault_errno(f, FAULT_DISK, "tmp/message");
}

static enum result
octets(struct sink *s, struct span bytes, struct fault *f)
{
    struct maildir_sink *m = s->state;
    m->size += bytes.n;
    if (fwrite(bytes.p, 1, bytes.n, m->message) == bytes.n)
        return R_OK;
    return fault_errno(f, FAULT_DISK, "a message cannot be written");
}

static enum result
message_end(struct sink *s, bool whole, struct fault *f)
{
    struct maildir_sink *m = s->state;
    struct timespec times[2] = {{.tv_sec = m->head.date}, {.tv_sec = m->head.date}};
    char name[NAME_MAX];
    if (finish_file(&m->message, "a message cannot be written", f) != R_OK)
        return R_FAIL;
    if (!whole)
        return unlinkat(m->folder, "tmp/message", 0) == 0
                   ? R_OK
                   : fault_errno(f, FAULT_DISK, "tmp/message");
    snprintf(name, sizeof name, "cur/%s,S=%llu,W=%llu:2,%s", m->base,
             (unsigned long long)m->size, (unsigned long long)m->size, m->letters);
    if (utimensat(m->folder, "tmp/message", times, 0) != 0 ||
        renameat(m->folder, "tmp/message", m->folder, name) != 0)
        return fault_errno(f, FAULT_DISK, name);
    fprintf(m->uidlist, "%u Z%d", m->head.uid, m->head.zone_min);
    if (m->uidl.n > 0)
        fprintf(m->uidlist, " P%.*s", SPAN_ARG(buf_span(&m->uidl)));
    fprintf(m->uidlist, " :%s,S=%llu,W=%llu\n", m->base, (unsigned long long)m->size,
            (unsigned long long)m->size);
    return R_OK;
}

// ---- the whole ----

static void
done(struct sink *s)
{
    struct maildir_sink *m = s->state;
    arena_free(&m->arena);
    buf_done(&m->uidl);
}

const struct sink_format sink_maildir = {"maildir",   "subscriptions", open_state,
                                         mailbox,     message,         octets,
                                         message_end, mailbox_end,     done};
