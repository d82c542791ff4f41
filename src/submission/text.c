#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "mail/sent.h"
#include "mime/date.h"
#include "submission/inside.h"

#include <sodium.h>

// The text of a mail: its header is collected, judged and completed, then all goes to an intake, octet by octet as it comes. What
// fails is read on to its end and answered there.

enum { WORDS = 200 };

struct submission_text {
    struct submission_session *session;
    struct intake *intake;
    struct buf head;  // until the header is whole
    struct submission_header_end end;
    struct smtp_ends ends;
    bool in_body, failed;
    bool binary;   // BINARYMIME: the body may have anything (RFC 3030)
    bool changed;  // what is filed is not what the client sent
    bool id_added;
    crypto_hash_sha256_state sent;  // what the client sent
    struct submission_answer why;
    char words[WORDS];
    struct buf outgoing;  // the header that goes out
    uint64_t at;          // where the body begins in the intake
};

struct submission_text *
submission_text_new(struct submission_session *s)
{
    struct submission_text *t = calloc(1, sizeof *t);
    must(t != NULL);
    t->session = s;
    t->intake = intake_begin(s->host.mail);
    t->binary = s->mail.envelope.body == RELAY_BODY_BINARYMIME;
    crypto_hash_sha256_init(&t->sent);
    buf_init(&t->head, LIMIT_submission_header);
    buf_init(&t->outgoing, (size_t)LIMIT_submission_header + 2 * LIMIT_smtp_line);
    return t;
}

void
submission_text_free(struct submission_text **tp)
{
    struct submission_text *t = *tp;
    if (t == NULL)
        return;
    intake_free(&t->intake);
    buf_done(&t->head);
    buf_done(&t->outgoing);
    free(t);
    *tp = NULL;
}

// ---- what is against it: the first reason counts ----

static void
fail(struct submission_text *t, int code, const char *enhanced, const char *text)
{
    if (t->failed)
        return;
    t->failed = true;
    snprintf(t->words, sizeof t->words, "%s", text);
    t->why = (struct submission_answer){code, enhanced, t->words};
}

// This reason goes before all others, which depend on how the text was cut into pieces.
static void
judge_ends(struct submission_text *t, const struct smtp_ends *e)
{
    if (e->bare || e->nul)
        t->failed = false;
    if (e->bare)
        fail(t, 554, "5.6.0", "Lines end with CRLF: a bare CR or LF is not taken");
    else if (e->nul)
        fail(t, 554, "5.6.0", "NUL is not taken");
}

void
submission_text_fail(struct submission_text *t, const struct fault *f)
{
    const struct fault_info *info = fault_info(f->kind);
    if (t->failed)
        return;
    log_line(info->level, "submission", "a mail is not taken", log_session(t->session->id),
             log_fault(f));
    if (f->kind == FAULT_TOOBIG)
        fail(t, 552, "5.3.4", "Message too large");
    else if (f->kind == FAULT_CANNOT)
        fail(t, 451, "4.3.5", "This server has no smarthost: nothing can be sent");
    else if (f->kind == FAULT_TOOSOON)
        fail(t, 450, "4.7.1", f->why);
    else if (f->kind == FAULT_BAD)
        fail(t, 501, "5.5.4", "The envelope cannot be sent");
    else if (f->kind == FAULT_LIMIT)
        fail(t, 452, "4.3.1", "Too much mail is waiting, try again later");
    else
        fail(t, info->smtp_code, info->smtp_enhanced, "Temporary failure, try again later");
}

bool
submission_text_failed(const struct submission_text *t)
{
    return t->failed;
}

// ---- the header ----

// RFC 5321 section 4.4, RFC 3848, RFC 6531 section 4.3.
static void
put_received(const struct submission_text *t, struct buf *b)
{
    const struct submission_session *s = t->session;
    const char *with = s->mail.envelope.smtputf8 ? "UTF8SMTP" : "ESMTP";
    buf_put_str(b, "Received: ");
    if (s->host.tells_client) {
        buf_printf(b, "from %.*s", SPAN_ARG(buf_span(&s->client)));
        if (s->remote.n > 0)
            buf_printf(b, " ([%.*s])", SPAN_ARG(s->remote));
        buf_put_str(b, "\r\n\t");
    }
    buf_printf(b, "by %s with %s%sA id %016llx;\r\n\t", s->host.hostname, with,
               s->tls ? "S" : "", (unsigned long long)random_u64());
    mime_date_put(b, clock_wall_s());
    buf_put_str(b, "\r\n");
}

// From and Sender are the user's own, or their mail says what is not so (RFC 6409 section 6.1).
static enum result
check_authors(struct submission_text *t, const struct submission_header *h)
{
    struct submission_session *s = t->session;
    struct fault f;
    for (size_t i = 0; i < h->author_count; i++) {
        enum result r = s->host.may_send(s->host.arg, h->authors[i], &f);
        if (r == R_FAIL)
            submission_text_fail(t, &f);
        if (r == R_NONE) {
            log_info("submission", "Refused", field_text("from", "from=<%>", h->authors[i]),
                     log_user(mail_user_name(s->user)), log_session(s->id),
                     log_why("From or Sender is not an address of this user"));
            fail(t, 550, "5.7.1", "From and Sender must be addresses of yours");
        }
        if (r != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static void
write_body(struct submission_text *t, struct span bytes)
{
    struct fault f;
    if (!t->failed && bytes.n > 0 && intake_write(t->intake, bytes, &f) != R_OK)
        submission_text_fail(t, &f);
}

static void
write_header(struct submission_text *t, const struct submission_header *h)
{
    const struct submission_session *s = t->session;
    const struct submission_header_made made = {.from = s->mail.envelope.from,
                                                .hostname = s->host.hostname,
                                                .id = random_u64(),
                                                .now_s = clock_wall_s()};
    struct buf filed;
    buf_init(&filed, t->outgoing.max);
    submission_header_put(&filed, h, &made, false);
    put_received(t, &t->outgoing);
    submission_header_put(&t->outgoing, h, &made, true);
    if (filed.over || t->outgoing.over)
        fail(t, 552, "5.3.4", "Header too large");
    t->at = filed.n;
    t->id_added = !h->has_id;
    t->changed = !span_eq(buf_span(&filed),
                          span_slice(buf_span(&t->head), 0, t->end.at + t->end.gap));
    write_body(t, buf_span(&filed));
    buf_done(&filed);
}

static void
end_header(struct submission_text *t)
{
    struct submission_header h;
    struct fault f;
    struct arena *a = arena_new();
    t->in_body = true;
    struct span head = span_slice(buf_span(&t->head), 0, t->end.at);
    struct smtp_ends ends = {0};
    smtp_ends_feed(&ends, head);  // lines of a header are lines, also of binary mail
    judge_ends(t, &ends);
    if (submission_header_read(head, a, &h, &f) != R_OK)
        fail(t, 554, f.kind == FAULT_CANNOT ? "5.4.6" : "5.6.0", f.why);
    else if (!h.has_from && t->session->mail.envelope.from.n == 0)
        fail(t, 554, "5.6.0", "There is no field From");
    else if (check_authors(t, &h) == R_OK)
        write_header(t, &h);
    write_body(t, span_skip(buf_span(&t->head), t->end.at + t->end.gap));
    buf_done(&t->head);
    arena_free(&a);
}

// What is left of the bytes is the body's.
static void
collect(struct submission_text *t, struct span *bytes)
{
    size_t room = t->head.max - t->head.n, n = bytes->n < room ? bytes->n : room;
    buf_put(&t->head, span_slice(*bytes, 0, n));
    *bytes = span_skip(*bytes, n);
    submission_header_scan(&t->end, buf_span(&t->head), false);
    if (t->end.found)
        end_header(t);
    else if (bytes->n > 0)
        fail(t, 552, "5.3.4", "Header too large");
}

void
submission_text_take(void *text, struct span bytes)
{
    struct submission_text *t = text;
    crypto_hash_sha256_update(&t->sent, (const unsigned char *)bytes.p, bytes.n);
    smtp_ends_feed(&t->ends, bytes);
    if (!t->binary)
        judge_ends(t, &t->ends);
    if (!t->in_body && !t->failed)
        collect(t, &bytes);
    if (t->in_body)
        write_body(t, bytes);
}

// ---- the end ----

static const struct relay_recipient *
recipients_of(const struct submission_session *s)
{
    struct relay_recipient *to = arena_array(s->scratch, s->mail.count, sizeof *to);
    size_t n = 0;
    for (const struct submission_to *r = s->mail.first; r != NULL; r = r->next)
        to[n++] = r->to;
    must(n == s->mail.count);
    return to;
}

static void
judge_end(struct submission_text *t)
{
    struct fault f;
    smtp_ends_end(&t->ends);
    if (!t->binary)
        judge_ends(t, &t->ends);
    if (!t->in_body && !t->failed) {
        submission_header_scan(&t->end, buf_span(&t->head), true);
        end_header(t);
    }
    if (!t->failed && intake_finish(t->intake, &f) != R_OK)
        submission_text_fail(t, &f);
}

static enum result
hand_over(struct submission_text *t, uint64_t *id_out, struct fault *f)
{
    struct submission_session *s = t->session;
    struct relay_envelope e = s->mail.envelope;
    const struct submission_letter letter = {buf_span(&t->outgoing), t->intake, t->at};
    e.to = recipients_of(s);
    e.to_count = s->mail.count;
    e.why = SPAN("submission");
    e.owner = mail_user_name(s->user);
    if (s->host.may_go_on(s->host.arg, s->mail.count, true, f) != R_OK)
        return R_FAIL;
    if (s->host.send(s->host.arg, &e, &letter, id_out, f) == R_OK)
        return R_OK;
    s->host.was_not_sent(s->host.arg, s->mail.count);
    return R_FAIL;
}

// The mail is out: a copy that cannot be filed changes nothing of that (docs/decisions/0029-sent.md).
static void
file_copy(struct submission_text *t)
{
    struct submission_session *s = t->session;
    unsigned char hash[crypto_hash_sha256_BYTES];
    struct sent_message m = {.intake = t->intake, .id_added = t->id_added};
    struct sent_result out;
    struct fault f;
    crypto_hash_sha256_final(&t->sent, hash);
    if (t->changed)
        m.client_hash = span_of(hash, sizeof hash);
    if (sent_file(s->user, &m, &out, &f) == R_OK)
        return;
    log_warning("submission", "the copy in Sent is missing",
                log_user(mail_user_name(s->user)), log_session(s->id), log_fault(&f));
}

static void
taken(struct submission_text *t, uint64_t id)
{
    struct submission_session *s = t->session;
    s->sent++;
    s->recipients += s->mail.count;
    metric_add(METRIC_submissions_ok, 1);
    log_info("submission", "taken", log_user(mail_user_name(s->user)), log_session(s->id),
             field_text("from", "from=<%>", s->mail.envelope.from),
             field_number("recipients", "recipients=%", s->mail.count),
             field_number("size", "size=%", intake_size(t->intake)),
             field_number("urls", s->mail.urls > 0 ? "urls=%" : "", s->mail.urls),
             field_id("id", "id=%", id));
    file_copy(t);
    conn_printf(s->conn, "250 2.0.0 Queued as %016llx\r\n", (unsigned long long)id);
}

void
submission_text_refuse(const struct submission_text *t)
{
    bool later = t->why.code < 500;
    metric_add(later ? METRIC_submissions_later : METRIC_submissions_refused, 1);
    submission_say(t->session, t->why.code, t->why.enhanced, t->why.text);
}

void
submission_text_finish(struct submission_text *t)
{
    struct fault f;
    uint64_t id = 0;
    judge_end(t);
    if (!t->failed && hand_over(t, &id, &f) != R_OK)
        submission_text_fail(t, &f);
    if (!t->failed) {
        taken(t, id);
        return;
    }
    submission_text_refuse(t);
}
