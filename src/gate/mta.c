#include "gate/mta_inside.h"
#include "base/limits.h"
#include "base/log.h"
#include "os/network.h"
#include "os/peer.h"

#include <unistd.h>
#include <utlist.h>

enum { FLUSH_MS = 20, COOKIE = 16 };

static void
mta_free(struct mta *m)
{
    struct gate *g = m->gate;
    mta_request_drop_all(m);
    timer_clear(&m->silence);
    timer_clear(&m->flush);
    DL_DELETE(g->mtas.list, m);
    g->mtas.count--;
    conn_finish(&m->conn);
    free(m);
}

// Its MECH lines are of this moment: who wants newer ones connects again. Agents keep them for long, so nothing is said
// before auth has made its first offer.
static void
say_hello(struct mta *m)
{
    unsigned char cookie[COOKIE];
    struct buf b;
    m->heard = true;
    buf_init(&b, LIMIT_channel_message);
    buf_printf(&b, "VERSION\t%d\t%d\n", AUTH_LINE_MAJOR, AUTH_LINE_MINOR);
    mta_request_put_mechanisms(m->gate, &b);
    buf_printf(&b, "SPID\t%d\nCUID\t%u\nCOOKIE\t", getpid(), ++m->gate->mtas.last);
    random_bytes(cookie, sizeof cookie);
    buf_put_hex(&b, cookie, sizeof cookie);
    buf_put_str(&b, "\nDONE\n");
    conn_write(m->conn, buf_span(&b));
    buf_done(&b);
}

// ---- lines ----

static enum result
shake_hands(struct mta *m, const struct auth_line *line, struct fault *f)
{
    if (!m->greeted) {
        if (line->kind != AUTH_LINE_VERSION)
            return fault_set(f, FAULT_BAD, "no VERSION at the start");
        if (line->major != AUTH_LINE_MAJOR)
            return fault_set(f, FAULT_BAD, "version %u is not spoken here", line->major);
        m->greeted = true;
        m->minor = line->minor;
        return R_OK;
    }
    m->known = line->kind == AUTH_LINE_CPID;
    return m->known ? R_OK : fault_set(f, FAULT_BAD, "no CPID behind VERSION");
}

static enum result
take_line(struct mta *m, struct span text, struct arena *a, struct fault *f)
{
    struct auth_line line;
    if (auth_line_parse(text, a, &line, f) != R_OK)
        return R_FAIL;
    if (!m->known)
        return shake_hands(m, &line, f);
    return mta_request_take(m, &line, f);
}

// R_NONE: none is whole.
static enum result
next_line(struct mta *m, struct fault *f)
{
    struct span in = conn_input(m->conn);
    size_t end = span_find_char(in, '\n');
    if (end > LIMIT_mta_line)
        return fault_set(f, FAULT_BAD, "a line is longer than %d octets", LIMIT_mta_line);
    if (end == in.n)
        return R_NONE;
    struct arena *a = arena_new_small();
    struct span text = arena_dup(a, span_slice(in, 0, end));
    conn_consume(m->conn, end + 1);
    enum result r = take_line(m, text, a, f);
    explicit_bzero((char *)text.p, text.n);  // may hold a password
    arena_free(&a);
    return r;
}

// Who does not take the answers is not read either.
static bool
is_stuffed(struct mta *m)
{
    bool stuffed = conn_queued(m->conn) > LIMIT_output_low;
    if (stuffed) {
        conn_read_pause(m->conn);
        timer_set(&m->flush, FLUSH_MS);
    }
    return stuffed;
}

static void
on_input(struct conn *c, void *arg)
{
    struct mta *m = arg;
    struct fault f;
    enum result r = R_OK;
    timer_set(&m->silence, m->known ? LIMIT_mta_idle_ms : LIMIT_preauth_ms);
    while (r == R_OK && m->heard && !conn_failed(c) && !is_stuffed(m))
        r = next_line(m, &f);
    if (!m->heard && conn_eof(c))
        r = R_NONE;
    if (r == R_FAIL)
        log_warning("auth-service", "a client is not understood, closed", log_fault(&f));
    if (r == R_FAIL || conn_failed(c) || (r == R_NONE && conn_eof(c)))
        mta_free(m);
}

static void
on_flush(void *arg)
{
    struct mta *m = arg;
    if (conn_failed(m->conn))
        mta_free(m);
    else if (!is_stuffed(m))
        conn_read_resume(m->conn);
}

static void
on_silence(void *arg)
{
    struct mta *m = arg;
    if (m->known && m->requests != NULL)
        timer_set(&m->silence, LIMIT_mta_idle_ms);
    else
        mta_free(m);
}

// ---- connections ----

// Unix sockets are kept by their mode.
static bool
may_ask(const struct gate *g, const struct sockaddr_storage *peer)
{
    return peer->ss_family == AF_UNIX || network_list_has(&g->options.settings.mtas, peer);
}

static void
refuse(int fd, const struct sockaddr_storage *peer, const char *why)
{
    struct buf remote;
    buf_init(&remote, 128);
    peer_text(peer, &remote);
    log_warning("auth-service", "Refused", field_text("rip", "rip=%", buf_span(&remote)),
                log_why(why));
    buf_done(&remote);
    close(fd);
}

static void
mta_new(struct gate *g, int fd)
{
    struct mta *m = calloc(1, sizeof *m);
    must(m != NULL);
    m->gate = g;
    timer_init(&m->silence, on_silence, m);
    timer_init(&m->flush, on_flush, m);
    timer_set(&m->silence, LIMIT_preauth_ms);
    DL_APPEND(g->mtas.list, m);
    g->mtas.count++;
    m->conn = conn_new(fd, on_input, m);
    conn_input_max(m->conn, LIMIT_mta_line + 1);
    if (g->mechanisms.n > 0)
        say_hello(m);
}

void
mta_offer_came(struct gate *g)
{
    struct mta *m, *next;
    DL_FOREACH_SAFE(g->mtas.list, m, next)
    {
        if (m->heard)
            continue;
        say_hello(m);
        on_input(m->conn, m);
    }
}

void
mta_admit(struct gate *g, int fd, const struct sockaddr_storage *peer)
{
    if (!may_ask(g, peer))
        refuse(fd, peer, "not in auth_service_networks, closed");
    else if (g->mtas.count >= LIMIT_mta_connections)
        refuse(fd, peer, "too many connections");
    else
        mta_new(g, fd);
}

void
mta_drain(struct gate *g)
{
    struct mta *m, *next;
    DL_FOREACH_SAFE(g->mtas.list, m, next)
    {
        mta_request_fail_all(m);
        mta_free(m);
    }
}

void
mta_close_all(struct gate *g)
{
    struct mta *m, *next;
    DL_FOREACH_SAFE(g->mtas.list, m, next)
    {
        mta_free(m);
    }
}
