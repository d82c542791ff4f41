#include "relay/queue_inside.h"
#include "base/clock.h"
#include "base/field.h"
#include "base/hex.h"
#include "base/limits.h"

#include <time.h>

// The verbs of `posthorn queue`.

static const char *const states[QUEUE_STATES] = {
    [QUEUE_WAITING] = "waiting", [QUEUE_SENT] = "sent",       [QUEUE_RELAYED] = "relayed",
    [QUEUE_FAILED] = "failed",   [QUEUE_EXPIRED] = "expired",
};

typedef enum result entry_fn(struct relay_queue *q, struct queue_entry *e, struct buf *rows,
                             struct fault *f);

static bool
is_scheduled(const struct queue_entry *e)
{
    return e->hold_until_s > clock_wall_s();
}

static const char *
state_of(const struct queue_entry *e)
{
    if (e->held)
        return "held";
    if (e->busy)
        return "active";
    return is_scheduled(e) ? "scheduled" : "waiting";
}

// Until when FUTURERELEASE holds it (RFC 4865); empty: it does not.
static const char *
held_until(const struct queue_entry *e, char out[32])
{
    struct tm tm;
    time_t at = (time_t)e->hold_until_s;
    out[0] = '\0';
    if (is_scheduled(e) && gmtime_r(&at, &tm) != NULL)
        strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return out;
}

static uint64_t
seconds_to(const struct queue_entry *e)
{
    int64_t hold_ms = e->hold_until_s * 1000,
            at_ms = e->next_ms > hold_ms ? e->next_ms : hold_ms;
    int64_t in_ms = at_ms - clock_wall_ms();
    return in_ms > 0 ? (uint64_t)in_ms / 1000 : 0;
}

// The clock may have been set back.
static uint64_t
age_of(const struct queue_entry *e)
{
    int64_t s = clock_wall_s() - e->created_s;
    return s > 0 ? (uint64_t)s : 0;
}

static void
put_visit(struct queue_visit *v, struct buf *rows)
{
    const struct queue_entry *e = v->entry;
    const struct relay_envelope *m = &v->mail.envelope;
    char until[32];
    held_until(e, until);
    field_put_row(
        rows, SPAN("mail"), SPAN_NONE,
        FIELDS(field_id("id", "%", e->id), field_str("state", "@18%", state_of(e)),
               field_number("size", "@29% octets", e->size),
               field_number("age", ", % s old", age_of(e)),
               field_number("tries", ", % tries", e->tries),
               field_number("next", ", next in % s", seconds_to(e)),
               field_if(until[0] != '\0', field_str("hold_until", ", held until %", until)),
               field_number("waiting", ", % of", e->waiting),
               field_number("recipients", " % recipients wait", e->recipients),
               field_text("from", "from=<%>", m->from), field_text("why", "why=%", m->why),
               field_text("user", "user=<%>", m->owner)));
}

static enum result
list_one(struct relay_queue *q, struct queue_entry *e, struct buf *rows, struct fault *f)
{
    struct queue_visit v;
    (void)f;
    if (visit_open(&v, q, e, false) != R_OK)
        return R_OK;
    put_visit(&v, rows);
    visit_close(&v);
    return R_OK;
}

static enum result
show_one(struct relay_queue *q, struct queue_entry *e, struct buf *rows, struct fault *f)
{
    struct queue_visit v;
    if (visit_open(&v, q, e, false) != R_OK)
        return fault_set(f, FAULT_CORRUPTION, "its file cannot be read; the log tells why");
    put_visit(&v, rows);
    for (size_t i = 0; i < v.mail.envelope.to_count; i++) {
        const struct queue_recipient *to = &v.mail.to[i];
        field_put_row(rows, SPAN("recipient"), SPAN_NONE,
                      FIELDS(field_text("address", "%", v.mail.envelope.to[i].address),
                             field_str("state", ": %", states[to->state]),
                             field_number("code", ", %", to->code),
                             field_text("status", " %", to->status),
                             field_text("reply", " %", to->reply)));
    }
    visit_close(&v);
    return R_OK;
}

static void
row(struct buf *rows, const char *type, struct queue_entry *e)
{
    field_put_row(rows, span_str(type), SPAN_NONE,
                  FIELDS(field_id("id", "%", e->id), field_str(NULL, ": %", type)));
}

// Off the list of those that are ready, too: no worker takes it meanwhile, or writes its notes.
static void
seize(struct relay_queue *q, struct queue_entry *e)
{
    queue_later(q, e, e->next_ms);
    e->busy = true;
}

static enum result
hold(struct relay_queue *q, struct queue_entry *e, bool held, struct fault *f)
{
    struct queue_visit v;
    struct buf note;
    if (e->busy) {  // who is at it writes it down
        e->held = held;
        e->held_unwritten = true;
        return R_OK;
    }
    seize(q, e);
    enum result r = visit_open(&v, q, e, false);
    if (r == R_OK) {
        buf_init(&note, 16);
        queue_note_held(&note, held);
        visit_write_note(&v, &note);
        r = v.result;
        *f = v.fault;
        buf_done(&note);
        visit_close(&v);
    } else {
        r = fault_set(f, FAULT_CORRUPTION, "its file cannot be read; the log tells why");
    }
    e->busy = false;
    if (r == R_OK)
        e->held = held;
    queue_later(q, e, e->next_ms);
    return r;
}

static enum result
hold_one(struct relay_queue *q, struct queue_entry *e, struct buf *rows, struct fault *f)
{
    if (hold(q, e, true, f) != R_OK)
        return R_FAIL;
    row(rows, "held", e);
    return R_OK;
}

static enum result
release_one(struct relay_queue *q, struct queue_entry *e, struct buf *rows, struct fault *f)
{
    if ((e->held || is_scheduled(e)) && hold(q, e, false, f) != R_OK)
        return R_FAIL;
    q->smarthost.rest_until_ms = 0;
    e->hold_until_s = 0;
    queue_now(q, e);
    row(rows, "retried", e);
    return R_OK;
}

// What an administrator holds stays held.
static enum result
retry_one(struct relay_queue *q, struct queue_entry *e, struct buf *rows, struct fault *f)
{
    if (!e->held)
        return release_one(q, e, rows, f);
    q->smarthost.rest_until_ms = 0;
    row(rows, "retried", e);
    return R_OK;
}

static enum result
delete_one(struct relay_queue *q, struct queue_entry *e, struct buf *rows, struct fault *f)
{
    struct queue_visit v = {.queue = q, .entry = e, .fd = -1};
    row(rows, "deleted", e);
    if (e->busy) {
        e->deleted = true;
        return R_OK;
    }
    seize(q, e);
    if (visit_unlink(&v) != R_OK) {
        e->busy = false;
        queue_later(q, e, e->next_ms);
        *f = v.fault;
        return R_FAIL;
    }
    queue_forget(q, e);
    return R_OK;
}

// Entries may come and go while one is read: each is looked for again by its id.
static enum result
each(struct relay_queue *q, entry_fn *fn, struct buf *rows, struct fault *f)
{
    struct queue_entry *e, *next;
    uint64_t *ids = calloc(q->count + 1, sizeof *ids);
    size_t n = 0;
    enum result r = R_OK;
    must(ids != NULL);
    HASH_ITER(hh, q->entries, e, next)
    ids[n++] = e->id;
    for (size_t i = 0; i < n && r == R_OK; i++)
        if ((e = queue_find(q, ids[i])) != NULL)
            r = fn(q, e, rows, f);
    free(ids);
    return r;
}

static enum result
put_counts(struct relay_queue *q, struct buf *rows)
{
    struct queue_entry *e, *next;
    uint64_t held = 0, busy = 0;
    HASH_ITER(hh, q->entries, e, next)
    {
        held += e->held;
        busy += e->busy;
    }
    const struct queue_counts *c = &q->counts;
    field_put_row(rows, SPAN("queue"), SPAN_NONE,
                  FIELDS(field_number("mails", "% mails", q->count),
                         field_number("octets", ", % octets", q->octets),
                         field_number("held", ", % held", held),
                         field_number("active", ", % active", busy),
                         field_number("unreadable", ", % unreadable files", q->unreadable),
                         field_number("taken", "; since the start % taken", c->taken),
                         field_number("sent", ", % sent", c->sent),
                         field_number("deferred", ", % deferred", c->deferred),
                         field_number("failed", ", % failed", c->failed),
                         field_number("expired", ", % expired", c->expired),
                         field_number("reports", ", % reports", c->reports),
                         field_number("returned", ", % returned", c->returned)));
    return R_OK;
}

static const struct {
    const char *verb;
    entry_fn *fn;
} rows_of[] = {
    {"queue list", list_one}, {"queue show", show_one},       {"queue retry", retry_one},
    {"queue hold", hold_one}, {"queue release", release_one}, {"queue delete", delete_one},
};

static enum result
run(struct relay_queue *q, entry_fn *fn, struct span which, struct buf *rows,
    struct fault *f)
{
    uint64_t id = 0;
    if (which.n == 0 || span_eq(which, SPAN("all")))
        return each(q, fn, rows, f);
    if (!hex_id(which, &id))
        return fault_set(f, FAULT_BAD,
                         "an entry is 16 digits, as `posthorn queue list` tells it");
    struct queue_entry *e = queue_find(q, id);
    if (e == NULL)
        return fault_set(f, FAULT_NONEXISTENT, "the queue has no such entry");
    return fn(q, e, rows, f);
}

enum result
relay_queue_verb(struct relay_queue *q, struct span verb, const struct span *args, size_t n,
                 struct buf *rows, struct fault *f)
{
    enum result r = R_NONE;
    if (span_eq(verb, SPAN("queue count")))
        return put_counts(q, rows);
    for (size_t i = 0; r == R_NONE && i < sizeof rows_of / sizeof rows_of[0]; i++)
        if (span_eq(verb, span_str(rows_of[i].verb)))
            r = run(q, rows_of[i].fn, n > 0 ? args[0] : SPAN_NONE, rows, f);
    if (r == R_NONE)
        return fault_set(f, FAULT_BAD, "the relay does not know this verb");
    if (r == R_OK && rows->over)
        return fault_set(f, FAULT_LIMIT, "the queue is too long to be listed");
    return r;
}
