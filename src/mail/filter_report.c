// Reports that deliveries send: of a refusal, and of abuse.
#include "mail/filter_text.h"
#include "mail/forward.h"

// ---- a report of a refusal (RFC 8098, RFC 5429 section 2.2.1) ----

static void
put_report_parts(struct filter_run *r, struct buf *b, struct span reason,
                 const char *boundary)
{
    struct span id = filter_field(r, NULL, "Message-ID");
    buf_printf(b,
               "--%s\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Content-Transfer-Encoding: 8bit\r\n\r\n"
               "The message was refused by the recipient's mail filtering program.\r\n"
               "The reason given was as follows:\r\n\r\n",
               boundary);
    filter_put_lines(b, reason);
    buf_printf(b,
               "\r\n--%s\r\nContent-Type: message/disposition-notification\r\n\r\n"
               "Reporting-UA: %.*s; Posthorn\r\nFinal-Recipient: rfc822; %.*s\r\n",
               boundary, SPAN_ARG(r->rules->is.hostname), SPAN_ARG(filter_own_address(r)));
    if (id.n > 0 && id.n < 900)
        buf_printf(b, "Original-Message-ID: %.*s\r\n", SPAN_ARG(id));
    buf_printf(b,
               "Disposition: automatic-action/MDN-sent-automatically; deleted\r\n"
               "\r\n--%s\r\nContent-Type: text/rfc822-headers\r\n\r\n",
               boundary);
    forward_put_original(b, r->original);
    buf_printf(b, "\r\n--%s--\r\n", boundary);
}

enum result
filter_letter_report(struct filter_run *r, const struct sieve_action *a, struct fault *f)
{
    struct buf b;
    char boundary[32];
    snprintf(boundary, sizeof boundary, "=_%016llx", (unsigned long long)random_u64());
    buf_init(&b, FILTER_LETTER);
    struct span host = r->rules->is.hostname, to = filter_sender(r);
    buf_printf(&b, "From: Mail Delivery System <MAILER-DAEMON@%.*s>\r\n", SPAN_ARG(host));
    filter_put_mailboxes(r, &b, "To", to);
    buf_put_str(&b, "Subject: Automatically rejected mail\r\n");
    filter_put_common(r, &b, "reject");
    filter_put_references(r, NULL, &b);
    buf_printf(&b,
               "Auto-Submitted: auto-replied (rejected)\r\nMIME-Version: 1.0\r\n"
               "Content-Type: multipart/report; report-type=disposition-notification;\r\n"
               "\tboundary=\"%s\"\r\n\r\n",
               boundary);
    put_report_parts(r, &b, a->target, boundary);
    struct filter_letter l = {.from = SPAN(""), .to = &to, .n = 1, .why = SPAN("reject")};
    enum result sent = filter_send_text(r, &b, &l, f);
    buf_done(&b);
    return sent;
}

// ---- feedback (RFC 5965, vnd.dovecot.report) ----

// Of the message: its header, or all of it, as it came; one too large for a letter goes with its header alone.
static enum result
put_reported(struct filter_run *r, const struct sieve_action *a, struct buf *b,
             struct fault *f)
{
    uint64_t size = intake_size(r->in->intake);
    bool whole = !sieve_has_detail(a, "headers_only") && size < FILTER_LETTER / 2;
    buf_printf(b, "Content-Type: %s\r\n\r\n",
               whole ? "message/rfc822" : "text/rfc822-headers");
    if (!whole) {
        forward_put_original(b, r->original);
        return R_OK;
    }
    char *text = arena_alloc(r->arena, (size_t)size + 1);
    if (intake_read(r->in->intake, 0, text, (size_t)size, f) != R_OK)
        return R_FAIL;
    buf_put(b, span_of(text, (size_t)size));
    return R_OK;
}

static enum result
put_feedback(struct filter_run *r, const struct sieve_action *a, struct buf *b,
             struct fault *f)
{
    char boundary[32];
    struct span host = r->rules->is.hostname, from = filter_sender(r),
                own = filter_own_address(r);
    snprintf(boundary, sizeof boundary, "=_%016llx", (unsigned long long)random_u64());
    buf_printf(b,
               "MIME-Version: 1.0\r\nContent-Type: multipart/report; "
               "report-type=feedback-report;\r\n\tboundary=\"%s\"\r\n\r\n--%s\r\n"
               "Content-Type: text/plain; charset=utf-8\r\n"
               "Content-Transfer-Encoding: 8bit\r\n\r\n",
               boundary, boundary);
    filter_put_lines(b, sieve_detail(a, "text"));
    buf_printf(b,
               "\r\n--%s\r\nContent-Type: message/feedback-report\r\n\r\n"
               "Version: 1\r\nFeedback-Type: %.*s\r\nUser-Agent: Posthorn/%s\r\n",
               boundary, SPAN_ARG(sieve_detail(a, "type")), POSTHORN_VERSION);
    if (from.n > 0)
        buf_printf(b, "Original-Mail-From: <%.*s>\r\n", SPAN_ARG(from));
    if (r->in->remote.n > 0)
        buf_printf(b, "Source-IP: %.*s\r\n", SPAN_ARG(r->in->remote));
    buf_printf(b, "Original-Rcpt-To: <%.*s>\r\n", SPAN_ARG(own));
    if (host.n > 0)
        buf_printf(b, "Reporting-MTA: dns; %.*s\r\n", SPAN_ARG(host));
    buf_printf(b, "\r\n--%s\r\n", boundary);
    if (put_reported(r, a, b, f) != R_OK)
        return R_FAIL;
    buf_printf(b, "\r\n--%s--\r\n", boundary);
    return R_OK;
}

enum result
filter_letter_feedback(struct filter_run *r, const struct sieve_action *a, struct fault *f)
{
    struct buf b, subject;
    struct span was = filter_field(r, a, "Subject");
    buf_init(&b, FILTER_LETTER);
    buf_init(&subject, was.n + 16);
    buf_put_str(&subject, "Report: ");
    buf_put(&subject, was.n ? was : SPAN("(no subject)"));
    filter_put_mailboxes(r, &b, "From", filter_own_address(r));
    filter_put_mailboxes(r, &b, "To", a->target);
    filter_put_field(r, &b, "Subject", buf_span(&subject));
    buf_done(&subject);
    filter_put_common(r, &b, "report");
    buf_put_str(&b, "Auto-Submitted: auto-generated (report)\r\n");
    struct filter_letter l = {
        .from = SPAN(""), .to = &a->target, .n = 1, .why = SPAN("report")};
    enum result sent = put_feedback(r, a, &b, f);
    if (sent == R_OK)
        sent = filter_send_text(r, &b, &l, f);
    buf_done(&b);
    return sent;
}
