#include "main/askers.h"
#include "main/role.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "io/loop.h"
#include "os/children.h"
#include "os/sandbox.h"
#include "pipe/job.h"

#include <event2/event.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

// The role pipe: mail gives it messages, it starts a program of the administrator for each, and says how that ended.

enum { SWEEP_MS = 20 };

struct pipe_role;

// A message on its way through a program.
struct pipe_errand {
    struct pipe_errand *prev, *next;
    struct pipe_role *role;
    uint64_t asker, request, came_ms;
    struct buf about;
    struct pipe_call call;
    int message;
    bool timed_out;
    struct pipe_job job;
    struct event *ended, *heard;
    struct timer patience;
};

struct pipe_role {
    const struct role_start *start;
    struct role_link *link;
    struct loop *loop;
    struct pipe_folder folder;
    struct pipe_host host;
    uint32_t timeout_ms;
    struct askers askers;
    struct pipe_errand *waiting, *running;
    unsigned waiting_count, running_count;
    bool ending;  // there are no timers any more
    struct timer sweep, queue;
};

static void start_waiting(struct pipe_role *role);

// ---- answers ----

static void
answer(const struct pipe_errand *j, enum pipe_status status)
{
    const struct pipe_answer m = {j->request, (uint8_t)status};
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    pipe_answer_put(&b, &m);
    must(!b.over);
    askers_answer(&j->role->askers, j->asker, MESSAGE_PIPE_ANSWER, buf_span(&b));
    buf_done(&b);
}

static void
job_free(struct pipe_errand *j)
{
    close(j->message);
    buf_done(&j->about);
    free(j);
}

static void
tell(const struct pipe_errand *j, enum pipe_status status, struct span why)
{
    struct field program =
        field_text("program", "program=%", span_slice(j->call.program, 0, 200));
    struct field said = field_if(why.n > 0, field_text("said", ": %", why));
    if (status == PIPE_DONE)
        log_info("pipe", "a program has the message", log_user(j->call.user), program,
                 said);
    else
        log_warning("pipe", "a program did not take the message", log_user(j->call.user),
                    program, said);
}

// It was never started.
static void
give_up(struct pipe_errand *j, enum pipe_status status, const char *why)
{
    tell(j, status, span_str(why));
    answer(j, status);
    job_free(j);
}

// ---- children ----

static bool
is_job(pid_t pid, void *arg)
{
    const struct pipe_role *role = arg;
    const struct pipe_errand *j;
    DL_FOREACH(role->running, j)
    if (j->job.pid == pid)
        return true;
    return false;
}

// What programs started and left ends with them.
static void
on_sweep(void *arg)
{
    struct pipe_role *role = arg;
    if (children_sweep(is_job, role) && !role->ending)
        timer_set(&role->sweep, SWEEP_MS);
}

static void
finish(struct pipe_errand *j)
{
    struct pipe_role *role = j->role;
    struct buf why;
    timer_clear(&j->patience);
    event_free(j->ended);
    event_free(j->heard);
    buf_init(&why, 2 * LIMIT_pipe_answer);
    enum pipe_status status = pipe_job_end(&j->job, j->timed_out, &why);
    DL_DELETE(role->running, j);
    role->running_count--;
    on_sweep(role);
    tell(j, status, buf_span(&why));
    answer(j, status);
    buf_done(&why);
    job_free(j);
}

static void
on_ended(evutil_socket_t fd, short what, void *arg)
{
    struct pipe_errand *j = arg;
    struct pipe_role *role = j->role;
    (void)fd, (void)what;
    finish(j);
    start_waiting(role);
}

static void
on_heard(evutil_socket_t fd, short what, void *arg)
{
    struct pipe_errand *j = arg;
    (void)fd, (void)what;
    if (pipe_job_hear(&j->job) == R_NONE)
        (void)event_del(j->heard);  // it closed its output; its end comes by the pidfd
}

static void
on_patience(void *arg)
{
    struct pipe_errand *j = arg;
    j->timed_out = true;
    pipe_job_kill(&j->job);  // its end comes by the pidfd
}

static struct event *
watch(struct pipe_errand *j, int fd, event_callback_fn fn)
{
    struct event *e = event_new(loop_base(j->role->loop), fd, EV_READ | EV_PERSIST, fn, j);
    must(e != NULL && event_add(e, NULL) == 0);
    return e;
}

static void
start_job(struct pipe_errand *j)
{
    struct pipe_role *role = j->role;
    struct fault f;
    if (pipe_job_start(&role->host, &j->call, j->message, &j->job, &f) != R_OK) {
        give_up(j, f.kind == FAULT_NONEXISTENT ? PIPE_MISSING : PIPE_FAILED, f.why);
        return;
    }
    DL_APPEND(role->running, j);
    role->running_count++;
    timer_init(&j->patience, on_patience, j);
    timer_set(&j->patience, role->timeout_ms);
    j->ended = watch(j, j->job.pidfd, on_ended);
    j->heard = watch(j, j->job.output, on_heard);
}

// The first that waits has come first.
static void
start_waiting(struct pipe_role *role)
{
    struct pipe_errand *j;
    uint64_t now_ms = clock_mono_ms();
    while ((j = role->waiting) != NULL) {
        bool late = now_ms - j->came_ms >= LIMIT_pipe_queue_ms;
        if (!late && role->running_count >= LIMIT_pipe_jobs)
            break;
        DL_DELETE(role->waiting, j);
        role->waiting_count--;
        if (late)
            give_up(j, PIPE_FAILED, "too many programs run already");
        else
            start_job(j);
    }
    if (role->waiting != NULL && !timer_is_set(&role->queue))
        timer_set(&role->queue, LIMIT_pipe_queue_ms / 20);
}

static void
on_queue(void *arg)
{
    start_waiting(arg);
}

// ---- what mail asks ----

static enum result
take_ask(void *arg, uint64_t asker, struct span body, int fd)
{
    struct pipe_role *role = arg;
    struct pipe_ask m;
    struct stat st;
    struct pipe_call call;
    if (fd < 0 || pipe_ask_get(body, &m) != R_OK || fstat(fd, &st) != 0 ||
        !S_ISREG(st.st_mode) || st.st_size < 0 || m.size != (uint64_t)st.st_size ||
        pipe_call_get(m.about, &call) != R_OK)
        return R_FAIL;
    struct pipe_errand *j = calloc(1, sizeof *j);
    must(j != NULL);
    *j = (struct pipe_errand){.role = role,
                              .asker = asker,
                              .request = m.request,
                              .came_ms = clock_mono_ms(),
                              .message = fd};
    buf_init(&j->about, LIMIT_channel_message);
    buf_put(&j->about, m.about);
    must(pipe_call_get(buf_span(&j->about), &j->call) == R_OK);
    if (role->waiting_count >= LIMIT_pipe_queued) {
        give_up(j, PIPE_FAILED, "too many messages wait for programs");
        return R_OK;
    }
    DL_APPEND(role->waiting, j);
    role->waiting_count++;
    start_waiting(role);
    return R_OK;
}

static void
on_peer(void *arg, struct span peer, uint32_t index, int fd)
{
    struct pipe_role *role = arg;
    (void)peer, (void)index;
    askers_add(&role->askers, fd);
}

// ---- beginning and end ----

// Who waits for an answer keeps its message.
static void
on_drain(void *arg)
{
    struct pipe_role *role = arg;
    loop_stop(role->loop);
}

static const struct role_link_ops link_ops = {.peer = on_peer, .drain = on_drain};

static void
begin(void *arg)
{
    struct pipe_role *role = arg;
    struct fault f;
    if (children_adopt(&f) != R_OK)
        log_warning("pipe", "what programs leave behind is not ended", log_fault(&f));
    role->askers = (struct askers){
        .name = "pipe", .question = MESSAGE_PIPE_ASK, .take = take_ask, .arg = role};
    timer_init(&role->sweep, on_sweep, role);
    timer_init(&role->queue, on_queue, role);
    role->link = role_link_open(role->start, &link_ops, role);
    role_link_ready(role->link);
}

static void
finish_role(struct pipe_role *role)
{
    struct pipe_errand *j, *next;
    role->ending = true;
    askers_drop(&role->askers);
    DL_FOREACH_SAFE(role->waiting, j, next)
    job_free(j);
    DL_FOREACH_SAFE(role->running, j, next)
    {
        j->timed_out = true;
        finish(j);
    }
    children_end();
    timer_clear(&role->sweep);
    timer_clear(&role->queue);
    role_link_close(&role->link);
    pipe_folder_close(&role->folder);
}

int
role_pipe_main(const struct role_start *start)
{
    const struct config *c = start->config;
    struct pipe_role role = {.start = start,
                             .timeout_ms = (uint32_t)(c->sieve_pipe_timeout * 1000)};
    struct fault f;
    closefrom(start->supervisor + 1);
    if (pipe_folder_open(&role.folder, c->sieve_pipe_dir, &f) != R_OK)
        log_error("pipe", "scripts have no programs", log_fault(&f));
    role.host = (struct pipe_host){.name = c->hostname, .cpu_s = c->sieve_pipe_timeout + 1};
    if (role_confine(start, 0) != R_OK)
        return ROLE_EXIT_SETTINGS;
    role.host.folder = &role.folder;
    role.loop = loop_new();
    loop_post(role.loop, begin, &role);
    loop_run(role.loop);
    finish_role(&role);
    loop_free(&role.loop);
    return ROLE_EXIT_DRAINED;
}
