#include "main/role.h"
#include "auth/sasl_client.h"
#include "base/limits.h"
#include "base/log.h"
#include "ctl/smarthost.h"
#include "io/loop.h"
#include "io/task.h"
#include "os/sandbox.h"
#include "relay/queue.h"

#include <netdb.h>
#include <unistd.h>

// The role relay: the one that has mail which goes out, in data/queue, and connects to the smarthost. Threads of mail hand mail over, and
// are given reports for users here.

enum { FILE_THREADS = 4, PIECE = 12000, DRAIN_STEP_MS = 50, DRAIN_MS = 6000 };

struct relay_role;

// A channel to a thread of mail.
struct sender {
    struct sender *next;
    struct relay_role *role;
    struct channel *channel;
    uint64_t id;  // never used again
    uint64_t begun;
    int envelope;  // the memfd that came before its text; -1: none
};

// A report on its way to a user here: lives on the stack of the task that waits.
struct giving {
    struct giving *next;
    uint64_t request, sender;
    struct task *task;
    bool done;
    uint8_t verdict;
};

// Mail, or a verb, from its message to its answer.
struct job {
    struct relay_role *role;
    uint64_t sender, request;
    int envelope, text;
    uint64_t at, size;
    struct buf packed, rows;
    struct arena *arena;
    struct span verb, *args;
    size_t arg_count;
};

struct relay_role {
    const struct role_start *start;
    struct role_link *link;
    struct loop *loop;
    struct sender *senders;
    struct giving *givings;
    uint64_t sender_last, giving_last;
    struct relay_queue *queue;
    struct smarthost_settings host;
    struct timer patience;
    unsigned steps;
};

// ---- channels ----

static struct sender *
sender_find(struct relay_role *role, uint64_t id)
{
    struct sender *s = role->senders;
    while (s != NULL && s->id != id)
        s = s->next;
    return s;
}

static void
finish_giving(struct giving *g, uint8_t verdict)
{
    g->done = true;
    g->verdict = verdict;
    task_wake(g->task);
}

static void
on_end(struct channel *c, void *arg)
{
    struct sender *s = arg, **at = &s->role->senders;
    (void)c;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    for (struct giving *g = s->role->givings; g != NULL; g = g->next)
        if (g->sender == s->id && !g->done)
            finish_giving(g, RELAY_RETURN_LATER);
    channel_close(&s->channel);
    if (s->envelope >= 0)
        close(s->envelope);
    free(s);
}

static void
answer(struct job *j, uint16_t type, struct buf *b)
{
    struct sender *s = sender_find(j->role, j->sender);
    if (s != NULL && !b->over)
        channel_send(s->channel, type, buf_span(b), -1);
    buf_done(b);
}

static void
job_free(struct job *j)
{
    if (j->envelope >= 0)
        close(j->envelope);
    if (j->text >= 0)
        close(j->text);
    buf_done(&j->packed);
    buf_done(&j->rows);
    arena_free(&j->arena);
    free(j);
}

static struct job *
job_new(struct sender *s, uint64_t request)
{
    struct job *j = calloc(1, sizeof *j);
    must(j != NULL);
    *j = (struct job){
        .role = s->role, .sender = s->id, .request = request, .envelope = -1, .text = -1};
    buf_init(&j->packed, LIMIT_relay_envelope);
    buf_init(&j->rows, SIZE_MAX / 2);
    return j;
}

// ---- mail that comes ----

static enum result
read_envelope(struct job *j, struct fault *f)
{
    off_t n = lseek(j->envelope, 0, SEEK_END);
    char *room = n > 0 ? buf_reserve(&j->packed, (size_t)n) : NULL;
    if (room == NULL || pread(j->envelope, room, (size_t)n, 0) != n)
        return fault_set(f, FAULT_BAD, "the envelope cannot be read");
    j->packed.n = (size_t)n;
    return R_OK;
}

static void
take_task(void *arg)
{
    struct job *j = arg;
    struct fault f = {.kind = FAULT_SERVERBUG};
    const struct relay_text text = {.fd = j->text, .at = j->at, .size = j->size};
    struct relay_taken m = {.request = j->request, .fault = FAULT_COUNT};
    struct buf b;
    if (read_envelope(j, &f) != R_OK ||
        relay_queue_take(j->role->queue, buf_span(&j->packed), &text, &m.id, &f) != R_OK) {
        log_warning("relay", "mail was not taken", log_fault(&f));
        m.fault = (uint8_t)f.kind;
        m.why = span_str(f.why);
    }
    buf_init(&b, LIMIT_channel_message);
    relay_taken_put(&b, &m);
    answer(j, MESSAGE_RELAY_TAKEN, &b);
    job_free(j);
}

static enum result
take_begin(struct sender *s, struct span body, int fd)
{
    struct relay_begin m;
    if (s->envelope >= 0 || relay_begin_get(body, &m) != R_OK)
        return R_FAIL;
    s->begun = m.request;
    s->envelope = fd;
    return R_OK;
}

// A descriptor that did not come: none was free here (io/channel.h).
static void
refuse_mail(struct job *j)
{
    struct relay_taken m = {.request = j->request,
                            .fault = FAULT_UNAVAILABLE,
                            .why = SPAN("the relay has no descriptor free")};
    struct buf b;
    log_warning("relay", "mail was not taken", log_why("no descriptor is free"));
    buf_init(&b, LIMIT_channel_message);
    relay_taken_put(&b, &m);
    answer(j, MESSAGE_RELAY_TAKEN, &b);
    job_free(j);
}

static enum result
take_submit(struct sender *s, struct span body, int fd)
{
    struct relay_submit m;
    if (relay_submit_get(body, &m) != R_OK || m.request != s->begun ||
        m.size > INT64_MAX / 4 || m.at > INT64_MAX / 4)
        return R_FAIL;
    struct job *j = job_new(s, m.request);
    j->envelope = s->envelope;
    s->envelope = -1;
    j->text = fd;
    if (j->envelope < 0 || j->text < 0) {
        refuse_mail(j);
        return R_OK;
    }
    j->at = m.at;
    j->size = m.size;
    task_start(take_task, j);
    return R_OK;
}

// ---- verbs ----

static void
send_rows(struct job *j, uint8_t verdict, struct span text)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    admin_reply_put(&b, &(struct admin_reply){j->request, verdict, text});
    answer(j, MESSAGE_ADMIN_REPLY, &b);
}

// What waits for mail to read it has a cap, beyond which the channel ends.
static void
await_room(const struct job *j)
{
    struct sender *s;
    while ((s = sender_find(j->role, j->sender)) != NULL &&
           channel_queued(s->channel) > LIMIT_channel_queue / 4)
        task_sleep(1);
}

static void
verb_task(void *arg)
{
    struct job *j = arg;
    struct fault f;
    if (relay_queue_verb(j->role->queue, j->verb, j->args, j->arg_count, &j->rows, &f) ==
        R_OK) {
        struct span rest = buf_span(&j->rows);
        for (; rest.n > PIECE; rest = span_skip(rest, PIECE)) {
            send_rows(j, ADMIN_MORE, span_slice(rest, 0, PIECE));
            await_room(j);
        }
        send_rows(j, ADMIN_DONE, rest);
    } else {
        struct buf said;
        buf_init(&said, sizeof f.why + 1);
        pack_u8(&said, (uint8_t)f.kind);
        buf_put_str(&said, f.why);
        send_rows(j, ADMIN_FAILED, buf_span(&said));
        buf_done(&said);
    }
    job_free(j);
}

static enum result
take_verb(struct sender *s, struct span body)
{
    struct admin_request m;
    if (admin_request_get(body, &m) != R_OK)
        return R_FAIL;
    struct job *j = job_new(s, m.request);
    struct unpack u = unpack_of(m.args);
    j->arena = arena_new();
    j->verb = arena_dup(j->arena, m.verb);
    j->args = arena_array(j->arena, LIMIT_admin_args, sizeof *j->args);
    while (!u.bad && u.rest.n > 0 && j->arg_count < LIMIT_admin_args)
        j->args[j->arg_count++] = arena_dup(j->arena, unpack_span(&u));
    if (unpack_end(&u) != R_OK) {
        job_free(j);
        return R_FAIL;
    }
    task_start(verb_task, j);
    return R_OK;
}

// ---- reports for users here ----

static enum result
take_returned(struct sender *s, struct span body)
{
    struct relay_returned m;
    if (relay_returned_get(body, &m) != R_OK)
        return R_FAIL;
    for (struct giving *g = s->role->givings; g != NULL; g = g->next)
        if (g->request == m.request && g->sender == s->id && !g->done)
            finish_giving(g, m.verdict);
    return R_OK;
}

static void
await_giving(struct relay_role *role, struct giving *g)
{
    struct giving **at = &role->givings;
    g->task = task_self();
    g->next = role->givings;
    role->givings = g;
    while (!g->done)
        task_suspend();
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
}

// Takes fd.
static uint8_t
give_back(void *arg, struct span address, int fd, uint64_t at, uint64_t size)
{
    struct relay_role *role = arg;
    struct sender *s = role->senders;
    if (s == NULL) {
        close(fd);
        return RELAY_RETURN_LATER;
    }
    struct giving g = {.request = ++role->giving_last, .sender = s->id};
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    relay_return_put(&b, &(struct relay_return){g.request, at, size, address});
    channel_send(s->channel, MESSAGE_RELAY_RETURN, buf_span(&b), fd);
    buf_done(&b);
    await_giving(role, &g);
    return g.verdict;
}

// ---- the link ----

static enum result
take(struct sender *s, uint16_t type, struct span body, int fd)
{
    switch (type) {
    case MESSAGE_RELAY_ENVELOPE:
        return take_begin(s, body, fd);
    case MESSAGE_RELAY_SUBMIT:
        return take_submit(s, body, fd);
    case MESSAGE_ADMIN:
        return fd < 0 ? take_verb(s, body) : R_FAIL;
    case MESSAGE_RELAY_RETURNED:
        return fd < 0 ? take_returned(s, body) : R_FAIL;
    default:
        return R_FAIL;
    }
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    if (take(arg, type, body, fd) == R_OK)
        return;
    log_error("relay", "a message is malformed",
              field_number("message", "message=%", type));
    if (fd >= 0)
        close(fd);
    on_end(c, arg);
}

static void
on_peer(void *arg, struct span peer, uint32_t index, int fd)
{
    struct relay_role *role = arg;
    (void)peer, (void)index;
    struct sender *s = calloc(1, sizeof *s);
    must(s != NULL);
    *s = (struct sender){
        .next = role->senders, .role = role, .id = ++role->sender_last, .envelope = -1};
    role->senders = s;
    s->channel = channel_new(fd, on_message, on_end, s);
}

static void
on_settings(void *arg, const struct config *c)
{
    struct relay_role *role = arg;
    relay_queue_patience(role->queue, c->relay_expire, c->relay_delay_report);
}

// Sessions of mail are still bringing texts that go out, and what is being sent has a moment to end; what does not is tried again by the
// next process.
static void
on_patience(void *arg)
{
    struct relay_role *role = arg;
    bool over = role->senders == NULL && !relay_queue_busy(role->queue);
    if (++role->steps >= DRAIN_MS / DRAIN_STEP_MS || over)
        loop_stop(role->loop);
    else
        timer_set(&role->patience, DRAIN_STEP_MS);
}

static void
on_drain(void *arg)
{
    struct relay_role *role = arg;
    relay_queue_drain(role->queue);
    timer_init(&role->patience, on_patience, role);
    timer_set(&role->patience, 1);
}

static const struct role_link_ops link_ops = {
    .peer = on_peer, .drain = on_drain, .settings = on_settings};

static void
begin(void *arg)
{
    struct relay_role *role = arg;
    relay_queue_start(role->queue);
    role->link = role_link_open(role->start, &link_ops, role);
    role_link_ready(role->link);
    role_probe(role->start);
}

// ---- the process ----

static enum result
open_queue(struct relay_role *role)
{
    const struct config *c = role->start->config;
    char path[4200];
    struct fault f;
    snprintf(path, sizeof path, "%s/queue", c->data);
    struct relay_queue_options o = {.path = path,
                                    .host = role->host.host,
                                    .pool = pool_new(FILE_THREADS),
                                    .connectors = pool_new(LIMIT_relay_connections),
                                    .retry_ms = c->test_relay_retry_ms
                                                    ? (uint32_t)c->test_relay_retry_ms
                                                    : LIMIT_relay_retry_ms,
                                    .retry_most_ms = LIMIT_relay_retry_most_ms,
                                    .give_back = give_back,
                                    .arg = role};
    if (relay_queue_open(&o, &role->queue, &f) == R_OK) {
        relay_queue_patience(role->queue, c->relay_expire, c->relay_delay_report);
        return R_OK;
    }
    log_error("relay", "the queue cannot be opened", log_fault(&f));
    return R_FAIL;
}

// Afterwards no code can be mapped: the name service has its libraries.
static void
warm(void)
{
    struct addrinfo *found = NULL;
    if (getaddrinfo("localhost", "25", NULL, &found) == 0)
        freeaddrinfo(found);
    sasl_client_init();
}

static enum result
confine(const struct relay_role *role)
{
    const uint16_t ports[] = {53, role->host.port};
    return role_confine_with(role->start,
                             &(struct sandbox_paths){.data = role->start->config->data,
                                                     .ports = ports,
                                                     .port_count = 2});
}

int
role_relay_main(const struct role_start *start)
{
    // a name that is looked for on the pool may come back to it until the process is gone
    static struct relay_role role;
    struct fault f;
    role.start = start;
    closefrom(start->supervisor + 1);
    if (smarthost_open(start->config, &role.host, &f) != R_OK) {
        log_error("relay", "the smarthost's settings cannot be used", log_fault(&f));
        return ROLE_EXIT_SETTINGS;
    }
    warm();
    if (confine(&role) != R_OK)
        return ROLE_EXIT_SETTINGS;
    role.loop = loop_new();
    if (open_queue(&role) != R_OK)
        return ROLE_EXIT_FAILED;
    loop_post(role.loop, begin, &role);
    loop_run(role.loop);
    role_link_close(&role.link);
    return ROLE_EXIT_DRAINED;
}
