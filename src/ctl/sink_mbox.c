#include "ctl/sink.h"
#include "ctl/uidlist.h"
#include "base/limits.h"
#include "store/row.h"
#include "wire/date.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

// One file for each mailbox, NAME.mbox, children in the directory NAME; mboxrd quoting. What a message is in octets
// stands in its X-Posthorn field (ctl/mbox.h), so that it comes back as it was.

enum { MESSAGE_MAX = 1 << 30 };

struct mbox_sink {
    FILE *file;
    struct buf message;
    struct parcel_message head;
    struct buf keywords, uidl;
    uint32_t uidvalidity, uidnext;
    uint64_t count;
};

static void *
open_state(struct sink *s)
{
    struct mbox_sink *m = ARENA_NEW(s->arena, struct mbox_sink);
    buf_init(&m->message, MESSAGE_MAX);
    buf_init(&m->keywords, PARCEL_MAX);
    buf_init(&m->uidl, LIMIT_uidl);
    return m;
}

// ---- mailbox ----

static enum result
make_parents(struct sink *s, char *path, struct fault *f)
{
    for (char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdirat(s->root, path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made)
            return fault_errno(f, errno == ENAMETOOLONG ? FAULT_CANNOT : FAULT_DISK, path);
    }
    return R_OK;
}

static enum result
mailbox(struct sink *s, const struct parcel_mailbox *p, struct fault *f)
{
    struct mbox_sink *m = s->state;
    struct buf b;
    buf_init(&b, LIMIT_mailbox_name * 8);
    storage_name_encode(p->name, '/', &b);
    buf_put_str(&b, ".mbox");
    char *path = arena_cstr(s->arena, buf_span(&b));
    buf_done(&b);
    if (make_parents(s, path, f) != R_OK)
        return R_FAIL;
    int fd = openat(s->root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fault_errno(f,
                           errno == ENAMETOOLONG || errno == EEXIST || errno == ENOTDIR
                               ? FAULT_CANNOT
                               : FAULT_DISK,
                           path);
    m->file = fdopen(fd, "w");
    must(m->file != NULL);
    m->uidvalidity = p->uidvalidity;
    m->uidnext = p->uidnext;
    m->count = 0;
    return R_OK;
}

// ---- message ----

static enum result
message(struct sink *s, const struct parcel_message *p, struct fault *f)
{
    struct mbox_sink *m = s->state;
    (void)f;
    m->head = *p;
    buf_reset(&m->message);
    buf_reset(&m->keywords);
    buf_reset(&m->uidl);
    buf_put(&m->uidl, p->uidl);
    for (size_t i = 0; i < p->keyword_count; i++) {
        buf_put_str(&m->keywords, i > 0 ? " " : "");
        buf_put(&m->keywords, p->keywords[i]);
    }
    return R_OK;
}

static enum result
octets(struct sink *s, struct span bytes, struct fault *f)
{
    struct mbox_sink *m = s->state;
    buf_put(&m->message, bytes);
    return m->message.over ? fault_set(f, FAULT_TOOBIG, "a message is too large") : R_OK;
}

// "From MAILER-DAEMON Wed Nov 25 22:21:57 2026 +0100": the time of that zone.
static void
put_from(FILE *file, int64_t date, int16_t zone)
{
    static const char days[] = "ThuFriSatSunMonTueWed",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t local = date + zone * 60, day = local / 86400 - (local % 86400 < 0);
    int year, month, of_month, seconds = (int)(local - day * 86400);
    int weekday = (int)((day % 7 + 7) % 7), minutes = zone < 0 ? -zone : zone;
    date_to_civil((int32_t)day, &year, &month, &of_month);
    fprintf(file, "From MAILER-DAEMON %.3s %.3s %2d %02d:%02d:%02d %04d %c%02d%02d\n",
            days + 3 * weekday, months + 3 * (month - 1), of_month, seconds / 3600,
            seconds / 60 % 60, seconds % 60, year, zone < 0 ? '-' : '+', minutes / 60,
            minutes % 60);
}

// How the octets are written: with LF when every line of the message ends with CRLF, else as they are.
struct shape {
    bool kept, no_final_end, no_body;
};

static struct shape
shape_of(struct span s)
{
    struct shape shape = {.no_final_end = s.n == 0 || s.p[s.n - 1] != '\n',
                          .no_body = true};
    size_t line = 0;  // its start
    for (size_t i = 0; i < s.n; i++) {
        bool lf = s.p[i] == '\n', after_cr = i > line && s.p[i - 1] == '\r';
        bool before_lf = i + 1 < s.n && s.p[i + 1] == '\n';
        shape.kept |= (lf && !after_cr) || (s.p[i] == '\r' && !before_lf);
        if (!lf)
            continue;
        shape.no_body &= i - line > 1 || (i - line == 1 && !after_cr);
        line = i + 1;
    }
    return shape;
}

static void
put_fields(struct mbox_sink *m, struct shape shape)
{
    uint16_t flags = m->head.flags;
    bool first = m->count++ == 0;
    fprintf(m->file, "X-Posthorn: fields=%d ends=%s%s%s\n", 4 + first + (m->uidl.n > 0),
            shape.kept ? "kept" : "lf", shape.no_final_end ? " final=none" : "",
            shape.no_body ? " body=none" : "");
    if (first)
        fprintf(m->file, "X-IMAPbase: %u %010u\n", m->uidvalidity, m->uidnext - 1);
    fprintf(m->file, "X-UID: %u\nStatus: %sO\nX-Status: %s%s%s%s\n", m->head.uid,
            flags & FLAG_SEEN ? "R" : "", flags & FLAG_ANSWERED ? "A" : "",
            flags & FLAG_FLAGGED ? "F" : "", flags & FLAG_DELETED ? "D" : "",
            flags & FLAG_DRAFT ? "T" : "");
    fprintf(m->file, "X-Keywords: %.*s\n", SPAN_ARG(buf_span(&m->keywords)));
    if (m->uidl.n > 0)
        fprintf(m->file, "X-UIDL: %.*s\n", SPAN_ARG(buf_span(&m->uidl)));
}

static bool
needs_quote(struct span line)
{
    size_t n = 0;
    while (n < line.n && line.p[n] == '>')
        n++;
    return span_starts(span_skip(line, n), SPAN("From "));
}

static void
put_lines(FILE *file, struct span rest, bool kept)
{
    while (rest.n > 0) {
        size_t lf = span_find_char(rest, '\n');
        struct span line = span_slice(rest, 0, lf + 1);
        rest = span_skip(rest, line.n);
        if (needs_quote(line))
            fputc('>', file);
        bool crlf = !kept && line.n > 1 && line.p[line.n - 1] == '\n';
        fwrite(line.p, 1, line.n - (crlf ? 2 : 0), file);
        if (crlf)
            fputc('\n', file);
    }
}

static enum result
check(struct mbox_sink *m, struct fault *f)
{
    return ferror(m->file) ? fault_errno(f, FAULT_DISK, "an mbox cannot be written") : R_OK;
}

static enum result
message_end(struct sink *s, bool whole, struct fault *f)
{
    struct mbox_sink *m = s->state;
    struct span text = buf_span(&m->message);
    if (!whole)
        return R_OK;
    struct shape shape = shape_of(text);
    put_from(m->file, m->head.date, m->head.zone_min);
    put_fields(m, shape);
    if (text.n > 0)
        put_lines(m->file, text, shape.kept);
    if (text.n > 0 && shape.no_final_end)
        fputc('\n', m->file);
    fputc('\n', m->file);
    return check(m, f);
}

// An empty mailbox keeps its numbers in the message that UW imapd invented for it.
static void
put_internal(struct mbox_sink *m)
{
    put_from(m->file, 0, 0);
    fprintf(m->file,
            "From: Mail System Internal Data <MAILER-DAEMON@localhost>\n"
            "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n"
            "X-IMAP: %u %010u\nStatus: RO\n\n"
            "This text is part of the internal format of your mail folder, and is not\n"
            "a real message.\n\n",
            m->uidvalidity, m->uidnext - 1);
}

static enum result
mailbox_end(struct sink *s, struct fault *f)
{
    struct mbox_sink *m = s->state;
    if (m->count == 0)
        put_internal(m);
    enum result r = check(m, f);
    if (fclose(m->file) != 0 && r == R_OK)
        r = fault_errno(f, FAULT_DISK, "an mbox cannot be written");
    m->file = NULL;
    return r;
}

static void
done(struct sink *s)
{
    struct mbox_sink *m = s->state;
    buf_done(&m->message);
    buf_done(&m->keywords);
    buf_done(&m->uidl);
}

// Dovecot's name for the file; a mailbox's has no '.' at its front.
const struct sink_format sink_mbox = {"mbox",      ".subscriptions", open_state,
                                      mailbox,     message,          octets,
                                      message_end, mailbox_end,      done};
