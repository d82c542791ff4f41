#include "bench/crowd.h"

#include "bench/tls.h"

#include "base/clock.h"

#include <sys/epoll.h>

enum { EVENTS = 256, PATIENCE_MS = 600000 };

static void
watch_events(struct crowd *c, struct session *s, int how)
{
    struct epoll_event e = {.events = EPOLLIN | (s->wants_out ? EPOLLOUT : 0u),
                            .data.ptr = s};
    must(epoll_ctl(c->epoll, how, s->fd, &e) == 0);
}

enum result
crowd_connect(struct crowd *c, struct session *s)
{
    bool delivers = op_delivers(c->l->op) && s->index == c->l->sessions;
    uint64_t port = delivers ? c->l->lmtp : c->l->port;
    s->phase = PHASE_GREETING;
    s->started_us = clock_mono_us();
    if (session_connect(s, (uint16_t)port, delivers ? NULL : c->tls, c->f) != R_OK)
        return R_FAIL;
    watch_events(c, s, EPOLL_CTL_ADD);
    return c->tls != NULL ? crowd_go(c, s) : R_OK;
}

static bool
whole_sessions(const struct crowd *c)
{
    return c->l->op->kind == OP_LOGIN || c->l->op->kind == OP_SHAKE;
}

bool
crowd_may_begin(const struct crowd *c)
{
    return c->begun < c->l->count && (c->l->limit == 0 || clock_mono_us() < c->deadline_us);
}

static enum result
next_turn(struct crowd *c, struct session *s)
{
    if (!crowd_may_begin(c)) {
        s->phase = PHASE_DONE;
        s->await = AWAIT_NOTHING;
        c->done++;
        return R_OK;
    }
    c->begun++;
    s->started_us = clock_mono_us();
    turn_begin(c->l, s);
    return crowd_go(c, s);
}

static enum result
reconnect(struct crowd *c, struct session *s)
{
    session_close(s);
    s->user = (unsigned)(c->l->first + c->begun % c->l->users);
    if (!crowd_may_begin(c)) {
        s->phase = PHASE_DONE;
        c->done++;
        return R_OK;
    }
    c->begun++;
    return crowd_connect(c, s);
}

static enum result
end_turn(struct crowd *c, struct session *s)
{
    tally_add(&c->m->tally, clock_mono_us() - s->started_us);
    c->m->count++;
    if (whole_sessions(c))
        return reconnect(c, s);
    if (c->l->serial == 0)
        return next_turn(c, s);
    s->phase = PHASE_DONE;
    s->await = AWAIT_NOTHING;
    c->done++;
    return s->index + 1 < c->l->sessions ? next_turn(c, s + 1) : R_OK;
}

static enum result
answer_ready(struct crowd *c, struct session *s)
{
    c->ready++;
    if (c->l->op->kind == OP_LOGIN) {
        turn_begin(c->l, s);
        return crowd_go(c, s);
    }
    return R_OK;
}

static enum result
answer(struct crowd *c, struct session *s)
{
    if (op_watches(c->l->op))
        return watch_answer(c, s);
    if (c->l->op->kind == OP_SHAKE)
        return end_turn(c, s);
    if (s->stands_by && s->phase == PHASE_BUSY) {
        standby_answer(c, s);
        return R_OK;
    }
    if (s->phase == PHASE_BUSY || s->phase == PHASE_DATA)
        return turn_step(c->l, s) ? end_turn(c, s) : crowd_go(c, s);
    turn_prepare(c->l, s);
    return s->phase == PHASE_READY ? answer_ready(c, s) : crowd_go(c, s);
}

enum result
crowd_go(struct crowd *c, struct session *s)
{
    uint64_t received = s->received;
    bool wanted = s->wants_out;
    enum progress p = session_go(s);
    c->m->received += s->received - received;
    if (p == PROGRESS_BROKEN)
        return fault_set(c->f, FAULT_UNAVAILABLE, "session %u, phase %u: %.*s", s->index,
                         s->phase, (int)s->head_n, s->head);
    if (s->wants_out != wanted)
        watch_events(c, s, EPOLL_CTL_MOD);
    return p == PROGRESS_ANSWER ? answer(c, s) : R_OK;
}

enum result
crowd_wait(struct crowd *c, const size_t *counter, size_t goal)
{
    struct epoll_event events[EVENTS];
    while (*counter < goal) {
        int n = epoll_wait(c->epoll, events, EVENTS, c->standing_by ? 1 : PATIENCE_MS);
        if (n == 0 && !c->standing_by)
            return fault_set(c->f, FAULT_UNAVAILABLE, "silent for %d s",
                             PATIENCE_MS / 1000);
        for (int i = 0; i < n; i++)
            if (((struct session *)events[i].data.ptr)->fd >= 0 &&
                crowd_go(c, events[i].data.ptr) != R_OK)
                return R_FAIL;
        if (standby_tick(c) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
connect_all(struct crowd *c)
{
    for (size_t i = 0; i < c->n; i++) {
        c->begun += whole_sessions(c);
        if (crowd_connect(c, &c->all[i]) != R_OK)
            return R_FAIL;
        // A server's backlog is short; let it accept before the next.
        if (!whole_sessions(c) && crowd_wait(c, &c->ready, i > 16 ? i - 16 : 0) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
run_turns(struct crowd *c)
{
    size_t first = c->l->serial ? 1 : c->l->sessions;
    c->standing_by = c->l->noop > 0;
    for (size_t i = 0; i < first; i++)
        if (next_turn(c, &c->all[i]) != R_OK)
            return R_FAIL;
    enum result r = crowd_wait(c, &c->done, c->l->sessions);
    standby_end(c);
    return r;
}

static enum result
run(struct crowd *c)
{
    struct measured *m = c->m;
    m->before = tree_read((pid_t)c->l->tree, c->l->folder);
    uint64_t start = clock_mono_us();
    c->deadline_us = start + c->l->limit * 1000000;
    enum result r = connect_all(c);
    if (r == R_OK && whole_sessions(c)) {
        r = crowd_wait(c, &c->done, c->n);
    } else if (r == R_OK) {
        r = crowd_wait(c, &c->ready, c->n);
        if (!op_watches(c->l->op) || op_delivers(c->l->op))
            m->before = tree_read((pid_t)c->l->tree, c->l->folder);
        m->received = 0;
        start = clock_mono_us();
        c->deadline_us = start + c->l->limit * 1000000;
        if (r == R_OK)
            r = op_watches(c->l->op) ? watch_run(c) : run_turns(c);
    }
    m->us = clock_mono_us() - start;
    m->after = tree_read((pid_t)c->l->tree, c->l->folder);
    return r;
}

static void
place_all(struct crowd *c)
{
    for (size_t i = 0; i < c->n; i++) {
        c->all[i].fd = -1;
        c->all[i].index = (unsigned)i;
        c->all[i].user = (unsigned)(c->l->first + i % c->l->users);
    }
    standby_place(c);
}

enum result
crowd_run(const struct load *l, struct measured *m, struct fault *f)
{
    struct crowd c = {
        .l = l, .m = m, .f = f, .n = l->sessions + op_delivers(l->op) + l->noop};
    c.all = calloc(c.n, sizeof *c.all);
    c.epoll = epoll_create1(EPOLL_CLOEXEC);
    c.tls = l->tls ? tls_new(l->resume > 0) : NULL;
    must(c.all != NULL && c.epoll >= 0);
    place_all(&c);
    enum result r = run(&c);
    for (size_t i = 0; i < c.n; i++) {
        m->resumed += c.all[i].resumed;
        session_close(&c.all[i]);
    }
    free(c.all);
    close(c.epoll);
    tls_free(&c.tls);
    return r;
}
