#include "imap/fetch_body.h"

#include "base/limits.h"
#include "io/task.h"
#include "mime/transfer.h"

// RFC 3516, RFC 9051 section 6.4.5: BINARY[n], BINARY.PEEK[n], BINARY.SIZE[n]. literal8 in APPEND is read by the command
// reader. A part is decoded twice: once to learn its size (and whether it can be decoded), once to send it.

enum { PIECE = 32768 };

struct decoded {
    uint64_t skip, left;  // of the decoded octets: not wanted, still to be sent
    uint64_t size;        // all decoded octets
    bool nul;
    struct buf out;
};

typedef void sink_fn(struct imap_fetch_run *run, struct decoded *d);

static void
count_sink(struct imap_fetch_run *run, struct decoded *d)
{
    (void)run;
    d->size += d->out.n;
    d->nul |= d->out.n > 0 && memchr(d->out.p, '\0', d->out.n) != NULL;
}

static void
send_sink(struct imap_fetch_run *run, struct decoded *d)
{
    struct span s = buf_span(&d->out);
    size_t skip = d->skip < s.n ? (size_t)d->skip : s.n;
    d->skip -= skip;
    s = span_skip(s, skip);
    if (s.n > d->left)
        s.n = (size_t)d->left;
    d->left -= s.n;
    conn_write(run->session->conn, s);
}

static enum result
decode(struct imap_fetch_run *run, const struct mime_index_part *part, struct decoded *d,
       sink_fn *sink, struct fault *f)
{
    struct mime_decoder decoder = mime_decoder_of(part->encoding, false);
    char *piece = arena_alloc(run->scratch, PIECE);
    uint64_t at = part->body.at, end = part->body.at + part->body.size;
    enum result r = part->encoding == MIME_ENC_UNKNOWN
                        ? fault_set(f, FAULT_UNKNOWNCTE, "unknown encoding")
                        : R_OK;
    buf_init(&d->out, PIECE * 2 + 1024);
    while (r == R_OK && at < end) {
        size_t n = end - at < PIECE ? (size_t)(end - at) : PIECE;
        r = message_read(run->mail, &run->message->row, at, n, piece, f);
        if (r == R_OK)
            r = mime_decoder_feed(&decoder, span_of(piece, n), &d->out, f);
        sink(run, d);
        buf_reset(&d->out);
        at += n;
        task_yield();
    }
    if (r == R_OK)
        r = mime_decoder_end(&decoder, &d->out, f);
    if (r == R_OK)
        sink(run, d);
    buf_done(&d->out);
    return r;
}

// BINARY[] is the message as it is.
static enum result
find_part(struct imap_fetch_run *run, const struct section *s, struct mime_index_part *out,
          struct fault *f)
{
    if (s->part_count > 0)
        return fetch_find_part(run, s, out, f);
    *out = (struct mime_index_part){.encoding = MIME_ENC_IDENTITY,
                                    .body = {.size = run->message->row.size}};
    return R_OK;
}

static void
put_name(struct imap_fetch_run *run, const struct imap_fetch_want *w, const char *name)
{
    buf_put_str(run->line, name);
    buf_put_char(run->line, '[');
    buf_put(run->line, w->section.text);
    buf_put_char(run->line, ']');
    if (w->has_partial)
        buf_printf(run->line, "<%llu>", (unsigned long long)w->partial_at);
    buf_put_char(run->line, ' ');
}

static struct decoded
window(const struct imap_fetch_want *w, const struct decoded *all)
{
    struct decoded d = {.left = all->size};
    if (w->has_partial) {
        d.skip = w->partial_at < all->size ? w->partial_at : all->size;
        d.left =
            all->size - d.skip < w->partial_count ? all->size - d.skip : w->partial_count;
    }
    return d;
}

// A part that is not there is NIL; one that holds NUL travels as literal8.
static enum result
put_binary(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    struct mime_index_part part;
    struct decoded all = {0};
    enum result r = find_part(run, &w->section, &part, f);
    put_name(run, w, "BINARY");
    if (r == R_NONE)
        buf_put(run->line, SPAN("NIL"));
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    if (decode(run, &part, &all, count_sink, f) != R_OK)
        return R_FAIL;
    struct decoded d = window(w, &all);
    buf_printf(run->line, "%s{%llu}\r\n", all.nul ? "~" : "", (unsigned long long)d.left);
    run->streamed = run->in_literal = true;
    imap_line_flush(run->session);
    r = decode(run, &part, &d, send_sink, f);
    run->in_literal = r != R_OK;
    run->line = imap_line(run->session);
    return r;
}

static enum result
put_binary_size(struct imap_fetch_run *run, const struct imap_fetch_want *w,
                struct fault *f)
{
    struct mime_index_part part;
    struct decoded all = {0};
    enum result r = find_part(run, &w->section, &part, f);
    if (r == R_OK)
        r = decode(run, &part, &all, count_sink, f);
    if (r == R_FAIL)
        return R_FAIL;
    put_name(run, w, "BINARY.SIZE");
    buf_put_u64(run->line, all.size);
    return R_OK;
}

static void
parse_binary_section(struct parse *p, struct imap_fetch_want *w)
{
    parse_char(p, '[');
    w->section = parse_section_binary(p);
    w->has_partial = parse_partial(p, &w->partial_at, &w->partial_count);
}

static void
parse_binary_peek(struct parse *p, struct imap_fetch_want *w)
{
    parse_binary_section(p, w);
    w->peek = true;
}

static void
parse_binary_size(struct parse *p, struct imap_fetch_want *w)
{
    parse_char(p, '[');
    w->section = parse_section_binary(p);
}

static const struct imap_fetch_item item_binary = {FETCH_BODY | FETCH_SEEN | FETCH_PARTS,
                                                   parse_binary_section, put_binary};
static const struct imap_fetch_item item_binary_peek = {FETCH_BODY | FETCH_PARTS,
                                                        parse_binary_peek, put_binary};
static const struct imap_fetch_item item_binary_size = {FETCH_BODY | FETCH_PARTS,
                                                        parse_binary_size, put_binary_size};

static const struct imap_word words[] = {
    {SLOT_FETCH, "BINARY", 0, {.fetch = &item_binary}},
    {SLOT_FETCH, "BINARY.PEEK", 0, {.fetch = &item_binary_peek}},
    {SLOT_FETCH, "BINARY.SIZE", 0, {.fetch = &item_binary_size}},
    {0},
};

const struct imap_ext imap_ext_binary = {
    .name = "binary",
    .rfc = "RFC 3516, RFC 9051 section 6.4.5",
    .capability = "BINARY",
    .words = words,
};
