#include "lmtp/policy.h"

#include "base/limits.h"
#include "base/log.h"
#include "mail/quota.h"
#include "wire/policy.h"

#define LATER "DEFER_IF_PERMIT 4.3.0 Temporary failure, try again later"

// ---- who may send ----

// NULL: nothing is against it.
static const char *
of_sender(const struct lmtp_host *host, const struct policy_request *r)
{
    struct fault f;
    if (!host->policy_refuses_senders || r->sasl_username.n == 0 || r->sender.n == 0)
        return NULL;
    enum result may = host->may_send(host->arg, r->sasl_username, r->sender, &f);
    if (may == R_OK)
        return NULL;
    if (may == R_NONE)
        fault_set(&f, FAULT_NOPERM, "not an address of this user");
    log_info("policy", "Refused", field_text("from", "from=<%>", r->sender),
             log_user(r->sasl_username), log_fault(&f));
    return may == R_NONE ? "553 5.7.1 Sender address rejected: not owned by this user"
                         : LATER;
}

// ---- the recipient ----

static enum result
room_of(const struct lmtp_host *host, const struct policy_request *r, struct arena *a,
        struct fault *f)
{
    struct lmtp_targets targets = {0};
    enum result found = host->resolve(host->arg, r->recipient, false, a, &targets, f);
    for (size_t i = 0; found == R_OK && i < targets.n; i++)
        if (targets.list[i].account != 0)
            found = lmtp_target_takes(host, &targets.list[i], r->size, f);
    return found;
}

// Mail for others goes through the same Postfix.
static const char *
unknown(const struct lmtp_host *host, struct span recipient)
{
    struct fault f;
    size_t at = span_behind_last(recipient, '@');
    enum result ours =
        at == 0 ? R_OK : host->is_local(host->arg, span_skip(recipient, at), &f);
    if (ours == R_FAIL)
        return LATER;
    return ours == R_OK && host->policy_refuses_unknown ? "550 5.1.1 No such user here"
                                                        : "DUNNO";
}

static const char *
of_recipient(const struct lmtp_host *host, const struct policy_request *r)
{
    struct fault f;
    struct arena *a = arena_new_small();
    enum result room = room_of(host, r, a, &f);
    arena_free(&a);
    if (room == R_OK)
        return "DUNNO";
    if (room == R_NONE)
        return unknown(host, r->recipient);
    log_info("policy", "Refused", field_text("to", "to=<%>", r->recipient), log_fault(&f));
    if (f.kind == FAULT_TOOBIG)
        return "552 5.3.4 Message too large";
    if (f.kind != FAULT_OVERQUOTA)
        return LATER;
    return mail_quota_permanent(host->mail) ? "552 5.2.2 Mailbox is full"
                                            : "452 4.2.2 Mailbox is full";
}

static const char *
action(const struct lmtp_host *host, const struct policy_request *r)
{
    const char *against = of_sender(host, r);
    if (against)
        return against;
    if (!span_eq(r->protocol_state, SPAN("RCPT")) || r->recipient.n == 0)
        return "DUNNO";
    return of_recipient(host, r);
}

static enum result
answer(const struct lmtp_host *host, struct conn *conn, struct span text, struct fault *f)
{
    struct policy_request r;
    if (policy_request_parse(text, &r, f) != R_OK)
        return R_FAIL;
    if (!span_eq(r.request, SPAN("smtpd_access_policy")))
        return fault_set(f, FAULT_BAD, "not a request of smtpd_access_policy");
    conn_printf(conn, "action=%s\n\n", action(host, &r));
    return R_OK;
}

static long
end(struct span input)
{
    return (long)policy_request_end(input);
}

const struct question_ops policy_ops = {"policy", LIMIT_policy_request, end, answer};
