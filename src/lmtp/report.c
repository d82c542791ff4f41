#include "lmtp/session.h"

#include "auth/address.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "relay/report.h"

// NOTIFY=SUCCESS (RFC 3461): LMTP is where the message arrives, so nobody else tells its sender. One report for all recipients of a
// transaction of whom the same is to be told (section 5.2.8); it is in the queue of the relay before any of them is answered 250. Where
// that cannot be they come again: those who have the message by then are noted (mail/delivered.h) and do not get it twice. It has
// the sender <>, so nobody reports about it.

enum { NO_REPORT = REPORT_ACTIONS };

// What is told of the recipient: "delivered" is the end of the way; where it goes on to one address alone who is there next was
// asked (section 5.2.7.2).
static int
action_of(const struct lmtp_recipient *r)
{
    const struct lmtp_way *way = &r->way;
    if (!r->wants_success || r->result != R_OK || r->refusal.p || way->asked_on)
        return NO_REPORT;
    if (way->onward == 0)
        return way->here > 0 ? REPORT_DELIVERED : NO_REPORT;
    return way->here == 0 && way->onward == 1 ? REPORT_RELAYED : REPORT_EXPANDED;
}

bool
lmtp_report_is_due(const struct lmtp_session *s, const struct lmtp_recipient *r)
{
    return lmtp_can_send(s) && action_of(r) != NO_REPORT;
}

struct span
lmtp_written(struct lmtp_session *s, struct span address)
{
    struct buf b;
    buf_init(&b, 2 * address.n + 8);
    address_print(address, &b);
    struct span written = arena_dup(s->arena, buf_span(&b));
    buf_done(&b);
    return written;
}

enum result
lmtp_header(struct lmtp_session *s, uint64_t at, size_t max, struct span *out,
            struct fault *f)
{
    const struct mime_range *header = &intake_root(s->intake)->header;
    uint64_t n = header->size > at ? header->size - at : 0;
    n = n < max ? n : max;
    char *text = arena_alloc(s->arena, (size_t)n + 1);
    *out = span_of(text, (size_t)n);
    return n > 0 ? intake_read(s->intake, header->at + at, text, (size_t)n, f) : R_OK;
}

// ---- one report ----

static size_t
collect(struct lmtp_session *s, int action, struct report_recipient *list)
{
    size_t n = 0;
    for (const struct lmtp_recipient *r = s->rcpt.first; r; r = r->next)
        if (action_of(r) == action)
            list[n++] = (struct report_recipient){
                .address = lmtp_written(s, r->address),
                .orcpt = r->orcpt.p ? r->orcpt : SPAN(""),
                .status = SPAN("2.0.0"),
                .reply = SPAN(""),
            };
    return n;
}

static enum result
hand_over(struct lmtp_session *s, const struct report *r, struct fault *f)
{
    struct buf text;
    buf_init(&text, 2 * (size_t)LIMIT_relay_report_header + 4 * LIMIT_smtp_line +
                        r->n * 2 * LIMIT_smtp_line);
    report_put(&text, r);
    const struct filter_letter l = {.from = SPAN(""),
                                    .to = &r->to,
                                    .n = 1,
                                    .notify = SPAN("NEVER"),  // section 6.1
                                    .is_report = true,
                                    .head = SPAN(""),
                                    .text = buf_span(&text),
                                    .why = SPAN("report"),
                                    .owner = SPAN("")};
    enum result sent = text.over ? fault_set(f, FAULT_TOOBIG, "the report is too long")
                                 : s->host->send(s->host->arg, &l, f);
    buf_done(&text);
    return sent;
}

// What the message's sender wrote of its header: nothing that was put in front of it here, which tells where it went.
static enum result
send(struct lmtp_session *s, int action, const struct report_recipient *list, size_t n,
     struct fault *f)
{
    int64_t now_s = clock_wall_s();
    struct report r = {.action = (uint8_t)action,
                       .hostname = s->host->hostname,
                       .smarthost = "",
                       .to = lmtp_written(s, s->sender),
                       .envid = s->said.envid.p ? s->said.envid : SPAN(""),
                       .arrived_s = now_s,
                       .now_s = now_s,
                       .recipients = list,
                       .n = n};
    if (lmtp_header(s, s->scan.came_at, LIMIT_relay_report_header, &r.original, f) != R_OK)
        return R_FAIL;
    return hand_over(s, &r, f);
}

// A report that can never be sent keeps nobody's mail.
static void
settle(struct lmtp_session *s, int action, const struct fault *f)
{
    bool later = fault_info(f->kind)->smtp_code < 500;
    log_warning("lmtp", "the sender cannot be told that it arrived",
                field_text("from", "from=<%>", s->sender), log_fault(f));
    for (struct lmtp_recipient *r = s->rcpt.first; later && r; r = r->next)
        if (action_of(r) == action) {
            r->result = R_FAIL;
            r->fault = *f;
        }
}

void
lmtp_report(struct lmtp_session *s)
{
    static const int actions[] = {REPORT_DELIVERED, REPORT_EXPANDED, REPORT_RELAYED};
    struct report_recipient *list = arena_array(s->arena, s->rcpt.count, sizeof *list);
    struct fault f;
    for (size_t i = 0; lmtp_can_send(s) && i < sizeof actions / sizeof actions[0]; i++) {
        size_t n = collect(s, actions[i], list);
        if (n > 0 && send(s, actions[i], list, n, &f) != R_OK)
            settle(s, actions[i], &f);
        else if (n > 0)
            log_info("lmtp", "reported", field_text("from", "from=<%>", s->sender),
                     field_number("recipients", "recipients=%", n));
    }
}
