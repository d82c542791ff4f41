#include "main/mail_role.h"
#include "auth/address.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/table.h"
#include "submission/session.h"

// What a submission session asks of this role: addresses, the settings' rates, the way to the relay.

enum { HOUR_S = 3600 };

// ---- how much a user sends: what was sent drains away within an hour ----

struct sending {
    UT_hash_handle hh;
    uint64_t account;
    double mails, recipients;  // as of at_s
    int64_t at_s;
};

static struct sending *
find(const struct home *h, uint64_t account)
{
    struct sending *s;
    HASH_FIND(hh, h->who.sendings, &account, sizeof account, s);
    return s;
}

static double
drained(double level, double an_hour, int64_t seconds)
{
    double left = level - an_hour * (double)seconds / HOUR_S;
    return left > 0 ? left : 0;
}

static void
drain(const struct config *c, struct sending *s)
{
    int64_t now_s = clock_wall_s(), seconds = now_s > s->at_s ? now_s - s->at_s : 0;
    s->mails = drained(s->mails, (double)c->submission_mails, seconds);
    s->recipients = drained(s->recipients, (double)c->submission_recipients, seconds);
    s->at_s = now_s;
}

static bool
is_over(double level, size_t more, size_t most)
{
    return most > 0 && level + (double)more > (double)most;
}

static enum result
judge(const struct config *c, struct sending *s, size_t recipients, struct fault *f)
{
    drain(c, s);
    if (is_over(s->mails, 1, c->submission_mails))
        return fault_set(f, FAULT_TOOSOON,
                         "Too many mails within an hour, try again later");
    if (is_over(s->recipients, recipients, c->submission_recipients))
        return fault_set(f, FAULT_TOOSOON,
                         "Too many recipients within an hour, try again later");
    return R_OK;
}

// Who has nothing left that counts is forgotten.
static void
forget_idle(struct home *h)
{
    struct sending *s, *next;
    HASH_ITER(hh, h->who.sendings, s, next)
    {
        drain(h->config, s);
        if (s->mails > 0 || s->recipients > 0)
            continue;
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the macro's
        HASH_DEL(h->who.sendings, s);
        free(s);
    }
}

static struct sending *
find_or_add(struct home *h, uint64_t account)
{
    struct sending *s = find(h, account);
    if (s != NULL)
        return s;
    forget_idle(h);
    s = calloc(1, sizeof *s);
    must(s != NULL);
    s->account = account;
    s->at_s = clock_wall_s();
    HASH_ADD(hh, h->who.sendings, account, sizeof s->account, s);
    return s;
}

static enum result
may_go_on(void *arg, size_t recipients, bool sending, struct fault *f)
{
    struct session *s = arg;
    struct home *h = s->home;
    const struct config *c = h->config;
    struct sending none = {.at_s = clock_wall_s()}, *of = find(h, s->account);
    if (c->submission_mails == 0 && c->submission_recipients == 0)
        return R_OK;
    if (judge(c, of ? of : &none, recipients, f) != R_OK)
        return R_FAIL;
    if (sending) {
        of = find_or_add(h, s->account);
        of->mails += 1;
        of->recipients += (double)recipients;
    }
    return R_OK;
}

static void
was_not_sent(void *arg, size_t recipients)
{
    struct session *s = arg;
    struct sending *of = find(s->home, s->account);
    if (of == NULL)
        return;
    of->mails = of->mails > 1 ? of->mails - 1 : 0;
    of->recipients =
        of->recipients > (double)recipients ? of->recipients - (double)recipients : 0;
}

void
mail_submission_close(struct home *h)
{
    struct sending *s, *next;
    HASH_ITER(hh, h->who.sendings, s, next)
    {
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the macro's
        HASH_DEL(h->who.sendings, s);
        free(s);
    }
}

// ---- addresses ----

static enum result
may_send(void *arg, struct span address, struct fault *f)
{
    struct session *s = arg;
    const struct lmtp_host *l = &s->home->lmtp;
    return l->may_send(l->arg, span_str(s->user), address, f);
}

static enum result
is_local(void *arg, struct span domain, struct fault *f)
{
    struct session *s = arg;
    return s->home->lmtp.is_local(s->home->lmtp.arg, domain, f);
}

// Of domains that are not ours nobody here knows who is there; nor of ours where the policy service is not to say so.
static enum result
is_somebody(void *arg, struct span address, struct fault *f)
{
    struct session *s = arg;
    const struct lmtp_host *l = &s->home->lmtp;
    struct lmtp_targets targets = {0};
    struct buf plain;
    struct arena *a = arena_new_small();
    enum result r = R_OK;
    buf_init(&plain, LIMIT_smtp_line);
    if (l->policy_refuses_unknown && address_unquote(address, &plain) == R_OK)
        r = l->resolve(l->arg, buf_span(&plain), false, a, &targets, f);
    if (r == R_NONE) {
        size_t at = span_behind_last(address, '@');
        enum result ours = l->is_local(l->arg, span_skip(address, at), f);
        r = ours == R_OK ? R_NONE : ours == R_NONE ? R_OK : R_FAIL;
    }
    buf_done(&plain);
    arena_free(&a);
    return r;
}

// ---- the session ----

static enum result
send_on(void *arg, const struct relay_envelope *e, const struct submission_letter *letter,
        uint64_t *id_out, struct fault *f)
{
    const struct mail_outgoing m = {letter->head, SPAN(""), letter->body, letter->at};
    (void)arg;
    return mail_outgoing_send(e, &m, id_out, f);
}

static void
on_started(void *arg, struct submission_session *submission)
{
    session_started(arg, submission, &submission_served);
}

void
mail_submission_start(struct session *s, struct mail_user *u, const struct handover *h)
{
    const struct config *c = s->home->config;
    struct submission_host host = {
        .mail = s->home->role->mail,
        .hostname = c->hostname,
        .domain =
            span_str(c->local_domains.n > 0 ? c->local_domains.items[0] : c->hostname),
        .may_send = may_send,
        .is_somebody = is_somebody,
        .is_local = is_local,
        .may_go_on = may_go_on,
        .was_not_sent = was_not_sent,
        .send = send_on,
        .users = &mail_users,
        .own_urls = s->may_imap,
        .read_only = s->read_only,
        .tells_client = c->submission_client,
        .idle_ms = (uint32_t)c->test_idle_time * 1000,
        .started = on_started,
        .ended = session_ended,
        .arg = s};
    submission_session_start(s->conn, u, h, &host);
}
