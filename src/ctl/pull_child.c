#include "ctl/pull_job.h"

#include "auth/sasl_client.h"
#include "base/limits.h"
#include "ctl/feed.h"
#include "ctl/uidl_format.h"
#include "io/loop.h"
#include "io/task.h"
#include "os/sandbox.h"

#include <errno.h>
#include <signal.h>

enum { FLUSH_AT = 65536, SERVER_FD = 3, PARENT_FD = 4, PIECE = 16384 };

// Each op of the pull is a parcel; what is asked waits for the parcel that answers it. Writing and reading block: there is
// nobody else in this process.
struct child {
    const struct pull_job *job;
    struct loop *loop;
    struct arena *arena;  // of the name at hand
    struct buf out, in;
    uint32_t uidvalidity;  // of the mailbox
    bool inbox;
};

// ---- to the parent ----

static enum result
flush(struct child *c, struct fault *f)
{
    struct span s = buf_span(&c->out);
    while (s.n > 0) {
        ssize_t n = write(PARENT_FD, s.p, s.n);
        if (n < 0 && errno != EINTR)
            return fault_errno(f, FAULT_SERVERBUG, "the command's process is gone");
        if (n > 0)
            s = span_skip(s, (size_t)n);
    }
    buf_reset(&c->out);
    return R_OK;
}

static enum result
flush_much(struct child *c, struct fault *f)
{
    must(!c->out.over);
    return c->out.n < FLUSH_AT ? R_OK : flush(c, f);
}

static enum result
read_more(struct child *c, struct fault *f)
{
    char *room = buf_reserve(&c->in, PIECE);
    must(room != NULL);
    ssize_t n = read(PARENT_FD, room, PIECE);
    if (n <= 0 && !(n < 0 && errno == EINTR))
        return fault_set(f, FAULT_SERVERBUG, "the command's process is gone");
    c->in.n += n > 0 ? (size_t)n : 0;
    return R_OK;
}

// The answer of that kind; it lies in c->in until the next one.
static enum result
hear(struct child *c, enum parcel_kind kind, struct parcel *out, struct fault *f)
{
    enum result r = R_NONE;
    buf_reset(&c->in);
    if (flush(c, f) != R_OK)
        return R_FAIL;
    while ((r = parcel_get(buf_span(&c->in), out, f)) == R_NONE)
        if (read_more(c, f) != R_OK)
            return R_FAIL;
    if (r == R_OK && out->kind != kind)
        return fault_set(f, FAULT_SERVERBUG, "an answer of kind %u", out->kind);
    return r;
}

// ---- ops ----

static struct span
name_here(struct child *c, struct span name)
{
    arena_reset(c->arena);
    return feed_name(c->arena, c->job->folder, name);
}

static enum result
announce(void *arg, const struct pull_mailbox *m, struct fault *f)
{
    struct child *c = arg;
    struct span use = c->job->folder.n > 0 ? SPAN("") : m->use;
    parcel_put_use(&c->out, use, name_here(c, m->name));
    return flush_much(c, f);
}

static enum result
subscribed(void *arg, struct span name, struct fault *f)
{
    struct child *c = arg;
    parcel_put(&c->out, PARCEL_SUBSCRIBED, name_here(c, name));
    return flush_much(c, f);
}

static enum result
recall(void *arg, struct span name, struct pull_state *out, struct fault *f)
{
    struct child *c = arg;
    struct parcel p;
    struct parcel_state s;
    parcel_put(&c->out, PARCEL_RECALL, name_here(c, name));
    if (hear(c, PARCEL_STATE, &p, f) != R_OK)
        return R_FAIL;
    if (parcel_get_state(p.payload, &s) != R_OK)
        return fault_set(f, FAULT_SERVERBUG, "a state is malformed");
    *out = (struct pull_state){s.uidvalidity, s.done, s.messages, s.modseq};
    return R_OK;
}

static enum result
put_mailbox(struct child *c, enum parcel_kind kind, const struct pull_mailbox *m,
            struct fault *f)
{
    const struct parcel_mailbox head = {name_here(c, m->name),
                                        m->uidvalidity,
                                        m->uidnext,
                                        m->messages,
                                        m->there,
                                        m->altered,
                                        m->role};
    parcel_put_mailbox(&c->out, kind, &head);
    return flush_much(c, f);
}

static enum result
unchanged(void *arg, const struct pull_mailbox *m, struct fault *f)
{
    return put_mailbox(arg, PARCEL_SAME, m, f);
}

static enum result
begin(void *arg, const struct pull_mailbox *m, struct fault *f)
{
    struct child *c = arg;
    c->uidvalidity = m->uidvalidity;
    c->inbox = span_eq(m->name, SPAN("INBOX"));
    return put_mailbox(c, PARCEL_MAILBOX, m, f);
}

// What that server's POP3 told of it, in `room`.
static struct span
uidl_of(const struct child *c, const struct pull_message *m, struct buf *room)
{
    const struct uidl_facts facts = {m->uid, c->uidvalidity, SPAN_NONE, m->guid};
    if (c->inbox && c->uidvalidity > 0)
        uidl_format_put(c->job->uidl_format, &facts, room);
    return buf_span(room);
}

static enum result
put_message(struct child *c, enum parcel_kind kind, const struct pull_message *m,
            struct fault *f)
{
    char where[32];
    struct buf uidl;
    snprintf(where, sizeof where, "UID %u", m->uid);
    buf_init(&uidl, LIMIT_uidl * 2);
    const struct parcel_message head = {.uid = m->uid,
                                        .flags = m->flags,
                                        .has_date = m->has_date,
                                        .date = m->date,
                                        .zone_min = m->zone_min,
                                        .where = span_str(where),
                                        .keywords = m->keywords,
                                        .keyword_count = m->keyword_count,
                                        .uidl = uidl_of(c, m, &uidl),
                                        .size = m->size,
                                        .id = m->id};
    parcel_put_message(&c->out, kind, &head);
    buf_done(&uidl);
    return flush_much(c, f);
}

static enum result
offer(void *arg, const struct pull_message *m, struct fault *f)
{
    return put_message(arg, PARCEL_OFFER, m, f);
}

static enum result
wanted(void *arg, struct arena *a, struct seqset *out, struct fault *f)
{
    struct child *c = arg;
    struct parcel p;
    parcel_put(&c->out, PARCEL_ASK, SPAN_NONE);
    if (hear(c, PARCEL_WANT, &p, f) != R_OK)
        return R_FAIL;
    return parcel_get_want(p.payload, a, out) == R_OK
               ? R_OK
               : fault_set(f, FAULT_SERVERBUG, "an answer is malformed");
}

static enum result
message(void *arg, const struct pull_message *m, struct fault *f)
{
    return put_message(arg, PARCEL_MESSAGE, m, f);
}

static enum result
octets(void *arg, struct span octets, struct fault *f)
{
    struct child *c = arg;
    enum result r = R_OK;
    for (; r == R_OK && octets.n > 0; octets = span_skip(octets, PARCEL_PIECE)) {
        parcel_put(&c->out, PARCEL_OCTETS, span_slice(octets, 0, PARCEL_PIECE));
        r = flush_much(c, f);
    }
    return r;
}

static enum result
end(void *arg, struct span why, struct fault *f)
{
    struct child *c = arg;
    parcel_put(&c->out, why.p != NULL ? PARCEL_ABORT : PARCEL_END, why);
    return flush_much(c, f);
}

static enum result
settle(void *arg, const struct pull_state *s, uint32_t gone, bool last, struct fault *f)
{
    struct child *c = arg;
    const struct parcel_state state = {s->uidvalidity, s->done, s->messages,
                                       s->modseq,      gone,    last};
    parcel_put_state(&c->out, PARCEL_SETTLE, &state);
    return flush_much(c, f);
}

static enum result
problem(void *arg, struct span where, struct span why, struct fault *f)
{
    struct child *c = arg;
    char text[1024];
    snprintf(text, sizeof text, "%.*s: %.*s", SPAN_ARG(span_slice(where, 0, 400)),
             SPAN_ARG(span_slice(why, 0, 400)));
    parcel_put(&c->out, PARCEL_PROBLEM, span_str(text));
    return flush_much(c, f);
}

// ---- the process ----

static void
run(void *arg)
{
    struct child *c = arg;
    struct fault why, f;
    const struct pull_ops ops = {announce, subscribed, recall,  unchanged, begin,
                                 offer,    wanted,     message, octets,    end,
                                 settle,   problem,    c};
    if (pull_run(&c->job->source, SERVER_FD, &ops, &why) == R_OK)
        parcel_put(&c->out, PARCEL_DONE, SPAN_NONE);
    else
        parcel_put_broken(&c->out, &why);
    (void)!flush(c, &f);  // a parent that is gone sees nothing
    loop_stop(c->loop);
}

static void
run_task(void *arg)
{
    task_start(run, arg);
}

static enum result
close_off(const struct pull_job *job, int server, int parent, struct fault *f)
{
    const struct sandbox_paths paths = {.close_from = PARENT_FD + 1};
    int high = fcntl(parent, F_DUPFD, PARENT_FD + 1);  // neither may be in the other's way
    if (high < 0 || dup2(server, SERVER_FD) < 0 || dup2(high, PARENT_FD) < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "dup2");
    sasl_client_init();
    enum result r = sandbox_apply(role_find(SPAN("pull")), &paths, f);
    return r == R_NONE && !job->sandbox_required ? R_OK : r == R_OK ? R_OK : R_FAIL;
}

_Noreturn void
pull_child_run(const struct pull_job *job, int server, int parent)
{
    struct child c = {.job = job, .arena = arena_new()};
    struct fault f;
    (void)signal(SIGPIPE, SIG_IGN);
    buf_init(&c.out, FLUSH_AT * 2 + (PARCEL_MAX + PARCEL_HEAD) * 2);
    buf_init(&c.in, PARCEL_MAX + PARCEL_HEAD + PIECE);
    if (close_off(job, server, parent, &f) == R_OK) {
        c.loop = loop_new();
        loop_post(c.loop, run_task, &c);
        loop_run(c.loop);
    } else {
        struct fault none;
        parcel_put_broken(&c.out, &f);
        (void)!flush(&c, &none);
    }
    _exit(0);
}
