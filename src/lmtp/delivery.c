#include "lmtp/session.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/utf8.h"
#include "io/task.h"
#include "mail/recipient.h"

// One recipient is one answer (RFC 2033 section 4.2), however many mailboxes it leads to: 250 when all of them have the message.
// What cannot be seen beforehand - a limit, a disk that fails, between two of them - is answered so that the message comes again;
// those who have it then get it twice.

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

struct delivery {
    struct lmtp_session *session;
    const struct lmtp_target *target;
    struct intake_result *out;
    struct fault *fault;
    uint64_t mailbox;
    bool had;  // by another recipient
    enum result result;
};

static bool
has_it(const struct lmtp_session *s, uint64_t account, uint64_t mailbox)
{
    for (const struct lmtp_done *d = s->rcpt.done; d; d = d->next)
        if (d->account == account && d->mailbox == mailbox)
            return true;
    return false;
}

static enum result
put_into(struct delivery *d, struct account *a, struct span detail)
{
    struct mailbox_ref box;
    struct intake_params p = {.quota = QUOTA_DELIVERY};
    if (intake_delivery_target(a, detail, &box, d->fault) != R_OK)
        return R_FAIL;
    d->mailbox = box.mailbox;
    d->had = has_it(d->session, d->target->account, box.mailbox);
    return d->had ? R_OK : intake_commit(d->session->intake, &box, &p, d->out, d->fault);
}

// In the account's home: one way there and back for all of it. A folder that was deleted meanwhile is none: INBOX stays.
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
    d->result = put_into(d, a, host->detail_off ? SPAN_NONE : t->detail);
    if (d->result != R_OK && d->fault->kind == FAULT_TRYCREATE)
        d->result = put_into(d, a, SPAN_NONE);
    account_close(&a);
}

static bool
is_done(const struct lmtp_session *s, const struct lmtp_target *t)
{
    for (const struct lmtp_done *d = s->rcpt.done; d; d = d->next)
        if (d->account == t->account && span_eq(d->detail, t->detail))
            return true;
    return false;
}

static void
note_done(struct lmtp_session *s, const struct lmtp_target *t, uint64_t mailbox)
{
    struct lmtp_done *d = ARENA_NEW(s->arena, struct lmtp_done);
    *d = (struct lmtp_done){s->rcpt.done, t->account, mailbox, t->detail};
    s->rcpt.done = d;
}

static enum result
deliver(struct lmtp_session *s, const struct lmtp_recipient *r, const struct lmtp_target *t,
        struct fault *f)
{
    struct intake_result out;
    struct delivery d = {
        .session = s, .target = t, .out = &out, .fault = f, .result = R_FAIL};
    task_run_on(mail_home(s->host->mail, t->account), deliver_run, &d);
    if (d.result != R_OK)
        return R_FAIL;
    note_done(s, t, d.mailbox);
    if (d.had)
        return R_OK;
    log_info("lmtp", "saved", field_text("from", "from=<%>", s->sender),
             field_text("to", "to=<%>", r->address), log_user(t->name),
             field_number("size", "size=%", intake_size(s->intake)),
             field_number("uid", "uid=%", out.uid));
    return R_OK;
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

static enum result
deliver_all(struct lmtp_session *s, const struct lmtp_recipient *r, struct fault *f)
{
    size_t delivered = 0;
    if (all_take(s, r, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < r->targets.n; i++) {
        if (is_done(s, &r->targets.list[i]))
            continue;
        if (deliver(s, r, &r->targets.list[i], f) == R_OK) {
            delivered++;
            continue;
        }
        struct fault first = *f;
        return delivered == 0 ? R_FAIL
                              : fault_set(f, FAULT_UNAVAILABLE,
                                          "%zu of %zu mailboxes have it; then: %.100s",
                                          delivered, r->targets.n, first.why);
    }
    return R_OK;
}

void
lmtp_deliver(struct lmtp_session *s, const struct lmtp_recipient *r)
{
    struct fault f = s->intake_fault;
    if (s->intake_failed || deliver_all(s, r, &f) != R_OK)
        lmtp_say_fault(s, &f, r->address);
    else
        conn_printf(s->conn, "250 2.0.0 <%.*s> Saved\r\n", SPAN_ARG(r->address));
}
