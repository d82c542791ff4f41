// What goes out of a delivery, or back: redirects, refusals, answers, notifications.
#include "mail/filter_inside.h"

#include "base/log.h"
#include "base/utf8.h"

// ---- refusals at LMTP (RFC 5429 section 2.5) ----

static bool
can_be_said(const struct filter_run *r, struct span reason)
{
    return reason.n > 0 && (r->in->utf8 ? utf8_valid(reason) : ascii_only(reason));
}

static void
put_line(struct buf *b, struct span line)
{
    enum { MOST = 300 };
    do {
        size_t n = line.n < MOST ? line.n : MOST;
        while (n > 0 && n < line.n && ((unsigned char)line.p[n] & 0xC0) == 0x80)
            n--;
        if (b->n > 0)
            buf_put_str(b, "\r\n");
        for (size_t i = 0; i < n; i++)
            buf_put_char(
                b, (unsigned char)line.p[i] < ' ' || line.p[i] == 0x7f ? ' ' : line.p[i]);
        line = span_skip(line, n);
    } while (line.n > 0);
}

static void
refuse(struct filter_run *r, const struct sieve_action *a, struct filter_result *out)
{
    enum { LINES = 40 };
    struct span reason = span_trim(a->target), line;
    if (!can_be_said(r, reason))
        reason = SPAN("The message was refused by the recipient's mail filtering program");
    for (int i = 0; i < LINES && span_next_field(&reason, '\n', &line) == R_OK; i++)
        put_line(&out->reason,
                 span_ends(line, SPAN("\r")) ? span_slice(line, 0, line.n - 1) : line);
    out->refused = true;
    log_info("sieve", "refused", log_user(r->account->user),
             field_text("from", "from=<%>", r->in->from),
             field_number("line", "line=%", a->line),
             field_if(a->because.n > 0, field_text("because", "because=%", a->because)));
}

static void
keep_after_all(struct filter_run *r, const struct sieve_action *a, const char *why)
{
    log_warning("sieve", "kept in INBOX", log_user(r->account->user),
                field_str("action", "action=%", sieve_action_name(a->kind)),
                field_number("line", "line=%", a->line), log_why(why));
    r->keeps = true;
}

enum result
filter_send_before(struct filter_run *r, struct filter_result *out, struct fault *f)
{
    (void)f;
    for (const struct sieve_action *a = r->actions; a; a = a->next) {
        bool refusal = a->kind == SIEVE_REJECT || a->kind == SIEVE_EREJECT;
        if (refusal && r->in->may_refuse)
            refuse(r, a, out);
        else if (refusal)
            keep_after_all(r, a, "the recipient has other mailboxes");
        else if (a->kind == SIEVE_REDIRECT)
            keep_after_all(r, a, "no smarthost is set");
    }
    return R_OK;
}

void
filter_send_behind(struct filter_run *r)
{
    for (const struct sieve_action *a = r->actions; a; a = a->next)
        if (a->kind == SIEVE_VACATION || a->kind == SIEVE_NOTIFY)
            log_warning("sieve", "not sent", log_user(r->account->user),
                        field_str("action", "action=%", sieve_action_name(a->kind)),
                        field_number("line", "line=%", a->line),
                        log_why("no smarthost is set"));
}
