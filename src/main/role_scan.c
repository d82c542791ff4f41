#include "main/askers.h"
#include "main/role.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/clock.h"
#include "ctl/scanners.h"
#include "io/http_ask.h"
#include "io/loop.h"
#include "io/task.h"
#include "os/sandbox.h"
#include "scan/service.h"

#include <sys/stat.h>
#include <unistd.h>

// The role scan: mail gives it messages, it asks rspamd and clamd about them; and it tells rspamd what users call junk, and a URL
// of new mail. Where these are the settings say, so that who asks cannot choose.

struct scan_role;

// A question, from its message to its answer.
struct job {
    struct scan_role *role;
    uint64_t asker, request;
    enum scan_kind kind;
    struct scan_text text;
    struct buf about;
    struct scan_envelope envelope;
    struct buf names;
    struct scan_verdict verdict;
    enum scan_status status;
    uint64_t asked_ms;
};

struct scan_role {
    const struct role_start *start;
    struct role_link *link;
    struct loop *loop;
    struct scan_services services;
    struct askers askers;
    struct pool *checks, *others;  // others: what nobody waits for
    unsigned jobs;
};

// ---- on a pool ----

static bool
missed(struct job *j, const char *service, const struct fault *f)
{
    log_warning("scan", "a scanner did not answer",
                field_str("service", "service=%", service), log_fault(f));
    j->verdict.missing = true;
    metric_add(METRIC_scans_failed, 1);
    return false;
}

static void
check_on_pool(struct job *j)
{
    const struct scan_services *s = &j->role->services;
    struct fault f;
    uint64_t from = clock_mono_us();
    bool some = false;
    if (from / 1000 - j->asked_ms > s->timeout_ms) {  // its sender does not wait for ever
        fault_set(&f, FAULT_UNAVAILABLE, "too many messages wait for it");
        missed(j, s->clamd[0] ? "clamd" : "rspamd", &f);
        j->status = SCAN_LATER;
        return;
    }
    if (s->clamd[0])
        some |= scan_clamd(s, &j->text, &j->names, &j->verdict, &f) == R_OK ||
                missed(j, "clamd", &f);
    if (s->rspamd_url[0])
        some |=
            scan_rspamd(s, &j->envelope, &j->text, &j->names, &j->verdict, &f) == R_OK ||
            missed(j, "rspamd", &f);
    j->status = some ? SCAN_DONE : SCAN_LATER;
    metric_time(METRIC_scan, clock_mono_us() - from);
}

static void
tell_on_pool(struct job *j)
{
    const struct scan_services *s = &j->role->services;
    struct fault f;
    enum result r = j->kind == SCAN_PUSH ? scan_push(s, &j->text, &f)
                                         : scan_learn(s, j->kind == SCAN_LEARN_SPAM,
                                                      &j->envelope, &j->text, &f);
    j->status = r == R_OK ? SCAN_DONE : f.kind == FAULT_CANNOT ? SCAN_REFUSED : SCAN_LATER;
    if (r != R_OK)
        log_warning("scan",
                    j->kind == SCAN_PUSH ? "a push did not arrive" : "rspamd did not learn",
                    log_fault(&f));
}

static void
run_on_pool(void *arg)
{
    struct job *j = arg;
    if (j->kind == SCAN_CHECK)
        check_on_pool(j);
    else
        tell_on_pool(j);
}

// ---- from a question to its answer ----

static void
answer(struct job *j)
{
    struct buf b, text;
    buf_init(&b, LIMIT_channel_message);
    buf_init(&text, LIMIT_channel_message);
    if (j->kind == SCAN_CHECK)
        scan_verdict_put(&text, &j->verdict);
    scan_answer_put(&b,
                    &(struct scan_answer){j->request, (uint8_t)j->status, buf_span(&text)});
    must(!b.over && !text.over);
    askers_answer(&j->role->askers, j->asker, MESSAGE_SCAN_ANSWER, buf_span(&b));
    buf_done(&text);
    buf_done(&b);
}

static void
job_free(struct job *j)
{
    j->role->jobs--;
    close(j->text.fd);
    buf_done(&j->about);
    buf_done(&j->names);
    free(j);
}

static void
job_task(void *arg)
{
    struct job *j = arg;
    pool_run(j->kind == SCAN_CHECK ? j->role->checks : j->role->others, run_on_pool, j);
    answer(j);
    job_free(j);
}

static enum result
take_ask(void *arg, uint64_t asker, struct span body, int fd)
{
    struct scan_role *role = arg;
    struct scan_ask m;
    struct stat st;
    struct scan_envelope e;
    if (fd < 0 || scan_ask_get(body, &m) != R_OK || m.kind >= SCAN_KINDS ||
        fstat(fd, &st) != 0 || st.st_size < 0 || m.size > (uint64_t)st.st_size ||
        m.size > LIMIT_scan_octets || (m.kind == SCAN_PUSH && m.size > LIMIT_push_text) ||
        scan_envelope_get(m.about, &e) != R_OK || role->jobs >= LIMIT_scan_queued)
        return R_FAIL;
    struct job *j = calloc(1, sizeof *j);
    must(j != NULL);
    *j = (struct job){.role = role,
                      .asker = asker,
                      .request = m.request,
                      .kind = (enum scan_kind)m.kind,
                      .text = {fd, m.size},
                      .asked_ms = clock_mono_ms()};
    buf_init(&j->about, LIMIT_channel_message);
    buf_put(&j->about, m.about);
    must(scan_envelope_get(buf_span(&j->about), &j->envelope) == R_OK);
    scan_names_init(&j->names);
    role->jobs++;
    task_start(job_task, j);
    return R_OK;
}

// ---- the link ----

static void
on_peer(void *arg, struct span peer, uint32_t index, int fd)
{
    struct scan_role *role = arg;
    (void)peer, (void)index;
    askers_add(&role->askers, fd);
}

// Who waits for an answer puts its question again to the next process, or does without.
static void
on_drain(void *arg)
{
    struct scan_role *role = arg;
    loop_stop(role->loop);
}

static const struct role_link_ops link_ops = {.peer = on_peer, .drain = on_drain};

static void
begin(void *arg)
{
    struct scan_role *role = arg;
    role->askers = (struct askers){
        .name = "scan", .question = MESSAGE_SCAN_ASK, .take = take_ask, .arg = role};
    role->checks = pool_new(LIMIT_scan_jobs);
    role->others = pool_new(LIMIT_scan_background_jobs);
    role->link = role_link_open(role->start, &link_ops, role);
    role_link_ready(role->link);
    role_probe(role->start);
}

// ---- the process ----

int
role_scan_main(const struct role_start *start)
{
    // a question still on a pool reads it until the process is gone
    static struct scan_role role;
    uint16_t ports[SCANNERS_PORTS] = {53};
    role.start = start;
    role.services = scanners_services(start->config);
    size_t n = 1 + scanners_ports(start->config, ports + 1);
    closefrom(start->supervisor + 1);
    http_ask_warm();
    if (role_confine_with(start, &(struct sandbox_paths){.data = start->config->data,
                                                         .ports = ports,
                                                         .port_count = n}) != R_OK)
        return ROLE_EXIT_SETTINGS;
    role.loop = loop_new();
    loop_post(role.loop, begin, &role);
    loop_run(role.loop);
    role_link_close(&role.link);
    if (role.jobs > 0)
        _exit(ROLE_EXIT_DRAINED);  // the pools' threads read what the caller frees
    return ROLE_EXIT_DRAINED;
}
