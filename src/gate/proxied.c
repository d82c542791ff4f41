#include "gate/proxied.h"
#include "base/buf.h"
#include "base/limits.h"
#include "io/loop.h"
#include <errno.h>
#include <event2/event.h>
#include <unistd.h>

struct proxied {
    struct event *event;
    struct timer patience;
    struct buf in;
    proxied_fn *fn;
    void *arg;
    int fd;
};

// All but the descriptor.
static void
give_up(struct proxied *p)
{
    event_free(p->event);
    timer_clear(&p->patience);
    buf_done(&p->in);
    free(p);
}

void
proxied_free(struct proxied **pp)
{
    struct proxied *p = *pp;
    if (p == NULL)
        return;
    *pp = NULL;
    close(p->fd);
    give_up(p);
}

static void
fail(struct proxied *p, const char *why)
{
    proxied_fn *fn = p->fn;
    void *arg = p->arg;
    proxied_free(&p);
    fn(-1, NULL, why, arg);
}

static void
succeed(struct proxied *p, const struct proxy_header *header)
{
    proxied_fn *fn = p->fn;
    void *arg = p->arg;
    int fd = p->fd;
    give_up(p);
    fn(fd, header, NULL, arg);
}

static void
on_patience(void *arg)
{
    fail(arg, "No PROXY header in time");
}

static void
on_input(evutil_socket_t fd, short what, void *arg)
{
    struct proxied *p = arg;
    struct proxy_header header;
    struct fault f;
    enum result r = R_NONE;
    (void)what;
    while (r == R_NONE) {
        size_t more = proxy_more(buf_span(&p->in));
        char *at = buf_reserve(&p->in, more);
        must(at != NULL);
        ssize_t n = recv(fd, at, more, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        if (n <= 0) {
            fail(p, "Closed before the PROXY header was whole");
            return;
        }
        p->in.n += (size_t)n;
        r = proxy_parse(buf_span(&p->in), &header, &f);
    }
    if (r == R_OK)
        succeed(p, &header);
    else
        fail(p, f.why);
}

struct proxied *
proxied_new(int fd, uint32_t ms, proxied_fn *fn, void *arg)
{
    struct proxied *p = calloc(1, sizeof *p);
    must(p != NULL);
    *p = (struct proxied){.fn = fn, .arg = arg, .fd = fd};
    buf_init(&p->in, LIMIT_proxy_header);
    timer_init(&p->patience, on_patience, p);
    timer_set(&p->patience, ms);
    p->event = event_new(loop_base(loop_self()), fd, EV_READ | EV_PERSIST, on_input, p);
    must(p->event != NULL && event_add(p->event, NULL) == 0);
    return p;
}
