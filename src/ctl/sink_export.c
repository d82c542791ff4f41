#include "ctl/account.h"
#include "ctl/account_file.h"
#include "ctl/output.h"
#include "ctl/sink.h"
#include "ctl/uidlist.h"
#include "ctl/verbs.h"
#include "base/limits.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct sink_format *const formats[] = {&sink_maildir, &sink_mbox};

void
sink_problem(struct sink *s, struct span where, const char *why)
{
    s->problems++;
    output_note("problem", FIELDS(field_text("where", "posthorn: %", where),
                                  field_str("message", ": %", why)));
}

// Makes the directory, or takes an empty one: never between files that are there already.
static enum result
open_root(struct sink *s, const char *path, struct fault *f)
{
    struct dirent *e;
    bool empty = true;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fault_errno(f, FAULT_BAD, path);
    s->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = s->root < 0 ? NULL : opendir(path);
    if (d == NULL)
        return fault_errno(f, FAULT_BAD, path);
    while ((e = readdir(d)) != NULL)
        empty = empty && (span_eq(span_str(e->d_name), SPAN(".")) ||
                          span_eq(span_str(e->d_name), SPAN("..")));
    closedir(d);
    return empty ? R_OK : fault_set(f, FAULT_ALREADYEXISTS, "%.150s is not empty", path);
}

static enum result
sink_open(struct verb_client *c, struct sink **out, struct fault *f)
{
    struct span format = verb_client_arg(c, ARG_FORMAT);
    struct sink *s = calloc(1, sizeof *s);
    must(s != NULL);
    *out = s;
    s->arena = arena_new();
    buf_init(&s->in, (PARCEL_MAX + PARCEL_HEAD) * 2);
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (span_eq(format, span_str(formats[i]->name)))
            s->format = formats[i];
    if (s->format == NULL)
        return fault_set(f, FAULT_BAD, "the format is maildir or mbox, not '%.*s'",
                         SPAN_ARG(span_slice(format, 0, 40)));
    if (open_root(s, verb_client_arg(c, ARG_PATH).p, f) != R_OK)
        return R_FAIL;
    s->state = s->format->open(s);
    return R_OK;
}

static void
sink_free(struct sink **s)
{
    if (*s == NULL)
        return;
    close((*s)->root);
    buf_done(&(*s)->in);
    arena_free(&(*s)->arena);
    free(*s);
    *s = NULL;
}

static enum result
end_mailbox(struct sink *s, struct fault *f)
{
    bool open = s->mailbox_open && !s->skipping;
    s->mailbox_open = s->skipping = false;
    return open ? s->format->mailbox_end(s, f) : R_OK;
}

static enum result
take_mailbox(struct sink *s, struct span payload, struct fault *f)
{
    struct parcel_mailbox m;
    struct fault why;
    if (end_mailbox(s, f) != R_OK)
        return R_FAIL;
    if (parcel_get_mailbox(payload, &m) != R_OK)
        return fault_set(f, FAULT_BAD, "a mailbox's head is malformed");
    s->mailbox_open = true;
    if (s->format->mailbox(s, &m, &why) == R_OK)
        return R_OK;
    if (why.kind != FAULT_CANNOT) {
        *f = why;
        return R_FAIL;
    }
    sink_problem(s, m.name, why.why);
    s->skipping = true;
    return R_OK;
}

static enum result
take_message(struct sink *s, struct span payload, struct fault *f)
{
    struct parcel_message m;
    struct arena *a = arena_new();
    s->message_open = true;
    enum result r = R_OK;
    if (parcel_get_message(payload, a, &m) != R_OK)
        r = fault_set(f, FAULT_BAD, "a message's head is malformed");
    else if (!s->skipping)
        r = s->format->message(s, &m, f);
    arena_free(&a);
    return r;
}

static enum result
end_message(struct sink *s, bool whole, struct fault *f)
{
    s->message_open = false;
    return s->skipping ? R_OK : s->format->message_end(s, whole, f);
}

static FILE *
create_file(int at, const char *name)
{
    int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd >= 0 ? fdopen(fd, "w") : NULL;
}

static enum result
take_fact(struct sink *s, struct span payload, struct fault *f)
{
    struct parcel_fact fact;
    struct buf b;
    if (parcel_get_fact(payload, &fact) != R_OK)
        return fault_set(f, FAULT_BAD, "a fact is malformed");
    buf_init(&b, PARCEL_MAX * 2);
    if (s->facts == NULL) {
        s->facts = create_file(s->root, ACCOUNT_FILE);
        if (s->facts == NULL)
            return fault_errno(f, FAULT_DISK, ACCOUNT_FILE);
        account_file_head(&b);
    }
    account_file_put(&b, &fact);
    bool good = fwrite(b.p, 1, b.n, s->facts) == b.n;
    buf_done(&b);
    return good ? R_OK : fault_errno(f, FAULT_DISK, ACCOUNT_FILE);
}

// As Dovecot has it: levels with a tab between.
static enum result
take_subscribed(struct sink *s, struct span name, struct fault *f)
{
    struct buf b;
    buf_init(&b, LIMIT_mailbox_name * 8);
    if (s->subscriptions == NULL) {
        s->subscriptions = create_file(s->root, s->format->subscriptions);
        if (s->subscriptions == NULL)
            return fault_errno(f, FAULT_DISK, s->format->subscriptions);
        buf_put_str(&b, "V\t2\n\n");
    }
    storage_name_encode(name, '\t', &b);
    buf_put_char(&b, '\n');
    bool good = fwrite(b.p, 1, b.n, s->subscriptions) == b.n;
    buf_done(&b);
    return good ? R_OK : fault_errno(f, FAULT_DISK, s->format->subscriptions);
}

static enum result
end_file(FILE **file, const char *what, struct fault *f)
{
    FILE *it = *file;
    *file = NULL;
    return it == NULL || fclose(it) == 0 ? R_OK : fault_errno(f, FAULT_DISK, what);
}

static enum result
finish(struct sink *s, struct fault *f)
{
    if (end_mailbox(s, f) != R_OK ||
        end_file(&s->subscriptions, s->format->subscriptions, f) != R_OK ||
        end_file(&s->facts, ACCOUNT_FILE, f) != R_OK)
        return R_FAIL;
    s->format->done(s);
    if (syncfs(s->root) != 0)
        return fault_errno(f, FAULT_DISK, "the files cannot be written to disk");
    if (s->problems > 0)
        return fault_set(f, FAULT_CANNOT, "%llu were left out",
                         (unsigned long long)s->problems);
    return R_OK;
}

static enum result
take(struct sink *s, const struct parcel *p, struct fault *f)
{
    bool inside =
        p->kind == PARCEL_OCTETS || p->kind == PARCEL_END || p->kind == PARCEL_ABORT;
    if (inside != s->message_open || (p->kind == PARCEL_MESSAGE && !s->mailbox_open))
        return fault_set(f, FAULT_BAD, "a parcel of kind %u at the wrong place", p->kind);
    switch (p->kind) {
    case PARCEL_SUBSCRIBED:
        return take_subscribed(s, p->payload, f);
    case PARCEL_MAILBOX:
        return take_mailbox(s, p->payload, f);
    case PARCEL_MESSAGE:
        return take_message(s, p->payload, f);
    case PARCEL_OCTETS:
        return s->skipping ? R_OK : s->format->octets(s, p->payload, f);
    case PARCEL_END:
    case PARCEL_ABORT:
        return end_message(s, p->kind == PARCEL_END, f);
    case PARCEL_FACT:
        return take_fact(s, p->payload, f);
    case PARCEL_DONE:
        return finish(s, f);
    default:
        return fault_set(f, FAULT_BAD, "a parcel of kind %u", p->kind);
    }
}

enum result
sink_export(struct verb_client *c, struct span bytes, struct fault *f)
{
    static struct sink *only;  // of this process, with which it ends
    struct sink **s = &only;
    struct parcel p;
    enum result r;
    size_t used = 0;
    if (bytes.p == NULL) {  // DONE came before
        sink_free(s);
        return R_OK;
    }
    if (*s == NULL && sink_open(c, s, f) != R_OK)
        return R_FAIL;
    buf_put(&(*s)->in, bytes);
    must(!(*s)->in.over);
    while ((r = parcel_get(span_skip(buf_span(&(*s)->in), used), &p, f)) == R_OK) {
        if (take(*s, &p, f) != R_OK)
            return R_FAIL;
        used += p.size;
    }
    buf_consume(&(*s)->in, used);
    return r == R_FAIL ? R_FAIL : R_OK;
}
