#include "pull/session.h"

#include "base/clock.h"
#include "base/limits.h"

static bool
is_same(const struct session_mailbox *m)
{
    return m->has_status && m->is.modseq > 0 && m->is.modseq == m->was.modseq &&
           m->is.uidvalidity == m->was.uidvalidity && m->is.messages == m->was.messages &&
           m->is.uidnext > 0 && m->is.uidnext - 1 == m->was.done;
}

// In the order in which they are looked into: what a label is put on was met before.
static bool
comes_first(const struct session_mailbox *m)
{
    return m->is.role != PULL_LABEL;
}

static bool
any_visit(const struct session *s)
{
    bool any = false;
    for (size_t i = 0; i < s->count; i++)
        any |= s->mailboxes[i].visit;
    return any;
}

// Which mailboxes are looked into.
static enum result
choose(struct session *s, struct fault *f)
{
    for (size_t i = 0; i < s->count; i++) {
        struct session_mailbox *m = &s->mailboxes[i];
        if (m->noselect)
            continue;
        if (s->ops->recall(s->ops->arg, m->is.name, &m->was, f) != R_OK)
            return R_FAIL;
        m->visit = !is_same(m);
    }
    // a message that got a label is known by its id, which only a look at all of them tells
    bool all = s->labels && any_visit(s);
    for (size_t i = 0; all && i < s->count; i++)
        s->mailboxes[i].visit |= comes_first(&s->mailboxes[i]);
    return R_OK;
}

static enum result
visit_each(struct session *s, bool first, struct fault *f)
{
    for (size_t i = 0; i < s->count; i++) {
        struct session_mailbox *m = &s->mailboxes[i];
        enum result r = R_OK;
        if (m->noselect || comes_first(m) != first)
            continue;
        if (m->visit)
            r = session_visit(s, m, f);
        else
            r = s->ops->unchanged(s->ops->arg, &m->is, f);
        if (r != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
run(struct session *s, int fd, struct fault *f)
{
    if (session_login(s, fd, f) != R_OK || session_list(s, f) != R_OK ||
        choose(s, f) != R_OK || visit_each(s, true, f) != R_OK ||
        visit_each(s, false, f) != R_OK || session_visit_hidden(s, f) != R_OK)
        return R_FAIL;
    session_say(s, "LOGOUT");
    conn_await_sent(s->conn);
    return R_OK;
}

enum result
pull_run(const struct pull_source *source, int fd, const struct pull_ops *ops,
         struct fault *f)
{
    struct session s = {.source = source,
                        .ops = ops,
                        .arena = arena_new(),
                        .line = arena_new(),
                        .since_ms = clock_mono_ms()};
    buf_init(&s.cut, LIMIT_pull_response + 16);
    enum result r = run(&s, fd, f);
    session_labels_done(&s);
    conn_close(&s.conn);
    buf_done(&s.cut);
    arena_free(&s.line);
    arena_free(&s.arena);
    return r;
}
