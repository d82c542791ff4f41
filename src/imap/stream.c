// Literals that are not collected but read as they come (APPEND).
#include "imap/response.h"

#include "base/limits.h"

void
imap_stream_accept(struct imap_command *c)
{
    if (c->inflow.open)
        return;
    c->inflow.open = true;
    if (c->stream.sync)
        conn_write_str(c->session->conn, "+ OK\r\n");
}

// A piece is lent out of the connection's input: who writes it to disk may suspend, so nothing is read meanwhile.
static void
lend(struct imap_command *c, size_t n)
{
    conn_read_pause(c->session->conn);
    if (c->session->recorder)
        imap_record_piece(c->session, span_slice(conn_input(c->session->conn), 0, n));
    c->inflow.taken = n;
    c->inflow.left -= n;
}

static void
give_back(struct imap_command *c)
{
    if (c->inflow.taken == 0)
        return;
    conn_consume(c->session->conn, c->inflow.taken);
    conn_read_resume(c->session->conn);
    c->inflow.taken = 0;
}

enum result
imap_stream_read(struct imap_command *c, struct span *out, struct fault *f)
{
    struct conn *conn = c->session->conn;
    give_back(c);
    if (c->inflow.left == 0)
        return R_NONE;
    if (conn_input(conn).n == 0 && conn_wait_input(conn, 1, LIMIT_stream_ms) != R_OK)
        return fault_set(f, FAULT_CLOSED, "literal cut short");
    struct span in = conn_input(conn);
    *out = in.n > c->inflow.left ? span_of(in.p, (size_t)c->inflow.left) : in;
    lend(c, out->n);
    return R_OK;
}

// Reads on until the reader has decided about the next part of the command.
static enum command_state
read_part(struct imap_session *s, size_t *size_out)
{
    for (;;) {
        size_t have = conn_input(s->conn).n;
        enum command_state state =
            command_reader_feed(&s->reader, conn_input(s->conn), size_out);
        if (state == COMMAND_CONTINUE)
            conn_write_str(s->conn, "+ OK\r\n");
        else if (state != COMMAND_MORE)
            return state;
        else if (conn_wait_input(s->conn, have + 1, LIMIT_stream_ms) != R_OK)
            return COMMAND_FATAL;
    }
}

enum result
imap_stream_rest(struct imap_command *c, struct fault *f)
{
    struct imap_session *s = c->session;
    size_t size = 0;
    give_back(c);
    must(c->inflow.left == 0);
    command_reader_rest(&s->reader);
    enum command_state state = read_part(s, &size);
    c->has_stream = c->inflow.open = false;
    c->parts += size;
    if (state == COMMAND_FATAL || c->parts > LIMIT_command) {
        imap_bye(s, state == COMMAND_FATAL ? "Cannot follow this command"
                                           : "[TOOBIG] Command too large");
        return fault_set(f, FAULT_CLOSED, "command cut short or without end");
    }
    struct span part = arena_dup(c->arena, span_slice(conn_input(s->conn), 0, size));
    if (s->recorder)
        imap_record_piece(s, part);
    conn_consume(s->conn, size);
    if (state == COMMAND_REFUSED)
        return fault_set(f, s->reader.kind, "%s", s->reader.why);
    c->has_stream = state == COMMAND_STREAM;
    c->stream = s->reader.literal;
    c->inflow.left = c->has_stream ? c->stream.size : 0;
    parse_init(&c->parse, part, c->arena, imap_utf8(s));
    return R_OK;
}

static enum result
collect(struct imap_command *c, char *room, struct fault *f)
{
    struct span piece;
    enum result r;
    imap_stream_accept(c);
    while ((r = imap_stream_read(c, &piece, f)) == R_OK) {
        memcpy(room, piece.p, piece.n);
        room += piece.n;
    }
    return r == R_NONE ? imap_stream_rest(c, f) : R_FAIL;
}

enum result
imap_stream_collect(struct imap_command *c, size_t max, struct span *out, struct fault *f)
{
    struct command_literal l = parse_stream(&c->parse);
    if (c->parse.bad)
        return parse_end(&c->parse, f);
    if (!c->has_stream)
        return fault_set(f, FAULT_BAD, "no literal");
    if (l.size > max)
        return fault_set(f, FAULT_TOOBIG, "literal of %llu octets",
                         (unsigned long long)l.size);
    char *room = arena_alloc(c->arena, (size_t)l.size + 1);
    if (collect(c, room, f) != R_OK)
        return R_FAIL;
    *out = span_of(room, (size_t)l.size);
    if (!l.literal8 && l.size > 0 && memchr(room, '\0', (size_t)l.size))
        return fault_set(f, FAULT_BAD, "NUL in a literal");
    return R_OK;
}

// A synchronising literal that was never asked for will not come, nor anything after it.
static bool
will_come(const struct imap_command *c)
{
    return c->has_stream && (c->inflow.open || !c->stream.sync);
}

void
imap_stream_drop(struct imap_command *c)
{
    struct fault f;
    struct span bytes;
    while (will_come(c)) {
        if (c->inflow.left > LIMIT_stream_discard) {
            imap_bye(c->session, "[TOOBIG] Message too large");
            return;
        }
        enum result r;
        while ((r = imap_stream_read(c, &bytes, &f)) == R_OK)
            ;
        if (r == R_FAIL || (imap_stream_rest(c, &f) != R_OK && f.kind == FAULT_CLOSED)) {
            imap_bye(c->session, "Connection lost");
            return;
        }
    }
}
