#include "main/mail_role.h"
#include "base/clock.h"

void
mail_pop3_close(struct home *h)
{
    lately_forget(&h->tickets.visits, UINT64_MAX);
}

// Its maildrop is being opened: a login, though nothing has begun yet.
static bool
is_opening(const struct session *s)
{
    return s->served.ops == NULL && strcmp(s->service, "pop3") == 0;
}

static bool
has_maildrop(const struct session *s)
{
    return is_opening(s) || (s->served.ops == &pop3_served && s->served.of != NULL);
}

static bool
is_here(const struct home *h, uint64_t account, bool (*is)(const struct session *s))
{
    unsigned left = session_count_of(h, account);
    for (const struct session *s = h->sessions; left > 0 && s != NULL; s = s->next) {
        if (s->account != account)
            continue;
        if (is(s))
            return true;
        left--;
    }
    return false;
}

// A visit counts from when its maildrop is open: one that could not be opened may be tried again at once.
static bool
is_too_soon(struct home *h, uint64_t account)
{
    uint64_t delay_ms = h->config->pop3_login_delay * 1000, now = clock_mono_ms();
    lately_forget(&h->tickets.visits, now > delay_ms ? now - delay_ms : 0);
    return delay_ms > 0 &&
           (lately_has(h->tickets.visits, account) || is_here(h, account, is_opening));
}

enum result
mail_pop3_admit(struct home *h, const struct ticket *t, struct fault *f)
{
    if (is_too_soon(h, t->account))
        return fault_set(f, FAULT_TOOSOON, "the last login was within pop3_login_delay");
    if (h->config->pop3_lock && is_here(h, t->account, has_maildrop))
        return fault_set(f, FAULT_INUSE, "another POP3 session has the mailbox");
    return R_OK;
}

static void
on_started(void *arg, struct pop3_session *pop3)
{
    struct session *s = arg;
    if (s->home->config->pop3_login_delay > 0)
        lately_add(&s->home->tickets.visits, s->account, clock_mono_ms());
    session_started(s, pop3, &pop3_served);
}

static enum maildrop_delete
delete_of(struct span word)
{
    if (span_eq(word, SPAN("hide")))
        return MAILDROP_HIDE;
    return span_eq(word, SPAN("keep")) ? MAILDROP_KEEP : MAILDROP_EXPUNGE;
}

// The user's own words, "hide 30" or "- 30", go before the settings; never fewer days than these say.
static struct maildrop_policy
policy_of(const struct session *s)
{
    const struct config *c = s->home->config;
    struct span rest = span_str(s->pop3_policy), word;
    struct maildrop_policy p = {.on_delete = delete_of(span_str(c->pop3_delete)),
                                .expire_days = (uint32_t)c->pop3_delete_after,
                                .marks_seen = c->pop3_seen,
                                .read_only = s->read_only};
    uint32_t days;
    if (span_next_field(&rest, ' ', &word) == R_OK && !span_eq(word, SPAN("-")))
        p.on_delete = delete_of(word);
    if (p.expire_days == 0 || span_to_u32(rest, &days) != R_OK)
        return p;
    if (days == 0 || days > p.expire_days)
        p.expire_days = days;
    return p;
}

void
mail_pop3_start(struct session *s, struct mail_user *u, const struct handover *h)
{
    const struct config *c = s->home->config;
    struct pop3_host host = {.policy = policy_of(s),
                             .login_delay_s = (uint32_t)c->pop3_login_delay,
                             .idle_ms = (uint32_t)c->test_idle_time * 1000,
                             .started = on_started,
                             .ended = session_ended,
                             .arg = s};
    pop3_session_start(s->conn, u, h, &host);
}
