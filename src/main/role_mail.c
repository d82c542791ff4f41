#include "main/mail_role.h"
#include "main/rawlog.h"
#include "auth/name.h"
#include "base/metrics.h"
#include "base/budget.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/load.h"
#include "base/log.h"
#include "ctl/quotas.h"
#include "ctl/call.h"
#include "imap/session.h"
#include "io/task.h"
#include "lmtp/question.h"
#include "managesieve/session.h"
#include "mail/quarantine.h"
#include "submission/session.h"
#include "mail/account.h"
#include "mail/sent.h"
#include "store/folder.h"
#include "store/store.h"

#include <signal.h>

enum {
    DRAIN_MS = 4000,
    HURRY_MS = 500,
    HANG_UP_MS = 800,
    FOR_FILES = 16,  // one in so many
    KEPT = 16,
    KEPT_EACH = 8,  // for each home: a door or a channel takes one in all of them
    DRAIN_STEP_MS = 50,
    KEEPING_MS = 3600 * 1000
};

// Set only in the deliberately broken build that the fault harness must catch (-Dbroken=ack).
#ifndef TEST_ACK_BEFORE_COMMIT
#define TEST_ACK_BEFORE_COMMIT false
#endif

// ---- what the supervisor sends ----

// A descriptor on its way to the thread it belongs to.
struct delivery {
    struct home *home;
    void (*take)(struct home *h, int fd);
    int fd;
};

static void
deliver(void *arg)
{
    struct delivery *d = arg;
    d->take(d->home, d->fd);
    free(d);
}

static const struct {
    struct span peer;
    void (*take)(struct home *h, int fd);
} links[] = {
    {SPAN("gate"), mail_gate_link},       {SPAN("auth"), mail_ask_link},
    {SPAN("extract"), mail_extract_link}, {SPAN("relay"), mail_relay_link},
    {SPAN("scan"), mail_scan_link},       {SPAN("pipe"), mail_pipe_link},
};

static void (*link_of(struct span peer))(struct home *h, int fd)
{
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        if (span_eq(peer, links[i].peer))
            return links[i].take;
    return NULL;
}

static void
on_peer(void *role, struct span peer, uint32_t index, int fd)
{
    struct mail_role *r = role;
    void (*take)(struct home * h, int fd) = link_of(peer);
    if (index >= r->home_count || take == NULL) {
        log_error("mail", "a channel is of no use here", field_text("peer", "peer=%", peer),
                  field_number("index", "index=%", index));
        close(fd);
        return;
    }
    struct delivery *d = calloc(1, sizeof *d);
    must(d != NULL);
    *d = (struct delivery){&r->homes[index], take, fd};
    loop_post(d->home->loop, deliver, d);
}

static void
on_listen(void *role, const struct listen_socket *s, int fd)
{
    mail_door_open(role, s, fd);
}

// Comes before the first gate's channel, and never changes while the process lives.
static void
on_secret(void *role, struct span name, struct span value)
{
    struct mail_role *r = role;
    if (span_eq(name, SPAN("scripts")))
        mail_filter_scripts(r, value);
    if (!span_eq(name, SPAN("ticket")) || value.n != sizeof r->ticket_key)
        return;
    memcpy(r->ticket_key, value.p, value.n);
    r->has_ticket_key = true;
}

// ---- the drain ----

static unsigned
sessions_of(const struct home *h)
{
    return h->session_count + lmtp_session_count() + question_session_count();
}

static void
stop_home(struct home *h)
{
    h->drain.unfinished = sessions_of(h) + task_live() > 0;
    mail_gate_close(h);
    mail_ask_close(h);
    mail_extract_close(h);
    mail_relay_close();
    mail_scan_close();
    mail_pipe_close();
    mail_rawlog_close(h);
    mail_filter_close();
    loop_stop(h->loop);
}

// Who brings a text has some seconds for the rest of it (RFC 5321 section 3.8: 421, not a lost connection).
static void
hurry(void)
{
    lmtp_session_hurry();
    submission_session_hurry();
}

// A session's account may have its home elsewhere: none ends before nobody is busy.
static bool
all_are_idle(struct home *h)
{
    bool busy = sessions_of(h) > 0 || task_live() > 0;
    if (busy && !h->drain.busy)
        atomic_fetch_add(&h->role->busy_homes, 1);
    else if (!busy && h->drain.busy)
        atomic_fetch_sub(&h->role->busy_homes, 1);
    h->drain.busy = busy;
    return atomic_load(&h->role->busy_homes) == 0;
}

// Looks again and again until the sessions are gone; those that will not go are hung up, then left.
static void
on_patience(void *arg)
{
    struct home *h = arg;
    static const unsigned patient = (DRAIN_MS - HURRY_MS) / DRAIN_STEP_MS,
                          polite = DRAIN_MS / DRAIN_STEP_MS,
                          last = (DRAIN_MS + HANG_UP_MS) / DRAIN_STEP_MS;
    if (++h->drain.steps >= patient)
        hurry();
    if (h->drain.steps == polite)
        (void)!session_kick(h, SPAN_NONE, 0);
    if (all_are_idle(h) || h->drain.steps >= last)
        stop_home(h);
    else
        timer_set(&h->drain.patience, DRAIN_STEP_MS);
}

static void
drain_home(void *arg)
{
    struct home *h = arg;
    if (h->draining)
        return;
    h->draining = h->drain.busy = true;
    mail_door_close_all(h);
    imap_session_drain();
    managesieve_session_drain();
    submission_session_drain();
    pop3_session_drain();
    lmtp_session_drain();
    question_session_drain();
    mail_scan_drain();
    timer_init(&h->drain.patience, on_patience, h);
    timer_set(&h->drain.patience, DRAIN_STEP_MS);
}

static void
on_drain(void *role)
{
    struct mail_role *r = role;
    timer_clear(&r->keeping);
    mail_round_stop(&r->expiring);
    mail_round_stop(&r->purging);
    mail_index_stop(r->mail);
    mail_quota_stop(r->mail);
    timer_clear(&r->indexing.timer);
    atomic_store(&r->busy_homes, r->home_count);
    for (unsigned i = r->home_count; i-- > 0;)
        loop_post(r->homes[i].loop, drain_home, &r->homes[i]);
}

static void
on_unlisten(void *role, const struct listen_socket *s)
{
    mail_door_close(role, s);
}

static void
on_settings(void *role, const struct config *c)
{
    mail_reload_settings(role, c);
}

static void
on_ping(void *role, uint64_t serial)
{
    mail_reload_ping(role, serial);
}

static void
on_reloaded(void *role, const struct admin_reply *r)
{
    mail_reload_answer(role, r);
}

static const struct role_link_ops link_ops = {
    .peer = on_peer,
    .listen = on_listen,
    .secret = on_secret,
    .drain = on_drain,
    .unlisten = on_unlisten,
    .settings = on_settings,
    .ping = on_ping,
    .reloaded = on_reloaded,
};

// ---- keeping: what retention has released ----

static void
keep(void *arg)
{
    struct mail_role *r = arg;
    struct fault f;
    uint64_t freed = 0, over = 0;
    int64_t before = clock_wall_s() - (int64_t)r->host.config->quarantine_keep;
    if (quarantine_expire(r->mail, before, &over, &f) != R_OK)
        log_error("mail", "quarantine", log_fault(&f));
    else if (over > 0)
        log_info("mail", "quarantine",
                 field_number("deleted", " % whose time is over", over));
    if (mail_compact(r->mail, clock_wall_s(), &freed, &f) != R_OK)
        log_error("mail", "compaction", log_fault(&f));
    else if (freed > 0)
        log_info("mail", "compaction", field_number("octets", " freed % octets", freed));
    if (!r->homes[0].draining)
        timer_set(&r->keeping, KEEPING_MS);
}

static void
on_keeping(void *arg)
{
    task_start(keep, arg);
}

// ---- beginning and end ----

static void
begin(void *arg)
{
    struct mail_role *r = arg;
    r->link = role_link_open(r->start, &link_ops, r);
    timer_init(&r->keeping, on_keeping, r);
    timer_set(&r->keeping, KEEPING_MS);
    mail_expire_start(r);
    mail_index_start(r);
    role_link_ready(r->link);
    role_probe(r->start);
}

static void
report(const char *line, void *arg)
{
    (void)arg;
    log_info("mail", "store", field_str("finding", ": %", line));
}

// In the checkpoint thread: nothing was lost, but nothing more can be folded.
static void
on_broken(const struct fault *f, void *arg)
{
    (void)arg;
    log_error("mail", "the index is damaged", log_fault(f));
    _exit(ROLE_EXIT_REBUILD);
}

// A fresh data directory gets its own files now: in the sandbox nothing can be made beside the store's folders.
static enum result
make_folder(const struct config *c)
{
    struct store_options o;
    struct folder folder;
    struct fault f;
    call_store_options(c, &o);
    if (folder_open(o.path, o.compress ? FOLDER_COMPRESS : 0, &folder, &f) == R_OK) {
        folder_close(&folder);
        return R_OK;
    }
    log_error("mail", "the data directory cannot be used", log_fault(&f));
    return R_FAIL;
}

static int
open_store(struct mail_role *r)
{
    struct store_options o;
    struct fault f;
    call_store_options(r->start->config, &o);
    o.report = report;
    o.broken = on_broken;
    if (r->start->rebuild) {
        log_warning("mail", "the index is damaged: it is made anew from the journal");
        if (store_rebuild(&o, report, NULL, &f) != R_OK) {
            log_error("mail", "rebuild", log_fault(&f));
            return ROLE_EXIT_SETTINGS;
        }
    }
    if (store_open(&o, &r->store, &f) == R_OK)
        return 0;
    log_error("mail", "the store cannot be opened", log_fault(&f));
    return f.kind == FAULT_CORRUPTION && !r->start->rebuild ? ROLE_EXIT_REBUILD
                                                            : ROLE_EXIT_SETTINGS;
}

static void
open_mail(struct mail_role *r)
{
    const struct config *c = r->start->config;
    struct loop *loops[LIMIT_processes];
    for (unsigned i = 0; i < r->home_count; i++)
        loops[i] = r->homes[i].loop;
    const struct mail_entries entries = mail_entries_of(c);
    struct quota_settings quota;
    struct mail_options m = {
        .store = r->store,
        .homes = loops,
        .home_count = r->home_count,
        .folder_language = c->folder_language,
        .message_size_max = c->message_size_max,
        .entries = &entries,
        .test_ack_before_commit = TEST_ACK_BEFORE_COMMIT,
        .test_packing = c->test_packing ? TEST_PACKING_ALL : TEST_PACKING_OFF,
    };
    r->mail = mail_new(&m);
    mail_marks_set(r->mail, config_marks(c));
    mail_sent_set(r->mail, c->sent_copy);
    mail_private_flags_set(r->mail, config_private_flags(c));
    limits_of(c, &quota);
    mail_quota_set(r->mail, &quota);
    mail_index_configure(r, c);
    mail_index_report(r->mail, mail_index_log);
    load_pretend(c->test_overload);
    task_test_yield(c->test_packing);
    mail_imap_settings(c);
}

static void
open_rawlog(struct mail_role *r)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/rawlog", r->start->config->data);
    r->rawlog = rawlog_writer_new(path);
}

static void *
run_home(void *arg)
{
    struct home *h = arg;
    loop_run(h->loop);
    return NULL;
}

static void
make_homes(struct mail_role *r)
{
    r->home_count = r->start->mail_threads;
    r->homes = calloc(r->home_count, sizeof *r->homes);
    must(r->homes != NULL);
    for (unsigned i = 0; i < r->home_count; i++)
        r->homes[i] = (struct home){
            .role = r, .index = i, .loop = loop_new(), .config = r->start->config};
}

// The first home is this thread; it also listens to the supervisor.
static void
run_homes(struct mail_role *r)
{
    for (unsigned i = 1; i < r->home_count; i++)
        must(pthread_create(&r->homes[i].thread, NULL, run_home, &r->homes[i]) == 0);
    loop_post(r->homes[0].loop, begin, r);
    loop_run(r->homes[0].loop);
    for (unsigned i = 1; i < r->home_count; i++)
        pthread_join(r->homes[i].thread, NULL);
}

// A session or task that would not end still holds its account: then the process just ends, as after a kill, which loses
// nothing that was acknowledged.
static void
close_all(struct mail_role *r)
{
    for (unsigned i = 0; i < r->home_count; i++)
        if (r->homes[i].drain.unfinished)
            return;
    rawlog_writer_free(&r->rawlog);
    mail_free(&r->mail);
    store_close(&r->store);
    role_link_close(&r->link);
    mail_reload_ping_free(r);
    buf_done(&r->filters.scripts);
    for (unsigned i = 0; i < r->home_count; i++)
        loop_free(&r->homes[i].loop);
    free(r->homes);
}

static const char *data_path;  // for the signal handler

// The index is a memory map: a page of it that the disk cannot give (a truncated file, EIO) ends in SIGBUS. All of
// it can be made anew from the journal, so that is what the supervisor is asked for.
static void
on_bus_error(int signal)
{
    static const char line[] = "posthorn mail: a page of the index cannot be read "
                               "(SIGBUS): it will be made anew\n";
    (void)signal;
    // NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): store.h says that it may
    store_index_distrust(data_path);
    (void)!write(STDERR_FILENO, line, sizeof line - 1);
    _exit(ROLE_EXIT_REBUILD);
}

int
role_mail_main(const struct role_start *start)
{
    struct mail_role r = {.start = start};
    const struct config *c = start->config;
    data_path = c->data;
    (void)signal(SIGBUS, on_bus_error);
    conn_test_split(c->test_split_io, c->test_split_io);
    metric_set(METRIC_sessions, 0);
    metric_set(METRIC_unfolded, 0);
    imap_verbs_tell();
    budget_limits(c->memory_soft, c->memory_hard);
    name_warm();
    if (make_folder(c) != R_OK || role_confine(start, start->supervisor + 1) != R_OK)
        return ROLE_EXIT_SETTINGS;
    int code = open_store(&r);
    if (code != 0)
        return code;
    make_homes(&r);
    r.descriptors = role_descriptors_but(role_descriptors() / FOR_FILES + KEPT +
                                         KEPT_EACH * (int)r.home_count);
    open_mail(&r);
    mail_admin_host(&r);
    mail_extract_host(&r);
    mail_relay_host(&r);
    mail_scan_host(&r);
    open_rawlog(&r);
    for (unsigned i = 0; i < r.home_count; i++)
        mail_lmtp_host(&r.homes[i]);
    run_homes(&r);
    close_all(&r);
    return ROLE_EXIT_DRAINED;
}
