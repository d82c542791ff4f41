#include "pull/session.h"

#include <stdarg.h>

#include "base/clock.h"
#include "base/limits.h"
#include "io/task.h"

enum { PIECE = 32000 };

// ---- saying ----

unsigned
session_say(struct session *s, const char *fmt, ...)
{
    char text[LIMIT_pull_command];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    must(n >= 0 && (size_t)n < sizeof text);
    conn_printf(s->conn, "P%u ", ++s->tag);
    conn_write(s->conn, span_of(text, (size_t)n));
    conn_write(s->conn, SPAN("\r\n"));
    explicit_bzero(text, sizeof text);  // it may have been a password
    return s->tag;
}

// ---- hearing ----

// More input than `had`; a server that says nothing for too long, or is gone, is FAULT_CLOSED.
static enum result
await_more(struct session *s, size_t had, struct fault *f)
{
    if (conn_wait_input(s->conn, had + 1, s->source->patience_ms) == R_OK)
        return R_OK;
    if (conn_why(s->conn)[0] != '\0')
        return fault_set(f, FAULT_CLOSED, "%s: %.120s", s->source->host, conn_why(s->conn));
    if (conn_eof(s->conn))
        return fault_set(f, FAULT_CLOSED, "%s closed the connection", s->source->host);
    return fault_set(f, FAULT_CLOSED, "%s has said nothing for %u seconds", s->source->host,
                     s->source->patience_ms / 1000);
}

static void
keep_to_rate(struct session *s)
{
    uint64_t due_ms = s->since_ms, now_ms = clock_mono_ms();
    if (s->source->rate == 0)
        return;
    due_ms += s->octets * 1000 / s->source->rate;
    if (due_ms > now_ms)
        task_sleep((uint32_t)(due_ms - now_ms < 60000 ? due_ms - now_ms : 60000));
}

enum result
session_octets(struct session *s, uint64_t size, bool wanted, struct fault *f)
{
    while (size > 0) {
        struct span in = conn_input(s->conn);
        size_t most = size < PIECE ? (size_t)size : PIECE;
        if (in.n == 0) {
            if (await_more(s, 0, f) != R_OK)
                return R_FAIL;
            continue;
        }
        in = span_slice(in, 0, most);
        if (wanted && s->ops->octets(s->ops->arg, in, f) != R_OK)
            return R_FAIL;
        size -= in.n;
        s->octets += in.n;
        conn_consume(s->conn, in.n);
        keep_to_rate(s);
    }
    return R_OK;
}

// What came so far is kept without the literal's header, NIL in its place.
static enum result
take_stream(struct session *s, struct framer *r, size_t size, struct fault *f)
{
    struct span head = span_slice(conn_input(s->conn), 0, size - r->header);
    if (s->stream == NULL || s->streamed)
        return fault_set(f, FAULT_BAD, "%s sent a message that was not asked for",
                         s->source->host);
    s->streamed = true;
    buf_put(&s->cut, head);
    buf_put_str(&s->cut, "NIL");
    conn_consume(s->conn, size);
    if (s->stream(s, s->stream_arg, r->literal, f) != R_OK)
        return R_FAIL;
    framer_rest(r);
    return R_OK;
}

static enum result
take_whole(struct session *s, size_t size, struct fault *f)
{
    buf_put(&s->cut, span_slice(conn_input(s->conn), 0, size));
    conn_consume(s->conn, size);
    struct fault why;
    if (s->cut.over)
        return fault_set(f, FAULT_BAD, "%s: an answer without an end", s->source->host);
    if (response_read(buf_span(&s->cut), s->line, &s->response, &why) == R_OK)
        return R_OK;
    return fault_set(f, FAULT_BAD, "%s: an answer that cannot be read: %.60s: %.*s",
                     s->source->host, why.why,
                     SPAN_ARG(span_slice(buf_span(&s->cut), 0, 60)));
}

enum result
session_next(struct session *s, struct fault *f)
{
    struct framer r;
    size_t size = 0;
    framer_init(&r);
    arena_reset(s->line);
    buf_reset(&s->cut);
    s->streamed = false;
    for (;;) {
        struct span in = conn_input(s->conn);
        switch (framer_feed(&r, in, &size)) {
        case FRAME_WHOLE:
            return take_whole(s, size, f);
        case FRAME_STREAM:
            if (take_stream(s, &r, size, f) != R_OK)
                return R_FAIL;
            break;
        case FRAME_BROKEN:
            return fault_set(f, FAULT_BAD, "%s: %s", s->source->host, r.why);
        case FRAME_MORE:
            if (await_more(s, in.n, f) != R_OK)
                return R_FAIL;
        }
    }
}

static enum result
refused(struct session *s, struct fault *f)
{
    const struct response *r = &s->response;
    (void)!fault_set(f, r->code == CODE_UNAVAILABLE ? FAULT_UNAVAILABLE : FAULT_CANNOT,
                     "%s: %.*s", s->source->host, SPAN_ARG(span_slice(r->text, 0, 120)));
    return R_NONE;
}

static enum result
take_untagged(struct session *s, session_fn *fn, void *arg, struct fault *f)
{
    const struct response *r = &s->response;
    if (r->caps != 0)
        s->caps = r->caps;
    if (r->kind == RESPONSE_STATE && r->condition == SAYS_BYE)
        return fault_set(f, FAULT_CLOSED, "%s: BYE %.*s", s->source->host,
                         SPAN_ARG(span_slice(r->text, 0, 120)));
    return fn != NULL ? fn(s, arg, f) : R_OK;
}

enum result
session_await(struct session *s, session_fn *fn, void *arg, struct fault *f)
{
    char tag[16];
    snprintf(tag, sizeof tag, "P%u", s->answered + 1);
    for (uint64_t i = 0; i < LIMIT_pull_responses; i++) {
        if (session_next(s, f) != R_OK)
            return R_FAIL;
        const struct response *r = &s->response;
        if (r->kind != RESPONSE_TAGGED) {
            if (take_untagged(s, fn, arg, f) != R_OK)
                return R_FAIL;
            continue;
        }
        if (!span_eq(r->tag, span_str(tag)) || s->answered == s->tag)
            return fault_set(f, FAULT_BAD, "%s answers a command that was not given",
                             s->source->host);
        s->answered++;
        if (r->caps != 0)
            s->caps = r->caps;
        return r->condition == SAYS_OK ? R_OK : refused(s, f);
    }
    return fault_set(f, FAULT_BAD, "%s: an answer without an end", s->source->host);
}
