// A message on its way through scanners: kept as it comes, shown to them once, and then taken in with what they said.
#include "lmtp/session.h"

#include "base/budget.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "mime/header.h"
#include "scan/link.h"

#include <arpa/inet.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PIECE = 65536 };

// ---- the message as it comes ----

void
lmtp_scan_begin(struct lmtp_session *s)
{
    if (!s->host->scan.wanted)
        return;
    s->scan.spool.fd = memfd_create("posthorn-scan", MFD_CLOEXEC);
    s->scan.spool.on = true;  // without a file there is no room in it
}

void
lmtp_scan_end(struct lmtp_session *s)
{
    if (s->scan.spool.on && s->scan.spool.fd >= 0)
        close(s->scan.spool.fd);
    budget_give(BUDGET_INTAKE, s->scan.spool.size);
    s->scan.spool = (struct lmtp_spool){0};
}

static enum lmtp_unseen
keep(struct lmtp_spool *p, struct span bytes)
{
    struct fault f;
    if (bytes.n > LIMIT_scan_octets - p->size)
        return LMTP_TOO_LARGE;
    if (budget_take(BUDGET_INTAKE, bytes.n, &f) != R_OK)
        return LMTP_NO_ROOM;
    for (struct span rest = bytes; rest.n > 0;) {
        ssize_t n = pwrite(p->fd, rest.p, rest.n, (off_t)(p->size + (bytes.n - rest.n)));
        if (n <= 0) {
            budget_give(BUDGET_INTAKE, bytes.n);
            return LMTP_NO_ROOM;
        }
        rest = span_skip(rest, (size_t)n);
    }
    p->size += bytes.n;
    return LMTP_SEEN;
}

enum result
lmtp_scan_take(struct lmtp_session *s, struct span bytes)
{
    struct lmtp_spool *p = &s->scan.spool;
    if (p->on && p->unseen == LMTP_SEEN) {
        p->unseen = keep(p, bytes);
        if (p->unseen != LMTP_SEEN)
            log_warning("lmtp",
                        p->unseen == LMTP_TOO_LARGE
                            ? "a message is too large for the scanners"
                            : "a message is not scanned: there is no memory to keep it",
                        field_text("from", "from=<%>", s->sender));
    }
    return p->on && p->unseen == LMTP_SEEN ? R_OK : R_NONE;
}

static struct span
read_head(struct lmtp_session *s)
{
    size_t n = s->scan.spool.size < LIMIT_scan_header ? (size_t)s->scan.spool.size
                                                      : LIMIT_scan_header;
    char *text = arena_alloc(s->arena, n + 1);
    ssize_t got = pread(s->scan.spool.fd, text, n, 0);
    return span_of(text, got > 0 ? (size_t)got : 0);
}

// ---- the envelope that scanners are told ----

static bool
is_outside(struct span ip)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char octets[16];
    if (ip.n == 0 || ip.n >= sizeof text)
        return false;
    memcpy(text, ip.p, ip.n);
    text[ip.n] = '\0';
    if (inet_pton(AF_INET, text, octets) == 1)
        return octets[0] != 127;
    return inet_pton(AF_INET6, text, octets) == 1 && !span_eq(ip, SPAN("::1"));
}

// The first Received field is our transfer agent's: "from NAME (name [192.0.2.1]) by ..." (RFC 5321 section 4.4).
static void
fill_origin(struct span head, struct scan_envelope *e)
{
    struct mime_header h;
    if (mime_header_find(head, SPAN("Received"), &h) != R_OK)
        return;
    struct span value = span_trim(h.value);
    struct span from = span_slice(value, 0, span_ifind(value, SPAN(" by ")));
    size_t open = span_find_char(from, '['), close = span_find_char(from, ']');
    if (open >= close || close == from.n || !span_istarts(from, SPAN("from ")))
        return;
    struct span ip = span_slice(from, open + 1, close);
    if (span_istarts(ip, SPAN("IPv6:")))
        ip = span_skip(ip, 5);
    if (!is_outside(ip))
        return;
    struct span name = span_skip(from, 5);
    e->ip = ip;
    e->helo = span_slice(name, 0, span_find_char(name, ' '));
}

static void
put_envelope(struct lmtp_session *s, struct span head, struct buf *about)
{
    struct scan_envelope e = {.from = s->sender};
    struct buf to;
    buf_init(&to, LIMIT_scan_about);
    for (const struct lmtp_recipient *r = s->rcpt.first; r; r = r->next)
        if (to.n + r->address.n + 10 <= LIMIT_scan_about)
            pack_span(&to, r->address);
    const struct lmtp_recipient *only = s->rcpt.first;
    if (only && !only->next && only->targets.n == 1)
        e.user = only->targets.list[0].name;
    fill_origin(head, &e);
    e.to = buf_span(&to);
    scan_envelope_put(about, &e);
    buf_done(&to);
}

// ---- what they say ----

static enum lmtp_fate
fate_of(const struct lmtp_scan *rules, const struct scan_verdict *v)
{
    if (v->virus == SCAN_VIRUS_FOUND && rules->virus != LMTP_DELIVER)
        return rules->virus;
    if (v->missing && rules->defer)
        return LMTP_LATER;
    if (v->large && rules->large != LMTP_DELIVER)
        return rules->large;
    if (!v->scored || v->judgement == SCAN_HAM)
        return LMTP_DELIVER;
    return v->judgement == SCAN_SPAM ? rules->spam : rules->surely;
}

static void
count(const struct scan_verdict *v)
{
    if (v->virus == SCAN_VIRUS_FOUND)
        metric_add(METRIC_scans_virus, 1);
    else if (v->scored && v->judgement != SCAN_HAM)
        metric_add(METRIC_scans_spam, 1);
    else if (v->missing || v->large)
        metric_add(METRIC_scans_missing, 1);
    else
        metric_add(METRIC_scans_ham, 1);
}

static void
put_score(struct buf *b, int64_t thousandths)
{
    buf_printf(b, "%.2f", (double)thousandths / 1000);
}

static void
tell(const struct lmtp_session *s, const struct scan_verdict *v)
{
    static const char *const fates[] = {"deliver", "junk", "refuse", "quarantine", "defer"};
    struct buf score;
    buf_init(&score, 64);
    put_score(&score, v->score);
    log_info("lmtp", "scanned", field_text("from", "from=<%>", s->sender),
             field_if(v->scored, field_text("score", "score=%", buf_span(&score))),
             field_if(v->virus == SCAN_VIRUS_FOUND,
                      field_text("virus", "virus=%", v->virus_name)),
             field_if(v->missing, field_str("missing", "%", "a scanner did not answer")),
             field_if(v->large, field_str("large", "%", "it is too large for a scanner")),
             field_str("fate", ": %", fates[s->scan.fate]));
    buf_done(&score);
}

// Why it does not come into the mailbox, for whoever asks later.
static struct span
reason_of(struct lmtp_session *s, const struct scan_verdict *v)
{
    struct buf b;
    buf_init(&b, 2 * LIMIT_scan_symbols);
    if (v->virus == SCAN_VIRUS_FOUND) {
        buf_printf(&b, "virus %.*s", SPAN_ARG(v->virus_name));
    } else if (s->scan.large) {
        buf_put_str(&b, "too large for a scanner");
    } else {
        buf_put_str(&b, "spam, score ");
        put_score(&b, v->score);
    }
    struct span reason = arena_dup(s->arena, buf_span(&b));
    buf_done(&b);
    return reason;
}

static void
judge(struct lmtp_session *s, const struct scan_verdict *v)
{
    static const uint8_t virustest[SCAN_VIRUSES] = {0, 1, 5};  // RFC 5235 section 2.2
    count(v);
    s->scan.fate = fate_of(&s->host->scan, v);
    s->scan.virus = v->virus == SCAN_VIRUS_FOUND;
    s->scan.large = v->large && !s->scan.virus && s->scan.fate == s->host->scan.large;
    s->scan.reason = reason_of(s, v);
    s->scan.said = (struct filter_scan){.scored = v->scored,
                                        .score = v->score,
                                        .virus = virustest[v->virus],
                                        .junk = s->scan.fate == LMTP_JUNK};
    tell(s, v);
}

// ---- fields ----

static void
put_level(struct buf *b, int64_t score)
{
    enum { MOST = 50 };
    if (score < 1000)
        return;
    buf_put_str(b, "X-Spam-Level: ");
    for (int64_t i = 0; i < score / 1000 && i < MOST; i++)
        buf_put_char(b, '*');
    buf_put_str(b, "\r\n");
}

// Symbols at their commas, so that no line is long.
static void
put_symbols(struct buf *b, struct span symbols)
{
    struct span one;
    buf_put_str(b, "\r\n\ttests=");
    for (bool first = true; span_next_field(&symbols, ',', &one) == R_OK; first = false)
        buf_printf(b, "%s%.*s", first ? "" : ",\r\n\t", SPAN_ARG(span_trim(one)));
    buf_put_str(b, "\r\n");
}

static void
put_fields(const struct scan_verdict *v, struct buf *b)
{
    bool spam = v->scored && v->judgement != SCAN_HAM;
    if (spam)
        buf_put_str(b, "X-Spam-Flag: YES\r\n");
    if (v->scored) {
        buf_put_str(b, "X-Spam-Score: ");
        put_score(b, v->score);
        buf_put_str(b, "\r\n");
        put_level(b, v->score);
        buf_printf(b, "X-Spam-Status: %s, score=", spam ? "Yes" : "No");
        put_score(b, v->score);
        buf_put_str(b, " required=");
        put_score(b, v->required);
        put_symbols(b, v->symbols);
    }
    if (v->virus == SCAN_VIRUS_NONE)
        buf_put_str(b, "X-Virus-Status: clean\r\n");
    else if (v->virus == SCAN_VIRUS_FOUND)
        buf_printf(b, "X-Virus-Status: infected (%.*s)\r\n", SPAN_ARG(v->virus_name));
    else if (v->large || v->missing)
        buf_printf(b, "X-Virus-Status: unscanned (%s)\r\n",
                   v->large ? "too large" : "no answer");
}

// ---- taken in ----

static bool
is_foreign(struct span name)
{
    return span_istarts(name, SPAN("X-Spam")) || span_istarts(name, SPAN("X-Virus"));
}

// The header without fields that other scanners wrote: what is believed here is said here. Returns its octets as they came.
static size_t
feed_header(struct lmtp_session *s, struct span head, struct fault *f)
{
    struct mime_header_iter it = mime_header_begin(head);
    struct mime_header h;
    size_t at = 0;
    while (mime_header_next(&it, &h) == R_OK) {
        size_t begin = (size_t)(h.raw.p - head.p), end = begin + h.raw.n;
        struct span kept = span_slice(head, at, is_foreign(h.name) ? begin : end);
        if (kept.n > 0 && !s->intake_failed && intake_write(s->intake, kept, f) != R_OK)
            s->intake_failed = true;
        at = end;
    }
    return at;
}

static void
feed(struct lmtp_session *s, struct span head, struct fault *f)
{
    bool whole = s->scan.spool.size <= head.n || span_find(head, SPAN("\r\n\r\n")) < head.n;
    uint64_t at = s->host->scan.headers && whole ? feed_header(s, head, f) : 0;
    char *piece = arena_alloc(s->arena, PIECE);
    while (!s->intake_failed && at < s->scan.spool.size) {
        ssize_t n = pread(s->scan.spool.fd, piece, PIECE, (off_t)at);
        if (n <= 0)
            s->intake_failed =
                fault_set(f, FAULT_UNAVAILABLE, "what was kept cannot be read") != R_OK;
        else if (intake_write(s->intake, span_of(piece, (size_t)n), f) != R_OK)
            s->intake_failed = true;
        else
            at += (uint64_t)n;
    }
}

static enum result
ask(struct lmtp_session *s, struct span head, struct buf *answer, struct scan_verdict *v,
    struct fault *f)
{
    const struct scan_text text = {s->scan.spool.fd, s->scan.spool.size};
    enum scan_status status;
    struct buf about;
    buf_init(&about, LIMIT_channel_message);
    put_envelope(s, head, &about);
    enum result r = about.over
                        ? fault_set(f, FAULT_TOOBIG, "the envelope is too long")
                        : scan_ask(SCAN_CHECK, buf_span(&about), &text, answer, &status, f);
    buf_done(&about);
    if (r == R_OK && scan_verdict_get(buf_span(answer), v) != R_OK)
        r = fault_set(f, FAULT_SERVERBUG, "a verdict of scan is malformed");
    return r;
}

void
lmtp_scan_finish(struct lmtp_session *s)
{
    bool large = s->scan.spool.unseen == LMTP_TOO_LARGE;
    struct scan_verdict v = {.missing = !large, .large = large};
    struct buf answer, fields;
    struct fault f;
    struct span head = read_head(s);
    bool seen = s->scan.spool.unseen == LMTP_SEEN,
         fits = s->scan.spool.size <= mail_size_max(s->host->mail);
    buf_init(&answer, LIMIT_channel_message);
    buf_init(&fields, LIMIT_channel_message);
    if (seen && fits && ask(s, head, &answer, &v, &f) != R_OK)
        log_warning("lmtp", "a message was not scanned", log_fault(&f));
    if (!seen || fits)  // else it is refused for its size
        judge(s, &v);
    if (s->host->scan.headers)
        put_fields(&v, &fields);
    bool failed = s->intake_failed;  // before: then it is known why
    if (fields.n > 0 && !failed && intake_write(s->intake, buf_span(&fields), &f) != R_OK)
        s->intake_failed = true;
    s->scan.came_at += fields.n;
    feed(s, head, &f);
    if (s->intake_failed && !failed)
        s->intake_fault = f;
    buf_done(&fields);
    buf_done(&answer);
}
