#include "ctl/call.h"
#include "base/arena.h"
#include "base/limits.h"
#include "io/conn.h"
#include "io/task.h"
#include <stdarg.h>

enum { PIECE = 32768 };

struct verb_call {
    struct conn *conn;
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

__attribute__((format(printf, 3, 0))) static void
send_text(struct verb_call *c, enum frame_kind kind, const char *fmt, va_list ap)
{
    char text[4096];
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): both callers started it
    int n = vsnprintf(text, sizeof text, fmt, ap);
    if (n > 0)
        send_frame(c, kind, span_of(text, strlen(text)));
}

void
verb_printf(struct verb_call *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    send_text(c, FRAME_OUTPUT, fmt, ap);
    va_end(ap);
}

void
verb_note(struct verb_call *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    send_text(c, FRAME_NOTE, fmt, ap);
    va_end(ap);
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

static void
end(struct verb_call *c)
{
    void (*on_end)(void *arg) = c->on_end;
    void *arg = c->on_end_arg;
    conn_finish(&c->conn);
    arena_free(&c->arena);
    free(c);
    if (on_end != NULL)
        on_end(arg);
}

static void
send_status(struct verb_call *c, enum result r, const struct fault *f)
{
    struct buf b;
    buf_init(&b, 1024);
    pack_u8(&b, r != R_OK);
    if (r != R_OK)
        buf_put_str(&b, f->why[0] ? f->why : fault_info(f->kind)->name);
    send_frame(c, FRAME_STATUS, buf_span(&b));
    buf_done(&b);
}

static void
run(void *arg)
{
    struct verb_call *c = arg;
    struct fault f = {.kind = FAULT_SERVERBUG};
    enum result r = c->verb->run(c, &f);
    send_status(c, r, &f);
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
    if (c->arg_count < c->verb->args_min || c->arg_count > c->verb->args_max)
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
    c->conn = conn_new(fd, on_input, c);
    conn_input_max(c->conn, FRAME_MAX + FRAME_HEAD);
}
