#include "ctl/mbox.h"
#include "base/limits.h"
#include "store/row.h"

// ---- the state headers of a message ----

enum kept { KEEP, TAKE, INTERNAL };

static void
read_status(struct mbox_message *m, struct span value)
{
    static const struct {
        char letter;
        uint16_t flag;
    } rows[] = {{'R', FLAG_SEEN},
                {'A', FLAG_ANSWERED},
                {'F', FLAG_FLAGGED},
                {'D', FLAG_DELETED},
                {'T', FLAG_DRAFT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (span_find_char(value, rows[i].letter) < value.n)
            m->flags |= rows[i].flag;
}

// "1234567890 0000000010 keyword ..."
static void
read_base(struct mbox_message *m, struct span value)
{
    struct span word;
    uint32_t validity, last;
    if (span_next_field(&value, ' ', &word) != R_OK || span_to_u32(word, &validity) != R_OK)
        return;
    if (span_next_field(&value, ' ', &word) != R_OK || span_to_u32(word, &last) != R_OK)
        return;
    m->uidvalidity = validity;
    m->uid_last = last;
}

static enum kept
read_field(struct mbox_message *m, struct span name, struct span value)
{
    if (span_ieq(name, SPAN("Status")) || span_ieq(name, SPAN("X-Status")))
        read_status(m, value);
    else if (span_ieq(name, SPAN("X-UID")))
        (void)!span_to_u32(value, &m->uid);
    else if (span_ieq(name, SPAN("X-Keywords")))
        m->keywords = value;
    else if (span_ieq(name, SPAN("X-IMAPbase")))
        read_base(m, value);
    else if (span_ieq(name, SPAN("X-IMAP"))) {
        read_base(m, value);
        return INTERNAL;
    } else if (!span_ieq(name, SPAN("Content-Length")) &&
               !span_ieq(name, SPAN("X-Posthorn")))
        return KEEP;
    return TAKE;
}

// The next field, with its folded lines when `fold`.
static enum result
next_field(struct span *rest, bool fold, struct span *field_out)
{
    size_t n = 0;
    if (rest->n == 0)
        return R_NONE;
    do {
        size_t lf = span_find_char(span_skip(*rest, n), '\n');
        n += lf < rest->n - n ? lf + 1 : lf;
    } while (fold && n < rest->n && (rest->p[n] == ' ' || rest->p[n] == '\t'));
    *field_out = span_slice(*rest, 0, n);
    *rest = span_skip(*rest, n);
    return R_OK;
}

static struct span
field_name(struct span field, struct span *value_out)
{
    size_t colon = span_find_char(field, ':');
    *value_out = span_trim(span_skip(field, colon + 1));
    return colon < field.n ? span_slice(field, 0, colon) : SPAN_NONE;
}

// "fields=4 ends=lf final=lf": how many fields after this one are ours.
static enum result
read_own(struct mbox *m, struct span header, uint32_t *fields_out)
{
    struct span field, value, word, rest = header;
    bool found = false;
    if (next_field(&rest, false, &field) != R_OK ||
        !span_eq(field_name(field, &value), SPAN("X-Posthorn")))
        return R_NONE;
    while (span_next_field(&value, ' ', &word) == R_OK) {
        if (span_starts(word, SPAN("fields=")))
            found = span_to_u32(span_skip(word, 7), fields_out) == R_OK;
        m->keep_ends |= span_eq(word, SPAN("ends=kept"));
        m->no_final_end |= span_eq(word, SPAN("final=none"));
        m->no_body |= span_eq(word, SPAN("body=none"));
    }
    return found ? R_OK : R_NONE;
}

// ---- octets on their way out ----

static enum result
put(struct mbox *m, struct span bytes, struct fault *f)
{
    if (bytes.n == 0 || m->internal)
        return R_OK;
    return m->ops->octets(m->arg, bytes, f);
}

static enum result
put_end(struct mbox *m, bool cr, struct fault *f)
{
    return put(m, m->keep_ends && !cr ? SPAN("\n") : SPAN("\r\n"), f);
}

static enum result
put_line(struct mbox *m, struct span line, struct fault *f)
{
    bool whole = line.n > 0 && line.p[line.n - 1] == '\n';
    struct span text = span_slice(line, 0, line.n - whole);
    bool cr = whole && text.n > 0 && text.p[text.n - 1] == '\r';
    text.n -= cr;
    if (m->last_lf_held && put_end(m, m->last_cr, f) != R_OK)
        return R_FAIL;
    m->last_lf_held = false;
    if (put(m, text, f) != R_OK)
        return R_FAIL;
    if (whole && m->no_final_end) {
        m->last_lf_held = true;
        m->last_cr = cr;
        return R_OK;
    }
    return whole ? put_end(m, cr, f) : R_OK;
}

// ---- headers ----

// mboxrd: ">From ", ">>From " lose one '>'.
static struct span
unquote(struct span line)
{
    size_t n = 0;
    while (n < line.n && line.p[n] == '>')
        n++;
    return n > 0 && span_starts(span_skip(line, n), SPAN("From ")) ? span_skip(line, 1)
                                                                   : line;
}

// The header is whole (or too long): reads the state out of it, begins the message, passes the rest on.
static enum result
finish_header(struct mbox *m, struct fault *f)
{
    struct span field, value, rest = buf_span(&m->header);
    struct buf out;
    uint32_t ours = 0, at = 0;
    bool own = read_own(m, rest, &ours) == R_OK;
    buf_init(&out, SIZE_MAX);
    while (next_field(&rest, !own || at > ours, &field) == R_OK) {
        struct span name = field_name(field, &value);
        bool mine = !own || at++ <= ours;
        if (own && mine && span_ieq(name, SPAN("X-UIDL"))) {
            m->message.uidl = value;
            continue;
        }
        enum kept kept = mine ? read_field(&m->message, name, value) : KEEP;
        m->internal |= kept == INTERNAL;
        if (kept == KEEP)
            buf_put(&out, field);
    }
    m->message.internal = m->internal;
    enum result r = m->internal ? R_OK : m->ops->begin(m->arg, &m->message, f);
    m->in_header = false;
    struct span line, text = buf_span(&out);
    while (r == R_OK && text.n > 0) {
        size_t lf = span_find_char(text, '\n');
        line = span_slice(text, 0, lf + 1);
        text = span_skip(text, lf + 1);
        r = put_line(m, own ? unquote(line) : line, f);
    }
    buf_done(&out);
    buf_done(&m->header);
    return r;
}

// ---- messages ----

static enum result
end_message(struct mbox *m, struct fault *f)
{
    if (!m->inside)
        return R_OK;
    if (m->in_header && finish_header(m, f) != R_OK)
        return R_FAIL;
    bool cr = m->last_lf_held && m->keep_ends && m->last_cr;
    if (cr && put(m, SPAN("\r"), f) != R_OK)
        return R_FAIL;
    m->held = m->last_lf_held = m->inside = false;
    return m->internal ? R_OK : m->ops->end(m->arg, f);
}

static void
start_message(struct mbox *m, int64_t date, int16_t zone)
{
    m->message = (struct mbox_message){.date = date,
                                       .zone_min = zone,
                                       .has_date = true,
                                       .line = m->lines,
                                       .uidvalidity = m->message.uidvalidity,
                                       .uid_last = m->message.uid_last};
    m->inside = m->in_header = true;
    m->internal = m->keep_ends = m->no_final_end = m->no_body = m->last_lf_held = false;
    buf_init(&m->header, LIMIT_mbox_header);
}

static bool
is_empty(struct span line)
{
    return span_eq(line, SPAN("\n")) || span_eq(line, SPAN("\r\n"));
}

static enum result
put_held(struct mbox *m, struct fault *f)
{
    if (!m->held)
        return R_OK;
    m->held = false;
    return put_line(m, m->held_cr ? SPAN("\r\n") : SPAN("\n"), f);
}

static enum result
body_line(struct mbox *m, struct span line, bool first, struct fault *f)
{
    if (put_held(m, f) != R_OK)
        return R_FAIL;
    if (first && is_empty(line)) {
        m->held = true;
        m->held_cr = line.n == 2;
        return R_OK;
    }
    return put_line(m, first ? unquote(line) : line, f);
}

static enum result
header_line(struct mbox *m, struct span line, bool first, struct fault *f)
{
    bool empty = first && is_empty(line);
    if (!empty)
        buf_put(&m->header, line);
    if (!empty && !m->header.over)
        return R_OK;
    if (finish_header(m, f) != R_OK)
        return R_FAIL;
    if (empty && m->no_body) {
        m->held = true;
        m->held_cr = line.n == 2;
        return R_OK;
    }
    return put_line(m, line, f);
}

// `first`: the piece begins its line.
static enum result
take_line(struct mbox *m, struct span line, bool first, struct fault *f)
{
    int64_t date;
    int16_t zone;
    bool separator = first && (!m->inside || m->after_empty) &&
                     mbox_from_line(line, &date, &zone) == R_OK;
    m->after_empty = first && is_empty(line);
    if (separator) {
        if (end_message(m, f) != R_OK)
            return R_FAIL;
        start_message(m, date, zone);
        return R_OK;
    }
    if (m->inside)
        return m->in_header ? header_line(m, line, first, f) : body_line(m, line, first, f);
    if (is_empty(line))
        return R_OK;
    return fault_set(f, FAULT_BAD, "line %lu is no From line: this is no mbox",
                     (unsigned long)m->lines);
}

void
mbox_init(struct mbox *m, const struct mbox_ops *ops, void *arg)
{
    *m = (struct mbox){.ops = ops, .arg = arg, .line_start = true};
    buf_init(&m->line, LIMIT_mbox_line);
    buf_init(&m->header, LIMIT_mbox_header);
}

void
mbox_done(struct mbox *m)
{
    buf_done(&m->line);
    buf_done(&m->header);
}

// Takes the first n octets of m->line as a piece of a line.
static enum result
flush_line(struct mbox *m, size_t n, bool whole, struct fault *f)
{
    m->lines += m->line_start;
    enum result r = take_line(m, span_slice(buf_span(&m->line), 0, n), m->line_start, f);
    m->line_start = whole;
    buf_consume(&m->line, n);
    return r;
}

// A CR at the cut of a long line waits for its LF.
static enum result
flush_full(struct mbox *m, struct fault *f)
{
    size_t n = m->line.n;
    return flush_line(m, n - (m->line.p[n - 1] == '\r'), false, f);
}

enum result
mbox_read(struct mbox *m, struct span piece, struct fault *f)
{
    while (piece.n > 0) {
        size_t room = LIMIT_mbox_line - m->line.n, lf = span_find_char(piece, '\n');
        size_t n = lf < piece.n ? lf + 1 : lf;
        if (n > room)
            n = room;
        buf_put(&m->line, span_slice(piece, 0, n));
        piece = span_skip(piece, n);
        enum result r = R_OK;
        if (m->line.p[m->line.n - 1] == '\n')
            r = flush_line(m, m->line.n, true, f);
        else if (m->line.n == LIMIT_mbox_line)
            r = flush_full(m, f);
        if (r != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

enum result
mbox_end(struct mbox *m, struct fault *f)
{
    if (m->line.n > 0 && flush_line(m, m->line.n, true, f) != R_OK)
        return R_FAIL;
    return end_message(m, f);
}
