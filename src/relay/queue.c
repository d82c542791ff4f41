#include "relay/queue_inside.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>
#include <utlist.h>

enum { LOOK_MOST_MS = 60000, TELL_MS = 3600 * 1000 };

// ---- lists ----

static void
leave_list(struct relay_queue *q, struct queue_entry *e)
{
    if (e->ready)
        DL_DELETE(q->ready, e);
    else
        DL_DELETE(q->waiting, e);
}

static bool
is_due(const struct relay_queue *q, const struct queue_entry *e, int64_t now_ms)
{
    if (e->held || e->busy || e->hold_until_s > now_ms / 1000)
        return false;
    // a clock that was set back must not hold mail for longer
    return e->next_ms <= now_ms || e->next_ms - now_ms > (int64_t)q->o.retry_most_ms + 1000;
}

static void
set_look(struct relay_queue *q, int64_t due_ms, int64_t now_ms)
{
    int64_t in_ms = due_ms > now_ms ? due_ms - now_ms : 1;
    timer_set(&q->look, in_ms < LOOK_MOST_MS ? (uint32_t)in_ms : LOOK_MOST_MS);
}

// When it is due, at most `most_ms`; what never is by itself: then.
static int64_t
due_ms_of(const struct queue_entry *e, int64_t most_ms)
{
    int64_t hold_ms = e->hold_until_s * 1000;
    int64_t at_ms = e->next_ms > hold_ms ? e->next_ms : hold_ms;
    return e->held || e->busy || at_ms > most_ms ? most_ms : at_ms;
}

static void
make_ready(struct relay_queue *q, struct queue_entry *e)
{
    DL_DELETE(q->waiting, e);
    e->ready = true;
    DL_APPEND(q->ready, e);
}

static void
look(void *arg)
{
    struct relay_queue *q = arg;
    int64_t now_ms = clock_wall_ms(), first_ms = now_ms + LOOK_MOST_MS;
    struct queue_entry *e, *next;
    for (e = q->waiting; e != NULL; e = next) {
        next = e->next;
        if (is_due(q, e, now_ms))
            make_ready(q, e);
        else
            first_ms = due_ms_of(e, first_ms);
    }
    set_look(q, first_ms, now_ms);
    queue_wake(q);
}

void
queue_later(struct relay_queue *q, struct queue_entry *e, int64_t next_ms)
{
    leave_list(q, e);
    e->ready = false;
    e->next_ms = next_ms;
    DL_APPEND(q->waiting, e);
    timer_set(&q->look, 1);
}

void
queue_now(struct relay_queue *q, struct queue_entry *e)
{
    e->next_ms = 0;
    if (!e->busy && !e->ready)
        queue_later(q, e, 0);
}

// As many workers as there are mails, up to the cap; those that have nothing to do come first.
void
queue_wake(struct relay_queue *q)
{
    if (q->draining)
        return;
    struct queue_entry *e;
    unsigned ready = 0;
    DL_FOREACH(q->ready, e)
    if (++ready >= LIMIT_relay_connections)
        break;
    while (ready > 0 && q->idle != NULL) {
        worker_wake(q->idle);
        ready--;
    }
    for (; ready > 0 && q->workers < LIMIT_relay_connections; ready--)
        worker_start(q);
}

struct queue_entry *
queue_find(struct relay_queue *q, uint64_t id)
{
    struct queue_entry *e;
    HASH_FIND(hh, q->entries, &id, sizeof id, e);
    return e;
}

static void
count(const struct relay_queue *q)
{
    metric_set(METRIC_relay_mails, q->count);
    metric_set(METRIC_relay_octets, q->octets);
}

void
queue_forget(struct relay_queue *q, struct queue_entry *e)
{
    leave_list(q, e);
    HASH_DEL(q->entries, e);
    q->count--;
    q->octets -= e->size;
    count(q);
    e->gone = true;
    if (e->visits == 0)
        free(e);
}

int64_t
queue_backoff_ms(const struct relay_queue *q, uint32_t tries)
{
    uint64_t ms = q->o.retry_ms;
    for (uint32_t i = 1; i < tries && ms < q->o.retry_most_ms; i++)
        ms *= 2;
    return ms < q->o.retry_most_ms ? (int64_t)ms : (int64_t)q->o.retry_most_ms;
}

static void
add(struct relay_queue *q, const struct queue_mail *m)
{
    struct queue_entry *e = calloc(1, sizeof *e);
    must(e != NULL);
    *e = (struct queue_entry){.id = m->id,
                              .size = m->head.text_n + m->head.envelope_n,
                              .created_s = (int64_t)(m->head.created_ms / 1000),
                              .next_ms = m->next_s * 1000,
                              .hold_until_s = m->released ? 0 : m->envelope.hold_until_s,
                              .recipients = (uint32_t)m->envelope.to_count,
                              .tries = m->tries,
                              .held = m->held};
    for (size_t i = 0; i < m->envelope.to_count; i++)
        e->waiting += m->to[i].state == QUEUE_WAITING;
    HASH_ADD(hh, q->entries, id, sizeof e->id, e);
    DL_APPEND(q->waiting, e);
    q->count++;
    q->octets += e->size;
    count(q);
}

// ---- what is there at the start ----

// Under such a name nothing was acknowledged yet.
static bool
is_unfinished(struct span name)
{
    return span_ends(name, SPAN(".mail.new"));
}

void
queue_unreadable(struct relay_queue *q, uint64_t id, const struct fault *f)
{
    q->unreadable++;
    log_error("relay", "a file of the queue cannot be read; it stays where it is",
              field_id("id", "id=%", id), log_fault(f));
}

static void
read_one(struct relay_queue *q, uint64_t id)
{
    struct arena *a = arena_new();
    struct queue_mail m;
    struct fault f;
    enum result r = queue_file_read(q->folder, id, a, &m, &f);
    if (r == R_FAIL)
        queue_unreadable(q, id, &f);
    else if (r == R_OK)
        add(q, &m);
    arena_free(&a);
}

static enum result
read_folder(struct relay_queue *q, struct fault *f)
{
    int fd = openat(q->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL)
        return fault_errno(f, FAULT_DISK, "the queue's folder");
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        uint64_t id;
        if (is_unfinished(span_str(d->d_name)))
            (void)unlinkat(q->folder, d->d_name, 0);
        else if (queue_name_id(span_str(d->d_name), &id) == R_OK)
            read_one(q, id);
    }
    closedir(dir);
    return R_OK;
}

enum result
relay_queue_open(const struct relay_queue_options *o, struct relay_queue **out,
                 struct fault *f)
{
    struct relay_queue *q = calloc(1, sizeof *q);
    must(q != NULL);
    q->o = *o;
    if (disk_folder_open(AT_FDCWD, o->path, &q->folder, f) != R_OK ||
        read_folder(q, f) != R_OK)
        return R_FAIL;  // the role ends
    *out = q;
    return R_OK;
}

// ---- taking ----

struct taking {
    struct relay_queue *queue;
    struct span envelope;
    const struct relay_text *text;
    struct arena *arena;
    uint64_t id;
    struct queue_mail mail;
    struct fault *fault;
    enum result result;
};

static void
take_on_pool(void *arg)
{
    struct taking *t = arg;
    int folder = t->queue->folder;
    char name[QUEUE_NAME];
    t->result = queue_file_make(folder, t->id, t->envelope, t->text, t->fault);
    bool made = t->result == R_OK;
    if (made)
        t->result = queue_file_read(folder, t->id, t->arena, &t->mail, t->fault);
    if (t->result == R_NONE)
        t->result = fault_set(t->fault, FAULT_DISK, "the queue's file vanished");
    if (made && t->result != R_OK) {  // it was not taken: nobody is to send it
        queue_name(t->id, name);
        (void)unlinkat(folder, name, 0);
    }
}

static enum result
has_room(const struct relay_queue *q, uint64_t size, struct fault *f)
{
    if (q->count + q->on_the_way >= LIMIT_relay_entries)
        return fault_set(f, FAULT_LIMIT, "the queue is full: %d mails",
                         LIMIT_relay_entries);
    if ((q->octets + q->octets_on_the_way + size) >> 20 >= LIMIT_relay_mib)
        return fault_set(f, FAULT_LIMIT, "the queue is full: %d MiB", LIMIT_relay_mib);
    return R_OK;
}

static uint64_t
fresh_id(struct relay_queue *q)
{
    uint64_t id;
    do
        id = random_u64();
    while (id == 0 || queue_find(q, id) != NULL);
    return id;
}

static void
log_taken(const struct queue_mail *m)
{
    log_info("relay", "queued", field_id("id", "id=%", m->id),
             field_text("from", "from=<%>", m->envelope.from),
             field_text("to", "to=<%>", m->envelope.to[0].address),
             field_number("recipients", "recipients=%", m->envelope.to_count),
             field_number("size", "size=%", m->head.text_n),
             field_text("why", "why=%", m->envelope.why),
             field_if(m->envelope.owner.n > 0, log_user(m->envelope.owner)));
}

enum result
queue_put(struct relay_queue *q, struct span envelope, const struct relay_text *text,
          uint64_t *id_out, struct fault *f)
{
    struct relay_envelope e;
    struct taking t = {.queue = q, .envelope = envelope, .text = text, .fault = f};
    t.arena = arena_new();
    t.result = relay_envelope_get(envelope, t.arena, &e, f);
    if (t.result == R_OK) {
        t.id = fresh_id(q);
        uint64_t octets = text->fd < 0 ? text->text.n : text->size;
        q->on_the_way++;
        q->octets_on_the_way += octets;
        pool_run(q->o.pool, take_on_pool, &t);
        q->on_the_way--;
        q->octets_on_the_way -= octets;
    }
    if (t.result == R_OK) {
        add(q, &t.mail);
        log_taken(&t.mail);
        *id_out = t.id;
        timer_set(&q->look, 1);
    }
    arena_free(&t.arena);
    return t.result;
}

enum result
relay_queue_take(struct relay_queue *q, struct span envelope, const struct relay_text *text,
                 uint64_t *id_out, struct fault *f)
{
    uint64_t size = text->fd < 0 ? text->text.n : text->size;
    if (has_room(q, size, f) != R_OK || queue_put(q, envelope, text, id_out, f) != R_OK)
        return R_FAIL;
    q->counts.taken++;
    return R_OK;
}

// ---- life ----

void
relay_queue_patience(struct relay_queue *q, uint64_t expire_s, uint64_t delay_s)
{
    q->expire_s = expire_s;
    q->delay_s = delay_s;
}

static void
tell(void *arg)
{
    struct relay_queue *q = arg;
    if (memcmp(&q->counts, &q->told, sizeof q->counts) != 0)
        log_info("relay", "counters", field_number("waiting", "waiting=%", q->count),
                 field_number("octets", "octets=%", q->octets),
                 field_number("taken", "taken=%", q->counts.taken),
                 field_number("sent", "sent=%", q->counts.sent),
                 field_number("deferred", "deferred=%", q->counts.deferred),
                 field_number("failed", "failed=%", q->counts.failed),
                 field_number("expired", "expired=%", q->counts.expired),
                 field_number("reports", "reports=%", q->counts.reports),
                 field_number("returned", "returned=%", q->counts.returned));
    q->told = q->counts;
    timer_set(&q->telling, TELL_MS);
}

void
relay_queue_start(struct relay_queue *q)
{
    timer_init(&q->look, look, q);
    timer_set(&q->look, 1);
    timer_init(&q->telling, tell, q);
    timer_set(&q->telling, TELL_MS);
    count(q);
    if (q->count > 0)
        log_info("relay", "mail waits to go out",
                 field_number("waiting", "waiting=%", q->count));
}

void
relay_queue_drain(struct relay_queue *q)
{
    q->draining = true;
    timer_clear(&q->look);
    tell(q);
    timer_clear(&q->telling);
    while (q->idle != NULL)
        worker_wake(q->idle);
}

bool
relay_queue_busy(const struct relay_queue *q)
{
    return q->workers > 0 || q->on_the_way > 0;
}
