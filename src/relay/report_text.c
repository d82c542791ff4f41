#include "relay/report.h"
#include "relay/text.h"
#include "base/hash.h"
#include "base/utf8.h"

#include <time.h>

static const struct {
    const char *action, *subject, *words;
} kinds[REPORT_ACTIONS] = {
    [REPORT_FAILED] = {"failed", "Undelivered mail returned to sender",
                       "Your mail could not be delivered to:"},
    [REPORT_DELAYED] =
        {"delayed", "Delayed mail (it will be tried again)",
         "Your mail could not be delivered yet. You need not send it again: it "
         "will be tried again. It waits for:"},
    [REPORT_RELAYED] = {"relayed", "Mail was passed on",
                        "Your mail was passed on to a server that will not tell when it is "
                        "delivered:"},
    [REPORT_DELIVERED] = {"delivered", "Mail was delivered", "Your mail was delivered to:"},
    [REPORT_EXPANDED] =
        {"expanded", "Mail was delivered, and passed on",
         "Your mail was delivered to what is below, and goes on from there to others. You "
         "will not be told when it arrives there:"},
};

static void
put_date(struct buf *out, const char *name, int64_t s)
{
    char text[64];
    struct tm tm;
    time_t t = (time_t)s;
    must(gmtime_r(&t, &tm) != NULL);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S +0000", &tm);
    buf_printf(out, "%s: %s\r\n", name, text);
}

// RFC 4865 section 5.1.2: as HOLDUNTIL has it, which is what is known of HOLDFOR, too.
static void
put_hold(struct buf *out, int64_t s)
{
    char text[64];
    struct tm tm;
    time_t t = (time_t)s;
    if (s == 0)
        return;
    must(gmtime_r(&t, &tm) != NULL);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_printf(out, "Future-Release-Request: until;%s\r\n", text);
}

static bool
is_global(const struct report *r)
{
    bool plain = ascii_only(r->to) && ascii_only(r->original) && ascii_only(r->envid);
    for (size_t i = 0; plain && i < r->n; i++)
        plain = ascii_only(r->recipients[i].address) && ascii_only(r->recipients[i].orcpt);
    return !plain;
}

static void
put_head(struct buf *out, const struct report *r, const char *boundary, bool global)
{
    put_date(out, "Date", r->now_s);
    buf_printf(
        out,
        "From: Mail delivery <postmaster@%s>\r\nTo: <%.*s>\r\nSubject: %s\r\n"
        "Message-ID: <%s@%s>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        "\tboundary=\"%s\"\r\n%s\r\n",
        r->hostname, SPAN_ARG(r->to), kinds[r->action].subject, boundary, r->hostname,
        boundary, global ? "Content-Transfer-Encoding: 8bit\r\n" : "");
}

// One line of a person's text, at most so long.
static void
put_words(struct buf *out, const char *before, struct span words)
{
    while (words.n > 0) {
        struct span line = span_slice(words, 0, 900);
        buf_put_str(out, before);
        buf_put(out, line);
        buf_put_str(out, "\r\n");
        words = span_skip(words, line.n);
    }
}

static void
put_notice(struct buf *out, const struct report *r)
{
    buf_printf(out,
               "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit"
               "\r\n\r\nThis is the mail server %s.\r\n\r\n%s\r\n\r\n",
               r->hostname, kinds[r->action].words);
    for (size_t i = 0; i < r->n; i++) {
        const struct report_recipient *to = &r->recipients[i];
        buf_printf(out, "<%.*s>\r\n", SPAN_ARG(to->address));
        if (to->expired)
            buf_put_str(out, "    It was tried for as long as it may be; at last:\r\n");
        put_words(out, "    ", to->reply);
    }
    buf_put_str(out, "\r\n");
}

static struct span
type_of(struct span address)
{
    return ascii_only(address) ? SPAN("rfc822") : SPAN("utf-8");
}

// The class of a delay is 4, that of what went on is 2 (RFC 3464 section 2.3.4).
static void
put_status(struct buf *out, uint8_t action, const struct report_recipient *to)
{
    struct span status = to->status.n > 2 ? to->status : SPAN("4.0.0");
    char class = action == REPORT_DELAYED  ? '4'
                 : action != REPORT_FAILED ? '2'
                 : to->expired             ? status.p[0]
                                           : '5';
    buf_printf(out, "Status: %c%.*s\r\n", class, (int)(status.n - 1), status.p + 1);
}

static void
put_recipient(struct buf *out, const struct report *r, const struct report_recipient *to)
{
    buf_put_str(out, "\r\n");
    if (to->orcpt.n > 0)
        buf_printf(out, "Original-Recipient: %.*s\r\n", SPAN_ARG(to->orcpt));
    buf_printf(out, "Final-Recipient: %.*s;%.*s\r\nAction: %s\r\n",
               SPAN_ARG(type_of(to->address)), SPAN_ARG(to->address),
               kinds[r->action].action);
    put_status(out, r->action, to);
    if (to->code > 0)
        buf_printf(out, "Remote-MTA: dns;%s\r\nDiagnostic-Code: smtp;%u %.*s\r\n",
                   r->smarthost, to->code, SPAN_ARG(to->reply));
    put_date(out, "Last-Attempt-Date", r->now_s);
    if (r->action == REPORT_DELAYED)
        put_date(out, "Will-Retry-Until", r->retry_until_s);
}

static void
put_fields(struct buf *out, const struct report *r, bool global)
{
    buf_printf(out, "Content-Type: message/%sdelivery-status\r\n%s\r\n",
               global ? "global-" : "",
               global ? "Content-Transfer-Encoding: 8bit\r\n" : "");
    if (r->envid.n > 0)
        buf_printf(out, "Original-Envelope-Id: %.*s\r\n", SPAN_ARG(r->envid));
    buf_printf(out, "Reporting-MTA: dns;%s\r\n", r->hostname);
    put_date(out, "Arrival-Date", r->arrived_s);
    if (r->deliver_by_s > 0)
        put_date(out, "Deliver-By-Date", r->deliver_by_s);
    put_hold(out, r->hold_until_s);
    for (size_t i = 0; i < r->n; i++)
        put_recipient(out, r, &r->recipients[i]);
}

static void
put_original(struct buf *out, const struct report *r, bool global)
{
    struct relay_lines lines;
    const char *type = r->whole
                           ? (global ? "message/global" : "message/rfc822")
                           : (global ? "message/global-headers" : "text/rfc822-headers");
    buf_printf(out, "Content-Type: %s\r\n%s\r\n", type,
               global ? "Content-Transfer-Encoding: 8bit\r\n" : "");
    relay_lines_init(&lines, false);
    relay_lines_feed(&lines, r->original, out);
    relay_lines_end(&lines, out);
}

void
report_put(struct buf *out, const struct report *r)
{
    char boundary[40];
    bool global = is_global(r);
    snprintf(boundary, sizeof boundary, "%016llx%016llx", (unsigned long long)random_u64(),
             (unsigned long long)random_u64());
    put_head(out, r, boundary, global);
    buf_printf(out, "--%s\r\n", boundary);
    put_notice(out, r);
    buf_printf(out, "--%s\r\n", boundary);
    put_fields(out, r, global);
    buf_printf(out, "\r\n--%s\r\n", boundary);
    put_original(out, r, global);
    buf_printf(out, "\r\n--%s--\r\n", boundary);
}
