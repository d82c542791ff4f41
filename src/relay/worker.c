#include "relay/queue_inside.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/utf8.h"
#include "io/message.h"

#include <fcntl.h>
#include <utlist.h>

// A worker is a task with a connection to the smarthost: it takes one mail after another, and goes when there was none for a while.

struct queue_worker {
    struct queue_worker *prev, *next;  // of those that have nothing to do
    struct relay_queue *queue;
    struct task *task;
    struct smtp *smtp;  // NULL: not connected
    bool idle, woken;
};

// ---- the connection ----

struct connecting {
    const struct smarthost *host;
    int fd;
    struct fault *fault;
    enum result result;
};

static void
connect_on_pool(void *arg)
{
    struct connecting *c = arg;
    c->result = relay_connect(c->host, &c->fd, c->fault);
}

// Mail that waited for nothing else is due now.
static void
smarthost_works(struct relay_queue *q)
{
    struct queue_entry *e, *next;
    if (q->smarthost.failures == 0)
        return;
    q->smarthost.failures = 0;
    q->smarthost.rest_until_ms = 0;
    log_info("relay", "the smarthost works again",
             field_str("host", "host=%", q->o.host.name));
    HASH_ITER(hh, q->entries, e, next)
    {
        if (e->host_failed)
            queue_now(q, e);
        e->host_failed = false;
    }
}

static void
smarthost_fails(struct relay_queue *q, const struct fault *f)
{
    q->smarthost.failures++;
    int64_t rest_ms = queue_backoff_ms(q, q->smarthost.failures);
    q->smarthost.rest_until_ms = (int64_t)clock_mono_ms() + rest_ms;
    snprintf(q->smarthost.why, sizeof q->smarthost.why, "%s", f->why);
    log_warning(
        "relay", "the smarthost does not work", field_str("host", "host=%", q->o.host.name),
        field_number("rest", "next try in % s", (uint64_t)rest_ms / 1000), log_fault(f));
}

static enum result
connect_now(struct queue_worker *w, struct fault *f)
{
    struct relay_queue *q = w->queue;
    struct connecting c = {.host = &q->o.host, .fd = -1, .fault = f};
    if (q->smarthost.rest_until_ms > (int64_t)clock_mono_ms())
        return fault_set(f, FAULT_UNAVAILABLE, "%s", q->smarthost.why);
    pool_run(q->o.connectors, connect_on_pool, &c);
    if (c.result == R_OK)
        c.result = smtp_open(&q->o.host, c.fd, &w->smtp, f);
    if (c.result == R_OK)
        smarthost_works(q);
    else
        smarthost_fails(q, f);
    return c.result;
}

// ---- what came of it ----

static bool
wants_relayed(const struct queue_visit *v, size_t i, unsigned caps)
{
    const struct relay_envelope *e = &v->mail.envelope;
    uint8_t notify = e->to[i].notify;
    if (notify & RELAY_NOTIFY_NEVER)
        return false;
    bool late = e->by_mode == RELAY_BY_NOTIFY && !(caps & SMTP_DELIVERBY);
    bool traced = e->by_mode != RELAY_BY_UNSAID && e->by_trace;
    return late || traced || ((notify & RELAY_NOTIFY_SUCCESS) && !(caps & SMTP_DSN));
}

static void
log_outcome(const struct queue_visit *v, size_t i, const char *event, char level)
{
    const struct queue_recipient *to = &v->mail.to[i];
    log_line(level, "relay", event, field_id("id", "id=%", v->entry->id),
             field_text("to", "to=<%>", v->mail.envelope.to[i].address),
             field_text("status", "status=%", to->status),
             field_number("code", "code=%", to->code),
             field_text("reply", ": %", to->reply));
}

static void
settle(struct queue_visit *v, size_t i, const struct smtp_reply *r, unsigned caps)
{
    struct queue_counts *counts = &v->queue->counts;
    if (r->code / 100 == 2) {
        visit_set(v, i, wants_relayed(v, i, caps) ? QUEUE_RELAYED : QUEUE_SENT, r);
        counts->sent++;
        metric_add(METRIC_relay_sent, 1);
        log_outcome(v, i, "sent", 'i');
    } else if (r->code / 100 == 5) {
        visit_set(v, i, QUEUE_FAILED, r);
        counts->failed++;
        metric_add(METRIC_relay_failed, 1);
        log_outcome(v, i, "failed", 'w');
    } else {
        visit_set(v, i, QUEUE_WAITING, r);
        counts->deferred++;
        metric_add(METRIC_relay_deferred, 1);
        log_outcome(v, i, "deferred", 'i');
    }
}

static void
settle_waiting(struct queue_visit *v, const struct smtp_reply *r)
{
    for (size_t i = 0; i < v->mail.envelope.to_count; i++)
        if (v->mail.to[i].state == QUEUE_WAITING)
            settle(v, i, r, 0);
}

// ---- through the smarthost ----

// One transaction's worth of those that wait, from *at on.
static size_t
next_batch(const struct queue_visit *v, const bool *tried, size_t *at, size_t *which)
{
    size_t n = 0;
    for (; *at < v->mail.envelope.to_count && n < LIMIT_relay_transaction; (*at)++)
        if (v->mail.to[*at].state == QUEUE_WAITING && !tried[*at])
            which[n++] = *at;
    return n;
}

// "Too many": those go in the next transaction, as long as each takes some.
static bool
is_too_many(const struct smtp_reply *r)
{
    return r->code == 452 && strcmp(r->status, "4.2.2") != 0 &&
           strcmp(r->status, "4.3.1") != 0;
}

static void
apply(struct queue_visit *v, const struct smtp_mail *t, bool *tried, unsigned caps)
{
    bool some = false;
    for (size_t i = 0; i < t->n; i++)
        some |= t->replies[i].code / 100 == 2;
    for (size_t i = 0; i < t->n; i++) {
        if (some && is_too_many(&t->replies[i]))
            continue;
        tried[t->which[i]] = true;
        settle(v, t->which[i], &t->replies[i], caps);
    }
    visit_write(v);
}

static void
host_failed(struct queue_visit *v, const struct fault *f)
{
    struct smtp_reply none;
    smtp_reply_none(&none, "4.4.1", f->why);
    v->entry->host_failed = true;
    settle_waiting(v, &none);
}

// Of no use any more, for a reason of ours: no code, which would be the smarthost's.
static void
fail_here(struct queue_visit *v, size_t i, const char *status, const char *words)
{
    struct smtp_reply r;
    smtp_reply_none(&r, status, words);
    visit_set(v, i, QUEUE_FAILED, &r);
    v->queue->counts.failed++;
    metric_add(METRIC_relay_failed, 1);
    log_outcome(v, i, "failed", 'w');
}

// Each try may have made one more copy at the other side.
static void
doubt(struct queue_visit *v, const struct smtp_mail *t)
{
    log_warning("relay", "the smarthost did not say whether it has the mail",
                field_id("id", "id=%", v->entry->id));
    if (++v->entry->unsure < LIMIT_relay_unsure)
        return;
    for (size_t i = 0; i < t->n; i++)
        if (t->replies[i].code == 0 && v->mail.to[t->which[i]].state == QUEUE_WAITING)
            fail_here(v, t->which[i], "5.4.2",
                      "The smarthost took all of the mail several times, and never said "
                      "that it has it. It may have arrived.");
    visit_write(v);
}

// Without SMTPUTF8 at the smarthost whoever's own address needs it does not get the mail; the others do.
static void
refuse_wide(const struct queue_worker *w, struct queue_visit *v, struct smtp_mail *t)
{
    struct smtp_reply no;
    size_t n = 0;
    if (smtp_offers(w->smtp)->caps & SMTP_SMTPUTF8)
        return;
    smtp_reply_no_utf8(&no);
    for (size_t i = 0; i < t->n; i++)
        if (ascii_only(v->mail.envelope.to[t->which[i]].address))
            t->which[n++] = t->which[i];
        else
            settle(v, t->which[i], &no, 0);
    t->n = n;
}

// R_FAIL: no more of this mail now.
static enum result
transact(struct queue_worker *w, struct queue_visit *v, struct smtp_mail *t, bool *tried)
{
    struct fault f;
    struct smtp_reply no;
    struct smtp_text text;
    if (w->smtp != NULL && !smtp_alive(w->smtp))
        smtp_close(&w->smtp);
    bool used = w->smtp != NULL;
    if (w->smtp == NULL && connect_now(w, &f) != R_OK) {
        host_failed(v, &f);
        return R_FAIL;
    }
    t->now_s = clock_wall_s();
    refuse_wide(w, v, t);
    if (t->n == 0)
        return R_OK;
    enum result r = smtp_prepare(w->smtp, t, &text, &no, &f);
    if (r != R_OK) {
        if (r == R_FAIL)
            smtp_reply_none(&no, "4.3.0", f.why);
        settle_waiting(v, &no);
        return R_FAIL;
    }
    r = smtp_send(w->smtp, t, &text, &f);
    smtp_text_done(&text);
    if (r != R_OK && used && !smtp_heard(w->smtp)) {  // it had gone while nobody used it
        smtp_close(&w->smtp);
        return transact(w, v, t, tried);
    }
    apply(v, t, tried, smtp_offers(w->smtp)->caps);
    if (smtp_unsure(w->smtp))
        doubt(v, t);
    if (r == R_OK && smtp_mails(w->smtp) < LIMIT_relay_mails)
        return R_OK;
    smtp_close(&w->smtp);
    return r;
}

static void
send_all(struct queue_worker *w, struct queue_visit *v)
{
    size_t count = v->mail.envelope.to_count, which[LIMIT_relay_transaction], at = 0, n;
    bool *tried = arena_array(v->arena, count, sizeof *tried);
    struct smtp_reply *replies =
        arena_array(v->arena, LIMIT_relay_transaction, sizeof *replies);
    struct smtp_mail t = {.mail = &v->mail,
                          .fd = v->fd,
                          .folder = v->queue->folder,
                          .pool = v->queue->o.pool,
                          .which = which,
                          .replies = replies};
    while ((n = next_batch(v, tried, &at, which)) > 0) {
        t.n = n;
        if (transact(w, v, &t, tried) != R_OK)
            break;
        at = which[0];  // those that were too many are behind it
    }
}

// ---- to a user here ----

static bool
give_back(struct queue_visit *v)
{
    struct relay_queue *q = v->queue;
    static const struct smtp_reply replies[] = {
        [RELAY_RETURN_DONE] = {250, "2.0.0", "delivered here"},
        [RELAY_RETURN_LATER] = {451, "4.3.0", "it cannot be delivered here now"},
        [RELAY_RETURN_REFUSED] = {550, "5.2.0", "it will not be delivered here"},
    };
    char name[QUEUE_NAME];
    queue_name(v->entry->id, name);
    int fd = openat(q->folder, name, O_RDONLY | O_CLOEXEC);
    uint8_t verdict = RELAY_RETURN_LATER;
    if (fd >= 0)
        verdict = q->o.give_back(q->o.arg, v->mail.envelope.to[0].address, fd,
                                 queue_text_at(&v->mail), v->mail.head.text_n);
    if (verdict == RELAY_RETURN_ELSEWHERE || verdict >= RELAY_RETURN_VERDICTS)
        return false;
    settle(v, 0, &replies[verdict], SMTP_DSN);
    q->counts.returned += verdict == RELAY_RETURN_DONE;
    return true;
}

// ---- one mail ----

static void
expire(struct queue_visit *v, const char *status)
{
    for (size_t i = 0; i < v->mail.envelope.to_count; i++) {
        const struct queue_recipient *to = &v->mail.to[i];
        struct smtp_reply r;
        if (to->state != QUEUE_WAITING)
            continue;
        smtp_reply_none(&r, status, "");
        r.code = to->code;
        snprintf(r.words, sizeof r.words, "%.*s", (int)to->reply.n,
                 to->reply.n ? to->reply.p : "");
        if (r.words[0] == '\0')
            snprintf(r.words, sizeof r.words, "its time was over");
        visit_set(v, i, QUEUE_EXPIRED, &r);
        v->queue->counts.expired++;
        metric_add(METRIC_relay_expired, 1);
        log_outcome(v, i, "expired", 'w');
    }
}

static void
deliver(struct queue_worker *w, struct queue_visit *v)
{
    const struct relay_envelope *e = &v->mail.envelope;
    int64_t now_s = clock_wall_s();
    if (e->by_mode == RELAY_BY_RETURN && now_s >= e->by_s)
        expire(v, "5.4.7");
    else if (visit_waiting(v) > 0 && !(e->returning && give_back(v)))
        send_all(w, v);
    // behind a try: the server, or the mail, may have rested for longer than that
    if (now_s - visit_from_s(v, now_s) >= (int64_t)v->queue->expire_s)
        expire(v, "4.4.7");
    visit_write(v);
}

static bool
is_over(const struct queue_visit *v)
{
    for (size_t i = 0; i < v->mail.envelope.to_count; i++)
        if (v->mail.to[i].state == QUEUE_WAITING || !v->mail.to[i].told)
            return false;
    return true;
}

static void
try_later(struct queue_visit *v)
{
    struct queue_entry *e = v->entry;
    struct buf note;
    int64_t in_ms = queue_backoff_ms(v->queue, ++e->tries), now_ms = clock_wall_ms();
    buf_init(&note, 64);
    queue_note_schedule(&note, e->tries, (now_ms + in_ms) / 1000);
    visit_write_note(v, &note);
    if (e->held_unwritten) {
        e->held_unwritten = false;
        buf_reset(&note);
        queue_note_held(&note, e->held);
        visit_write_note(v, &note);
    }
    buf_done(&note);
    e->busy = false;
    queue_later(v->queue, e, now_ms + in_ms);
}

// The sender is told; what goes out is what was taken, or nothing.
static void
fail_damaged(struct queue_visit *v)
{
    log_error("relay", "a mail has changed on disk: its sender is told, its file is kept",
              field_id("id", "id=%", v->entry->id));
    for (size_t i = 0; i < v->mail.envelope.to_count; i++)
        if (v->mail.to[i].state == QUEUE_WAITING)
            fail_here(v, i, "5.3.0", "The mail was damaged on the disk of this server.");
    visit_write(v);
}

static void
work_on(struct queue_worker *w, struct queue_entry *e)
{
    struct relay_queue *q = w->queue;
    struct queue_visit v;
    enum result r = visit_open(&v, q, e, true);
    if (r == R_NONE) {
        queue_forget(q, e);
        return;
    }
    if (r == R_FAIL) {
        e->busy = false;
        queue_later(q, e, clock_wall_ms() + queue_backoff_ms(q, ++e->tries));
        return;
    }
    if (!e->deleted) {
        if (v.damaged)
            fail_damaged(&v);
        else
            deliver(w, &v);
        report_due(&v, clock_wall_s());
    }
    bool gone = (is_over(&v) || e->deleted) && visit_unlink(&v) == R_OK;
    if (gone) {
        log_info("relay", "removed", field_id("id", "id=%", e->id));
        queue_forget(q, e);
    } else {
        try_later(&v);
    }
    visit_close(&v);
}

// ---- the task ----

static struct queue_entry *
take_ready(struct relay_queue *q)
{
    struct queue_entry *e = q->draining ? NULL : q->ready;
    if (e == NULL)
        return NULL;
    queue_later(q, e, e->next_ms);
    e->busy = true;
    return e;
}

void
worker_wake(struct queue_worker *w)
{
    DL_DELETE(w->queue->idle, w);
    w->idle = false;
    w->woken = true;
    task_wake(w->task);
}

static void
on_patience(void *arg)
{
    struct queue_worker *w = arg;
    if (!w->idle)
        return;
    worker_wake(w);
    w->woken = false;
}

static bool
wait_for_mail(struct queue_worker *w)
{
    struct timer patience;
    timer_init(&patience, on_patience, w);
    timer_set(&patience, LIMIT_relay_idle_ms);
    w->task = task_self();
    w->idle = true;
    DL_APPEND(w->queue->idle, w);
    while (w->idle)
        task_suspend();
    timer_clear(&patience);
    return w->woken;
}

static void
worker_task(void *arg)
{
    struct queue_worker *w = arg;
    struct relay_queue *q = w->queue;
    for (;;) {
        struct queue_entry *e = take_ready(q);
        if (e == NULL && w->smtp != NULL && !q->draining && wait_for_mail(w))
            continue;
        if (e == NULL)  // one may have come since
            e = take_ready(q);
        if (e == NULL)
            break;
        work_on(w, e);
    }
    smtp_close(&w->smtp);
    q->workers--;
    free(w);
}

void
worker_start(struct relay_queue *q)
{
    struct queue_worker *w = calloc(1, sizeof *w);
    must(w != NULL);
    w->queue = q;
    q->workers++;
    task_start(worker_task, w);
}
