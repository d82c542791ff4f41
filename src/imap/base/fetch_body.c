#include "imap/fetch_body.h"

#include "base/limits.h"
#include "io/task.h"
#include "mime/header.h"

// RFC 9051 section 6.4.5: BODY[section]<partial>, and RFC 3501's RFC822 items, from the offsets in the cache.

enum { DIRECT_MAX = 120 << 10, PIECE = 65536, DIRECT_MIN = 4096, AFTERWARDS = 64 };

// A NUL cannot stand in a literal (RFC 9051: CHAR8); it leaves as 0x80.
static void
hide_nuls(char *p, size_t n)
{
    for (char *at = memchr(p, '\0', n); at; at = memchr(at, '\0', n - (size_t)(at - p)))
        *at = (char)0x80;
}

static enum result
read_piece(struct imap_fetch_run *run, uint64_t at, size_t n, char *dst, struct fault *f)
{
    if (message_read(run->mail, &run->message->row, at, n, dst, f) != R_OK)
        return R_FAIL;
    hide_nuls(dst, n);
    return R_OK;
}

// Once the literal is announced nothing can be taken back: all of it is read before, the first piece last, so that
// a damaged message costs its own answer and not the session.
static enum result
check_large(struct imap_fetch_run *run, uint64_t at, uint64_t end, char *piece,
            struct fault *f)
{
    for (uint64_t next = at + PIECE; next < end; next += PIECE) {
        size_t n = end - next < PIECE ? (size_t)(end - next) : PIECE;
        if (message_read(run->mail, &run->message->row, next, n, piece, f) != R_OK)
            return R_FAIL;
        task_yield();
    }
    return read_piece(run, at, PIECE, piece, f);
}

static enum result
stream_large(struct imap_fetch_run *run, uint64_t at, uint64_t size, struct fault *f)
{
    struct conn *conn = run->session->conn;
    char *first = arena_alloc(run->scratch, PIECE);
    uint64_t end = at + size;
    if (check_large(run, at, end, first, f) != R_OK)
        return R_FAIL;
    run->streamed = run->in_literal = true;
    imap_line_flush(run->session);
    conn_write(conn, span_of(first, PIECE));
    for (at += PIECE; at < end && !conn_failed(conn);) {
        size_t n = end - at < PIECE ? (size_t)(end - at) : PIECE;
        char *dst = conn_fill(conn, n);
        enum result r = read_piece(run, at, n, dst, f);
        conn_filled(conn, r == R_OK ? n : 0);
        if (r != R_OK)
            return R_FAIL;
        at += n;
        task_yield();
    }
    run->in_literal = false;
    run->line = imap_line(run->session);
    return R_OK;
}

// The line so far and the literal are put together in the output queue: a literal is copied by the kernel only. What
// ends the line finds room behind it.
static enum result
stream_direct(struct imap_fetch_run *run, uint64_t at, size_t size, struct fault *f)
{
    struct conn *conn = run->session->conn;
    size_t head = run->line->n;
    char *dst = conn_fill(conn, head + size + AFTERWARDS);
    memcpy(dst, run->line->p, head);
    if (read_piece(run, at, size, dst + head, f) != R_OK) {
        conn_filled(conn, 0);
        return R_FAIL;
    }
    run->streamed = true;
    imap_line_opened(run->session, true);
    buf_reset(run->line);
    conn_filled(conn, head + size);
    return R_OK;
}

enum result
imap_fetch_stream(struct imap_fetch_run *run, uint64_t at, uint64_t size, struct fault *f)
{
    buf_put_char(run->line, '{');
    buf_put_u64(run->line, size);
    buf_put(run->line, SPAN("}\r\n"));
    if (size > DIRECT_MAX)
        return stream_large(run, at, size, f);
    if (size >= DIRECT_MIN && run->line->n <= PIECE)
        return stream_direct(run, at, (size_t)size, f);
    if (size == 0)
        return R_OK;
    char *room = buf_reserve(run->line, (size_t)size);
    must(room != NULL);
    if (read_piece(run, at, (size_t)size, room, f) != R_OK)
        return R_FAIL;
    run->line->n += (size_t)size;
    return R_OK;
}

enum result
fetch_find_part(struct imap_fetch_run *run, const struct section *s,
                struct mime_index_part *out, struct fault *f)
{
    return mime_index_find(run->cache.index, s->parts, s->part_count, out, f);
}

// ---- what of the part ----

static struct mime_range
clip(struct mime_range r, const struct imap_fetch_want *w, uint64_t message_size)
{
    if (r.at > message_size)
        r.at = message_size;
    if (r.size > message_size - r.at)
        r.size = message_size - r.at;
    if (!w->has_partial)
        return r;
    uint64_t skip = w->partial_at < r.size ? w->partial_at : r.size;
    r.at += skip;
    r.size -= skip;
    if (r.size > w->partial_count)
        r.size = w->partial_count;
    return r;
}

static void
put_label(struct imap_fetch_run *run, const struct imap_fetch_want *w)
{
    buf_put(run->line, SPAN("BODY["));
    buf_put(run->line, w->section.text);
    buf_put_char(run->line, ']');
    if (w->has_partial) {
        buf_put_char(run->line, '<');
        buf_put_u64(run->line, w->partial_at);
        buf_put_char(run->line, '>');
    }
    buf_put_char(run->line, ' ');
}

static enum result
put_literal(struct imap_fetch_run *run, struct span text, const struct imap_fetch_want *w)
{
    if (w->has_partial) {
        text = span_skip(text, w->partial_at < text.n ? (size_t)w->partial_at : text.n);
        text = span_slice(text, 0,
                          w->partial_count < text.n ? (size_t)w->partial_count : text.n);
    }
    buf_put_char(run->line, '{');
    buf_put_u64(run->line, text.n);
    buf_put(run->line, SPAN("}\r\n"));
    buf_put(run->line, text);
    return R_OK;
}

// HEADER.FIELDS and HEADER.FIELDS.NOT.
static enum result
put_fields(struct imap_fetch_run *run, const struct imap_fetch_want *w,
           struct mime_range header, struct fault *f)
{
    struct mime_range all =
        clip(header, &(struct imap_fetch_want){0}, run->message->row.size);
    struct buf out;
    if (all.size > LIMIT_mime_headers)
        all.size = LIMIT_mime_headers;
    char *block = arena_alloc(run->scratch, (size_t)all.size + 1);
    if (all.size > 0 && read_piece(run, all.at, (size_t)all.size, block, f) != R_OK)
        return R_FAIL;
    buf_init(&out, (size_t)all.size + 16);
    mime_header_filter(&out, span_of(block, (size_t)all.size), w->section.fields,
                       w->section.field_count, w->section.kind == SECTION_FIELDS_NOT);
    enum result r = put_literal(run, buf_span(&out), w);
    buf_done(&out);
    return r;
}

enum mime_section
fetch_mime_section(enum section_kind kind)
{
    switch (kind) {
    case SECTION_ALL:
        return MIME_SECTION_ALL;
    case SECTION_TEXT:
        return MIME_SECTION_TEXT;
    case SECTION_MIME:
        return MIME_SECTION_MIME;
    default:
        return MIME_SECTION_HEADER;
    }
}

// The whole message needs no structure.
static bool
is_whole(const struct section *s)
{
    return s->kind == SECTION_ALL && s->part_count == 0;
}

static enum result
put_section_value(struct imap_fetch_run *run, const struct imap_fetch_want *w,
                  struct fault *f)
{
    const struct section *s = &w->section;
    struct mime_range range = {0, run->message->row.size, 0};
    struct mime_index_part part;
    if (!is_whole(s)) {
        enum result r = fetch_find_part(run, s, &part, f);
        if (r == R_OK)
            r = mime_index_section(&part, fetch_mime_section(s->kind), &range);
        if (r == R_FAIL)
            return R_FAIL;
        if (r == R_NONE) {
            buf_put(run->line, SPAN("NIL"));
            return R_OK;
        }
    }
    if (s->kind == SECTION_FIELDS || s->kind == SECTION_FIELDS_NOT)
        return put_fields(run, w, range, f);
    range = clip(range, w, run->message->row.size);
    return imap_fetch_stream(run, range.at, range.size, f);
}

static enum result
put_body(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    if (!w->has_section) {
        buf_put(run->line, SPAN("BODY "));
        return message_cache_body(run->line, &run->cache, f);
    }
    put_label(run, w);
    return put_section_value(run, w, f);
}

static enum result
put_rfc822(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    static const char *const labels[] = {[SECTION_ALL] = "RFC822 ",
                                         [SECTION_HEADER] = "RFC822.HEADER ",
                                         [SECTION_TEXT] = "RFC822.TEXT "};
    struct imap_fetch_want mine = {.section = {.kind = (enum section_kind)w->value}};
    buf_put_str(run->line, labels[w->value]);
    return put_section_value(run, &mine, f);
}

// ---- parsing ----

static void
parse_bracket(struct parse *p, struct imap_fetch_want *w)
{
    w->has_section = true;
    w->section = parse_section(p);
    w->needs = FETCH_BODY | FETCH_SEEN | (is_whole(&w->section) ? 0 : FETCH_PARTS);
    w->has_partial = parse_partial(p, &w->partial_at, &w->partial_count);
}

static void
parse_body(struct parse *p, struct imap_fetch_want *w)
{
    if (parse_try(p, '['))
        parse_bracket(p, w);
}

static void
parse_body_peek(struct parse *p, struct imap_fetch_want *w)
{
    parse_char(p, '[');
    parse_bracket(p, w);
    w->peek = true;
}

const struct imap_fetch_item imap_item_body = {FETCH_CACHE, parse_body, put_body};
const struct imap_fetch_item imap_item_body_peek = {FETCH_BODY, parse_body_peek, put_body};
const struct imap_fetch_item imap_item_rfc822 = {FETCH_BODY | FETCH_SEEN, NULL, put_rfc822};
const struct imap_fetch_item imap_item_rfc822_header = {FETCH_BODY | FETCH_PARTS, NULL,
                                                        put_rfc822};
const struct imap_fetch_item imap_item_rfc822_text = {FETCH_BODY | FETCH_SEEN | FETCH_PARTS,
                                                      NULL, put_rfc822};
