#include "imap/fetch_body.h"
#include "imap/part.h"

#include "base/limits.h"
#include "io/task.h"

// RFC 9051 section 6.4.5: BODY[section]<partial>, and RFC 3501's RFC822 items, from the offsets in the cache.

enum { DIRECT_MAX = 120 << 10, PIECE = 65536, DIRECT_MIN = 4096, AFTERWARDS = 64 };

// A NUL cannot stand in a literal (RFC 9051: CHAR8); it leaves as 0x80.
static enum result
read_piece(struct imap_fetch_run *run, uint64_t at, size_t n, char *dst, struct fault *f)
{
    if (message_read(run->mail, &run->message->row, at, n, dst, f) != R_OK)
        return R_FAIL;
    imap_hide_nuls(dst, n);
    return R_OK;
}

// The store keeps frames of PIECE octets: behind the first piece each is one of them.
static size_t
piece_at(uint64_t at, uint64_t end)
{
    size_t n = (size_t)(PIECE - at % PIECE);
    return end - at < n ? (size_t)(end - at) : n;
}

// Once the literal is announced nothing can be taken back: the checksums of all of it are compared before, so that a
// damaged message costs its own answer and not the session.
static enum result
check_large(struct imap_fetch_run *run, uint64_t at, uint64_t end, struct fault *f)
{
    while (at < end) {
        size_t n = piece_at(at, end);
        if (message_read(run->mail, &run->message->row, at, n, NULL, f) != R_OK)
            return R_FAIL;
        at += n;
        task_yield();
    }
    return R_OK;
}

static enum result
stream_large(struct imap_fetch_run *run, uint64_t at, uint64_t size, struct fault *f)
{
    struct conn *conn = run->session->conn;
    size_t n = piece_at(at, at + size);
    char *first = arena_alloc(run->scratch, n);
    uint64_t end = at + size;
    if (check_large(run, at + n, end, f) != R_OK ||
        read_piece(run, at, n, first, f) != R_OK)
        return R_FAIL;
    run->streamed = run->in_literal = true;
    imap_line_flush(run->session);
    conn_write(conn, span_of(first, n));
    for (at += n; at < end && !conn_failed(conn); at += n) {
        n = piece_at(at, end);
        char *dst = conn_fill(conn, n);
        enum result r = read_piece(run, at, n, dst, f);
        conn_filled(conn, r == R_OK ? n : 0);
        if (r != R_OK)
            return R_FAIL;
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

// ---- what of the part ----

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
put_text(struct imap_fetch_run *run, const struct mail_part *p)
{
    struct span text = span_slice(p->text, (size_t)p->at, (size_t)(p->at + p->size));
    buf_put_char(run->line, '{');
    buf_put_u64(run->line, text.n);
    buf_put(run->line, SPAN("}\r\n"));
    size_t at = run->line->n;
    buf_put(run->line, text);
    if (!run->line->over)
        imap_hide_nuls(run->line->p + at, text.n);
    return R_OK;
}

static enum result
put_section_value(struct imap_fetch_run *run, const struct imap_fetch_want *w,
                  struct fault *f)
{
    struct mail_part part = {.mail = run->mail, .row = &run->message->row};
    enum result r = mail_part_find(&part, &w->section, &run->cache, run->scratch, f);
    if (r == R_FAIL)
        return R_FAIL;
    if (r == R_NONE) {
        buf_put(run->line, SPAN("NIL"));
        return R_OK;
    }
    if (w->has_partial)
        mail_part_clip(&part, w->partial_at, w->partial_count);
    return part.in_memory ? put_text(run, &part)
                          : imap_fetch_stream(run, part.at, part.size, f);
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
    w->needs =
        FETCH_BODY | FETCH_SEEN | (mail_part_is_whole(&w->section) ? 0 : FETCH_PARTS);
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
