#include "pop3/downgrade.h"
#include "pop3/inside.h"
#include "pop3/stuff.h"
#include "base/utf8.h"
#include "io/task.h"

enum { DIRECT_MAX = 120 << 10, PIECE = 65536, HEAD_ROOM = 64, END_OCTETS = 3 };

struct reading {
    struct pop3_session *session;
    uint32_t n;
    uint64_t at, end;
    struct pop3_stuff stuff;
    struct arena *arena;
    char *piece;
};

static int
put_head(char head[HEAD_ROOM], uint64_t octets)
{
    return snprintf(head, HEAD_ROOM, "+OK %llu octets\r\n", (unsigned long long)octets);
}

// May the header leave as it is?
static bool
is_sendable(const struct pop3_session *s, struct span header)
{
    return s->utf8 || ascii_only(header);
}

static void
feed_first(struct reading *r, struct span piece, struct buf *out)
{
    size_t n = pop3_header_size(piece);
    struct span header = span_slice(piece, 0, n);
    bool cut = n == piece.n && piece.n < r->end;  // its end is not in this piece
    if (cut || is_sendable(r->session, header)) {
        (void)pop3_stuff_feed(&r->stuff, piece, out);
        return;
    }
    struct buf down;
    buf_init(&down, SIZE_MAX);
    pop3_downgrade(header, &down);
    if (!pop3_stuff_feed(&r->stuff, buf_span(&down), out))
        (void)pop3_stuff_feed(&r->stuff, span_skip(piece, n), out);
    buf_done(&down);
}

static bool
is_done(const struct reading *r)
{
    const struct pop3_stuff *s = &r->stuff;
    return r->at == r->end || (s->in_body && s->limited && s->left == 0);
}

// The next piece to dst; NULL: only its checksums are compared.
static enum result
read_piece(struct reading *r, size_t *n_out, char *dst, struct fault *f)
{
    uint64_t left = r->end - r->at;
    *n_out = left < PIECE ? (size_t)left : PIECE;
    return maildrop_read(r->session->drop, r->n, r->at, *n_out, dst, f);
}

// Once its answer has begun nothing can be taken back: the checksums of all of it are compared before, so that a damaged
// message costs its own answer and not the session.
static enum result
check(struct reading *r, struct fault *f)
{
    size_t n;
    for (r->at = PIECE; !r->stuff.limited && r->at < r->end; r->at += n) {
        if (read_piece(r, &n, NULL, f) != R_OK)
            return R_FAIL;
        task_yield();
    }
    r->at = 0;
    return read_piece(r, &n, r->piece, f);
}

static void
stream(struct reading *r, struct buf *out)
{
    struct conn *conn = r->session->conn;
    struct fault f;
    size_t n = r->end < PIECE ? (size_t)r->end : PIECE;
    feed_first(r, span_of(r->piece, n), out);
    for (r->at = n;; r->at += n) {
        conn_write(conn, buf_span(out));
        buf_reset(out);
        if (is_done(r) || conn_failed(conn))
            break;
        if (read_piece(r, &n, r->piece, &f) != R_OK) {
            r->session->ending = "A message could not be read";
            conn_fail(conn);
            return;
        }
        (void)pop3_stuff_feed(&r->stuff, span_of(r->piece, n), out);
        task_yield();
    }
    pop3_stuff_end(&r->stuff, out);
    conn_write(conn, buf_span(out));
}

static enum result
send_by_pieces(struct reading *r, const char *head, struct fault *f)
{
    struct buf out;
    r->arena = arena_new();
    r->piece = arena_alloc(r->arena, PIECE);
    enum result result = check(r, f);
    if (result == R_OK) {
        buf_init(&out, SIZE_MAX);
        buf_put_str(&out, head);
        stream(r, &out);
        buf_done(&out);
    }
    arena_free(&r->arena);
    return result;
}

// The whole answer, head_n + r->end + END_OCTETS octets of it, read to where it is wanted. R_NONE: nearly every message is sent as
// it is, this one has to be changed.
static enum result
read_plain(const struct reading *r, const char *head, size_t head_n, char *dst,
           struct fault *f)
{
    const struct pop3_session *s = r->session;
    struct span message = span_of(dst + head_n, (size_t)r->end);
    memcpy(dst, head, head_n);
    if (maildrop_read(s->drop, r->n, 0, message.n, dst + head_n, f) != R_OK)
        return R_FAIL;
    if (!pop3_is_plain(message) ||
        !is_sendable(s, span_slice(message, 0, pop3_header_size(message))))
        return R_NONE;
    memcpy(dst + head_n + message.n, ".\r\n", END_OCTETS);
    return R_OK;
}

static enum result
send_direct(struct reading *r, const char *head, size_t head_n, struct fault *f)
{
    struct conn *conn = r->session->conn;
    size_t size = head_n + (size_t)r->end + END_OCTETS;
    char *dst = conn_fill(conn, size);
    enum result result = read_plain(r, head, head_n, dst, f);
    conn_filled(conn, result == R_OK ? size : 0);
    return result;
}

enum result
pop3_retrieve(struct pop3_session *s, uint32_t n, struct fault *f)
{
    struct reading r = {.session = s, .n = n, .end = maildrop_size(s->drop, n)};
    char head[HEAD_ROOM];
    int head_n = put_head(head, r.end);
    enum result result = R_NONE;
    if (pop3_ahead_send(s, n))
        return R_OK;
    if (r.end > 0 && r.end <= DIRECT_MAX)
        result = send_direct(&r, head, (size_t)head_n, f);
    return result == R_NONE ? send_by_pieces(&r, head, f) : result;
}

static bool
compose_changed(struct reading *r, const char *head, struct span message, struct buf *out)
{
    struct buf changed;
    buf_init(&changed, out->max);
    buf_put_str(&changed, head);
    feed_first(r, message, &changed);
    pop3_stuff_end(&r->stuff, &changed);
    bool fits = !changed.over;
    buf_put(out, buf_span(&changed));
    buf_done(&changed);
    return fits;
}

bool
pop3_compose(struct pop3_session *s, uint32_t n, struct buf *out)
{
    struct reading r = {.session = s, .n = n, .end = maildrop_size(s->drop, n)};
    char head[HEAD_ROOM];
    struct fault ignored;
    size_t head_n = (size_t)put_head(head, r.end);
    size_t size = head_n + (size_t)r.end + END_OCTETS;
    char *dst = r.end > 0 ? buf_reserve(out, size) : NULL;
    enum result result = dst ? read_plain(&r, head, head_n, dst, &ignored) : R_FAIL;
    if (result == R_NONE)
        return compose_changed(&r, head, span_of(dst + head_n, (size_t)r.end), out);
    if (result == R_OK)
        out->n += size;
    return result == R_OK;
}

enum result
pop3_top(struct pop3_session *s, uint32_t n, uint64_t lines, struct fault *f)
{
    struct reading r = {.session = s, .n = n, .end = maildrop_size(s->drop, n)};
    r.stuff.limited = true;
    r.stuff.left = lines;
    return send_by_pieces(&r, "+OK\r\n", f);
}
