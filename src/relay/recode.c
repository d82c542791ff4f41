#include "relay/recode.h"
#include "relay/text.h"
#include "base/limits.h"
#include "mime/header.h"
#include "mime/quoted_printable.h"
#include "mime/scan.h"
#include "store/disk.h"
#include "wire/base64.h"

// The file is read for its structure; then, part by part, for what is in it and once more to be written.

enum { PIECE = 65536, BASE64_OCTETS = 57 };

struct recode {
    int fd, to;
    const struct queue_mail *mail;
    enum recode_aim aim;
    struct arena *arena;
    struct mime_scan *scan;
    char *piece;
    struct buf out, held;  // not yet written; not yet encoded
    uint64_t written;
    struct relay_lines canon;   // of what becomes base64
    struct relay_lines seen;    // of what is written
    struct relay_lines looked;  // of what was looked at
    uint64_t eight;             // octets above 127 in that
    const char *why;
    struct fault *fault;
};

enum way { WAY_AS_IS, WAY_RELABEL, WAY_QUOTED, WAY_BASE64, WAYS };

// ---- reading ----

typedef enum result piece_fn(struct recode *r, struct span piece);

static enum result
each_piece(struct recode *r, uint64_t at, uint64_t size, piece_fn *fn)
{
    while (size > 0) {
        size_t n = size < PIECE ? (size_t)size : PIECE;
        enum result got =
            disk_read(r->fd, queue_text_at(r->mail) + at, r->piece, n, false, r->fault);
        if (got == R_NONE)
            return fault_set(r->fault, FAULT_CORRUPTION, "the queue's file is cut");
        if (got != R_OK || fn(r, span_of(r->piece, n)) != R_OK)
            return R_FAIL;
        at += n;
        size -= n;
    }
    return R_OK;
}

static enum result
scan_piece(struct recode *r, struct span piece)
{
    mime_scan_feed(r->scan, piece);
    return R_OK;
}

static enum result
look_piece(struct recode *r, struct span piece)
{
    relay_lines_feed(&r->looked, piece, NULL);
    for (size_t i = 0; i < piece.n; i++)
        r->eight += (unsigned char)piece.p[i] > 127;
    return R_OK;
}

// What is in a range: r->looked.traits, r->eight.
static enum result
look(struct recode *r, const struct mime_range *range)
{
    relay_lines_init(&r->looked, false);
    r->eight = 0;
    return each_piece(r, range->at, range->size, look_piece);
}

static enum result
begin(struct recode *r, const struct mime_part **root_out)
{
    r->arena = arena_new();
    r->piece = arena_alloc(r->arena, PIECE);
    r->scan = mime_scan_new(r->arena);
    if (each_piece(r, 0, r->mail->head.text_n, scan_piece) != R_OK)
        return R_FAIL;
    *root_out = mime_scan_end(r->scan);
    return R_OK;
}

// The parts in the order in which they lie in the message.
static const struct mime_part *
part_behind(const struct mime_part *p)
{
    if (p->child)
        return p->child;
    while (p && !p->next)
        p = p->parent;
    return p ? p->next : NULL;
}

// ---- writing ----

static enum result
flush(struct recode *r)
{
    struct span s = buf_span(&r->out);
    relay_lines_feed(&r->seen, s, NULL);
    enum result done = disk_write(r->to, r->written, s, r->fault);
    r->written += s.n;
    buf_reset(&r->out);
    return done;
}

static enum result
put(struct recode *r, struct span s)
{
    buf_put(&r->out, s);
    must(!r->out.over);
    return r->out.n < PIECE ? R_OK : flush(r);
}

// What stands between parts is shown to nobody, and has no encoding (RFC 2046 section 5.1.1).
static enum result
put_gap(struct recode *r, struct span piece)
{
    for (size_t i = 0; r->aim == RECODE_7BIT && i < piece.n; i++)
        if ((unsigned char)r->piece[i] > 127)
            r->piece[i] = '?';
    return put(r, piece);
}

static enum result
put_quoted(struct recode *r, struct span text, const char *end)
{
    size_t before = r->out.n;
    mime_encode_quoted_printable(&r->out, text);
    if (r->out.n > before)
        r->out.n -= 2;  // its line end
    return put(r, span_str(end));
}

// Whole lines, and of one that is longer than a piece what there is.
static enum result
quote_piece(struct recode *r, struct span piece)
{
    buf_put(&r->held, piece);
    struct span all = buf_span(&r->held);
    size_t n = all.n;
    while (n > 0 && all.p[n - 1] != '\n')
        n--;
    bool whole = n > 0;
    if (!whole && all.n < PIECE)
        return R_OK;
    n = whole ? n : all.n - 1;  // a CR may belong to what comes
    enum result done = put_quoted(r, span_slice(all, 0, n), whole ? "\r\n" : "=\r\n");
    buf_consume(&r->held, n);
    return done;
}

// n octets of what is held become lines.
static enum result
encode_held(struct recode *r, size_t n)
{
    struct span all = buf_span(&r->held);
    enum result done = R_OK;
    for (size_t i = 0; i < n && done == R_OK; i += BASE64_OCTETS) {
        size_t end = i + BASE64_OCTETS < n ? i + BASE64_OCTETS : n;
        base64_encode(span_slice(all, i, end), &r->out);
        done = put(r, SPAN("\r\n"));
    }
    buf_consume(&r->held, n);
    return done;
}

// Lines end with CRLF in it, as they would have on the wire; what is binary is as it is.
static enum result
base64_piece(struct recode *r, struct span piece)
{
    if (r->mail->envelope.body == RELAY_BODY_BINARYMIME)
        buf_put(&r->held, piece);
    else
        relay_lines_feed(&r->canon, piece, &r->held);
    return encode_held(r, r->held.n - r->held.n % BASE64_OCTETS);
}

static enum result
put_body(struct recode *r, const struct mime_range *body, enum way way)
{
    buf_reset(&r->held);
    relay_lines_init(&r->canon, false);
    if (way == WAY_AS_IS || way == WAY_RELABEL)
        return each_piece(r, body->at, body->size, put);
    enum result done =
        each_piece(r, body->at, body->size, way == WAY_QUOTED ? quote_piece : base64_piece);
    if (r->canon.held_cr)
        relay_lines_end(&r->canon, &r->held);
    if (done != R_OK || r->held.n == 0)
        return done;
    if (way == WAY_QUOTED)
        return put_quoted(r, buf_span(&r->held), "");
    return encode_held(r, r->held.n);
}

// ---- the header of a part ----

static bool
is_message_root(const struct mime_part *p)
{
    return !p->parent || p->parent->kind == MIME_KIND_MESSAGE;
}

// Without its empty line.
static struct span
fields_of(struct span header)
{
    static const struct span ends[] = {SPAN("\r\n"), SPAN("\n")};
    for (size_t i = 0; i < 2; i++) {
        struct span before = span_slice(header, 0, header.n - ends[i].n);
        if (span_ends(header, ends[i]) && (before.n == 0 || span_ends(before, SPAN("\n"))))
            return before;
    }
    return header;
}

static enum result
put_without(struct recode *r, struct span fields, struct span name)
{
    struct mime_header_iter it = mime_header_begin(fields);
    struct mime_header field;
    const char *at = fields.p;
    while (mime_header_next(&it, &field) == R_OK) {
        if (!span_ieq(field.name, name))
            continue;
        if (put(r, span_of(at, (size_t)(field.raw.p - at))) != R_OK)
            return R_FAIL;
        at = field.raw.p + field.raw.n;
    }
    struct span rest = span_of(at, (size_t)(fields.p + fields.n - at));
    bool open = rest.n > 0 && !span_ends(rest, SPAN("\n"));  // a boundary followed at once
    if (put(r, rest) != R_OK)
        return R_FAIL;
    return open ? put(r, SPAN("\r\n")) : R_OK;
}

// A message that is no MIME says nothing of its charset (RFC 1428 section 3).
static enum result
put_mime_version(struct recode *r, const struct mime_part *p, struct span fields)
{
    struct mime_header field;
    if (!is_message_root(p) ||
        mime_header_find(fields, SPAN("MIME-Version"), &field) == R_OK)
        return R_OK;
    bool typed = mime_header_find(fields, SPAN("Content-Type"), &field) == R_OK;
    return put(r, typed ? SPAN("MIME-Version: 1.0\r\n")
                        : SPAN("MIME-Version: 1.0\r\n"
                               "Content-Type: text/plain; charset=unknown-8bit\r\n"));
}

static enum result
put_header(struct recode *r, const struct mime_part *p, enum way way, bool eight)
{
    static const char *const names[WAYS] = {
        [WAY_QUOTED] = "quoted-printable", [WAY_BASE64] = "base64"};
    size_t n = (size_t)p->header.size;
    if (way == WAY_AS_IS)
        return each_piece(r, p->header.at, n, put);
    if (p->header.size > LIMIT_mime_headers) {
        r->why = "the header of a part is too large to be written anew";
        return R_NONE;
    }
    struct arena *arena = arena_new();
    char *text = arena_alloc(arena, n + 1), label[80];
    enum result done =
        disk_read(r->fd, queue_text_at(r->mail) + p->header.at, text, n, false, r->fault);
    struct span fields = fields_of(span_of(text, n));
    snprintf(label, sizeof label, "Content-Transfer-Encoding: %s\r\n\r\n",
             names[way] ? names[way]
             : eight    ? "8bit"
                        : "7bit");
    if (done == R_OK)
        done = put_without(r, fields, SPAN("Content-Transfer-Encoding"));
    if (done == R_OK)
        done = put_mime_version(r, p, fields);
    if (done == R_OK)
        done = put(r, span_str(label));
    arena_free(&arena);
    return done == R_OK ? R_OK : R_FAIL;
}

// ---- what becomes of a part ----

static bool
is_signed(const struct mime_part *p)
{
    for (p = p->parent; p; p = p->parent)
        if (span_ieq(p->type, SPAN("multipart")) && span_ieq(p->subtype, SPAN("signed")))
            return true;
    return false;
}

// Why a body cannot be encoded; NULL: it can.
static const char *
refusal(const struct mime_part *p)
{
    if (p->encoding != MIME_ENC_IDENTITY)
        return "a part is not in the encoding that it names";
    if (is_signed(p))
        return "a part is signed as it is";
    if (span_ieq(p->type, SPAN("multipart")) || span_ieq(p->type, SPAN("message")))
        return "a part may not be encoded";
    return NULL;
}

static bool
is_labelled(const struct recode *r, const struct mime_part *p)
{
    return span_ieq(p->encoding_name, SPAN("binary")) ||
           (r->aim == RECODE_7BIT && span_ieq(p->encoding_name, SPAN("8bit")));
}

// r->looked is of its body.
static enum way
way_of(struct recode *r, const struct mime_part *p)
{
    bool binary = r->mail->envelope.body == RELAY_BODY_BINARYMIME;
    uint32_t traits = r->looked.traits,
             odd = binary ? RELAY_TRAIT_NUL | RELAY_TRAIT_BARE | RELAY_TRAIT_LONG : 0,
             bad = odd | (r->aim == RECODE_7BIT ? RELAY_TRAIT_8BIT : 0);
    if (p->kind != MIME_KIND_LEAF || !(traits & bad))
        return is_labelled(r, p) && !is_signed(p) ? WAY_RELABEL : WAY_AS_IS;
    r->why = refusal(p);
    bool text = !p->type.p || span_ieq(p->type, SPAN("text"));
    return text && !(traits & odd) && r->eight * 4 < p->body.size ? WAY_QUOTED : WAY_BASE64;
}

static enum result
put_part(struct recode *r, const struct mime_part *p)
{
    if (look(r, &p->header) != R_OK)
        return R_FAIL;
    if (r->eight > 0 && r->aim == RECODE_7BIT)
        r->why = "a header has octets beyond ASCII";
    if (look(r, &p->body) != R_OK)
        return R_FAIL;
    bool eight = r->eight > 0 && r->aim != RECODE_7BIT;
    enum way way = r->why ? WAY_AS_IS : way_of(r, p);
    if (r->why)
        return R_NONE;
    enum result done = put_header(r, p, way, eight);
    return done == R_OK && p->kind == MIME_KIND_LEAF ? put_body(r, &p->body, way) : done;
}

static enum result
put_all(struct recode *r, const struct mime_part *root)
{
    uint64_t at = 0;
    for (const struct mime_part *p = root; p; p = part_behind(p)) {
        must(p->header.at >= at);
        if (each_piece(r, at, p->header.at - at, put_gap) != R_OK)
            return R_FAIL;
        enum result done = put_part(r, p);
        if (done != R_OK)
            return done;
        at = p->header.at + p->header.size + (p->kind == MIME_KIND_LEAF ? p->body.size : 0);
    }
    if (each_piece(r, at, r->mail->head.text_n - at, put_gap) != R_OK)
        return R_FAIL;
    enum result done = flush(r);
    relay_lines_end(&r->seen, NULL);
    return done;
}

enum result
relay_recode(int fd, const struct queue_mail *m, enum recode_aim aim, int to,
             struct recoded *out, struct fault *f)
{
    struct recode r = {.fd = fd, .to = to, .mail = m, .aim = aim, .fault = f};
    const struct mime_part *root;
    buf_init(&r.out, 8 * PIECE);
    buf_init(&r.held, 4 * PIECE);
    relay_lines_init(&r.seen, false);
    enum result done = begin(&r, &root);
    if (done == R_OK)
        done = put_all(&r, root);
    *out = (struct recoded){r.written, r.seen.octets, r.seen.traits, r.why};
    buf_done(&r.out);
    buf_done(&r.held);
    arena_free(&r.arena);
    return done;
}

enum result
relay_header_is_utf8(int fd, const struct queue_mail *m, bool *out, struct fault *f)
{
    struct recode r = {.fd = fd, .to = -1, .mail = m, .fault = f};
    const struct mime_part *root;
    bool eight = false;
    enum result done = begin(&r, &root);
    for (const struct mime_part *p = done == R_OK ? root : NULL;
         p && done == R_OK && !eight; p = part_behind(p)) {
        done = look(&r, &p->header);
        eight = r.eight > 0;
    }
    arena_free(&r.arena);
    if (done == R_OK)
        *out = eight;
    return done;
}
