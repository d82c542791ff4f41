#include "ctl/account.h"
#include "ctl/account_file.h"
#include "ctl/feed.h"
#include "ctl/maildir.h"
#include "ctl/pull_job.h"
#include "ctl/verbs.h"
#include "base/limits.h"
#include <fcntl.h>
#include <sys/stat.h>

enum { FLUSH_AT = 65536, ACCOUNT_FILE_MAX = 2 * LIMIT_sieve_scripts * LIMIT_sieve_script };

// ---- folders ----

struct span
feed_name(struct arena *a, struct span folder, struct span name)
{
    struct buf b;
    if (folder.n == 0)
        return name;
    if (span_ieq(name, SPAN("INBOX")))
        return folder;
    buf_init(&b, LIMIT_mailbox_name * 8);
    buf_put(&b, folder);
    buf_put_char(&b, '/');
    buf_put(&b, name);
    struct span whole = arena_dup(a, buf_span(&b));
    buf_done(&b);
    return whole;
}

static struct feed_folder *
room_for_folder(struct feed *fd)
{
    if (fd->count == fd->cap) {
        fd->cap = fd->cap ? fd->cap * 2 : 64;
        struct feed_folder *grown = arena_array(fd->arena, fd->cap, sizeof *grown);
        if (fd->count > 0)
            memcpy(grown, fd->folders, fd->count * sizeof *grown);
        fd->folders = grown;
    }
    return &fd->folders[fd->count++];
}

enum result
feed_folder_add(struct feed *fd, const char *path, struct span stored, char separator,
                struct fault *f)
{
    struct buf name;
    struct fault why;
    if (fd->count >= LIMIT_mailboxes)
        return fault_set(f, FAULT_LIMIT, "more than %d mailboxes", LIMIT_mailboxes);
    enum result r = R_OK;
    buf_init(&name, LIMIT_mailbox_name * 4);
    if (storage_name_decode(stored, separator, &name, &why) == R_OK) {
        struct feed_folder *folder = room_for_folder(fd);
        folder->path = arena_cstr(fd->arena, span_str(path));
        folder->stored = arena_dup(fd->arena, stored);
        folder->name =
            feed_name(fd->arena, fd->folder, arena_dup(fd->arena, buf_span(&name)));
    } else {
        r = feed_problem(fd, path, why.why, f);
    }
    buf_done(&name);
    return r;
}

// ---- parcels ----

enum result
feed_flush(struct feed *fd, bool all, struct fault *f)
{
    if (fd->out.n < (all ? 1 : FLUSH_AT))
        return R_OK;
    must(!fd->out.over);
    enum result r = verb_client_put(fd->client, buf_span(&fd->out), f);
    buf_reset(&fd->out);
    return r;
}

enum result
feed_send(struct feed *fd, enum parcel_kind kind, struct span payload, struct fault *f)
{
    parcel_put(&fd->out, kind, payload);
    return feed_flush(fd, false, f);
}

enum result
feed_mailbox(struct feed *fd, const struct parcel_mailbox *m, struct fault *f)
{
    progress_mailbox(&fd->progress, m->name, m->messages);
    parcel_put_mailbox(&fd->out, PARCEL_MAILBOX, m);
    return feed_flush(fd, false, f);
}

enum result
feed_message(struct feed *fd, const struct parcel_message *m, struct fault *f)
{
    progress_message(&fd->progress);
    parcel_put_message(&fd->out, PARCEL_MESSAGE, m);
    return feed_flush(fd, false, f);
}

enum result
feed_problem(struct feed *fd, const char *where, const char *why, struct fault *f)
{
    char text[1024];
    snprintf(text, sizeof text, "%.500s: %.400s", where, why);
    return feed_send(fd, PARCEL_PROBLEM, span_str(text), f);
}

// ---- what belongs to the account beside its mail ----

enum result
feed_subscriptions(struct feed *fd, const char *file, char separator, struct fault *f)
{
    struct span rest;
    struct fault why;
    struct buf stored, name;
    int version = 0;
    enum result r = file_read(fd->root, file, LIMIT_uidlist_file, fd->arena, &rest, &why);
    if (r != R_OK)
        return r == R_FAIL ? feed_problem(fd, file, why.why, f) : R_OK;
    buf_init(&stored, LIMIT_mailbox_name * 4);
    buf_init(&name, LIMIT_mailbox_name * 4);
    while (r == R_OK && subscriptions_next(&rest, separator, &version, &stored) == R_OK) {
        buf_reset(&name);
        if (storage_name_decode(buf_span(&stored), separator, &name, &why) != R_OK)
            r = feed_problem(fd, file, why.why, f);
        else
            r = feed_send(fd, PARCEL_SUBSCRIBED,
                          feed_name(fd->arena, fd->folder, buf_span(&name)), f);
    }
    buf_done(&name);
    buf_done(&stored);
    return r;
}

static enum result
send_facts(struct feed *fd, struct span text, struct fault *f)
{
    struct parcel_fact fact;
    struct fault why;
    enum result r = account_file_open(&text, &why);
    while (r == R_OK && (r = account_file_next(&text, &fact, &why)) == R_OK) {
        parcel_put_fact(&fd->out, &fact);
        if (feed_flush(fd, false, f) != R_OK)
            return R_FAIL;
    }
    return r == R_FAIL ? feed_problem(fd, ACCOUNT_FILE, why.why, f) : R_OK;
}

// Only into the place of a whole account.
static enum result
read_facts(struct feed *fd, struct fault *f)
{
    struct buf b;
    struct stat st;
    int file = fd->folder.n > 0 || fd->root < 0
                   ? -1
                   : openat(fd->root, ACCOUNT_FILE,
                            O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return R_OK;
    bool good = fstat(file, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
                st.st_size <= ACCOUNT_FILE_MAX;
    buf_init(&b, ACCOUNT_FILE_MAX);
    char *room = good ? buf_reserve(&b, (size_t)st.st_size) : NULL;
    good = room != NULL && read(file, room, (size_t)st.st_size) == st.st_size;
    close(file);
    if (good)
        b.n = (size_t)st.st_size;
    enum result r =
        good ? send_facts(fd, buf_span(&b), f)
             : feed_problem(fd, ACCOUNT_FILE, "it cannot be read, or is too large", f);
    buf_done(&b);
    return r;
}

// ---- the feed ----

static enum result
feed_by_format(struct feed *fd, struct span format, struct fault *f)
{
    if (span_eq(format, SPAN("maildir")))
        return feed_maildir(fd, f);
    if (span_eq(format, SPAN("mbox")))
        return feed_mbox(fd, f);
    return fault_set(f, FAULT_BAD, "the format is maildir or mbox, not '%.*s'",
                     SPAN_ARG(span_slice(format, 0, 40)));
}

enum result
feed_import(struct verb_client *c, struct fault *f)
{
    if (span_eq(verb_client_arg(c, ARG_FORMAT), SPAN("imap")))
        return feed_pull(c, f);
    struct feed fd = {.client = c,
                      .path = verb_client_arg(c, ARG_PATH),
                      .folder = verb_client_arg(c, ARG_FOLDER),
                      .uidl_format = verb_client_arg(c, ARG_UIDL_FORMAT),
                      .arena = arena_new(),
                      .root = -1};
    progress_init(&fd.progress);
    buf_init(&fd.out, FLUSH_AT * 2 + (PARCEL_MAX + PARCEL_HEAD) * 2);
    enum result r = feed_by_format(&fd, verb_client_arg(c, ARG_FORMAT), f);
    if (r == R_OK)
        r = read_facts(&fd, f);
    if (r == R_OK)
        r = feed_flush(&fd, true, f);
    progress_end(&fd.progress);
    if (fd.root >= 0)
        close(fd.root);
    buf_done(&fd.out);
    arena_free(&fd.arena);
    return r;
}
