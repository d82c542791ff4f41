#include "main/auth_inside.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"

enum { TICKET_MS = 30000 };

static uint64_t
rights_of(const struct login *l)
{
    bool imap = l->is.imap && app_password_is_for(&l->app, SPAN("imap"));
    return (l->app.read_only ? TICKET_READ_ONLY : 0U) | (imap ? TICKET_IMAP : 0U);
}

static void
seal(const struct login *l, struct buf *out)
{
    bool others_ended = recheck_granted(l->role, &l->user) || l->outer.ended_others;
    int64_t now_ms = (int64_t)clock_mono_ms();
    struct ticket t = {
        .account = l->user.account,
        .rights = rights_of(l),
        .password = l->app.id,
        .session = l->session,
        .issued_ms = now_ms + others_ended,  // behind what ends with them
        .expiry_ms = now_ms + TICKET_MS,
        .serial = random_u64(),
        .user = name_span(&l->user.name),
        .master = name_span(&l->acting.master),
        .device = name_span(&l->app.label),
        .master_account = l->acting.account,
        .language = span_str(l->acting.language),
        .pop3 = span_str(l->acting.pop3),
    };
    ticket_seal(out, &t, buf_span(&l->role->ticket_key));
}

void
login_grant(struct login *l, struct span final)
{
    if (l->is.revoked) {
        login_deny(l, FAULT_AUTHFAILED, "revoked meanwhile");
        return;
    }
    if (l->service.trial != NULL) {
        trial_granted(l);
        return;
    }
    struct auth_reply r = {
        .exchange = l->exchange,
        .verdict = AUTH_OK,
        .data = final,
        .user = name_span(&l->user.name),
        .device = name_span(&l->app.label),
        .master = name_span(&l->acting.master),
        .account = l->user.account,
    };
    struct buf sealed;
    buf_init(&sealed, LIMIT_channel_message);
    if (!l->service.verdict_only)
        seal(l, &sealed);
    r.ticket = buf_span(&sealed);
    auth_reply_send(l->at, &r);
    buf_done(&sealed);
    login_free(l);
}
