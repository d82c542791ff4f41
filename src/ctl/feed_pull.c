#include "ctl/pull_job.h"

#include "base/clock.h"
#include "base/limits.h"
#include "ctl/parcel.h"
#include "ctl/progress.h"
#include "ctl/verb.h"
#include "io/resolve.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { PIECE = 65536 };

// ---- the connection ----

static enum result
connect_to(const struct pull_job *job, int *fd_out, struct fault *f)
{
    struct fault why;
    uint64_t until_ms = clock_mono_ms() + LIMIT_pull_connect_ms;
    if (resolve_reach(job->source.host, job->port, until_ms, fd_out, &why) == R_OK)
        return R_OK;
    return fault_set(f, FAULT_UNAVAILABLE, "%.80s cannot be reached: %.120s",
                     job->source.host, why.why);
}

// ---- parcels ----

struct feed_state {
    struct verb_client *client;
    struct pull_job *job;
    struct buf in;
    bool ended;
    struct progress progress;
};

static void
look_at_mailbox(struct feed_state *s, struct span payload)
{
    struct parcel_mailbox m;
    if (parcel_get_mailbox(payload, &m) != R_OK)
        return;
    progress_mailbox(&s->progress, m.name, m.messages);
    s->job->at = (struct pull_place){.uid = 0};
    snprintf(s->job->at.mailbox, sizeof s->job->at.mailbox, "%.*s",
             SPAN_ARG(span_slice(m.there.n > 0 ? m.there : m.name, 0, 200)));
}

static void
look_at_message(struct pull_job *job, struct span payload)
{
    struct arena *a = arena_new_small();
    struct parcel_message m;
    job->at.inside = parcel_get_message(payload, a, &m) == R_OK;
    if (job->at.inside)
        job->at.uid = m.uid;
    arena_free(&a);
}

// What the command's side looks at itself.
static void
look_at(struct feed_state *s, const struct parcel *p)
{
    struct pull_job *job = s->job;
    if (p->kind == PARCEL_MAILBOX)
        look_at_mailbox(s, p->payload);
    if (p->kind == PARCEL_MESSAGE)
        look_at_message(job, p->payload);
    if (p->kind == PARCEL_END || p->kind == PARCEL_ABORT)
        job->at.inside = false;
    if (p->kind == PARCEL_END) {
        job->took++;
        progress_message(&s->progress);
    }
    if (p->kind == PARCEL_BROKEN) {
        job->broken = true;
        if (parcel_get_broken(p->payload, &job->why) != R_OK)
            fault_set(&job->why, FAULT_SERVERBUG, "what was read is malformed");
    }
    s->ended |= p->kind == PARCEL_DONE || p->kind == PARCEL_BROKEN;
}

// The whole parcels go on to the verb; DONE is for us.
static enum result
pass_on(struct feed_state *s, struct fault *f)
{
    struct parcel p;
    size_t used = 0, send = 0;
    enum result r;
    while ((r = parcel_get(span_skip(buf_span(&s->in), used), &p, f)) == R_OK) {
        look_at(s, &p);
        used += p.size;
        if (p.kind != PARCEL_DONE)
            send = used;
    }
    if (r == R_FAIL ||
        verb_client_put(s->client, span_slice(buf_span(&s->in), 0, send), f) != R_OK)
        return R_FAIL;
    buf_consume(&s->in, used);
    return R_OK;
}

// The process that reads ended without a word: it was killed, or crashed over what it was told.
static enum result
died(struct feed_state *s, struct fault *f)
{
    struct buf b;
    s->ended = s->job->broken = true;
    fault_set(&s->job->why, FAULT_SERVERBUG, "the process that reads from %s died",
              s->job->source.host);
    buf_init(&b, 1024);
    parcel_put_broken(&b, &s->job->why);
    enum result r = verb_client_put(s->client, buf_span(&b), f);
    buf_done(&b);
    return r;
}

static enum result
relay(struct feed_state *s, struct fault *f)
{
    while (!s->ended) {
        if (verb_client_wait(s->client, s->job->child, f) != R_OK)
            return R_FAIL;
        char *room = buf_reserve(&s->in, PIECE);
        must(room != NULL);
        ssize_t n = read(s->job->child, room, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        s->in.n += n > 0 ? (size_t)n : 0;
        if ((n <= 0 ? died(s, f) : pass_on(s, f)) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
start_child(struct pull_job *job, pid_t *pid_out, struct fault *f)
{
    int server = -1, ends[2];
    if (connect_to(job, &server, f) != R_OK)
        return R_FAIL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        close(server);
        return fault_errno(f, FAULT_UNAVAILABLE, "socketpair");
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        pull_child_run(job, server, ends[1]);
    close(server);
    close(ends[1]);
    job->child = ends[0];
    *pid_out = pid;
    if (pid > 0)
        return R_OK;
    close(ends[0]);
    return fault_errno(f, FAULT_UNAVAILABLE, "fork");
}

enum result
feed_pull(struct verb_client *c, struct fault *f)
{
    struct feed_state s = {.client = c, .job = *verb_client_state(c)};
    pid_t pid = -1;
    if (start_child(s.job, &pid, f) != R_OK) {
        s.job->broken = true;
        s.job->why = *f;
        return R_FAIL;
    }
    progress_init(&s.progress);
    buf_init(&s.in, PARCEL_MAX + PARCEL_HEAD + PIECE);
    enum result r = relay(&s, f);
    progress_end(&s.progress);
    close(s.job->child);
    if (r != R_OK)
        (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);  // how it ended it has told
    buf_done(&s.in);
    return r;
}

// The verb's answers go to the process that reads.
enum result
sink_pull(struct verb_client *c, struct span bytes, struct fault *f)
{
    struct pull_job *job = *verb_client_state(c);
    if (job == NULL && bytes.n > 0)
        return fault_set(f, FAULT_SERVERBUG, "an answer that nobody asked for");
    while (bytes.n > 0) {
        ssize_t n = send(job->child, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fault_errno(f, FAULT_CLOSED, "the process that reads");
        bytes = span_skip(bytes, (size_t)n);
    }
    return R_OK;
}
