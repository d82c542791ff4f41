#include "ctl/call.h"
#include "base/arena.h"
#include "base/audit.h"
#include "base/limits.h"
#include "io/conn.h"
#include "io/task.h"
#include "os/peer.h"

enum { PIECE = 32768 };

struct verb_call {
    struct conn *conn;
    struct peer_ids by;
    const struct verb_host *host;
    const struct verb *verb;
    struct arena *arena;
    struct span *args;
    size_t arg_count;
    size_t left;  // octets of the INPUT frame being read
    bool input_over;
    void (*on_end)(void *arg);
    void *on_end_arg;
};

const struct verb_host *
verb_host(const struct verb_call *c)
{
    return c->host;
}

size_t
verb_arg_count(const struct verb_call *c)
{
    return c->arg_count;
}

struct span
verb_arg(const struct verb_call *c, size_t i)
{
    return i < c->arg_count ? c->args[i] : SPAN_NONE;
}

struct span
verb_words(const struct verb_call *c)
{
    return span_str(c->verb->words);
}

bool
verb_has_feed(const struct verb_call *c)
{
    return c->verb->feed != NULL;
}

static void
send_frame(struct verb_call *c, enum frame_kind kind, struct span payload)
{
    struct buf b;
    buf_init(&b, FRAME_MAX + FRAME_HEAD);
    frame_put(&b, kind, payload);
    conn_write(c->conn, buf_span(&b));
    buf_done(&b);
}

void
verb_out(struct verb_call *c, struct span s)
{
    for (; s.n > 0; s = span_skip(s, PIECE))
        send_frame(c, FRAME_OUTPUT, span_slice(s, 0, PIECE));
}

// Values that came from outside (a source's paths, names) are cut to what a row may carry.
static void
send_row(struct verb_call *c, enum frame_kind kind, const char *type,
         const struct field *fields, size_t n)
{
    struct field cut[FIELDS_MAX];
    struct buf b;
    must(n <= FIELDS_MAX);
    for (size_t i = 0; i < n; i++) {
        cut[i] = fields[i];
        cut[i].text = span_slice(fields[i].text, 0, LIMIT_admin_value);
    }
    buf_init(&b, FRAME_MAX - 1);
    field_put_row(&b, span_str(type), SPAN_NONE, cut, n);
    must(!b.over);
    send_frame(c, kind, buf_span(&b));
    buf_done(&b);
}

void
verb_row(struct verb_call *c, const char *type, const struct field *fields, size_t n)
{
    send_row(c, FRAME_ROW, type, fields, n);
}

void
verb_note(struct verb_call *c, const char *type, const struct field *fields, size_t n)
{
    send_row(c, FRAME_NOTE, type, fields, n);
}

static enum result
send_rows(struct verb_call *c, enum frame_kind kind, struct span rows, struct fault *f)
{
    struct field_row row;
    for (struct span rest = rows; rest.n > 0;) {
        struct span from = rest;
        if (field_get_row(&rest, &row) != R_OK || from.n - rest.n >= FRAME_MAX)
            return fault_set(f, FAULT_SERVERBUG, "the rows of another role are malformed");
        send_frame(c, kind, span_slice(from, 0, from.n - rest.n));
    }
    return R_OK;
}

enum result
verb_rows(struct verb_call *c, struct span rows, struct fault *f)
{
    return send_rows(c, FRAME_ROW, rows, f);
}

enum result
verb_notes(struct verb_call *c, struct span rows, struct fault *f)
{
    return send_rows(c, FRAME_NOTE, rows, f);
}

// Reads the head of the next INPUT frame.
static enum result
next_input(struct verb_call *c, struct fault *f)
{
    if (conn_wait_input(c->conn, FRAME_HEAD, LIMIT_admin_ms) != R_OK)
        return fault_set(f, FAULT_CLOSED, "the command went away");
    struct unpack u = unpack_of(conn_input(c->conn));
    uint32_t n = unpack_u32(&u);
    uint8_t kind = unpack_u8(&u);
    conn_consume(c->conn, FRAME_HEAD);
    if (n == 0 || n > FRAME_MAX || (kind != FRAME_INPUT && kind != FRAME_INPUT_END))
        return fault_set(f, FAULT_BAD, "the command sent a frame of kind %u, %u octets",
                         kind, n);
    c->input_over = kind == FRAME_INPUT_END;
    c->left = n - 1;
    return R_OK;
}

enum result
verb_in(struct verb_call *c, char *dst, size_t len, size_t *n_out, struct fault *f)
{
    while (c->left == 0 && !c->input_over)
        if (next_input(c, f) != R_OK)
            return R_FAIL;
    if (c->input_over) {
        *n_out = 0;
        return R_OK;
    }
    if (conn_wait_input(c->conn, 1, LIMIT_admin_ms) != R_OK)
        return fault_set(f, FAULT_CLOSED, "the command went away");
    struct span in = span_slice(conn_input(c->conn), 0, c->left < len ? c->left : len);
    memcpy(dst, in.p, in.n);
    *n_out = in.n;
    c->left -= in.n;
    conn_consume(c->conn, in.n);
    return R_OK;
}

enum result
verb_in_all(struct verb_call *c, struct buf *b, struct fault *f)
{
    char piece[1024];
    for (;;) {
        size_t n;
        if (verb_in(c, piece, sizeof piece, &n, f) != R_OK)
            return R_FAIL;
        if (n == 0)
            break;
        buf_put(b, span_of(piece, n));
    }
    explicit_bzero(piece, sizeof piece);
    return b->over
               ? fault_set(f, FAULT_TOOBIG, "the input is larger than %zu octets", b->max)
               : R_OK;
}

static void
end(struct verb_call *c)
{
    void (*on_end)(void *arg) = c->on_end;
    void *arg = c->on_end_arg;
    if (on_end != NULL)
        conn_on_end(c->conn, on_end, arg);
    conn_finish(&c->conn);
    arena_free(&c->arena);
    free(c);
}

static void
send_status(struct verb_call *c, enum result r, const struct fault *f)
{
    struct buf b;
    buf_init(&b, 1024);
    frame_put_status(&b, r, f);
    send_frame(c, FRAME_STATUS, buf_span(&b));
    buf_done(&b);
}

// Passwords come as the verb's input, never as its arguments.
static void
audit(const struct verb_call *c, enum result r, const struct fault *f)
{
    struct buf args;
    if (c->host->who == NULL)  // no server: the person sees what happens
        return;
    buf_init(&args, LIMIT_log_value);
    for (size_t i = 0; i < c->arg_count && !args.over; i++)
        if (c->args[i].n > 0)
            pack_span(&args, span_slice(c->args[i], 0, 200));
    if (args.over)
        buf_reset(&args);
    log_audit(VERB, "ctl", "verb", field_str("verb", ": %", c->verb->words),
              field_list("args", " %", buf_span(&args)),
              field_number("uid", ", uid=%", (uint64_t)c->by.uid),
              field_number("pid", "pid=%", (uint64_t)c->by.pid),
              field_flag("done", "", r == R_OK),
              field_if(r != R_OK, field_str("code", "code=%", fault_info(f->kind)->name)),
              field_if(r != R_OK, log_why(f->why)));
    buf_done(&args);
}

static void
run(void *arg)
{
    struct verb_call *c = arg;
    struct fault f = {.kind = FAULT_SERVERBUG};
    enum result r = c->verb->run(c, &f);
    audit(c, r, &f);
    send_status(c, r, &f);
    conn_await_sent(c->conn);  // conn_finish would not wait for a slow reader
    end(c);
}

// Arguments are copied: the input they lie in is consumed.
static enum result
take_request(struct verb_call *c, struct span payload, struct fault *f)
{
    struct unpack u = unpack_of(payload);
    struct span words = unpack_span(&u);
    c->verb = verb_find(words);
    c->args = arena_array(c->arena, LIMIT_admin_args, sizeof *c->args);
    while (!u.bad && u.rest.n > 0 && c->arg_count < LIMIT_admin_args)
        c->args[c->arg_count++] = arena_dup(c->arena, unpack_span(&u));
    if (unpack_end(&u) != R_OK)
        return fault_set(f, FAULT_BAD, "the request is malformed");
    if (c->verb == NULL || c->verb->run == NULL)
        return fault_set(f, FAULT_BAD, "this server does not know the verb '%.*s'",
                         SPAN_ARG(words));
    if (!verb_takes_count(c->verb, c->arg_count))
        return fault_set(f, FAULT_BAD, "wrong number of arguments");
    return R_OK;
}

static void
refuse(struct verb_call *c, const struct fault *f)
{
    send_status(c, R_FAIL, f);
    end(c);
}

static void
on_input(struct conn *conn, void *arg)
{
    struct verb_call *c = arg;
    struct frame frame;
    struct fault f = {.kind = FAULT_BAD, .why = "the request is malformed"};
    enum result r = frame_get(conn_input(conn), &frame);
    if (r == R_NONE && !conn_eof(conn))
        return;
    if (r != R_OK || frame.kind != FRAME_REQUEST ||
        take_request(c, frame.payload, &f) != R_OK) {
        refuse(c, &f);
        return;
    }
    conn_consume(conn, frame.size);
    conn_read_pause(conn);
    task_start(run, c);
}

void
call_serve(int fd, const struct verb_host *host, void (*on_end)(void *arg), void *arg)
{
    struct verb_call *c = calloc(1, sizeof *c);
    must(c != NULL);
    c->host = host;
    c->arena = arena_new();
    c->on_end = on_end;
    c->on_end_arg = arg;
    struct fault none;
    if (peer_ids_get(fd, &c->by, &none) != R_OK)
        c->by.uid = (uid_t)-1;
    c->conn = conn_new(fd, on_input, c);
    conn_input_max(c->conn, FRAME_MAX + FRAME_HEAD);
}
