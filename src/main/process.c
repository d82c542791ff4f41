#include "main/process.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include <event2/event.h>
#include <signal.h>
#include <sys/wait.h>

enum { RESTART_MS = 100, RESTART_MAX_MS = 30000, QUICK_MS = 10000, REBUILD_DEATHS = 3 };

bool
process_running(const struct process *p)
{
    return p->child.pid > 0;
}

static void
forget(struct process *p)
{
    event_free(p->exit_event);
    p->exit_event = NULL;
    close(p->child.pidfd);
    p->child = (struct spawned){0, -1};
    channel_close(&p->channel);
    p->ready = p->hung = false;
}

static void
on_restart(void *arg)
{
    process_start(arg);
}

// At once when it had worked for a while, later and later when it dies as soon as it lives.
void
process_start_later(struct process *p)
{
    bool quick = clock_mono_ms() - p->started_ms < QUICK_MS;
    p->quick_deaths = quick ? p->quick_deaths + 1 : 0;
    unsigned doubled = p->quick_deaths < 9 ? p->quick_deaths : 9;
    uint32_t delay = RESTART_MS << doubled;
    timer_init(&p->restart, on_restart, p);
    timer_set(&p->restart, delay < RESTART_MAX_MS ? delay : RESTART_MAX_MS);
}

static void
tell_death(const struct process *p, int status)
{
    if (WIFSIGNALED(status))
        log_error("main", "a role died", PROCESS_FIELDS(p),
                  field_number("signal", "signal=%", (uint64_t)WTERMSIG(status)),
                  log_why(strsignal(WTERMSIG(status))));
    else
        log_error("main", "a role ended", PROCESS_FIELDS(p),
                  field_number("exit", "exit=%", (uint64_t)WEXITSTATUS(status)));
}

// Asked for by code; or it dies by a signal again and again, which a damaged index can cause (LMDB asserts).
static bool
wants_rebuild(const struct process *p, int status)
{
    if (WIFEXITED(status))
        return WEXITSTATUS(status) == ROLE_EXIT_REBUILD;
    return p->quick_deaths == REBUILD_DEATHS;
}

static void
on_exit_event(evutil_socket_t fd, short what, void *arg)
{
    struct process *p = arg;
    int status = 0;
    (void)fd, (void)what;
    if (waitpid(p->child.pid, &status, WNOHANG) != p->child.pid)
        return;
    bool drained = p->supervisor->draining && WIFEXITED(status) &&
                   WEXITSTATUS(status) == ROLE_EXIT_DRAINED;
    if (!drained)
        tell_death(p, status);
    p->rebuild = wants_rebuild(p, status);
    forget(p);
    supervisor_on_exit(p, status);
    if (p->supervisor->draining)
        return;
    metric_add(METRIC_role_restarts, 1);
    process_start_later(p);
}

static enum result
take_pong(struct process *p, struct span body)
{
    struct ping ping;
    if (ping_get(body, &ping) != R_OK || ping.serial > p->supervisor->pinged)
        return R_FAIL;
    p->ponged = ping.serial;
    p->missed = 0;
    reload_check(p->supervisor);
    return R_OK;
}

// Only mail has the admin socket.
static enum result
take_reload(struct process *p, struct span body)
{
    struct ping ping;
    if (!span_eq(span_str(p->role->name), SPAN("mail")) || ping_get(body, &ping) != R_OK)
        return R_FAIL;
    reload_ask(p->supervisor, ping.serial);
    return R_OK;
}

static enum result
take_lost(struct process *p, struct span body)
{
    struct peer lost;
    if (!span_eq(span_str(p->role->name), SPAN("mail")) || peer_get(body, &lost) != R_OK)
        return R_FAIL;
    wiring_again(p, &lost);
    return R_OK;
}

static enum result
take(struct process *p, uint16_t type, struct span body)
{
    switch (type) {
    case MESSAGE_PONG:
        return take_pong(p, body);
    case MESSAGE_LOST:
        return take_lost(p, body);
    case MESSAGE_RELOAD:
        return take_reload(p, body);
    case MESSAGE_READY:
        if (body.n != 0)
            return R_FAIL;
        p->ready = p->was_ready = true;
        p->ponged = p->supervisor->pinged;
        supervisor_on_ready(p);
        return R_OK;
    default:
        return R_FAIL;
    }
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    struct process *p = arg;
    (void)c;
    if (fd < 0 && take(p, type, body) == R_OK)
        return;
    if (fd >= 0)
        close(fd);
    log_error("main", "a role sent a message that is not its to send", PROCESS_FIELDS(p),
              field_number("message", "message=%", type));
    process_kill(p);
}

// It is dying; its exit tells the rest.
static void
on_end(struct channel *c, void *arg)
{
    struct process *p = arg;
    (void)c;
    channel_close(&p->channel);
}

// What has never worked is not tried again and again: the service manager would wait for nothing.
static void
cannot_start(struct process *p, const struct fault *f)
{
    log_error("main", "a role cannot be started", PROCESS_FIELDS(p), log_fault(f));
    p->child = (struct spawned){0, -1};
    if (p->was_ready)
        process_start_later(p);
    else
        supervisor_give_up(p);
}

void
process_start(struct process *p)
{
    struct supervisor *s = p->supervisor;
    struct fault f;
    int channel;
    if (s->draining)
        return;
    struct role_start start = {.role = p->role,
                               .config = s->options.config,
                               .ids = s->ids,
                               .index = p->index,
                               .gates = s->gates,
                               .mail_threads = s->mail_threads,
                               .rebuild = p->rebuild};
    p->started_ms = clock_mono_ms();
    if (start_role(&start, s->shared, &p->child, &channel, &f) != R_OK) {
        cannot_start(p, &f);
        return;
    }
    p->channel = channel_new(channel, on_message, on_end, p);
    p->exit_event = event_new(loop_base(s->loop), p->child.pidfd, EV_READ | EV_PERSIST,
                              on_exit_event, p);
    must(p->exit_event != NULL && event_add(p->exit_event, NULL) == 0);
    log_debug("main", "a role started", PROCESS_FIELDS(p));
    wiring_introduce(p);
}

void
process_drain(struct process *p)
{
    timer_clear(&p->restart);
    if (p->channel != NULL)
        channel_send(p->channel, MESSAGE_DRAIN, SPAN_NONE, -1);
}

void
process_kill(struct process *p)
{
    if (process_running(p))
        // fails only when it is gone, which is what is wanted
        (void)kill(p->child.pid, SIGKILL);
}
