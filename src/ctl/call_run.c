#include "ctl/call.h"
#include "ctl/output.h"
#include "ctl/verbs.h"
#include "base/limits.h"
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>

enum { PIECE = 32768 };

struct verb_client {
    int fd;
    const struct verb *verb;
    const char *const *args;
    size_t arg_count;
    struct buf in;
    bool over;  // the status came, or nothing more will
    int code;
    void *state;
    struct fault *fault;  // takes what went wrong; NULL: it is printed
};

struct span
verb_client_arg(const struct verb_client *c, size_t i)
{
    return i < c->arg_count ? span_str(c->args[i]) : SPAN_NONE;
}

void **
verb_client_state(struct verb_client *c)
{
    return &c->state;
}

// `auth test` tells a refusal from what cannot be judged now.
int
call_exit(const struct verb *v, const struct fault *f)
{
    return f->kind == FAULT_UNAVAILABLE && v->run == verb_auth_test ? EX_TEMPFAIL : 1;
}

static void
complain(struct verb_client *c, const struct fault *f)
{
    c->over = true;
    c->code = 1;
    if (c->fault != NULL)
        *c->fault = *f;
    else
        c->code = output_fault(f, call_exit(c->verb, f));
}

static void
malformed(struct verb_client *c)
{
    struct fault f;
    fault_set(&f, FAULT_SERVERBUG, "the server's answer is malformed");
    complain(c, &f);
}

static void
sink(struct verb_client *c, struct span bytes)
{
    struct fault f;
    if (c->verb->sink == NULL && bytes.n > 0)
        malformed(c);
    else if (c->verb->sink != NULL && c->verb->sink(c, bytes, &f) != R_OK)
        complain(c, &f);
}

static void
take_row(struct verb_client *c, struct span payload, bool note)
{
    struct field_row row;
    if (field_get_row(&payload, &row) == R_OK && payload.n == 0)
        output_foreign(&row, note);
    else
        malformed(c);
}

static void
take_status(struct verb_client *c, struct span payload)
{
    struct fault f;
    bool failed;
    c->over = true;
    if (frame_get_status(payload, &failed, &f) != R_OK)
        malformed(c);
    else if (failed)
        complain(c, &f);
}

static void
take(struct verb_client *c, const struct frame *frame)
{
    switch (frame->kind) {
    case FRAME_OUTPUT:
        sink(c, frame->payload);
        return;
    case FRAME_ROW:
    case FRAME_NOTE:
        take_row(c, frame->payload, frame->kind == FRAME_NOTE);
        return;
    case FRAME_STATUS:
        take_status(c, frame->payload);
        return;
    case FRAME_REQUEST:
    case FRAME_INPUT:
    case FRAME_INPUT_END:
        break;
    }
    malformed(c);
}

// Reads what is there and acts on the whole frames.
static void
receive(struct verb_client *c)
{
    struct fault f;
    char *room = buf_reserve(&c->in, PIECE);
    must(room != NULL);
    ssize_t n = recv(c->fd, room, PIECE, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        fault_set(&f, FAULT_CLOSED, "the server closed the connection");
        complain(c, &f);
        return;
    }
    c->in.n += (size_t)n;
    struct frame frame;
    enum result r = R_NONE;
    while (!c->over && (r = frame_get(buf_span(&c->in), &frame)) == R_OK) {
        take(c, &frame);
        buf_consume(&c->in, frame.size);
    }
    fflush(stdout);  // output_close tells when that fails
    if (r == R_FAIL && !c->over)
        malformed(c);
}

// Sends all of s; answers are taken meanwhile, so that neither side waits for the other.
static enum result
send_all(struct verb_client *c, struct span s, struct fault *f)
{
    while (s.n > 0 && !c->over) {
        struct pollfd p = {c->fd, POLLIN | POLLOUT, 0};
        if (poll(&p, 1, -1) < 0 && errno != EINTR)
            return fault_errno(f, FAULT_CLOSED, "poll");
        if (p.revents & (POLLIN | POLLHUP | POLLERR))
            receive(c);
        if (!(p.revents & POLLOUT) || c->over)
            continue;
        ssize_t n = send(c->fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            s = span_skip(s, (size_t)n);
    }
    return c->over ? fault_set(f, FAULT_CLOSED, "the verb ended") : R_OK;
}

static enum result
send_frame(struct verb_client *c, enum frame_kind kind, struct span payload,
           struct fault *f)
{
    struct buf b;
    buf_init(&b, FRAME_MAX + FRAME_HEAD);
    frame_put(&b, kind, payload);
    enum result r = send_all(c, buf_span(&b), f);
    buf_done(&b);
    return r;
}

enum result
verb_client_put(struct verb_client *c, struct span bytes, struct fault *f)
{
    for (; bytes.n > 0; bytes = span_skip(bytes, PIECE))
        if (send_frame(c, FRAME_INPUT, span_slice(bytes, 0, PIECE), f) != R_OK)
            return R_FAIL;
    return R_OK;
}

enum result
verb_client_wait(struct verb_client *c, int fd, struct fault *f)
{
    while (!c->over) {
        struct pollfd p[] = {{fd, POLLIN, 0}, {c->fd, POLLIN, 0}};
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return fault_errno(f, FAULT_CLOSED, "poll");
        if (p[1].revents != 0)
            receive(c);
        if (p[0].revents != 0 && !c->over)
            return R_OK;
    }
    return fault_set(f, FAULT_CLOSED, "the verb ended");
}

static enum result
send_request(struct verb_client *c, struct fault *f)
{
    struct buf b;
    buf_init(&b, FRAME_MAX - 1);
    pack_span(&b, span_str(c->verb->words));
    for (size_t i = 0; i < c->arg_count; i++)
        pack_span(&b, span_str(c->args[i]));
    enum result r = b.over ? fault_set(f, FAULT_BAD, "the arguments are too long")
                           : send_frame(c, FRAME_REQUEST, buf_span(&b), f);
    buf_done(&b);
    return r;
}

static void
converse(struct verb_client *c)
{
    struct fault f;
    enum result r = send_request(c, &f);
    if (r == R_OK && c->verb->feed != NULL)
        r = c->verb->feed(c, &f);
    if (r == R_OK && c->verb->feed != NULL)
        r = send_frame(c, FRAME_INPUT_END, SPAN_NONE, &f);
    if (r != R_OK && !c->over)
        complain(c, &f);
    while (!c->over)
        receive(c);
    if (c->code == 0)
        sink(c, SPAN_NONE);
    if (c->code != 0 && c->verb->sink == sink_file)
        sink_file_drop(c);
}

static int
run(struct verb_client *c)
{
    buf_init(&c->in, FRAME_MAX + FRAME_HEAD + PIECE);
    converse(c);
    buf_done(&c->in);
    close(c->fd);
    return c->code;
}

int
call_run(int fd, const struct verb *v, const char *const *args, size_t n)
{
    struct verb_client c = {.fd = fd, .verb = v, .args = args, .arg_count = n};
    return run(&c);
}

enum result
call_ask(int fd, const struct verb *v, const char *const *args, size_t n, void *state,
         struct fault *f)
{
    struct verb_client c = {
        .fd = fd, .verb = v, .args = args, .arg_count = n, .state = state, .fault = f};
    return run(&c) == 0 ? R_OK : R_FAIL;
}

enum result
call_connect(const char *data, int *fd_out, struct fault *f)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int n = snprintf(a.sun_path, sizeof a.sun_path, "%s/admin.sock", data);
    if (n < 0 || (size_t)n >= sizeof a.sun_path)
        return fault_set(f, FAULT_BAD,
                         "the data directory's path is too long for a socket");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "socket");
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) == 0) {
        *fd_out = fd;
        return R_OK;
    }
    int error = errno;
    close(fd);
    errno = error;
    if (error == ENOENT || error == ECONNREFUSED || error == ENOTDIR)
        return R_NONE;
    return fault_errno(f, FAULT_UNAVAILABLE, a.sun_path);
}
