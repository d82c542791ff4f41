#include "main/role_server.h"
#include "auth/user_quota.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "auth/name.h"
#include "auth/userdb.h"
#include "directory/pam.h"
#include "os/children.h"
#include <event2/event.h>
#include <unistd.h>
#include <utlist.h>

// The role pam: auth asks it for users of this machine, and whether PAM takes a password. It has a child ask each question, and
// runs no module itself; so a module that waits or hangs holds up its own question only.

enum { SWEEP_MS = 250 };

struct pam_role;

// One question, from its message to its answer.
struct query {
    struct query *prev, *next;
    struct pam_role *role;
    uint64_t request, generation, came_ms;
    bool verify, timed_out;
    struct name name;
    struct buf password, remote;
    struct pam_job job;
    struct event *ended;
    struct timer patience;
};

struct pam_role {
    struct role_server server;
    struct pam_settings settings;
    struct query *waiting, *running;
    unsigned waiting_count, running_count;
    struct timer sweep;
};

static void start_waiting(struct pam_role *role);

// ---- answers ----

static void
forget_password(struct query *q)
{
    if (q->password.p != NULL)
        explicit_bzero(q->password.p, q->password.cap);
}

static void
query_free(struct query *q)
{
    forget_password(q);
    buf_done(&q->password);
    buf_done(&q->remote);
    free(q);
}

static void
log_said(const struct query *q, const struct pam_said *said)
{
    struct field who = log_user(name_span(&q->name));
    if (said->verdict == DIRECTORY_LATER)
        log_warning("pam", "the user database did not answer", who, log_why(said->why));
    else if (said->why[0])
        log_info("pam", "the account is refused", who, log_why(said->why));
}

static void
answer(const struct query *q, const struct pam_said *said)
{
    struct directory_answer m = {.request = q->request,
                                 .verdict = said->verdict,
                                 .disabled = said->disabled,
                                 .there = true,
                                 .quota_storage = USER_QUOTA_DEFAULT,
                                 .quota_messages = USER_QUOTA_DEFAULT};
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    directory_answer_put(&b, &m);
    must(!b.over);
    role_server_answer(&q->role->server, q->generation, MESSAGE_DIRECTORY_ANSWER,
                       buf_span(&b));
    buf_done(&b);
}

static void
give_up(struct query *q, const char *why)
{
    struct pam_said said = {.verdict = DIRECTORY_LATER};
    snprintf(said.why, sizeof said.why, "%.*s", (int)sizeof said.why - 1, why);
    log_said(q, &said);
    answer(q, &said);
    query_free(q);
}

// ---- children ----

static bool
is_job(pid_t pid, void *arg)
{
    struct pam_role *role = arg;
    struct query *q;
    DL_FOREACH(role->running, q)
    {
        if (q->job.pid == pid)
            return true;
    }
    return false;
}

// What modules started and left ends, too: else one that hangs would leave a process for each question.
static void
on_sweep(void *arg)
{
    struct pam_role *role = arg;
    if (children_sweep(is_job, role))
        timer_set(&role->sweep, SWEEP_MS);
}

static void
finish(struct query *q)
{
    struct pam_role *role = q->role;
    struct pam_said said;
    timer_clear(&q->patience);
    event_free(q->ended);
    pam_job_end(&q->job, q->timed_out, &said);
    DL_DELETE(role->running, q);
    role->running_count--;
    log_said(q, &said);
    answer(q, &said);
    query_free(q);
}

static void
on_ended(evutil_socket_t fd, short what, void *arg)
{
    struct query *q = arg;
    struct pam_role *role = q->role;
    (void)fd, (void)what;
    finish(q);
    if (!timer_is_set(&role->sweep))
        timer_set(&role->sweep, SWEEP_MS);
    start_waiting(role);
}

static void
on_patience(void *arg)
{
    struct query *q = arg;
    q->timed_out = true;
    pam_job_kill(&q->job);  // its end comes by the pidfd
}

static void
forget_all(void *arg)
{
    struct pam_role *role = arg;
    struct query *q;
    DL_FOREACH(role->waiting, q)
    forget_password(q);
    DL_FOREACH(role->running, q)
    forget_password(q);
}

static void
start_query(struct query *q, uint64_t left_ms)
{
    struct pam_role *role = q->role;
    const struct pam_question question = {name_span(&q->name), q->verify,
                                          buf_span(&q->password), buf_span(&q->remote)};
    struct fault f;
    if (pam_job_start(&role->settings, &question, forget_all, role, &q->job, &f) != R_OK) {
        give_up(q, f.why);
        return;
    }
    forget_password(q);  // the child has it
    DL_APPEND(role->running, q);
    role->running_count++;
    timer_init(&q->patience, on_patience, q);
    timer_set(&q->patience, (uint32_t)left_ms);
    q->ended = event_new(loop_base(role->server.loop), q->job.pidfd, EV_READ | EV_PERSIST,
                         on_ended, q);
    must(q->ended != NULL && event_add(q->ended, NULL) == 0);
}

// Somebody whose questions hang leaves room for the others.
static bool
may_start(struct pam_role *role, const struct query *q)
{
    struct query *other;
    unsigned same = 0;
    DL_FOREACH(role->running, other)
    {
        same += span_eq(name_span(&other->name), name_span(&q->name));
    }
    return same < LIMIT_pam_jobs_of_name;
}

static void
start_waiting(struct pam_role *role)
{
    struct query *q, *next;
    uint64_t now_ms = clock_mono_ms();
    DL_FOREACH_SAFE(role->waiting, q, next)
    {
        uint64_t waited_ms = now_ms - q->came_ms;
        bool late = waited_ms >= LIMIT_directory_ms;
        if (!late && (role->running_count >= LIMIT_pam_jobs || !may_start(role, q)))
            continue;
        DL_DELETE(role->waiting, q);
        role->waiting_count--;
        if (late)
            give_up(q, "PAM has too much to do");
        else
            start_query(q, LIMIT_directory_ms - waited_ms);
    }
}

// ---- questions ----

static struct query *
query_new(struct pam_role *role, const struct directory_ask *m, const struct name *name)
{
    struct query *q = calloc(1, sizeof *q);
    must(q != NULL);
    *q = (struct query){.role = role,
                        .request = m->request,
                        .generation = role->server.generation,
                        .came_ms = clock_mono_ms(),
                        .verify = m->verify,
                        .name = *name};
    buf_init(&q->password, LIMIT_password);
    buf_put(&q->password, m->password);
    buf_init(&q->remote, LIMIT_channel_message);
    buf_put(&q->remote, m->remote);
    return q;
}

static enum result
take_ask(void *arg, struct span body)
{
    struct pam_role *role = arg;
    struct directory_ask m;
    struct name name;
    struct fault f;
    if (directory_ask_get(body, &m) != R_OK || m.source != USER_PAM ||
        m.password.n > LIMIT_password || name_of(m.name, &name, &f) != R_OK)
        return R_FAIL;
    struct query *q = query_new(role, &m, &name);
    if (role->waiting_count >= LIMIT_pam_waiting) {
        give_up(q, "too many questions wait for PAM");
        return R_OK;
    }
    DL_APPEND(role->waiting, q);
    role->waiting_count++;
    start_waiting(role);
    return R_OK;
}

// ---- beginning and end ----

static void
begin(void *arg)
{
    struct pam_role *role = arg;
    struct fault f;
    if (children_adopt(&f) != R_OK)
        log_warning("pam", "what modules leave behind is not ended", log_fault(&f));
    if (geteuid() != 0)
        log_info("pam", "not root: pam_unix judges nobody's password");
    timer_init(&role->sweep, on_sweep, role);
    role_server_ready(&role->server);
}

static void
end(struct pam_role *role)
{
    struct query *q, *next;
    channel_close(&role->server.auth);  // nobody is answered any more
    DL_FOREACH_SAFE(role->waiting, q, next)
    query_free(q);
    DL_FOREACH_SAFE(role->running, q, next)
    {
        q->timed_out = true;
        finish(q);
    }
    timer_clear(&role->sweep);
    children_end();
    role_server_close(&role->server);
}

int
role_pam_main(const struct role_start *start)
{
    const struct config *c = start->config;
    struct pam_role role = {.server = {.start = start,
                                       .questions = {{MESSAGE_DIRECTORY_ASK, take_ask}},
                                       .role = &role},
                            .settings = {.service = c->userdb_pam_service,
                                         .confdir = c->test_pam_confdir,
                                         .passwd = c->test_pam_passwd,
                                         .uid_min = c->userdb_pam_uid_min}};
    name_warm();
    if (role_confine(start, start->supervisor + 1) != R_OK)
        return ROLE_EXIT_SETTINGS;
    role_server_run(&role.server, begin);
    end(&role);
    loop_free(&role.server.loop);
    return ROLE_EXIT_DRAINED;
}
