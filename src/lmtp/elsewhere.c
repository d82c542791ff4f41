#include "lmtp/session.h"

#include "base/limits.h"
#include "base/log.h"
#include "mail/filter.h"
#include "mail/forward.h"

// Targets that are not here: an alias, or a user's forward, leads to them. The message goes out through the relay, all targets of a
// recipient as one mail, when the mailboxes here have it: nothing can fail behind it, so that it goes out once. Its envelope sender
// stays, as with redirect: reports go to who sent it, and one that is a report (from <>) is passed on as one.

bool
lmtp_is_elsewhere(const struct lmtp_target *t)
{
    return t->account == 0;
}

bool
lmtp_any_here(const struct lmtp_recipient *r)
{
    size_t i = 0;
    while (i < r->targets.n && lmtp_is_elsewhere(&r->targets.list[i]))
        i++;
    return i < r->targets.n;
}

bool
lmtp_can_send(const struct lmtp_session *s)
{
    return s->host->can_send && s->host->can_send(s->host->arg);
}

// By another recipient of this transaction.
static bool
has_gone(const struct lmtp_session *s, struct span address)
{
    for (const struct lmtp_gone *g = s->rcpt.gone; g; g = g->next)
        if (span_ieq(g->address, address))
            return true;
    return false;
}

static size_t
collect(struct lmtp_session *s, struct lmtp_recipient *r, struct span *to)
{
    size_t n = 0;
    for (size_t i = 0; i < r->targets.n; i++) {
        if (!lmtp_is_elsewhere(&r->targets.list[i]))
            continue;
        to[n] = lmtp_written(s, r->targets.list[i].name);
        if (has_gone(s, to[n]))
            r->way.onward++;
        else
            n++;
    }
    return n;
}

static enum result
read_header(struct lmtp_session *s, struct span *out, struct fault *f)
{
    if (intake_root(s->intake)->header.size > LIMIT_sieve_header)
        return fault_set(f, FAULT_TOOBIG,
                         "a header of more than %d octets is not passed on",
                         LIMIT_sieve_header);
    return lmtp_header(s, 0, LIMIT_sieve_header, out, f);
}

// One address alone is asked for the sender's reports (RFC 3461 sections 5.2.7.2 and 5.2.7.3).
static enum result
send(struct lmtp_session *s, struct lmtp_recipient *r, const struct span *to, size_t n,
     struct fault *f)
{
    struct span header;
    struct buf head;
    if (read_header(s, &header, f) != R_OK)
        return R_FAIL;
    r->loops = forward_is_loop(header, r->address);
    if (r->loops)
        return fault_set(f, FAULT_CANNOT,
                         "the message has been forwarded from here before");
    buf_init(&head, 2 * LIMIT_sieve_header);
    forward_put_header(&head, header, r->address);
    const struct filter_letter l = {.from = lmtp_written(s, s->sender),
                                    .to = to,
                                    .n = n,
                                    .notify = r->notify,
                                    .orcpt = r->orcpt,
                                    .ret = s->said.ret,
                                    .envid = s->said.envid,
                                    .success_is_told = r->targets.n > 1,
                                    .head = buf_span(&head),
                                    .text = SPAN(""),
                                    .body = s->intake,
                                    .utf8 = s->said.utf8,
                                    .why = SPAN("forward"),
                                    .owner = SPAN("")};
    enum result sent = s->host->send(s->host->arg, &l, f);
    buf_done(&head);
    if (sent != R_OK &&
        f->kind == FAULT_BAD)  // of the address, not of what the client says
        f->kind = FAULT_CANNOT;
    return sent;
}

// Where somebody here has the message, one that cannot be passed on, now or later, is not lost; sent back it would come to them again.
static bool
kept_after_all(const struct lmtp_session *s, const struct lmtp_recipient *r,
               const struct fault *f)
{
    if (!lmtp_any_here(r) || fault_info(f->kind)->smtp_code < 500)
        return false;
    log_warning("lmtp", "not forwarded", field_text("from", "from=<%>", s->sender),
                field_text("to", "to=<%>", r->address), log_fault(f));
    return true;
}

enum result
lmtp_forward(struct lmtp_session *s, struct lmtp_recipient *r, struct fault *f)
{
    struct span *to = arena_array(s->arena, r->targets.n, sizeof *to);
    size_t n = collect(s, r, to);
    if (n == 0)
        return R_OK;
    if (send(s, r, to, n, f) != R_OK)
        return kept_after_all(s, r, f) ? R_OK : R_FAIL;
    r->way.onward += (unsigned)n;
    r->way.asked_on = r->targets.n == 1;
    for (size_t i = 0; i < n; i++) {
        struct lmtp_gone *g = ARENA_NEW(s->arena, struct lmtp_gone);
        *g = (struct lmtp_gone){s->rcpt.gone, to[i]};
        s->rcpt.gone = g;
        log_info("lmtp", "forwarded", field_text("from", "from=<%>", s->sender),
                 field_text("to", "to=<%>", r->address),
                 field_text("target", "target=<%>", to[i]),
                 field_number("size", "size=%", intake_size(s->intake)));
    }
    return R_OK;
}
