// clamd's INSTREAM (clamd(8)): "zINSTREAM\0", chunks of a 32-bit length and octets, a length of 0; "stream: OK\0" or "stream: NAME FOUND\0".
#include "scan/service.h"

#include "base/clock.h"
#include "base/limits.h"
#include "io/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CHUNK = 65536, LINE_MAX_OCTETS = 4096 };

struct dialog {
    int fd;
    uint64_t until_ms;
};

// ---- the connection ----

static enum result
await(const struct dialog *d, short what, struct fault *f)
{
    struct pollfd p = {.fd = d->fd, .events = what};
    uint64_t now_ms = clock_mono_ms();
    if (now_ms >= d->until_ms || poll(&p, 1, (int)(d->until_ms - now_ms)) <= 0)
        return fault_set(f, FAULT_UNAVAILABLE, "clamd does not answer in time");
    return R_OK;
}

static enum result
connect_to(struct dialog *d, const struct sockaddr *to, socklen_t n, struct fault *f)
{
    int error = 0;
    socklen_t size = sizeof error;
    d->fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (d->fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "socket");
    if (connect(d->fd, to, n) != 0 && errno != EINPROGRESS)
        return fault_errno(f, FAULT_UNAVAILABLE, "clamd cannot be reached");
    if (await(d, POLLOUT, f) != R_OK)
        return R_FAIL;
    if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0)
        return R_OK;
    errno = error;
    return fault_errno(f, FAULT_UNAVAILABLE, "clamd cannot be reached");
}

static enum result
connect_unix(struct dialog *d, const char *path, struct fault *f)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof to.sun_path)
        return fault_set(f, FAULT_UNAVAILABLE, "clamd_socket: the path is too long");
    memcpy(to.sun_path, path, strlen(path) + 1);
    return connect_to(d, (const struct sockaddr *)&to, sizeof to, f);
}

static enum result
connect_tcp(struct dialog *d, struct span where, struct fault *f)
{
    struct fault why;
    char host[256], port[16];
    size_t colon = span_behind_last(where, ':');
    struct span name = span_slice(where, 0, colon ? colon - 1 : 0);
    if (span_starts(name, SPAN("[")) && span_ends(name, SPAN("]")))
        name = span_slice(name, 1, name.n - 1);
    snprintf(host, sizeof host, "%.*s", SPAN_ARG(name));
    snprintf(port, sizeof port, "%.*s", SPAN_ARG(span_skip(where, colon)));
    if (resolve_reach(host, port, d->until_ms, &d->fd, &why) == R_OK)
        return R_OK;
    return fault_set(f, FAULT_UNAVAILABLE, "clamd cannot be reached: %.150s", why.why);
}

static enum result
open_it(struct dialog *d, const char *where, struct fault *f)
{
    struct span s = span_str(where);
    return span_starts(s, SPAN("unix:")) ? connect_unix(d, where + 5, f)
                                         : connect_tcp(d, s, f);
}

// ---- the stream ----

static enum result
send_all(const struct dialog *d, struct span s, struct fault *f)
{
    while (s.n > 0) {
        ssize_t n = send(d->fd, s.p, s.n, MSG_NOSIGNAL);
        if (n > 0)
            s = span_skip(s, (size_t)n);
        else if (errno != EAGAIN && errno != EINTR)
            return R_NONE;  // it takes no more: its answer says why
        else if (await(d, POLLOUT, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
send_chunk(const struct dialog *d, struct span piece, struct fault *f)
{
    uint32_t n = htonl((uint32_t)piece.n);
    enum result r = send_all(d, span_of(&n, sizeof n), f);
    return r == R_OK ? send_all(d, piece, f) : r;
}

static enum result
send_stream(const struct dialog *d, const struct scan_text *text, struct fault *f)
{
    char piece[CHUNK];
    enum result r = send_all(d, span_of("zINSTREAM", sizeof "zINSTREAM"), f);
    for (uint64_t at = 0; r == R_OK && at < text->size;) {
        size_t want = text->size - at < CHUNK ? (size_t)(text->size - at) : CHUNK;
        ssize_t n = pread(text->fd, piece, want, (off_t)at);
        if (n <= 0)
            return fault_set(f, FAULT_UNAVAILABLE, "the message cannot be read");
        r = send_chunk(d, span_of(piece, (size_t)n), f);
        at += (uint64_t)n;
    }
    return r == R_OK ? send_chunk(d, SPAN_NONE, f) : r;
}

static enum result
read_line(const struct dialog *d, struct buf *line, struct fault *f)
{
    char c[LINE_MAX_OCTETS];
    for (;;) {
        ssize_t n = recv(d->fd, c, sizeof c, 0);
        if (n > 0) {
            struct span got = span_of(c, (size_t)n);
            size_t end = span_find_char(got, '\0');
            buf_put(line, span_slice(got, 0, end));
            if (end < got.n)
                return R_OK;
            if (line->over)
                return fault_set(f, FAULT_UNAVAILABLE, "clamd's answer is too long");
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            return fault_set(f, FAULT_UNAVAILABLE, "clamd closed without an answer");
        } else if (await(d, POLLIN, f) != R_OK) {
            return R_FAIL;
        }
    }
}

// ---- the answer ----

enum result
scan_clamd_read(struct span line, struct buf *names, struct scan_verdict *v,
                struct fault *f)
{
    const struct span found = SPAN(" FOUND");
    struct span said = span_trim(line), start = SPAN("stream: ");
    if (span_eq(said, SPAN("stream: OK"))) {
        v->virus = SCAN_VIRUS_NONE;
        return R_OK;
    }
    if (span_starts(said, start) && span_ends(said, found) && said.n > start.n + found.n) {
        struct span name = span_slice(said, start.n, said.n - found.n);
        size_t from = names->n;
        name = span_slice(name, 0, LIMIT_scan_virus_name);
        for (size_t i = 0; i < name.n; i++)
            buf_put_char(names, name.p[i] <= ' ' || name.p[i] > '~' ? '?' : name.p[i]);
        v->virus = SCAN_VIRUS_FOUND;
        v->virus_name = span_of(names->p + from, name.n);
        return R_OK;
    }
    if (span_find(said, SPAN("size limit exceeded")) < said.n) {
        v->large = true;
        return R_OK;
    }
    return fault_set(f, FAULT_UNAVAILABLE, "clamd's answer is not what its protocol says");
}

enum result
scan_clamd(const struct scan_services *s, const struct scan_text *text, struct buf *names,
           struct scan_verdict *v, struct fault *f)
{
    struct dialog d = {-1, clock_mono_ms() + s->timeout_ms};
    struct buf line;
    buf_init(&line, LINE_MAX_OCTETS);
    enum result r = open_it(&d, s->clamd, f);
    if (r == R_OK && send_stream(&d, text, f) == R_FAIL)
        r = R_FAIL;
    if (r == R_OK)
        r = read_line(&d, &line, f);
    if (r == R_OK)
        r = scan_clamd_read(buf_span(&line), names, v, f);
    if (d.fd >= 0)
        close(d.fd);
    buf_done(&line);
    return r;
}
