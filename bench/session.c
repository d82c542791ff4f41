#include "bench/session.h"

#include "bench/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>

enum { OUT_MAX = 1 << 28, DROP_LEAST = 4096 };

static char chunk[1 << 18];

enum result
session_connect(struct session *s, uint16_t port, SSL_CTX *tls, struct fault *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        fcntl(s->fd, F_SETFL, O_NONBLOCK) != 0 ||
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "connect");
    buf_init(&s->out, OUT_MAX);
    s->await = AWAIT_GREETING;
    s->head_n = 0;
    s->skip = 0;
    s->shaken = tls == NULL;
    if (tls != NULL) {
        s->tls = tls_begin(tls);
        must(SSL_set_fd(s->tls, s->fd) == 1);
    }
    return R_OK;
}

void
session_close(struct session *s)
{
    if (s->fd < 0)
        return;
    tls_end(&s->tls);
    close(s->fd);
    s->fd = -1;
    buf_done(&s->out);
}

void
session_tag(struct session *s)
{
    buf_printf(&s->out, "T%u ", ++s->tag);
    s->await = AWAIT_TAG;
}

static bool
is_exists(struct span line)
{
    return span_starts(line, SPAN("* ")) && span_find(line, SPAN(" EXISTS")) < line.n;
}

static enum progress
judge_tag(const struct session *s, struct span line)
{
    char tag[16];
    int n = snprintf(tag, sizeof tag, "T%u ", s->tag);
    if (!span_starts(line, span_of(tag, (size_t)n)))
        return PROGRESS_MORE;
    return span_starts(span_skip(line, (size_t)n), SPAN("OK")) ? PROGRESS_ANSWER
                                                               : PROGRESS_BROKEN;
}

static enum progress
judge_code(struct session *s, struct span line)
{
    if (line.n < 4 || line.p[3] != ' ')
        return PROGRESS_MORE;
    if (line.p[0] != '2' && line.p[0] != '3')
        return PROGRESS_BROKEN;
    return --s->codes == 0 ? PROGRESS_ANSWER : PROGRESS_MORE;
}

// RFC 1939 section 3. The corpus has no line that begins with -ERR.
static enum progress
judge_pop3(struct session *s, struct span line)
{
    bool counts = s->await == AWAIT_OKS ? span_starts(line, SPAN("+OK"))
                                        : span_eq(span_trim(line), SPAN("."));
    if (span_starts(line, SPAN("-ERR")))
        return PROGRESS_BROKEN;
    return counts && --s->codes == 0 ? PROGRESS_ANSWER : PROGRESS_MORE;
}

static enum progress
judge(struct session *s, struct span line)
{
    switch (s->await) {
    case AWAIT_GREETING:
        return PROGRESS_ANSWER;
    case AWAIT_TAG:
        return line.n > 0 && line.p[0] == 'T' ? judge_tag(s, line) : PROGRESS_MORE;
    case AWAIT_PLUS:
        return span_starts(line, SPAN("+")) ? PROGRESS_ANSWER : PROGRESS_MORE;
    case AWAIT_CODES:
        return judge_code(s, line);
    case AWAIT_OKS:
    case AWAIT_DOTS:
        return judge_pop3(s, line);
    case AWAIT_EXISTS:
        return is_exists(line) ? PROGRESS_ANSWER : PROGRESS_MORE;
    case AWAIT_STATUS:
        return span_starts(line, SPAN("* STATUS ")) ? PROGRESS_ANSWER : PROGRESS_MORE;
    case AWAIT_NOTHING:
    case AWAIT_CLOSE:
        return PROGRESS_MORE;
    }
    return PROGRESS_MORE;
}

static void
keep_head(struct session *s, struct span piece)
{
    size_t room = sizeof s->head - s->head_n, n = piece.n < room ? piece.n : room;
    if (n > 0)
        memcpy(s->head + s->head_n, piece.p, n);
    s->head_n += n;
}

// RFC 9051 section 4.3: "{123}" at the end of a line.
static uint64_t
literal_after(struct span line)
{
    uint64_t n = 0;
    line = span_trim(line);
    size_t brace = line.n;
    if (!span_ends(line, SPAN("}")))
        return 0;
    while (brace > 0 && line.p[brace - 1] != '{')
        brace--;
    return span_to_u64(span_slice(line, brace, line.n - 1), &n) == R_OK ? n : 0;
}

static struct span
pass_over(struct session *s, struct span rest)
{
    uint64_t n = s->skip < rest.n ? s->skip : rest.n;
    s->skip -= n;
    return span_skip(rest, n);
}

static enum progress
judge_chunk(struct session *s, struct span rest)
{
    enum progress told = PROGRESS_MORE;
    while ((rest = pass_over(s, rest)).n > 0) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t n = end != NULL ? (size_t)(end - rest.p) + 1 : rest.n;
        struct span line = span_of(rest.p, n);
        if (end == NULL || s->head_n > 0) {
            keep_head(s, line);
            line = span_of(s->head, s->head_n);
        }
        if (end != NULL) {
            enum progress p = judge(s, line);
            told = told == PROGRESS_MORE ? p : told;
            s->skip = s->await == AWAIT_TAG ? literal_after(line) : 0;
            if (p != PROGRESS_BROKEN)
                s->head_n = 0;
            else if (s->head_n == 0)
                keep_head(s, line);
        }
        rest = span_of(rest.p + n, rest.n - n);
    }
    return told;
}

// What a refused read or write of OpenSSL or the kernel means: try again later, or the end.
static bool
ended(struct session *s, long n)
{
    if (s->tls != NULL) {
        int why = SSL_get_error(s->tls, (int)n);
        ERR_clear_error();
        s->wants_out |= why == SSL_ERROR_WANT_WRITE;
        return why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE;
    }
    return n == 0 || (errno != EAGAIN && errno != EINTR);
}

static long
send_some(struct session *s)
{
    return s->tls != NULL ? SSL_write(s->tls, s->out.p, (int)s->out.n)
                          : send(s->fd, s->out.p, s->out.n, MSG_NOSIGNAL);
}

static long
receive_some(struct session *s)
{
    return s->tls != NULL ? SSL_read(s->tls, chunk, sizeof chunk)
                          : recv(s->fd, chunk, sizeof chunk, 0);
}

// A literal's bytes are dropped in the kernel (tcp(7), MSG_TRUNC), so that the client costs little.
static long
drop_literal(struct session *s)
{
    long n = recv(s->fd, NULL, s->skip, MSG_TRUNC);
    s->skip -= n > 0 ? (uint64_t)n : 0;
    return n;
}

static bool
shake(struct session *s)
{
    int n = SSL_do_handshake(s->tls);
    s->shaken = n == 1;
    s->resumed += n == 1 && SSL_session_reused(s->tls) == 1;
    return n == 1 || !ended(s, n);
}

static bool
send_all(struct session *s)
{
    while (s->out.n > 0) {
        long n = send_some(s);
        if (n <= 0) {
            s->wants_out = true;
            return !ended(s, n);
        }
        buf_consume(&s->out, (size_t)n);
    }
    return true;
}

enum progress
session_go(struct session *s)
{
    s->wants_out = false;
    if (!s->shaken && !shake(s))
        return PROGRESS_BROKEN;
    if (!s->shaken)
        return PROGRESS_MORE;
    if (!send_all(s))
        return PROGRESS_BROKEN;
    for (enum progress p = PROGRESS_MORE; s->await != AWAIT_NOTHING;) {
        bool drop = s->tls == NULL && s->skip >= DROP_LEAST;
        long n = drop ? drop_literal(s) : receive_some(s);
        if (n <= 0 && !ended(s, n))
            return p;
        if (n <= 0)
            return s->await == AWAIT_CLOSE ? PROGRESS_ANSWER : PROGRESS_BROKEN;
        s->received += (uint64_t)n;
        if (!drop)
            p = judge_chunk(s, span_of(chunk, (size_t)n));
        if (p != PROGRESS_MORE)
            return p;
    }
    return PROGRESS_MORE;
}
