#include "base/clock.h"
#include "base/limits.h"
#include "ctl/setting.h"
#include "ctl/verbs.h"
#include "relay/envelope.h"
#include "relay/relay.h"

enum { ROWS_MAX = 67108864, PIECE = 32768 };

// All of `posthorn queue` but add: the role relay carries them out.
enum result
verb_queue(struct verb_call *c, struct fault *f)
{
    const struct verb_host *h = verb_host(c);
    struct span args[1] = {verb_arg(c, 0)};
    struct buf rows;
    buf_init(&rows, ROWS_MAX);
    enum result r = h->queue(h->arg, verb_words(c), args, verb_arg_count(c), &rows, f);
    if (r == R_OK && rows.over)
        r = fault_set(f, FAULT_LIMIT, "the queue is too long to be listed");
    if (r == R_OK)
        r = verb_rows(c, buf_span(&rows), f);
    buf_done(&rows);
    return r;
}

// ---- add ----

struct adding {
    struct relay_envelope envelope;
    struct relay_recipient *to;
    uint8_t notify;
};

static enum result
take_notify(struct span words, uint8_t *out, struct fault *f)
{
    static const char *const names[] = {"never", "success", "failure", "delay"};
    struct span word;
    while (span_next_field(&words, ',', &word) == R_OK) {
        size_t i = 0;
        while (i < 4 && !span_ieq(word, span_str(names[i])))
            i++;
        if (i == 4)
            return fault_set(f, FAULT_BAD,
                             "notify=never, or some of success,failure,delay");
        *out |= (uint8_t)(1U << i);
    }
    return R_OK;
}

static enum result
take_time(struct span text, int64_t *at_out, struct fault *f)
{
    uint64_t seconds = 0;
    if (setting_time(text, &seconds) != R_OK || seconds > INT32_MAX)
        return fault_set(f, FAULT_BAD, "a time: 30s, 10m, 2h");
    *at_out = clock_wall_s() + (int64_t)seconds;
    return R_OK;
}

// What a client says of it: binary (RFC 3030), or that its header may be UTF-8 (RFC 6531).
static enum result
take_body(struct span value, struct relay_envelope *e, struct fault *f)
{
    e->smtputf8 = span_eq(value, SPAN("utf8"));
    if (span_eq(value, SPAN("binary")))
        e->body = RELAY_BODY_BINARYMIME;
    else if (!e->smtputf8)
        return fault_set(f, FAULT_BAD, "body=binary or body=utf8");
    return R_OK;
}

static enum result
take_option(struct adding *a, struct span name, struct span value, struct fault *f)
{
    struct relay_envelope *e = &a->envelope;
    if (span_eq(name, SPAN("notify")))
        return take_notify(value, &a->notify, f);
    if (span_eq(name, SPAN("hold")))
        return take_time(value, &e->hold_until_s, f);
    if (span_eq(name, SPAN("envid"))) {
        e->envid = value;
        return R_OK;
    }
    if (span_eq(name, SPAN("ret"))) {
        return relay_ret_read(value, &e->ret) == R_OK
                   ? R_OK
                   : fault_set(f, FAULT_BAD, "ret=full or ret=hdrs");
    }
    if (span_eq(name, SPAN("body")))
        return take_body(value, e, f);
    bool back = span_eq(name, SPAN("return"));
    if (!back && !span_eq(name, SPAN("by")))
        return fault_set(f, FAULT_BAD,
                         "notify=, ret=, envid=, hold=, by=, return= or body=");
    e->by_mode = back ? RELAY_BY_RETURN : RELAY_BY_NOTIFY;
    return take_time(value, &e->by_s, f);
}

static enum result
read_words(struct verb_call *c, struct adding *a, struct fault *f)
{
    for (size_t i = 1; i + 1 < verb_arg_count(c); i++) {
        struct span word = verb_arg(c, i);
        size_t equal = span_find_char(word, '=');
        bool address = span_find_char(word, '@') < equal || equal == word.n;
        if (address)
            a->to[a->envelope.to_count++].address = word;
        else if (take_option(a, span_slice(word, 0, equal), span_skip(word, equal + 1),
                             f) != R_OK)
            return R_FAIL;
    }
    for (size_t i = 0; i < a->envelope.to_count; i++)
        a->to[i].notify = a->notify;
    return R_OK;
}

static enum result
read_text(struct verb_call *c, struct buf *text, struct fault *f)
{
    size_t n = 1;
    while (n > 0) {
        char *room = buf_reserve(text, PIECE);
        if (room == NULL)
            return fault_set(f, FAULT_TOOBIG, "larger than message_size_max");
        if (verb_in(c, room, PIECE, &n, f) != R_OK)
            return R_FAIL;
        text->n += n;
    }
    return R_OK;
}

enum result
verb_queue_add(struct verb_call *c, struct fault *f)
{
    struct relay_recipient to[LIMIT_admin_args] = {0};
    struct adding a = {.envelope = {.why = SPAN("verb"), .to = to}, .to = to};
    struct span from = verb_arg(c, 0);
    struct buf text;
    uint64_t id = 0;
    if (!span_eq(from, SPAN("<>")))
        a.envelope.from = from;
    buf_init(&text, (size_t)verb_host(c)->config->message_size_max + PIECE);
    enum result r = read_words(c, &a, f);
    if (r == R_OK)
        r = read_text(c, &text, f);
    if (r == R_OK)
        r = relay_hand_over(
            &a.envelope, &(struct relay_text){.text = buf_span(&text), .fd = -1}, &id, f);
    if (r == R_OK)
        verb_row(c, "queued", FIELDS(field_id("id", "%", id)));
    buf_done(&text);
    return r;
}
