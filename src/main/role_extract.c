#include "main/role.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "extract/job.h"
#include "io/loop.h"
#include "os/sandbox.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/stat.h>
#include <unistd.h>

// The role extract: mail gives it documents, it has a child make text of each. It looks at no octet of them itself.

enum { NICE = 10 };

struct extract_role;

// A channel to a thread of mail.
struct asker {
    struct asker *next;
    struct extract_role *role;
    struct channel *channel;
    uint64_t room_request;
    int room;  // the memfd that came before its request; -1: none
};

// A document that waits, or is being read.
struct document {
    struct document *next;
    struct extract_role *role;
    struct asker *asker;  // NULL: it is gone, nobody waits for the text
    uint64_t request;
    enum extract_kind kind;
    int in, out;
    struct extract_job job;
    struct event *ended;
    struct timer patience;
    uint64_t started_ms;
    bool timed_out;
};

struct extract_role {
    const struct role_start *start;
    struct role_link *link;
    struct loop *loop;
    struct asker *askers;
    struct document *waiting, **waiting_end, *running;
    unsigned running_count, waiting_count, rooms;
    bool pdf;
};

static void start_waiting(struct extract_role *role);

static void
send_reply(const struct document *d, enum extract_verdict v, uint64_t octets)
{
    uint64_t ms = d->started_ms ? clock_mono_ms() - d->started_ms : 0;
    struct extract_reply reply = {d->request, (uint8_t)v, octets, (uint32_t)ms};
    struct buf b;
    if (d->asker == NULL)
        return;
    buf_init(&b, 64);
    extract_reply_put(&b, &reply);
    channel_send(d->asker->channel, MESSAGE_EXTRACT_REPLY, buf_span(&b), -1);
    buf_done(&b);
}

static void
document_free(struct document *d)
{
    close(d->in);
    close(d->out);
    free(d);
}

// What the child wrote: where the memfd's offset stands.
static uint64_t
written(const struct document *d)
{
    off_t at = lseek(d->out, 0, SEEK_CUR);
    return at > 0 ? (uint64_t)at : 0;
}

// Its child has ended, or is ended now.
static void
document_end(struct document *d)
{
    timer_clear(&d->patience);
    event_free(d->ended);
    extract_job_kill(&d->job);
    uint64_t octets = written(d);
    send_reply(d, extract_job_end(&d->job, d->timed_out, octets), octets);
    document_free(d);
}

static void
finish(struct document *d)
{
    struct extract_role *role = d->role;
    struct document **p = &role->running;
    while (*p != d)
        p = &(*p)->next;
    *p = d->next;
    role->running_count--;
    document_end(d);
    start_waiting(role);
}

static void
on_ended(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    finish(arg);
}

static void
on_patience(void *arg)
{
    struct document *d = arg;
    d->timed_out = true;
    extract_job_kill(&d->job);  // its end comes by the pidfd
}

static void
refuse_document(struct document *d, enum extract_verdict v)
{
    send_reply(d, v, 0);
    document_free(d);
}

static void
start_document(struct document *d)
{
    struct extract_role *role = d->role;
    struct fault f;
    if (d->kind == EXTRACT_PDF && !role->pdf) {
        refuse_document(d, EXTRACT_TOOL_MISSING);
        return;
    }
    d->started_ms = clock_mono_ms();
    if (extract_job_start(d->kind, d->in, d->out, &d->job, &f) != R_OK) {
        log_error("extract", "no child for an attachment", log_fault(&f));
        refuse_document(d, EXTRACT_UNAVAILABLE);
        return;
    }
    d->next = role->running;
    role->running = d;
    role->running_count++;
    timer_init(&d->patience, on_patience, d);
    uint64_t test_ms = role->start->config->test_extract_ms;
    timer_set(&d->patience, test_ms > 0 ? (uint32_t)test_ms : LIMIT_extract_ms);
    d->ended =
        event_new(loop_base(role->loop), d->job.pidfd, EV_READ | EV_PERSIST, on_ended, d);
    must(d->ended != NULL && event_add(d->ended, NULL) == 0);
}

static void
start_waiting(struct extract_role *role)
{
    while (role->waiting != NULL && role->running_count < LIMIT_extract_jobs) {
        struct document *d = role->waiting;
        role->waiting = d->next;
        if (role->waiting == NULL)
            role->waiting_end = &role->waiting;
        role->waiting_count--;
        start_document(d);
    }
}

// ---- what mail asks ----

static enum result
take_room(struct asker *a, struct span body, int fd)
{
    struct extract_room m;
    if (a->role->start->config->test_extract_lost && a->role->rooms++ % 2 == 1)
        return R_FAIL;
    if (a->room >= 0 || fd < 0 || extract_room_get(body, &m) != R_OK)
        return R_FAIL;
    a->room = fd;
    a->room_request = m.request;
    return R_OK;
}

// Mail keeps fewer under way than that; a mail that was taken over does not fill us up.
static bool
has_room(const struct extract_role *role)
{
    return role->waiting_count < LIMIT_extract_waiting * LIMIT_processes;
}

static enum result
take_document(struct asker *a, struct span body, int fd)
{
    struct extract_request m;
    if (fd < 0 || a->room < 0 || extract_request_get(body, &m) != R_OK ||
        m.request != a->room_request || m.kind == EXTRACT_NONE || m.kind >= EXTRACT_KINDS ||
        !has_room(a->role))
        return R_FAIL;
    struct document *d = calloc(1, sizeof *d);
    must(d != NULL);
    *d = (struct document){.role = a->role,
                           .asker = a,
                           .request = m.request,
                           .kind = m.kind,
                           .in = fd,
                           .out = a->room};
    a->room = -1;
    *a->role->waiting_end = d;
    a->role->waiting_end = &d->next;
    a->role->waiting_count++;
    start_waiting(a->role);
    return R_OK;
}

static void
leave(struct document *d, const struct asker *a)
{
    for (; d != NULL; d = d->next)
        if (d->asker == a)
            d->asker = NULL;
}

static void
drop(struct asker *a)
{
    struct asker **p = &a->role->askers;
    while (*p != a)
        p = &(*p)->next;
    *p = a->next;
    leave(a->role->running, a);
    leave(a->role->waiting, a);
    if (a->room >= 0)
        close(a->room);
    channel_close(&a->channel);
    free(a);
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    struct asker *a = arg;
    (void)c;
    enum result r = type == MESSAGE_EXTRACT_ROOM ? take_room(a, body, fd)
                    : type == MESSAGE_EXTRACT    ? take_document(a, body, fd)
                                                 : R_FAIL;
    if (r == R_OK)
        return;
    if (fd >= 0)
        close(fd);
    log_error("extract", "a message is malformed",
              field_number("message", "message=%", type));
    drop(a);
}

static void
on_end(struct channel *c, void *arg)
{
    (void)c;
    drop(arg);
}

static void
on_peer(void *arg, struct span peer, uint32_t index, int fd)
{
    struct extract_role *role = arg;
    struct asker *a = calloc(1, sizeof *a);
    struct buf b;
    (void)peer, (void)index;
    must(a != NULL);
    *a = (struct asker){.next = role->askers, .role = role, .room = -1};
    a->channel = channel_new(fd, on_message, on_end, a);
    role->askers = a;
    buf_init(&b, 64);
    extract_offer_put(&b, &(struct extract_offer){role->pdf});
    channel_send(a->channel, MESSAGE_EXTRACT_OFFER, buf_span(&b), -1);
    buf_done(&b);
}

// ---- beginning and end ----

// Nothing here is worth waiting for: what was not read yet is read another time.
static void
on_drain(void *arg)
{
    struct extract_role *role = arg;
    loop_stop(role->loop);
}

static const struct role_link_ops link_ops = {
    .peer = on_peer,
    .drain = on_drain,
};

static void
begin(void *arg)
{
    struct extract_role *role = arg;
    role->link = role_link_open(role->start, &link_ops, role);
    role_link_ready(role->link);
    role_probe(role->start);
}

static void
finish_role(struct extract_role *role)
{
    struct document *next;
    for (struct document *d = role->waiting; d != NULL; d = next) {
        next = d->next;
        document_free(d);
    }
    role->waiting = NULL;
    role->waiting_end = &role->waiting;
    for (struct document *d = role->running; d != NULL; d = next) {
        next = d->next;
        document_end(d);
    }
    role->running = NULL;
    for (struct asker *a = role->askers, *after; a != NULL; a = after) {
        after = a->next;
        channel_close(&a->channel);
        if (a->room >= 0)
            close(a->room);
        free(a);
    }
    role_link_close(&role->link);
}

// pdftotext opens files to run. Where no Landlock keeps it from other files it would, once taken over by a document, have the mail's.
static const char *
why_no_pdf(const struct config *c)
{
    if (!extract_tool_there())
        return EXTRACT_PDF_TOOL " is missing; install poppler-utils";
    if ((sandbox_landlock_abi() == 0 || c->test_no_landlock) && !c->search_pdf_unconfined)
        return "this kernel has no Landlock to keep pdftotext from files "
               "(search_pdf_unconfined)";
    return NULL;
}

int
role_extract_main(const struct role_start *start)
{
    const char *why = why_no_pdf(start->config);
    struct extract_role role = {.start = start, .pdf = why == NULL};
    role.waiting_end = &role.waiting;
    if (why != NULL)
        log_warning("extract", "the text of PDF files cannot be searched",
                    field_str("missing", ": %", why));
    (void)!nice(NICE);  // its children inherit it
    if (role_confine(start, start->supervisor + 1) != R_OK)
        return ROLE_EXIT_SETTINGS;
    role.loop = loop_new();
    loop_post(role.loop, begin, &role);
    loop_run(role.loop);
    finish_role(&role);
    loop_free(&role.loop);
    return ROLE_EXIT_DRAINED;
}
