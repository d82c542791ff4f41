#include "lmtp/session.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"

#include <time.h>

// The message: DATA (RFC 5321 section 4.1.1.4) and BDAT (RFC 3030), then one answer per recipient (RFC 2033 section 4.2).

static void
put_date(struct buf *b)
{
    char text[64];
    time_t now = (time_t)clock_wall_s();
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S %z", &tm);
    buf_put_str(b, text);
}

// Delivered-To (RFC 9228) for one mailbox, X-Original-To for one recipient only, so that all share one body.
static void
put_addresses(const struct lmtp_session *s, struct buf *b)
{
    const struct lmtp_recipient *r = s->rcpt.first;
    if (s->rcpt.count != 1)
        return;
    struct span user = r->targets.list[0].name;
    bool one = r->targets.n == 1 && !lmtp_is_elsewhere(&r->targets.list[0]),
         same = one && lmtp_is_named(r->address, user);
    if (same)
        buf_printf(b, "Delivered-To: %.*s\r\n", SPAN_ARG(r->address));
    else if (one)
        buf_printf(b, "Delivered-To: %.*s\r\n", SPAN_ARG(user));
    if (!same || !span_eq(r->original, r->address))
        buf_printf(b, "X-Original-To: %.*s\r\n", SPAN_ARG(r->original));
}

// Trace fields (RFC 5321 section 4.4).
static void
put_trace(struct lmtp_session *s, struct buf *b)
{
    buf_printf(b, "Return-Path: <%.*s>\r\n", SPAN_ARG(s->sender));
    put_addresses(s, b);
    buf_printf(b, "Received: from %.*s", SPAN_ARG(buf_span(&s->client)));
    if (s->remote.n > 0)
        buf_printf(b, " ([%.*s])", SPAN_ARG(s->remote));
    buf_printf(b, "\r\n\tby %s with LMTP id %016llx", s->host->hostname,
               (unsigned long long)random_u64());
    if (s->rcpt.count == 1)
        buf_printf(b, "\r\n\tfor <%.*s>", SPAN_ARG(s->rcpt.first->address));
    buf_put_str(b, "; ");
    put_date(b);
    buf_put_str(b, "\r\n");
}

static void
fail(struct lmtp_session *s, const struct fault *f)
{
    if (!s->intake_failed)
        s->intake_fault = *f;
    s->intake_failed = true;
}

static void
begin(struct lmtp_session *s)
{
    struct buf trace;
    struct fault f;
    buf_init(&trace, LIMIT_smtp_line * 4);
    put_trace(s, &trace);
    s->intake = intake_begin(s->host->mail);
    lmtp_scan_begin(s);
    s->digest = s->rcpt.targets > s->rcpt.count ? delivered_digest_new(s->arena) : NULL;
    if (intake_write(s->intake, buf_span(&trace), &f) != R_OK)
        fail(s, &f);
    buf_done(&trace);
}

// A message that failed is read on to its end. One that is too large for scanners goes on as if there were none.
static void
take(struct lmtp_session *s, struct span bytes)
{
    struct fault f;
    if (s->digest != NULL)
        delivered_digest_add(s->digest, bytes);
    bool seen = !s->scan.spool.unseen;
    if (bytes.n > 0 && lmtp_scan_take(s, bytes) == R_OK)
        return;
    if (s->scan.spool.on && seen && s->scan.spool.unseen)
        lmtp_scan_finish(s);
    if (!s->intake_failed && bytes.n > 0 && intake_write(s->intake, bytes, &f) != R_OK)
        fail(s, &f);
}

static void
finish(struct lmtp_session *s)
{
    struct fault f;
    if (s->scan.spool.on && !s->scan.spool.unseen)
        lmtp_scan_finish(s);
    if (!s->intake_failed && intake_finish(s->intake, &f) != R_OK)
        fail(s, &f);
    lmtp_deliver(s);
    lmtp_reset(s);
}

// ---- DATA ----

static enum result
wait_more(struct lmtp_session *s)
{
    return conn_input(s->conn).n > 0 ? R_OK : conn_wait_input(s->conn, 1, LIMIT_lmtp_ms);
}

void
lmtp_data(struct lmtp_session *s)
{
    struct smtp_data scan;
    smtp_data_init(&scan);
    begin(s);
    lmtp_say(s, 354, "", "Go ahead, end with CRLF.CRLF");
    while (!scan.done) {
        if (wait_more(s) != R_OK) {
            lmtp_reset(s);
            s->quitting = true;
            return;
        }
        struct span in = conn_input(s->conn), piece;
        size_t used = 0;
        while (used < in.n && !scan.done) {
            used += smtp_data_next(&scan, span_skip(in, used), &piece);
            take(s, piece);
            in = conn_input(s->conn);  // taking may suspend
        }
        conn_consume(s->conn, used);
    }
    finish(s);
}

// ---- BDAT ----

static enum result
chunk_size(struct span args, uint64_t *size_out, bool *last_out)
{
    size_t at = span_find_char(args, ' ');
    struct span rest = span_trim(span_skip(args, at));
    *last_out = span_ieq(rest, SPAN("LAST"));
    if (rest.n > 0 && !*last_out)
        return R_FAIL;
    return span_to_u64(span_slice(args, 0, at), size_out);
}

// The octets come whatever the answer will be (RFC 3030 section 2).
static enum result
read_chunk(struct lmtp_session *s, uint64_t size, bool keep)
{
    while (size > 0) {
        if (wait_more(s) != R_OK)
            return R_FAIL;
        struct span in = conn_input(s->conn);
        size_t n = in.n < size ? in.n : (size_t)size;
        if (keep)
            take(s, span_slice(in, 0, n));
        conn_consume(s->conn, n);
        size -= n;
    }
    return R_OK;
}

void
lmtp_bdat(struct lmtp_session *s, struct span args)
{
    uint64_t size;
    bool last, good = s->rcpt.first != NULL;
    if (chunk_size(args, &size, &last) != R_OK) {
        lmtp_say(s, 501, "5.5.4", "Syntax: BDAT size [LAST]");
        s->quitting = true;  // there is no telling where the next command begins
        return;
    }
    if (good && !s->intake)
        begin(s);
    if (read_chunk(s, size, good) != R_OK) {
        lmtp_reset(s);
        s->quitting = true;
    } else if (!good) {
        lmtp_say(s, 503, "5.5.1", "No valid recipients");
    } else if (last) {
        finish(s);
    } else {
        conn_printf(s->conn, "250 2.0.0 %llu octets received\r\n",
                    (unsigned long long)size);
    }
}
