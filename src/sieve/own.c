// Whose addresses: what the world knows of them (RFC 5230 section 4.5), and who a user's script may write as (RFC 5435 section 3.3).
#include "base/limits.h"
#include "mime/address.h"
#include "sieve/ext.h"
#include "sieve/run.h"

enum { ASKING = 1000 };  // of LIMIT_sieve_work

enum result
sieve_is_own(struct sieve_run *r, struct span address)
{
    const struct sieve_world *w = r->world;
    if (w->is_own == NULL || address.n == 0 || r->asked == LIMIT_sieve_own)
        return R_NONE;
    r->asked++;
    if (sieve_work(r, ASKING) != R_OK)
        return R_FAIL;
    return w->is_own(w->arg, address);
}

struct span
sieve_address_text(struct sieve_run *r, const struct mime_address *a)
{
    struct buf b;
    struct span host = sieve_host(a->host);
    if (a->kind != MIME_ADDRESS)
        return SPAN_NONE;
    buf_init(&b, a->mailbox.n + host.n + 1);
    buf_put(&b, a->mailbox);
    if (host.n > 0) {
        buf_put_char(&b, '@');
        buf_put(&b, host);
    }
    struct span text = arena_dup(r->scratch, buf_span(&b));
    buf_done(&b);
    return text;
}

enum result
sieve_may_write_as(struct sieve_run *r, const struct sieve_call *call, struct span from)
{
    if (r->world->is_own == NULL || r->frame->program->author != SIEVE_USER)
        return R_OK;
    if (sieve_room(r, from.n * 8) != R_OK)
        return R_FAIL;
    const struct mime_address *a = mime_address_parse(r->scratch, from);
    enum result own = R_OK;
    for (; a && own == R_OK; a = a->next) {
        struct span text = sieve_address_text(r, a);
        own = span_ieq(text, r->world->to) ? R_OK : sieve_is_own(r, text);
    }
    if (own == R_NONE)
        sieve_note(r, call->line, "%s: :from \"%.*s\" is not the user's, and left out",
                   call->command->name, SPAN_ARG(span_slice(from, 0, 100)));
    return own;
}
