#include "main/process.h"
#include "main/shared.h"
#include "main/threads.h"
#include "ctl/scanners.h"
#include "base/metrics.h"
#include "base/log.h"
#include "ctl/databases.h"
#include <event2/event.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { PATIENCE_MS = 7000 };

// Of processes besides gates there are at most as many as rows.
enum {
#define ROLE(name, user, connect, exec, calls, files, text) ROW_##name,
#define PLACE(role, path, kind, writes)
#include "os/roles.def"
#undef ROLE
#undef PLACE
    OTHERS
};

static void
check_over(struct supervisor *s)
{
    for (size_t i = 0; i < s->process_count; i++)
        if (process_running(&s->processes[i]))
            return;
    loop_stop(s->loop);
}

static bool
is_named(const struct process *p, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(p->role->name, *names) == 0)
            return true;
    return false;
}

// What sessions ask until they are gone: a message that is brought while the server ends is scanned, filtered and filed as ever.
static bool
is_asked(const struct process *p)
{
    static const char *const roles[] = {"auth", "extract", "oauth", "directory",
                                        "pam",  "scan",    "pipe",  NULL};
    return is_named(p, roles);
}

// Without these SEARCH finds less, no client is set up, tokens are of no use, users of outer databases wait, and so does mail
// that goes out; what no scanner sees is as the setting scan_unavailable says, and mail for a program is kept. All else works.
static bool
is_optional(const struct process *p)
{
    static const char *const roles[] = {"extract", "oauth", "directory", "pam", "http",
                                        "relay",   "scan",  "pipe",      NULL};
    return is_named(p, roles);
}

// They go last. relay goes with the sessions, but when mail is gone (role_relay.c).
static void
drain_asked(struct supervisor *s)
{
    for (size_t i = 0; i < s->process_count; i++)
        if (!is_asked(&s->processes[i]) && process_running(&s->processes[i]))
            return;
    for (size_t i = 0; i < s->process_count; i++)
        if (is_asked(&s->processes[i]))
            process_drain(&s->processes[i]);
}

static void
kill_all(void *arg)
{
    struct supervisor *s = arg;
    for (size_t i = 0; i < s->process_count; i++)
        process_kill(&s->processes[i]);
    check_over(s);
}

static void
drain(struct supervisor *s, int code)
{
    if (s->draining) {
        kill_all(s);
        return;
    }
    s->draining = true;
    s->code = code;
    watch_tell(s, "STOPPING=1\nSTATUS=saying goodbye");
    reload_refuse(s);
    timer_set(&s->patience, PATIENCE_MS);
    for (size_t i = 0; i < s->process_count; i++) {
        timer_clear(&s->processes[i].restart);
        if (!is_asked(&s->processes[i]))
            process_drain(&s->processes[i]);
    }
    drain_asked(s);
    check_over(s);
}

void
supervisor_give_up(struct process *p)
{
    if (is_optional(p)) {
        p->was_ready = true;  // as if it had worked: it is started again, later and later
        process_start_later(p);
        return;
    }
    log_error("main", "a role cannot work like this: the server ends",
              field_str("name", "name=%", p->role->name));
    drain(p->supervisor, 1);
}

void
supervisor_on_exit(struct process *p, int status)
{
    struct supervisor *s = p->supervisor;
    bool settings = WIFEXITED(status) && WEXITSTATUS(status) == ROLE_EXIT_SETTINGS;
    if (span_eq(span_str(p->role->name), SPAN("mail")))
        reload_forget(s);
    reload_check(s);
    if (!is_optional(p))
        metric_set(METRIC_ready, 0);
    if (s->draining) {
        drain_asked(s);
        check_over(s);
    } else if (!p->was_ready && !is_optional(p) &&
               (settings || !p->rebuild)) {  // what once worked is tried again
        supervisor_give_up(p);
    }
}

void
supervisor_on_ready(struct process *p)
{
    struct supervisor *s = p->supervisor;
    struct fault f;
    for (size_t i = 0; i < s->process_count; i++)
        if (!s->processes[i].ready && !is_optional(&s->processes[i]))
            return;
    metric_set(METRIC_ready, 1);
    if (s->said_ready)
        return;
    s->said_ready = true;
    if (s->options.on_ready == NULL || s->options.on_ready(s->options.arg, &f) == R_OK) {
        watch_tell(s, "READY=1\nSTATUS=serving");
        reload_check(s);
        return;
    }
    log_error("main", "the server cannot go on", log_fault(&f));
    drain(s, 1);
}

static void
on_signal(evutil_socket_t signal, short what, void *arg)
{
    (void)what;
    log_info("main", "draining", field_number("signal", "signal=%", (uint64_t)signal));
    drain(arg, 0);
}

static void
on_hangup(evutil_socket_t signal, short what, void *arg)
{
    (void)signal, (void)what;
    log_info("main", "SIGHUP: reloading");
    reload_start(arg);
}

static struct event *
watch_signal(struct supervisor *s, int signal, event_callback_fn fn)
{
    struct event *e = evsignal_new(loop_base(s->loop), signal, fn, s);
    must(e != NULL && event_add(e, NULL) == 0);
    return e;
}

// Asked to reload before it can, the server does so afterwards, and does not end by the signal.
static void
hold_hangup(int how)
{
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    must(sigprocmask(how, &hangup, NULL) == 0);
}

static void
add_process(struct supervisor *s, const char *role, unsigned index)
{
    must(s->process_count < s->gates + OTHERS);
    struct process *p = &s->processes[s->process_count++];
    *p = (struct process){
        .supervisor = s, .role = role_find(span_str(role)), .index = index};
    must(p->role != NULL);
    p->child.pidfd = -1;
    timer_init(&p->restart, NULL, NULL);
}

static void
begin(void *arg)
{
    struct supervisor *s = arg;
    s->gates = threads_of(s->options.config->gate_processes);
    s->mail_threads = threads_of(s->options.config->mail_threads);
    s->processes = calloc(s->gates + OTHERS, sizeof *s->processes);
    must(s->processes != NULL);
    timer_init(&s->patience, kill_all, s);
    s->signals[0] = watch_signal(s, SIGTERM, on_signal);
    s->signals[1] = watch_signal(s, SIGINT, on_signal);
    s->signals[2] = watch_signal(s, SIGHUP, on_hangup);
    hold_hangup(SIG_UNBLOCK);
    add_process(s, "auth", 0);
    add_process(s, "mail", 0);
    if (s->options.config->search_attachments)
        add_process(s, "extract", 0);
    if (s->options.config->oauth_issuer[0])
        add_process(s, "oauth", 0);
    if (databases_have(s->options.config, USER_PASSWD_FILE) ||
        databases_have(s->options.config, USER_SQL) ||
        databases_have(s->options.config, USER_LDAP))
        add_process(s, "directory", 0);
    if (databases_have(s->options.config, USER_PAM))
        add_process(s, "pam", 0);
    if (sockets_have(s, "http"))
        add_process(s, "http", 0);
    if (s->options.config->relay_host[0])
        add_process(s, "relay", 0);
    if (scanners_any(s->options.config))
        add_process(s, "scan", 0);
    if (s->options.config->sieve_pipe_dir[0])
        add_process(s, "pipe", 0);
    for (unsigned i = 0; i < s->gates; i++)
        add_process(s, "gate", i);
    for (size_t i = 0; i < s->process_count; i++)
        process_start(&s->processes[i]);
    watch_begin(s);
}

// Roles lower it to what their row says; what they may have is what the supervisor has.
static void
raise_limits(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);  // then it stays as it was
}

static enum result
prepare(struct supervisor *s, struct fault *f)
{
    if (home_prepare(s, f) != R_OK || secrets_read(s, f) != R_OK ||
        scripts_read(s->options.config, &s->scripts, f) != R_OK)
        return R_FAIL;
    struct shared *shared;
    if (shared_new(&s->shared, f) != R_OK || shared_map(s->shared, &shared, f) != R_OK)
        return R_FAIL;
    metrics_share(&shared->metrics);
    return sockets_open(s, f);
}

static void
finish(struct supervisor *s)
{
    for (size_t i = 0; i < 3; i++)
        if (s->signals[i] != NULL)
            event_free(s->signals[i]);
    timer_clear(&s->patience);
    watch_close(s);
    reload_free(s);
    sockets_close(s);
    secrets_free(&s->secrets);
    buf_done(&s->scripts);
    if (s->shared >= 0)
        close(s->shared);
    free(s->processes);
}

int
supervisor_run(const struct supervisor_options *o)
{
    struct supervisor s = {.options = *o, .shared = -1};
    struct fault f;
    signal(SIGPIPE, SIG_IGN);
    hold_hangup(SIG_BLOCK);
    raise_limits();
    watch_open(&s);
    if (prepare(&s, &f) != R_OK) {
        log_error("main", "the server cannot go on", log_fault(&f));
        finish(&s);
        return 1;
    }
    s.loop = loop_new();
    loop_post(s.loop, begin, &s);
    loop_run(s.loop);
    finish(&s);
    loop_free(&s.loop);
    return s.code;
}
