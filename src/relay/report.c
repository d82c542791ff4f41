#include "relay/report.h"
#include "relay/queue_inside.h"
#include "base/limits.h"
#include "base/log.h"
#include "store/disk.h"

// Reports about mail that did not arrive, is late, or went where nobody tells (RFC 3461 section 5.2, RFC 2852 section 4.1): one
// mail to the sender of each kind. Nothing is ever reported about mail from <>, which is what reports are: so none begets another.

struct fetching {
    struct queue_visit *visit;
    struct buf *text;
    bool whole;
    struct fault fault;
    enum result result;
};

static bool
wants(const struct queue_visit *v, size_t i, uint8_t notify)
{
    uint8_t said = v->mail.envelope.to[i].notify;
    return said == 0 || (said & notify);
}

static bool
is_late(const struct queue_visit *v, int64_t now_s)
{
    const struct relay_envelope *e = &v->mail.envelope;
    int64_t age_s = now_s - visit_from_s(v, now_s);
    return (v->queue->delay_s > 0 && age_s >= (int64_t)v->queue->delay_s) ||
           (e->by_mode == RELAY_BY_NOTIFY && now_s >= e->by_s);
}

// Which of the recipients that report is due for; the others of that state need none.
static size_t
collect(struct queue_visit *v, enum report_action action, int64_t now_s, size_t *which)
{
    size_t n = 0;
    for (size_t i = 0; i < v->mail.envelope.to_count; i++) {
        struct queue_recipient *to = &v->mail.to[i];
        bool failed = to->state == QUEUE_FAILED || to->state == QUEUE_EXPIRED;
        if (to->state == QUEUE_SENT)
            to->told = true;
        if (failed && !wants(v, i, RELAY_NOTIFY_FAILURE))
            to->told = true;
        bool due = action == REPORT_FAILED ? failed && !to->told
                   : action == REPORT_RELAYED
                       ? to->state == QUEUE_RELAYED && !to->told
                       : to->state == QUEUE_WAITING && !to->told_late &&
                             wants(v, i, RELAY_NOTIFY_DELAY) && is_late(v, now_s);
        if (due)
            which[n++] = i;
    }
    return n;
}

// ---- the original ----

static size_t
header_size(struct span text)
{
    for (size_t at = 0; at < text.n;) {
        size_t end = span_find_char(span_skip(text, at), '\n') + at;
        struct span line = span_trim(span_slice(text, at, end));
        if (line.n == 0)
            return at;
        at = end + 1;
    }
    return text.n;
}

static void
fetch_on_pool(void *arg)
{
    struct fetching *t = arg;
    const struct queue_mail *m = &t->visit->mail;
    uint64_t n = m->head.text_n;
    if (!t->whole && n > LIMIT_relay_report_header)
        n = LIMIT_relay_report_header;
    char *room = n > 0 ? buf_reserve(t->text, (size_t)n) : NULL;
    t->result = R_OK;
    if (n == 0)
        return;
    must(room != NULL);
    t->result =
        disk_read(t->visit->fd, queue_text_at(m), room, (size_t)n, false, &t->fault);
    if (t->result == R_NONE)
        t->result = fault_set(&t->fault, FAULT_CORRUPTION, "the queue's file is cut");
    if (t->result == R_OK)
        t->text->n += (size_t)n;
    if (t->result == R_OK && !t->whole)
        t->text->n = header_size(buf_span(t->text));
}

// RFC 3461 section 4.3: RET counts for failures only; where nothing was said, small mail comes back whole.
static bool
comes_whole(const struct queue_visit *v, enum report_action action)
{
    const struct relay_envelope *e = &v->mail.envelope;
    uint64_t n = v->mail.head.text_n;
    if (action != REPORT_FAILED || n > LIMIT_relay_report_text || v->damaged)
        return false;
    return e->ret == RELAY_RET_FULL ||
           (e->ret == RELAY_RET_UNSAID && n <= LIMIT_relay_report_header);
}

// ---- making ----

static enum result
put_in_queue(struct queue_visit *v, struct span text, struct fault *f)
{
    const struct relay_envelope *of = &v->mail.envelope;
    const struct relay_recipient to = {.address = of->from};
    const struct relay_envelope e = {.to = &to,
                                     .to_count = 1,
                                     .body = RELAY_BODY_8BITMIME,
                                     .why = SPAN("report"),
                                     .owner = of->owner,
                                     .returning = true};
    const struct relay_text t = {.text = text, .fd = -1};
    struct buf packed;
    uint64_t id;
    buf_init(&packed, LIMIT_relay_envelope);
    relay_envelope_put(&packed, &e);
    enum result r = queue_put(v->queue, buf_span(&packed), &t, &id, f);
    buf_done(&packed);
    if (r == R_OK)
        v->queue->counts.reports++;
    return r;
}

static enum result
make(struct queue_visit *v, struct report *r, struct fault *f)
{
    struct buf original, text;
    r->whole = comes_whole(v, r->action);
    buf_init(&original, (size_t)LIMIT_relay_report_text + 1);
    buf_init(&text, (size_t)LIMIT_relay_report_text + 2 * (size_t)LIMIT_relay_envelope +
                        r->n * 2048);
    struct fetching t = {.visit = v, .text = &original, .whole = r->whole};
    pool_run(v->queue->o.pool, fetch_on_pool, &t);
    enum result result = t.result;
    if (result == R_OK) {
        r->original = buf_span(&original);
        report_put(&text, r);
        result = text.over ? fault_set(f, FAULT_TOOBIG, "the report is too long")
                           : put_in_queue(v, buf_span(&text), f);
    } else {
        *f = t.fault;
    }
    buf_done(&original);
    buf_done(&text);
    return result;
}

static void
mark(struct queue_visit *v, const size_t *which, size_t n, bool late)
{
    struct buf note;
    buf_init(&note, 16 + n * 10);
    queue_note_told(&note, which, n, late);
    visit_write_note(v, &note);
    buf_done(&note);
    for (size_t i = 0; i < n; i++)
        *(late ? &v->mail.to[which[i]].told_late : &v->mail.to[which[i]].told) = true;
}

static struct report_recipient *
recipients_of(const struct queue_visit *v, const size_t *which, size_t n)
{
    struct report_recipient *list = arena_array(v->arena, n, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        const struct relay_recipient *to = &v->mail.envelope.to[which[i]];
        const struct queue_recipient *q = &v->mail.to[which[i]];
        list[i] = (struct report_recipient){.address = to->address,
                                            .orcpt = to->orcpt,
                                            .status = q->status,
                                            .reply = q->reply,
                                            .code = q->code,
                                            .expired = q->state == QUEUE_EXPIRED};
    }
    return list;
}

// The report is in the queue before that is written down: after a crash between the two the sender gets it twice.
static void
report(struct queue_visit *v, enum report_action action, int64_t now_s)
{
    const struct relay_envelope *e = &v->mail.envelope;
    size_t *which = arena_array(v->arena, e->to_count, sizeof *which);
    size_t n = collect(v, action, now_s, which);
    struct fault f;
    if (n == 0)
        return;
    struct report r = {.action = (uint8_t)action,
                       .hostname = v->queue->o.host.hostname,
                       .smarthost = v->queue->o.host.name,
                       .to = e->from,
                       .envid = e->envid,
                       .arrived_s = (int64_t)(v->mail.head.created_ms / 1000),
                       .now_s = now_s,
                       .retry_until_s =
                           visit_from_s(v, now_s) + (int64_t)v->queue->expire_s,
                       .hold_until_s = e->hold_until_s,
                       .deliver_by_s = e->by_mode == RELAY_BY_UNSAID ? 0 : e->by_s,
                       .recipients = recipients_of(v, which, n),
                       .n = n};
    if (make(v, &r, &f) == R_OK)
        mark(v, which, n, action == REPORT_DELAYED);
    else
        log_error("relay", "the sender cannot be told yet",
                  field_id("id", "id=%", v->entry->id), log_fault(&f));
}

void
report_due(struct queue_visit *v, int64_t now_s)
{
    for (size_t i = 0; v->mail.envelope.from.n == 0 && i < v->mail.envelope.to_count; i++)
        v->mail.to[i].told = v->mail.to[i].told_late = true;
    report(v, REPORT_FAILED, now_s);
    report(v, REPORT_DELAYED, now_s);
    report(v, REPORT_RELAYED, now_s);
}
