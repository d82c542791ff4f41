#include "lmtp/session.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "mail/smtp_text.h"
#include "mime/date.h"

// The message: DATA (RFC 5321 section 4.1.1.4) and BDAT (RFC 3030), then one answer per recipient (RFC 2033 section 4.2).

static void
put_address(struct lmtp_session *s, struct buf *b, const char *field, struct span address)
{
    buf_printf(b, "%s%.*s\r\n", field, SPAN_ARG(lmtp_written(s, address)));
}

// Delivered-To (RFC 9228) for one mailbox, X-Original-To for one recipient only, so that all share one body.
static void
put_addresses(struct lmtp_session *s, struct buf *b)
{
    const struct lmtp_recipient *r = s->rcpt.first;
    if (s->rcpt.count != 1)
        return;
    struct span user = r->targets.list[0].name;
    bool one = r->targets.n == 1 && !lmtp_is_elsewhere(&r->targets.list[0]),
         same = one && lmtp_is_named(r->address, user);
    if (same)
        put_address(s, b, "Delivered-To: ", r->address);
    else if (one)
        put_address(s, b, "Delivered-To: ", user);
    if (!span_eq(r->original, r->address))  // as ORCPT has it
        buf_printf(b, "X-Original-To: %.*s\r\n", SPAN_ARG(r->original));
    else if (!same)
        put_address(s, b, "X-Original-To: ", r->address);
}

// Trace fields (RFC 5321 section 4.4, RFC 6531 section 4.3).
static void
put_trace(struct lmtp_session *s, struct buf *b)
{
    buf_printf(b, "Return-Path: <%.*s>\r\n", SPAN_ARG(lmtp_written(s, s->sender)));
    put_addresses(s, b);
    buf_printf(b, "Received: from %.*s", SPAN_ARG(buf_span(&s->client)));
    if (s->remote.n > 0)
        buf_printf(b, " ([%.*s])", SPAN_ARG(s->remote));
    buf_printf(b, "\r\n\tby %s with %s id %016llx", s->host->hostname,
               s->said.utf8 ? "UTF8LMTP" : "LMTP", (unsigned long long)random_u64());
    if (s->rcpt.count == 1)
        buf_printf(b, "\r\n\tfor <%.*s>",
                   SPAN_ARG(lmtp_written(s, s->rcpt.first->address)));
    buf_put_str(b, "; ");
    mime_date_put(b, clock_wall_s());
    buf_put_str(b, "\r\n");
}

static void
fail(struct lmtp_session *s, const struct fault *f)
{
    if (!s->intake_failed)
        s->intake_fault = *f;
    s->intake_failed = true;
}

// Where its report cannot be written the message comes again: then it is known.
static bool
any_wants_success(const struct lmtp_session *s)
{
    const struct lmtp_recipient *r = s->rcpt.first;
    while (r && !r->wants_success)
        r = r->next;
    return r != NULL;
}

static void
begin(struct lmtp_session *s)
{
    struct buf trace;
    struct fault f;
    buf_init(&trace, LIMIT_smtp_line * 10);
    put_trace(s, &trace);
    s->intake = intake_begin(s->host->mail);
    lmtp_scan_begin(s);
    s->scan.came_at = trace.n;
    s->digest = s->rcpt.targets > s->rcpt.count || any_wants_success(s)
                    ? delivered_digest_new(s->arena)
                    : NULL;
    if (intake_write(s->intake, buf_span(&trace), &f) != R_OK)
        fail(s, &f);
    buf_done(&trace);
}

// A message that failed is read on to its end. One that scanners do not get goes on as if there were none, with a mark.
static void
take(struct lmtp_session *s, struct span bytes)
{
    struct fault f;
    if (s->digest != NULL)
        delivered_digest_add(s->digest, bytes);
    bool seen = s->scan.spool.unseen == LMTP_SEEN;
    if (bytes.n > 0 && lmtp_scan_take(s, bytes) == R_OK)
        return;
    if (s->scan.spool.on && seen && s->scan.spool.unseen != LMTP_SEEN)
        lmtp_scan_finish(s);
    if (!s->intake_failed && bytes.n > 0 && intake_write(s->intake, bytes, &f) != R_OK)
        fail(s, &f);
}

static void
finish(struct lmtp_session *s)
{
    struct fault f;
    if (s->scan.spool.on && s->scan.spool.unseen == LMTP_SEEN)
        lmtp_scan_finish(s);
    if (!s->intake_failed && intake_finish(s->intake, &f) != R_OK)
        fail(s, &f);
    lmtp_deliver(s);
    lmtp_reset(s);
}

static void
on_text(void *arg, struct span bytes)
{
    take(arg, bytes);
}

// ---- DATA ----

// The client is gone, or says nothing (RFC 5321 section 4.5.3.2.5), or the server ends: then it is told so behind this.
static void
give_up(struct lmtp_session *s)
{
    lmtp_reset(s);
    if (!s->draining && !conn_eof(s->conn))
        lmtp_say(s, 421, "4.4.2", "No text for too long");
    s->quitting = true;
}

void
lmtp_data(struct lmtp_session *s)
{
    begin(s);
    lmtp_say(s, 354, "", "Go ahead, end with CRLF.CRLF");
    if (smtp_text_data(s->conn, LIMIT_lmtp_ms, on_text, s) == R_OK)
        finish(s);
    else
        give_up(s);
}

// ---- BDAT ----

void
lmtp_bdat(struct lmtp_session *s, struct span args)
{
    uint64_t size;
    bool last, good = s->rcpt.first != NULL;
    if (smtp_chunk_parse(args, &size, &last) != R_OK) {
        lmtp_say(s, 501, "5.5.4", "Syntax: BDAT size [LAST]");
        s->quitting = true;  // there is no telling where the next command begins
        return;
    }
    if (good && !s->intake)
        begin(s);
    if (smtp_text_chunk(s->conn, size, LIMIT_lmtp_ms, good ? on_text : NULL, s) != R_OK)
        give_up(s);
    else if (!good)
        lmtp_say(s, 503, "5.5.1", "No valid recipients");
    else if (last)
        finish(s);
    else
        conn_printf(s->conn, "250 2.0.0 %llu octets received\r\n",
                    (unsigned long long)size);
}
