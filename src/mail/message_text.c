#include "mail/message_text.h"

#include "base/clock.h"
#include "base/limits.h"
#include "io/task.h"

// PIECE: of a part. WINDOW: of a header; a field that does not fit is longer than what counts of it. SMALL: a message that is read at
// once: it is one frame of its body, of which a piece costs as much as all.
enum {
    PIECE = 65536,
    WINDOW = 2 * LIMIT_mime_header,
    FIELDS_AT_ONCE = 16384,
    SMALL = 65536
};

struct reading {
    struct mail *mail;
    const struct message_row *row;
    const struct message_text *text;
    struct fault *f;
    struct span index;
    const char *whole;  // all of a small message; NULL: it is not small
    uint32_t number;    // of the part
    uint64_t files_ms;  // spent on attachments
};

static enum result
read_at(struct reading *r, uint64_t at, size_t n, char *dst)
{
    const struct message_text *t = r->text;
    if (t->go_on && t->go_on(t->arg, r->f) != R_OK)
        return R_FAIL;
    enum result result = message_read(r->mail, r->row, at, n, dst, r->f);
    task_yield();
    return result;
}

void
message_text_room(struct buf *room)
{
    buf_init(room, SMALL);
}

static enum result
read_whole(struct reading *r)
{
    if (r->row->size == 0 || r->row->size > SMALL)
        return R_OK;
    char *room = buf_reserve(r->text->room, (size_t)r->row->size);
    must(room != NULL);
    r->whole = room;
    return read_at(r, 0, (size_t)r->row->size, room);
}

// Is the range in memory?
static bool
is_there(const struct reading *r, struct mime_range range, struct span *out)
{
    if (!r->whole || range.at > r->row->size || range.size > r->row->size - range.at)
        return false;
    *out = span_of(r->whole + range.at, (size_t)range.size);
    return true;
}

// ---- headers ----

// Octets of whole fields at the front, at least `least` when there are so many; 0: not one field is whole. `end`: nothing
// follows.
static size_t
whole_fields(struct span s, size_t least, bool end)
{
    size_t from = least < s.n ? least : 0;
    for (size_t n = from; n < s.n;) {
        const char *nl = memchr(s.p + n, '\n', s.n - n);
        if (!nl)
            break;
        n = (size_t)(nl - s.p) + 1;
        if (n < s.n && s.p[n] != ' ' && s.p[n] != '\t')
            return n;
    }
    if (end)
        return s.n;
    return from > 0 ? whole_fields(s, 0, false) : 0;
}

// Of a field that does not end in the window: how much of `s` still belongs to it. The octet before `s` is `before`.
static size_t
rest_of_field(struct span s, char before)
{
    for (size_t n = 0; n < s.n; n++) {
        if (before == '\n' && s.p[n] != ' ' && s.p[n] != '\t')
            return n;
        before = s.p[n];
    }
    return s.n;
}

struct window {
    char *p;
    size_t n;
    uint64_t at, end;  // in the message: what is read next
    char before;       // the last octet of a field that is being passed over
    bool passing;
};

static enum result
window_fill(struct reading *r, struct window *w)
{
    size_t n = w->end - w->at < WINDOW - w->n ? (size_t)(w->end - w->at) : WINDOW - w->n;
    if (n > 0 && read_at(r, w->at, n, w->p + w->n) != R_OK)
        return R_FAIL;
    w->at += n;
    w->n += n;
    return R_OK;
}

static void
window_drop(struct window *w, size_t n)
{
    if (n > 0)
        w->before = w->p[n - 1];
    w->n -= n;
    memmove(w->p, w->p + n, w->n);
}

// There may be half a million fields: others run in between.
static void
tell_fields(struct reading *r, struct span s, enum mime_zone zone)
{
    while (s.n > 0) {
        size_t n = s.n > FIELDS_AT_ONCE ? whole_fields(s, FIELDS_AT_ONCE, true) : s.n;
        r->text->fields(r->text->arg, span_slice(s, 0, n), zone);
        s = span_skip(s, n);
        if (s.n > 0)
            task_yield();
    }
}

static void
window_take(struct reading *r, struct window *w, enum mime_zone zone)
{
    bool end = w->at == w->end;
    struct span s = span_of(w->p, w->n);
    if (w->passing) {
        size_t n = rest_of_field(s, w->before);
        w->passing = n == s.n;
        window_drop(w, n);
        return;
    }
    // whole fields up to the last one, which may go on
    size_t n = end ? s.n : 0;
    for (size_t more;
         !end && (more = whole_fields(span_skip(s, n), FIELDS_AT_ONCE, false)) > 0;)
        n += more;
    w->passing = n == 0;
    if (n == 0)
        n = s.n;
    tell_fields(r, span_slice(s, 0, n), zone);
    window_drop(w, n);
}

static enum result
read_header(struct reading *r, struct mime_range range, enum mime_zone zone)
{
    struct window w = {.at = range.at, .end = range.at + range.size};
    size_t room = range.size < WINDOW ? (size_t)range.size : WINDOW;
    enum result result = R_OK;
    struct span there;
    if (is_there(r, range, &there)) {
        tell_fields(r, there, zone);
        return R_OK;
    }
    w.p = calloc(1, room + 1);
    must(w.p != NULL);
    while (result == R_OK && (w.at < w.end || w.n > 0)) {
        result = window_fill(r, &w);
        if (result == R_OK)
            window_take(r, &w, zone);
    }
    free(w.p);
    return result;
}

// ---- parts ----

static enum result
feed_part(struct reading *r, struct mime_range range)
{
    const struct message_text *t = r->text;
    uint64_t at = range.at, end = range.at + range.size;
    size_t room = range.size < PIECE ? (size_t)range.size : PIECE;
    enum result result = R_OK;
    struct span there;
    if (is_there(r, range, &there)) {
        t->part_feed(t->arg, there);
        return R_OK;
    }
    char *piece = calloc(1, room + 1);
    must(piece != NULL);
    while (result == R_OK && at < end && !(t->enough && t->enough(t->arg))) {
        size_t n = end - at < room ? (size_t)(end - at) : room;
        result = read_at(r, at, n, piece);
        if (result == R_OK)
            t->part_feed(t->arg, span_of(piece, n));
        at += n;
    }
    free(piece);
    return result;
}

static enum result
read_part(struct reading *r, const struct mime_index_part *part)
{
    const struct message_text *t = r->text;
    t->part_begin(t->arg, part);
    enum result result = feed_part(r, part->body);
    t->part_end(t->arg);
    return result;
}

static enum result
read_attachment(struct reading *r, const struct mime_index_part *part)
{
    const struct message_text *t = r->text;
    const struct attachment_place place = {t->account, r->row, r->index, r->number, part};
    enum extract_verdict verdict;
    struct buf text;
    if (t->go_on && t->go_on(t->arg, r->f) != R_OK)
        return R_FAIL;
    if (r->files_ms > LIMIT_extract_message_ms) {
        if (t->file_unknown)
            t->file_unknown(t->arg);
        return R_OK;
    }
    uint64_t begin = clock_mono_ms();
    buf_init(&text, LIMIT_extract_text);
    enum result result = attachment_text(r->mail, &place, &text, &verdict, r->f);
    r->files_ms += clock_mono_ms() - begin;
    if (result == R_OK && text.n > 0)
        t->file(t->arg, buf_span(&text));
    bool known = verdict != EXTRACT_UNAVAILABLE && verdict != EXTRACT_TOOL_MISSING;
    if (result == R_OK && !known && t->file_unknown)
        t->file_unknown(t->arg);
    buf_done(&text);
    task_yield();
    return result;
}

static enum result
read_one(struct reading *r, const struct mime_index_part *part)
{
    const struct message_text *t = r->text;
    enum mime_zone zone = part->root ? MIME_ZONE_NESTED : MIME_ZONE_MIME;
    if (part->depth > 0 && read_header(r, part->header, zone) != R_OK)
        return R_FAIL;
    if (part->name.n > 0)
        t->file(t->arg, part->name);
    if (mime_text_searchable(part) && read_part(r, part) != R_OK)
        return R_FAIL;
    if ((t->enough && t->enough(t->arg)) || !attachment_has_text(part))
        return R_OK;
    if (attachments_on(r->mail))
        return read_attachment(r, part);
    if (t->file_unknown)
        t->file_unknown(t->arg);
    return R_OK;
}

// From the root on, which was read of the table.
static enum result
read_parts(struct reading *r, struct mime_index_iter *it, struct mime_index_part *part)
{
    const struct message_text *t = r->text;
    enum result result = R_OK;
    while (result == R_OK && !(t->enough && t->enough(t->arg))) {
        result = read_one(r, part);
        r->number++;
        if (result == R_OK)
            result = mime_index_next(it, part, r->f);
    }
    return result == R_FAIL ? R_FAIL : R_OK;
}

static enum result
read_message(struct reading *r)
{
    struct mime_index_iter it;
    struct mime_index_part part;
    if (mime_index_begin(&it, r->index, r->f) != R_OK ||
        mime_index_next(&it, &part, r->f) != R_OK || read_whole(r) != R_OK ||
        read_header(r, part.header, MIME_ZONE_HEADER) != R_OK)
        return R_FAIL;
    return read_parts(r, &it, &part);
}

enum result
message_text_read(struct mail *m, const struct message_row *row, struct span index,
                  const struct message_text *t, struct fault *f)
{
    struct reading r = {.mail = m, .row = row, .text = t, .f = f, .index = index};
    return read_message(&r);
}
