// RFC 6785: IMAPSIEVE: scripts that APPEND, COPY, MOVE, REPLACE, labels (X-GM-LABELS) and changes of flags run (imap/event.h). Only where ManageSieve
// listens it is told (section 2.1); the scripts of the administrator run in any case.
#include "imap/event.h"

#include "base/limits.h"
#include "base/log.h"
#include "imap/response.h"
#include "io/task.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char url[300];

void
imap_sieve_server_set(const char *host, const char *port)
{
    bool usual = strcmp(port, "4190") == 0 || *port == '\0';
    pthread_mutex_lock(&lock);
    url[0] = '\0';
    if (*host)
        snprintf(url, sizeof url, "sieve://%.200s%s%.8s", host, usual ? "" : ":",
                 usual ? "" : port);
    pthread_mutex_unlock(&lock);
}

bool
imap_sieve_listens(void)
{
    pthread_mutex_lock(&lock);
    bool yes = url[0] != '\0';
    pthread_mutex_unlock(&lock);
    return yes;
}

static void
capability_put(const struct imap_session *s, struct buf *b)
{
    (void)s;
    pthread_mutex_lock(&lock);
    if (url[0] != '\0')
        buf_printf(b, " IMAPSIEVE=%s", url);
    pthread_mutex_unlock(&lock);
}

static void
tell(const struct imap_command *c, const char *event, uint32_t uid, const struct fault *f)
{
    log_warning("sieve", event, log_user(mail_user_name(c->session->user)),
                field_number("uid", "uid=%", uid), log_fault(f));
}

struct filter_stored *
imap_event_begin(struct imap_command *c, const struct mailbox_ref *ref,
                 enum filter_cause cause, const struct mailbox_ref *from)
{
    const struct filter_occasion o = {
        .cause = cause, .user = mail_user_name(c->session->user), .from = from};
    struct filter_stored *event = NULL;
    struct fault f;
    if (filter_stored_open(ref, &o, &event, &f) == R_FAIL)
        tell(c, "the scripts of a mailbox do not run", 0, &f);
    return event;
}

// R_FAIL: no more of them.
static enum result
run_one(struct imap_command *c, struct filter_stored *event, uint32_t uid,
        struct span changed)
{
    struct buf problem;
    struct fault f;
    buf_init(&problem, 4096);
    enum result r = filter_stored_run(event, uid, changed, &problem, &f);
    buf_done(&problem);
    if (r == R_FAIL)
        tell(c, "a message is not filtered", uid, &f);
    task_yield();
    return r == R_FAIL && f.kind == FAULT_LIMIT ? R_FAIL : R_OK;
}

void
imap_event_end(struct imap_command *c, struct filter_stored **event,
               const struct seqset *uids)
{
    struct seqset_iter i = {0};
    uint64_t done = 0, goal = *event ? seqset_size(uids) : 0;
    uint32_t uid;
    while (*event && seqset_next(uids, &i, &uid) &&
           run_one(c, *event, uid, SPAN("")) == R_OK)
        imap_progress(c, ++done, goal);
    filter_stored_close(event);
}

static struct mailbox_ref
mailbox_of_view(const struct imap_command *c, const struct view *v)
{
    struct view_info info;
    view_info(v, &info);
    return (struct mailbox_ref){c->session->user, view_account(v), info.mailbox,
                                info.rights};
}

void
imap_event_copied(struct imap_command *c, const struct mailbox_ref *target,
                  const struct seqset *uids)
{
    const struct mailbox_ref from = mailbox_of_view(c, c->session->view);
    struct filter_stored *event = imap_event_begin(c, target, FILTER_COPY, &from);
    imap_event_end(c, &event, uids);
}

static void
run_changed(struct imap_command *c, struct filter_stored **event,
            const struct flag_difference *changed, size_t n)
{
    for (size_t i = 0; *event && i < n; i++) {
        if (run_one(c, *event, changed[i].uid, changed[i].names) != R_OK)
            break;
        imap_progress(c, i + 1, n);
    }
    filter_stored_close(event);
}

void
imap_event_changed(struct imap_command *c, const struct flag_difference *changed, size_t n)
{
    const struct mailbox_ref ref = mailbox_of_view(c, c->session->view);
    struct filter_stored *event =
        n > 0 ? imap_event_begin(c, &ref, FILTER_FLAG, NULL) : NULL;
    run_changed(c, &event, changed, n);
}

enum result
imap_event_flags(struct imap_command *c, const struct selection *sel,
                 struct flag_change *change, struct flag_result *out, struct fault *f)
{
    const struct mailbox_ref ref = mailbox_of_view(c, sel->view);
    struct filter_stored *event = imap_event_begin(c, &ref, FILTER_FLAG, NULL);
    change->tells_changed = event != NULL;
    enum result r = change_flags(sel, change, c->arena, out, f);
    run_changed(c, &event, out->changed, r == R_OK ? out->changed_count : 0);
    return r;
}

const struct imap_ext imap_ext_imapsieve = {
    .name = "imapsieve",
    .rfc = "RFC 6785",
    .capability_put = capability_put,
};
