#include "imap/response.h"

#include "wire/quote.h"

#include <stdarg.h>

enum { FORMAT_MAX = 1024 };

// The words of a failure; the codes are faults.def's.
static const char *const fault_texts[FAULT_COUNT] = {
    [FAULT_BAD] = "Invalid command",
    [FAULT_CLIENTBUG] = "Not allowed in this state",
    [FAULT_UIDREQUIRED] = "Message numbers are not allowed, UIDONLY is enabled",
    [FAULT_TOOFEW] = "Too few messages asked for at a time",
    [FAULT_TOOMANY] = "Too many messages asked for at a time",
    [FAULT_NONEXISTENT] = "No such mailbox",
    [FAULT_TRYCREATE] = "No such mailbox",
    [FAULT_ALREADYEXISTS] = "Mailbox exists already",
    [FAULT_CANNOT] = "This cannot be done",
    [FAULT_HASCHILDREN] = "Mailbox has children",
    [FAULT_USEATTR] = "Special use cannot be given",
    [FAULT_NOPERM] = "Permission denied",
    [FAULT_OVERQUOTA] = "Quota exceeded",
    [FAULT_LIMIT] = "Too many or too much",
    [FAULT_TOOBIG] = "Too big",
    [FAULT_AUTHFAILED] = "Authentication failed",
    [FAULT_AUTHZFAILED] = "Authorization failed",
    [FAULT_EXPIRED] = "The password has expired",
    [FAULT_PRIVACY] = "Encryption required",
    [FAULT_UNAVAILABLE] = "Temporarily unavailable",
    [FAULT_INUSE] = "In use",
    [FAULT_EXPUNGEISSUED] = "Some messages have been expunged",
    [FAULT_NOTIFYOVERFLOW] = "Too much to be notified of",
    [FAULT_METADATATOOMANY] = "Too many entries",
    [FAULT_CORRUPTION] = "Stored data is damaged",
    [FAULT_SERVERBUG] = "Internal error",
    [FAULT_UNKNOWNCTE] = "Unknown content transfer encoding",
    [FAULT_BADCHARSET] = "Character set not supported",
    [FAULT_FILTERCHARSET] = "Character set not supported",
    [FAULT_BADURL] = "No such message or part",
    [FAULT_NOTSAVED] = "Search result not saved",
    [FAULT_DISK] = "Storage failure",
    [FAULT_CLOSED] = "Connection is closing",
};

struct buf *
imap_line(struct imap_session *s)
{
    buf_reset(&s->line);
    return &s->line;
}

void
imap_line_opened(struct imap_session *s, bool open)
{
    if (s->command)
        s->command->progress.line_open = open;
}

void
imap_line_flush(struct imap_session *s)
{
    if (s->line.over)
        imap_bye(s, "Answer too long");
    else
        conn_write(s->conn, buf_span(&s->line));
    buf_reset(&s->line);
    imap_line_opened(s, true);
}

void
imap_line_send(struct imap_session *s)
{
    buf_put_str(&s->line, "\r\n");
    imap_line_flush(s);
    imap_line_opened(s, false);
}

// Appends the text of a format, in the session's language; over the buffer's maximum it becomes `over`.
static void
put_format(const struct imap_session *s, struct buf *b, const char *english, va_list args)
{
    struct buf format;
    buf_init(&format, FORMAT_MAX);
    imap_text_put(&format, s->language, english);
    must(!format.over);
    const char *fmt = format.p;
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    must(n >= 0);
    char *room = buf_reserve(b, (size_t)n + 1);
    if (room) {
        vsnprintf(room, (size_t)n + 1, fmt, args);
        b->n += (size_t)n;
    }
    buf_done(&format);
}

void
imap_untagged(struct imap_session *s, const char *fmt, ...)
{
    struct buf *b = imap_line(s);
    va_list args;
    buf_put_str(b, "* ");
    va_start(args, fmt);
    put_format(s, b, fmt, args);
    va_end(args);
    imap_line_send(s);
}

void
imap_answer(struct imap_command *c, const char *fmt, ...)
{
    va_list args;
    buf_reset(&c->answer);
    va_start(args, fmt);
    put_format(c->session, &c->answer, fmt, args);
    va_end(args);
}

enum result
imap_answer_no(struct imap_command *c, struct fault *f, enum fault_kind kind,
               const char *fmt, ...)
{
    char english[80];  // for the log
    va_list args;
    buf_reset(&c->answer);
    va_start(args, fmt);
    put_format(c->session, &c->answer, fmt, args);
    va_end(args);
    va_start(args, fmt);
    vsnprintf(english, sizeof english, fmt, args);
    va_end(args);
    c->refused = true;
    return fault_set(f, kind, "%s", english);
}

// "UID FETCH completed"
static void
put_completed(const struct imap_command *c, struct buf *b)
{
    const char *text = imap_text(c->session->language, "%s completed");
    buf_put_str(b, c->uid ? "UID " : "");
    buf_put_str(b, c->verb->name);
    buf_put_str(b, text + strlen("%s"));
}

void
imap_tagged_ok(struct imap_command *c)
{
    struct buf *b = imap_line(c->session);
    buf_put(b, c->tag);
    buf_put_str(b, c->refused ? " NO " : " OK ");
    if (c->answer.n > 0)
        buf_put(b, buf_span(&c->answer));
    else
        put_completed(c, b);
    imap_line_send(c->session);
}

// What is wrong with a command, for who wrote the client, in English: it tells of the client's own words alone.
static void
put_reason(struct buf *b, enum language l, struct span why)
{
    struct span text = span_str(imap_text(l, "Invalid command: %s"));
    buf_put(b, span_slice(text, 0, text.n - strlen("%s")));
    for (size_t i = 0; i < why.n; i++)
        buf_put_char(b, why.p[i] >= ' ' && why.p[i] <= '~' ? why.p[i] : '?');
}

static void
send_fault(struct imap_session *s, struct span tag, const char *word, enum fault_kind kind,
           struct span why)
{
    const char *code = fault_info(kind)->imap_code;
    struct buf *b = imap_line(s);
    buf_put(b, tag);
    buf_printf(b, " %s ", word);
    if (*code)
        buf_printf(b, "[%s] ", code);
    if (why.n > 0)
        put_reason(b, s->language, why);
    else
        buf_put_str(
            b, imap_text(s->language, fault_texts[kind] ? fault_texts[kind] : "Failed"));
    imap_line_send(s);
}

bool
imap_fault_is_bad(enum fault_kind kind)
{
    return kind == FAULT_BAD || kind == FAULT_CLIENTBUG || kind == FAULT_UIDREQUIRED ||
           kind == FAULT_FILTERCHARSET;
}

void
imap_tagged_fault(struct imap_command *c, const struct fault *f)
{
    if (c->refused) {
        imap_tagged_ok(c);
        return;
    }
    bool bad = imap_fault_is_bad(f->kind);
    struct span why = f->kind == FAULT_BAD ? span_str(f->why) : SPAN_NONE;
    send_fault(c->session, c->tag, bad ? "BAD" : "NO", f->kind, why);
}

void
imap_refused_send(struct imap_session *s, struct span tag, enum fault_kind kind)
{
    send_fault(s, tag, "BAD", kind, SPAN_NONE);
}

void
imap_say(struct imap_session *s, const char *head, const char *text)
{
    struct buf b;
    buf_init(&b, FORMAT_MAX);
    buf_put_str(&b, head);
    imap_text_put(&b, s->language, text);
    buf_put_str(&b, "\r\n");
    conn_write(s->conn, buf_span(&b));
    buf_done(&b);
}

void
imap_bye(struct imap_session *s, const char *text)
{
    if (s->bye)
        return;
    s->bye = text;
    imap_say(s, "* BYE ", text);
}

void
imap_put_fetch(const struct imap_session *s, struct buf *b, const struct view_message *m,
               bool uid)
{
    bool by_uid = imap_enabled(s, ENABLE_UIDONLY);
    buf_put(b, SPAN("* "));
    buf_put_u64(b, by_uid ? m->row.uid : m->seq);
    buf_put(b, by_uid ? SPAN(" UIDFETCH (") : SPAN(" FETCH ("));
    if (uid && !by_uid)
        buf_printf(b, "UID %u ", m->row.uid);
}

void
imap_put_word(struct buf *b, struct span word)
{
    if (b->p[b->n - 1] != '(')
        buf_put_char(b, ' ');
    buf_put(b, word);
}

void
imap_put_modseq(struct imap_session *s, struct buf *b, uint64_t modseq)
{
    if (modseq > s->modseq.told)
        s->modseq.told = modseq;
    buf_put(b, SPAN("MODSEQ ("));
    buf_put_u64(b, modseq);
    buf_put_char(b, ')');
}

// In lines that every client can read.
void
imap_vanished_send(struct imap_session *s, bool earlier, const struct seqset *uids)
{
    enum { RANGES = 350 };
    for (uint32_t i = 0; i < uids->count; i += RANGES) {
        uint32_t n = uids->count - i < RANGES ? uids->count - i : RANGES;
        struct seqset part = {.ranges = uids->ranges + i, .count = n};
        struct buf *b = imap_line(s);
        buf_put_str(b, earlier ? "* VANISHED (EARLIER) " : "* VANISHED ");
        seqset_print(&part, b);
        imap_line_send(s);
    }
}

void
imap_put_mailbox(const struct imap_session *s, struct buf *b, struct span name)
{
    quote_mailbox(b, name, imap_utf8(s));
}
