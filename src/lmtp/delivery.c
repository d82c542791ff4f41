#include "lmtp/session.h"

#include "base/metrics.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/utf8.h"
#include "io/task.h"
#include "mail/arrive.h"
#include "mail/push.h"
#include "mail/quarantine.h"
#include "mail/recipient.h"

// One recipient is one answer (RFC 2033 section 4.2), however many mailboxes it leads to: 250 when all of them have the message.
// What cannot be seen beforehand - a limit, a disk that fails, between two of them - is answered so that the message comes again;
// those who have it are noted (mail/delivered.h) and do not get it twice.

// ---- addresses ----

bool
lmtp_is_address(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    return s.n > 0 && s.n <= 2 * LIMIT_user_name && utf8_valid(s);
}

bool
lmtp_is_named(struct span address, struct span user)
{
    size_t behind = span_behind_last(address, '@');
    struct span local = behind > 0 ? span_slice(address, 0, behind - 1) : address;
    if (span_ieq(address, user) || span_ieq(local, user))
        return true;
    // with a detail
    size_t at = span_behind_last(user, '@');
    struct span name = at > 0 ? span_slice(user, 0, at - 1) : user;
    bool same_domain = at == 0 || (behind > 0 && span_ieq(span_skip(address, behind),
                                                          span_skip(user, at)));
    return same_domain && span_istarts(local, name) && local.n > name.n &&
           !ascii_is_alpha(local.p[name.n]) && !ascii_is_digit(local.p[name.n]);
}

// ---- limits ----

enum result
lmtp_target_takes(const struct lmtp_host *host, const struct lmtp_target *t,
                  uint64_t octets, struct fault *f)
{
    if (t->size_max > 0 && octets > t->size_max)
        return fault_set(f, FAULT_TOOBIG, "larger than the %llu octets that %.*s takes",
                         (unsigned long long)t->size_max,
                         SPAN_ARG(span_slice(t->name, 0, 100)));
    return recipient_has_room(host->mail, &(struct recipient){t->account, t->name}, octets,
                              f);
}

// ---- one mailbox ----

#define QUARANTINED UINT64_MAX  // the mailbox of who has it there

struct delivery {
    struct lmtp_session *session;
    const struct lmtp_target *target;
    struct intake_result *out;
    struct fault *fault;
    struct lmtp_recipient *recipient;
    uint64_t mailbox;
    bool had;  // by another recipient, or at an earlier try
    bool filtered;
    enum result result;
};

static struct delivered_key
key_of(const struct lmtp_session *s, struct span detail)
{
    return delivered_key_of(s->digest, s->sender, detail);
}

// The quarantine has one note for each of the recipient's accounts.
static struct delivered_key
quarantine_key(const struct lmtp_session *s, uint64_t account)
{
    char text[32];
    snprintf(text, sizeof text, "quarantine %llu", (unsigned long long)account);
    return delivered_key_of(s->digest, s->sender, span_str(text));
}

static bool
has_it(const struct lmtp_session *s, uint64_t account, uint64_t mailbox)
{
    for (const struct lmtp_done *d = s->rcpt.done; d; d = d->next)
        if (d->account == account && d->mailbox == mailbox)
            return true;
    return false;
}

static struct lmtp_done *
note_done(struct lmtp_session *s, const struct lmtp_target *t, uint64_t account,
          uint64_t mailbox)
{
    struct lmtp_done *d = ARENA_NEW(s->arena, struct lmtp_done);
    *d = (struct lmtp_done){s->rcpt.done, account, mailbox, t->name,
                            t->detail,    false,   false};
    s->rcpt.done = d;
    return d;
}

// With the note, where others are to have it too.
static enum result
commit(struct delivery *d, const struct arrive_place *place)
{
    struct intake *in = d->session->intake;
    struct intake_item item = {in, arrive_params(place)};
    const struct mailbox_ref *box = &place->ref;
    struct buf value;
    if (d->session->digest == NULL)
        return intake_commit(in, box, &item.params, d->out, d->fault);
    struct delivered_key key = key_of(d->session, d->target->detail);
    if (d->had)
        return delivered_put(box->account, &key, box->mailbox, d->fault);
    buf_init(&value, 64);
    struct record_meta note = delivered_note(&key, box->mailbox, &value);
    struct intake_batch batch = {.items = &item, .n = 1, .notes = &note, .note_n = 1};
    enum result r = intake_commit_all(&batch, box, d->out, d->fault);
    buf_done(&value);
    return r;
}

static enum result
put_into(struct delivery *d, struct account *a, struct span detail)
{
    struct arrive_place place;
    const struct arrive_ask ask = {d->session->intake, detail, d->session->scan.said.junk};
    if (arrive_place(a, &ask, &place, d->fault) != R_OK)
        return R_FAIL;
    d->mailbox = place.ref.mailbox;
    d->had = has_it(d->session, d->target->account, place.ref.mailbox);
    if (d->had && d->session->digest == NULL)
        return R_OK;
    if (commit(d, &place) != R_OK)
        return R_FAIL;
    if (!d->had && !place.quiet)
        push_new(a, d->mailbox, d->out, d->session->intake);
    return R_OK;
}

// ---- scripts ----

static bool
filter_had(void *arg, uint64_t account, uint64_t mailbox)
{
    return has_it(((struct delivery *)arg)->session, account, mailbox);
}

static void
filter_has(void *arg, uint64_t account, uint64_t mailbox)
{
    const struct delivery *d = arg;
    note_done(d->session, d->target, account, mailbox)->part = true;
}

// The address of a literal as it is without its kind.
static struct span
plain_address(struct span literal)
{
    return span_starts(literal, SPAN("IPv6:")) ? span_skip(literal, 5) : literal;
}

// What a script threw away has arrived, too: nobody is told what scripts do.
static void
note_filtered(struct delivery *d, const struct filter_result *out)
{
    struct lmtp_session *s = d->session;
    struct lmtp_recipient *r = d->recipient;
    if (out->refused) {
        r->refusal = arena_dup(s->arena, buf_span(&out->reason));
        return;
    }
    bool here = out->filed > 0 || (out->onward == 0 && !out->rejected);
    note_done(s, d->target, d->target->account, 0)->here = here;
    r->way.here += here;
    r->way.onward += out->onward;
    r->way.asked_on |= out->asked_on;
}

static enum result
filter(struct delivery *d, struct account *a, struct span detail)
{
    struct lmtp_session *s = d->session;
    const struct lmtp_recipient *r = d->recipient;
    struct filter_result out;
    struct delivered_key key;
    if (s->digest)
        key = key_of(s, d->target->detail);
    const struct filter_arrival m = {
        .account = a,
        .intake = s->intake,
        .from = s->sender,
        .to = r->address,
        .detail = detail,
        .remote = plain_address(s->remote),
        .envelope = {s->said.auth, r->notify, r->orcpt, s->said.ret, s->said.envid},
        .alone = r->targets.n == 1,
        .utf8 = s->said.utf8,
        .scan = s->host->scan.wanted ? &s->scan.said : NULL,
        .delivered = s->digest ? &key : NULL,
        .had = filter_had,
        .has = filter_has,
        .arg = d,
    };
    d->filtered = true;
    if (filter_deliver(&m, &out, d->fault) != R_OK)
        return R_FAIL;
    note_filtered(d, &out);
    d->had = out.filed == 0;
    *d->out = out.first;
    if (out.filed > 0 && out.mailbox != 0 && !out.quiet)
        push_new(a, out.mailbox, &out.first, s->intake);
    filter_result_done(&out);
    return R_OK;
}

// A folder that was deleted meanwhile is none: INBOX stays.
static enum result
put_away(struct delivery *d, struct account *a, struct span detail)
{
    if (put_into(d, a, detail) == R_OK)
        return R_OK;
    return d->fault->kind == FAULT_TRYCREATE ? put_into(d, a, SPAN_NONE) : R_FAIL;
}

// In the account's home: one way there and back for all of it.
static void
deliver_run(void *arg)
{
    struct delivery *d = arg;
    const struct lmtp_target *t = d->target;
    const struct lmtp_host *host = d->session->host;
    struct account *a;
    d->result = account_make(host->mail, t->account, t->name, t->language, &a, d->fault);
    if (d->result != R_OK)
        return;
    struct span detail = host->detail_off ? SPAN_NONE : t->detail;
    d->result = filter_wanted(a) ? filter(d, a, detail) : put_away(d, a, detail);
    account_close(&a);
}

static const struct lmtp_done *
find_done(const struct lmtp_session *s, const struct lmtp_target *t)
{
    for (const struct lmtp_done *d = s->rcpt.done; d; d = d->next)
        if (!d->part && d->account == t->account && span_eq(d->detail, t->detail))
            return d;
    return NULL;
}

// lmtp_forward sees to what is elsewhere, behind those who are here.
static bool
is_done(const struct lmtp_session *s, const struct lmtp_target *t)
{
    return lmtp_is_elsewhere(t) || find_done(s, t) != NULL;
}

static enum result
deliver(struct lmtp_session *s, struct lmtp_recipient *r, const struct lmtp_target *t,
        struct fault *f)
{
    struct intake_result out;
    struct delivery d = {.session = s,
                         .target = t,
                         .recipient = r,
                         .out = &out,
                         .fault = f,
                         .result = R_FAIL};
    task_run_on(mail_home(s->host->mail, t->account), deliver_run, &d);
    if (d.result != R_OK)
        return R_FAIL;
    if (!d.filtered) {
        note_done(s, t, t->account, d.mailbox)->here = true;
        r->way.here++;
    }
    if (d.had)
        return R_OK;
    log_info("lmtp", "saved", field_text("from", "from=<%>", s->sender),
             field_text("to", "to=<%>", r->address), log_user(t->name),
             field_number("size", "size=%", intake_size(s->intake)),
             field_number("uid", "uid=%", out.uid));
    return R_OK;
}

// ---- earlier tries ----

static void
recall_run(void *arg)
{
    struct delivery *d = arg;
    struct delivered_key key = key_of(d->session, d->target->detail);
    struct account *a;
    d->result = account_open(d->session->host->mail, d->target->account, d->target->name,
                             false, &a, d->fault);
    if (d->result != R_OK)
        return;
    d->had = delivered_find(a, &key, &d->mailbox) == R_OK;
    account_close(&a);
}

// Who has it since then is done. Of what a script filed nowhere it is not known any more whether it went on: its sender is told nothing.
static enum result
recall(struct lmtp_session *s, const struct lmtp_recipient *r, struct fault *f)
{
    for (size_t i = 0; s->digest != NULL && i < r->targets.n; i++) {
        const struct lmtp_target *t = &r->targets.list[i];
        struct delivery d = {.session = s, .target = t, .fault = f, .result = R_FAIL};
        if (is_done(s, t))
            continue;
        task_run_on(mail_home(s->host->mail, t->account), recall_run, &d);
        if (d.result == R_FAIL)
            return R_FAIL;
        if (d.had)
            note_done(s, t, t->account, d.mailbox)->here = d.mailbox != 0;
    }
    return R_OK;
}

struct end_call {
    struct lmtp_session *session;
    const struct lmtp_done *done;
};

static void
end_run(void *arg)
{
    const struct end_call *c = arg;
    struct delivered_key key = key_of(c->session, c->done->detail);
    struct account *a;
    struct fault f;
    enum result r = account_open(c->session->host->mail, c->done->account, c->done->name,
                                 false, &a, &f);
    if (r == R_OK) {
        delivered_end(a, &key);
        account_close(&a);
    } else if (r == R_FAIL) {
        log_warning("lmtp", "a note of a delivery stays", log_user(c->done->name),
                    log_fault(&f));
    }
}

// None of several is left: if it comes again it is another one.
static void
end_all(struct lmtp_session *s)
{
    for (const struct lmtp_done *d = s->rcpt.done; s->digest != NULL && d; d = d->next) {
        struct end_call c = {s, d};
        if (d->mailbox == QUARANTINED) {
            struct delivered_key key = quarantine_key(s, d->account);
            quarantine_end(s->host->mail, &key);
        }
        if (d->part)
            continue;
        task_run_on(mail_home(s->host->mail, d->account), end_run, &c);
    }
}

// ---- one recipient ----

// Before any of several gets it: would all take it?
static enum result
all_take(struct lmtp_session *s, const struct lmtp_recipient *r, struct fault *f)
{
    uint64_t size = intake_size(s->intake);
    enum result result = R_OK;
    for (size_t i = 0; result == R_OK && i < r->targets.n; i++) {
        const struct lmtp_target *t = &r->targets.list[i];
        bool alone = r->targets.n == 1 && (t->size_max == 0 || size <= t->size_max);
        if (!alone && !is_done(s, t))  // else the commit looks
            result = lmtp_target_takes(s->host, t, size, f);
    }
    return result;
}

// What failed behind the first one.
static enum result
partly(const struct lmtp_recipient *r, size_t delivered, struct fault *f)
{
    struct fault first = *f;
    return delivered == 0
               ? R_FAIL
               : fault_set(f, FAULT_UNAVAILABLE, "%zu of %zu targets have it; then: %.100s",
                           delivered, r->targets.n, first.why);
}

static enum result
deliver_all(struct lmtp_session *s, struct lmtp_recipient *r, struct fault *f)
{
    size_t delivered = 0;
    if (recall(s, r, f) != R_OK || all_take(s, r, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < r->targets.n; i++) {
        const struct lmtp_target *t = &r->targets.list[i];
        if (is_done(s, t)) {
            r->way.here += !lmtp_is_elsewhere(t) && find_done(s, t)->here;
            continue;
        }
        if (deliver(s, r, t, f) == R_OK) {
            delivered++;
            continue;
        }
        return partly(r, delivered, f);
    }
    return lmtp_forward(s, r, f) == R_OK ? R_OK : partly(r, delivered, f);
}

static bool
is_later(const struct lmtp_recipient *r)
{
    return r->result != R_OK && fault_info(r->fault.kind)->smtp_code < 500;
}

// RFC 5429 section 2.5.
static void
say_refusal(struct lmtp_session *s, const struct lmtp_recipient *r)
{
    struct span rest = r->refusal, line;
    while (span_next_field(&rest, '\n', &line) == R_OK)
        conn_printf(s->conn, "550%c5.7.1 %.*s\r\n", rest.p ? '-' : ' ',
                    SPAN_ARG(span_trim(line)));
}

static void
answer(struct lmtp_session *s, const struct lmtp_recipient *r)
{
    if (r->result != R_OK && r->loops) {
        conn_printf(s->conn, "554 5.4.6 <%.*s> The message goes round in a loop\r\n",
                    SPAN_ARG(r->address));
        metric_add(METRIC_deliveries_refused, 1);
    } else if (r->result != R_OK) {
        lmtp_say_fault(s, &r->fault, r->address);
        metric_add(is_later(r) ? METRIC_deliveries_later : METRIC_deliveries_refused, 1);
    } else if (r->refusal.p) {
        say_refusal(s, r);
        metric_add(METRIC_deliveries_refused, 1);
    } else {
        conn_printf(s->conn, "250 2.0.0 <%.*s> Saved\r\n", SPAN_ARG(r->address));
        metric_add(METRIC_deliveries_ok, 1);
    }
}

// All of a recipient's mailboxes, or none that was not noted.
static enum result
quarantine_all(struct lmtp_session *s, const struct lmtp_recipient *r, struct fault *f)
{
    for (size_t i = 0; i < r->targets.n; i++) {
        const struct lmtp_target *t = &r->targets.list[i];
        const struct quarantine_entry e = {.account = t->account,
                                           .user = t->name,
                                           .from = s->sender,
                                           .to = r->address,
                                           .reason = s->scan.reason};
        struct delivered_key key;
        if (lmtp_is_elsewhere(t) || has_it(s, t->account, QUARANTINED))
            continue;
        if (s->digest)
            key = quarantine_key(s, t->account);
        if (quarantine_put(s->host->mail, &e, s->intake, s->digest ? &key : NULL, f) !=
            R_OK)
            return R_FAIL;
        note_done(s, t, t->account, QUARANTINED)->part = true;
    }
    return R_OK;
}

static enum result
refuse(const struct lmtp_session *s, struct lmtp_recipient *r)
{
    r->refusal = s->scan.virus   ? SPAN("Refused: the message contains a virus")
                 : s->scan.large ? SPAN("Refused: the message is too large to be scanned")
                                 : SPAN("Refused: the message is spam");
    return R_OK;
}

// By what scanners said. Nothing of a quarantine goes elsewhere; for who has no mailbox here there is none.
static enum result
settle(struct lmtp_session *s, struct lmtp_recipient *r, struct fault *f)
{
    switch (s->scan.fate) {
    case LMTP_LATER:
        return fault_set(f, FAULT_UNAVAILABLE, "a scanner did not see it");
    case LMTP_REFUSE:
        return refuse(s, r);
    case LMTP_QUARANTINE:
        return lmtp_any_here(r) ? quarantine_all(s, r, f) : refuse(s, r);
    default:
        return deliver_all(s, r, f);
    }
}

// Those who have it already are not to get it twice then.
static bool
comes_again(const struct lmtp_recipient *r)
{
    return is_later(r) && (r->targets.n > 1 || r->wants_success);
}

// Each answer as soon as it can be (RFC 2033 section 5): a recipient whose sender is to be told waits for the report, and those
// behind it with it.
void
lmtp_deliver(struct lmtp_session *s)
{
    struct lmtp_recipient *unsaid = s->rcpt.first;
    bool again = false;
    for (struct lmtp_recipient *r = s->rcpt.first; r; r = r->next) {
        r->fault = s->intake_fault;
        r->result = s->intake_failed ? R_FAIL : settle(s, r, &r->fault);
        if (r != unsaid || r->next == NULL || lmtp_report_is_due(s, r))
            continue;
        answer(s, r);
        unsaid = r->next;
    }
    lmtp_report(s);
    for (const struct lmtp_recipient *r = s->rcpt.first; r; r = r->next)
        again |= comes_again(r);
    if (!again)
        end_all(s);
    for (; unsaid; unsaid = unsaid->next)
        answer(s, unsaid);
}
