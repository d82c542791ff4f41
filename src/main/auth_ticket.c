#include "main/auth_inside.h"
#include "base/clock.h"
#include "base/hash.h"

enum { TICKET_MS = 30000 };

void
login_seal_ticket(const struct login *l, struct buf *out)
{
    bool others_ended = recheck_granted(l->role, &l->user) || l->outer.ended_others;
    struct ticket t = {
        .account = l->user.account,
        .rights = l->app.read_only ? TICKET_READ_ONLY : 0,
        .password = l->app.id,
        .session = l->session,
        .issued_ms = clock_wall_ms() + others_ended,  // behind what ends with them
        .expiry_ms = clock_wall_ms() + TICKET_MS,
        .serial = random_u64(),
        .user = name_span(&l->user.name),
        .master = name_span(&l->acting.master),
        .device = name_span(&l->app.label),
        .master_account = l->acting.account,
        .language = span_str(l->acting.language),
    };
    ticket_seal(out, &t, buf_span(&l->role->ticket_key));
}
