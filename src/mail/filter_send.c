// What goes out of a delivery, or back: redirects, refusals, answers, notifications.
#include "mail/filter_inside.h"
#include "mail/forward.h"

#include "base/log.h"
#include "base/utf8.h"
#include "mime/header.h"

static bool
can_send(const struct filter_run *r)
{
    return r->home->send && r->home->can_send(r->home->arg);
}

static void
tell(const struct filter_run *r, const struct sieve_action *a, const char *event,
     const char *why)
{
    log_warning("sieve", event, log_user(r->account->user),
                field_str("action", "action=%", sieve_action_name(a->kind)),
                field_number("line", "line=%", a->line), log_why(why));
}

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
tell_refused(const struct filter_run *r, const struct sieve_action *a)
{
    log_info("sieve", "refused", log_user(r->account->user),
             field_text("from", "from=<%>", r->in->from),
             field_number("line", "line=%", a->line),
             field_if(a->because.n > 0, field_text("because", "because=%", a->because)));
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
    tell_refused(r, a);
}

static void
keep_after_all(struct filter_run *r, const struct sieve_action *a, const char *why)
{
    tell(r, a, r->stored ? "kept where it is" : "kept in INBOX", why);
    r->keeps = true;
}

// The user's own script wants what cannot be: the notice says so.
static void
keep_and_notify(struct filter_run *r, const struct sieve_action *a, const char *why)
{
    keep_after_all(r, a, why);
    if (r->own.name.p || r->stored)
        filter_note_failure(r, a->line, "%s: %s", sieve_action_name(a->kind), why);
}

// RFC 3461 section 5.2.6: whoever wants to hear of success or of delays alone, or of nothing, gets no report of a failure.
static bool
wants_failure(const struct filter_run *r)
{
    struct span rest = r->in->envelope.notify, word;
    if (!rest.p)
        return true;
    while (span_next_field(&rest, ',', &word) == R_OK)
        if (span_ieq(word, SPAN("FAILURE")))
            return true;
    return false;
}

// Where the answer belongs to others too, or cannot have the text: a report of our own (RFC 5429 section 2.2.1). Where the sender
// wants none the answer is the transfer agent's to keep quiet about.
static enum result
reject(struct filter_run *r, const struct sieve_action *a, struct filter_result *out,
       struct fault *f)
{
    bool exact = a->kind == SIEVE_EREJECT || can_be_said(r, span_trim(a->target));
    bool wanted = wants_failure(r), report = can_send(r) && r->in->from.n > 0 && wanted;
    if (r->in->alone && (exact || !report)) {
        refuse(r, a, out);
        return R_OK;
    }
    if (!wanted) {
        tell_refused(r, a);
        r->told.rejected = true;
        return R_OK;
    }
    if (!report) {
        keep_after_all(r, a,
                       "the recipient has other mailboxes, and no report can be sent");
        return R_OK;
    }
    tell_refused(r, a);
    enum result sent = filter_letter_report(r, a, f);
    if (sent == R_FAIL && f->kind == FAULT_BAD) {
        keep_after_all(r, a, "no report can be sent");
        return R_OK;
    }
    r->told.rejected = sent == R_OK;
    return sent;
}

// ---- redirects (RFC 5228 section 4.2) ----

static bool
was_sent(const struct filter_run *r, struct span target)
{
    for (const struct filter_sent *s = r->sent; s; s = s->next)
        if (!s->pipe && span_eq(s->target, target))
            return true;
    return false;
}

// Went this message to that address before? It comes again when a transfer agent did not hear our answer.
static enum result
was_redirected(struct filter_run *r, struct span target, bool *yes, struct fault *f)
{
    struct mime_header h;
    struct buf id;
    *yes = false;
    if (mime_header_find(r->original, SPAN("Message-ID"), &h) != R_OK ||
        span_trim(h.value).n == 0)
        return R_OK;
    buf_init(&id, h.value.n + target.n + 1);
    buf_put(&id, span_trim(h.value));
    buf_put_char(&id, '\n');
    buf_put(&id, target);
    const struct filter_ask ask = {SEEN_REDIRECTED, buf_span(&id), FILTER_SENT_S, false};
    enum result result = filter_seen(r->account, &r->marks, &ask, yes, f);
    buf_done(&id);
    return result;
}

bool
filter_asks_on(const struct filter_run *r, const struct sieve_action *redirect)
{
    unsigned places = r->keeps;
    for (const struct sieve_action *a = r->actions; a; a = a->next)
        places +=
            a->kind == SIEVE_FILEINTO || a->kind == SIEVE_REDIRECT || a->kind == SIEVE_PIPE;
    return r->in->alone && places == 1 && filter_keeps_sender(r, redirect);
}

// It went there, now or when it came before.
static void
note_onward(struct filter_run *r, const struct sieve_action *a)
{
    if (!filter_keeps_sender(r, a))
        return;
    r->told.onward++;
    r->told.asked_on |= filter_asks_on(r, a);
}

static enum result
redirect(struct filter_run *r, const struct sieve_action *a, struct fault *f)
{
    bool before;
    if (was_sent(r, a->target)) {
        note_onward(r, a);
        return R_OK;
    }
    if (!can_send(r)) {
        keep_and_notify(r, a, "this server sends no mail out (no smarthost is set)");
        return R_OK;
    }
    if (forward_is_loop(r->original, r->account->user)) {
        keep_after_all(r, a, "the message goes round in a loop");
        return R_OK;
    }
    size_t marks = r->marks.n;
    if (was_redirected(r, a->target, &before, f) != R_OK) {
        keep_and_notify(r, a, f->why);
        return R_OK;
    }
    if (before) {
        tell(r, a, "not sent again", "the message went to that address before");
        note_onward(r, a);
        return R_OK;
    }
    if (filter_letter_redirect(r, a, f) != R_OK) {
        r->marks.n = marks;  // it did not go there
        if (f->kind != FAULT_BAD && f->kind != FAULT_TOOBIG && f->kind != FAULT_CANNOT)
            return R_FAIL;
        keep_and_notify(r, a, f->why);
        return R_OK;
    }
    struct filter_sent *s = ARENA_NEW(r->arena, struct filter_sent);
    *s = (struct filter_sent){r->sent, arena_dup(r->arena, a->target), false};
    r->sent = s;
    note_onward(r, a);
    log_info("sieve", "redirected", log_user(r->account->user),
             field_text("to", "to=<%>", a->target), field_number("line", "line=%", a->line),
             field_if(a->because.n > 0, field_text("because", "because=%", a->because)));
    return R_OK;
}

// ---- programs ----

// :try: its failure is none.
static void
pipe_to(struct filter_run *r, const struct sieve_action *a)
{
    struct buf why;
    buf_init(&why, LIMIT_sieve_text);
    if (filter_pipe(r, a, &why) != R_OK) {
        buf_put_char(&why, '\0');
        (sieve_has_detail(a, "try") ? keep_after_all : keep_and_notify)(r, a, why.p);
    }
    buf_done(&why);
}

// ---- answers (RFC 5230) ----

// Was the sender answered before? It is remembered with the delivery.
static void
look_at_answer(struct filter_run *r, const struct sieve_action *a)
{
    struct span handle = sieve_detail(a, "handle");
    struct fault f;
    struct buf id;
    uint64_t seconds = 0;
    bool seen;
    r->answer = NULL;
    if (!can_send(r) || span_to_u64(sieve_detail(a, "seconds"), &seconds) != R_OK)
        return;
    buf_init(&id, handle.n + r->in->from.n + 1);
    for (size_t i = 0; i < r->in->from.n; i++)
        buf_put_char(&id, ascii_lower(r->in->from.p[i]));
    buf_put_char(&id, '\n');
    buf_put(&id, handle);
    const struct filter_ask ask = {SEEN_ANSWERED, buf_span(&id), seconds, false};
    if (filter_seen(r->account, &r->marks, &ask, &seen, &f) == R_OK && !seen)
        r->answer = a;
    buf_done(&id);
}

// Is it said to the sender of a message?
static bool
answers(const struct sieve_action *a)
{
    return a->kind == SIEVE_REJECT || a->kind == SIEVE_EREJECT || a->kind == SIEVE_VACATION;
}

enum result
filter_send_before(struct filter_run *r, struct filter_result *out, struct fault *f)
{
    enum result result = R_OK;
    r->answer = NULL;
    // another delivery may have been quicker: then nothing is to go out yet
    if (r->marks.n > 0 && filter_marks_check(r->account, &r->marks, f) != R_OK)
        return R_FAIL;
    for (const struct sieve_action *a = r->actions; a && result == R_OK; a = a->next)
        if (r->stored && answers(a))
            r->keeps |= a->kind != SIEVE_VACATION;  // long after it was sent: nothing
        else if (a->kind == SIEVE_REJECT || a->kind == SIEVE_EREJECT)
            result = reject(r, a, out, f);
        else if (a->kind == SIEVE_REDIRECT)
            result = redirect(r, a, f);
        else if (a->kind == SIEVE_PIPE)
            pipe_to(r, a);
        else if (a->kind == SIEVE_VACATION)
            look_at_answer(r, a);
    return result;
}

// RFC 5436 section 2.7: what a program sent is nothing to be told of.
static bool
is_automatic(const struct filter_run *r)
{
    struct mime_header h;
    return mime_header_find(r->original, SPAN("Auto-Submitted"), &h) == R_OK &&
           !span_istarts(span_trim(h.value), SPAN("no"));
}

// RFC 5436 section 2.7: the same notification by the same method goes once.
static bool
is_again(const struct filter_run *r, const struct sieve_action *a)
{
    const struct sieve_action *b = r->actions;
    while (b != a && !(b->kind == SIEVE_NOTIFY && span_eq(b->target, a->target) &&
                       span_eq(sieve_detail(b, "message"), sieve_detail(a, "message"))))
        b = b->next;
    return a->kind == SIEVE_NOTIFY && b != a;
}

static void
send_behind(struct filter_run *r, const struct sieve_action *a)
{
    struct fault f;
    bool vacation = a->kind == SIEVE_VACATION, report = a->kind == SIEVE_REPORT;
    if (!can_send(r))
        tell(r, a, "not sent", "no smarthost is set");
    else if (!vacation && !report && is_automatic(r))
        tell(r, a, "not sent", "the message was sent by a program");
    else if (is_again(r, a))
        tell(r, a, "not sent", "the script sent this notification before");
    else if (vacation && a != r->answer)
        log_debug("sieve", "the sender was answered before", log_user(r->account->user));
    else if ((report     ? filter_letter_feedback
              : vacation ? filter_letter_answer
                         : filter_letter_notify)(r, a, &f) != R_OK)
        tell(r, a, "not sent", f.why);
    else
        log_info("sieve", "sent", log_user(r->account->user),
                 field_str("action", "action=%", sieve_action_name(a->kind)),
                 field_number("line", "line=%", a->line));
}

void
filter_send_behind(struct filter_run *r)
{
    for (const struct sieve_action *a = r->actions; a; a = a->next)
        if ((a->kind == SIEVE_VACATION && !r->stored) || a->kind == SIEVE_NOTIFY ||
            a->kind == SIEVE_REPORT)
            send_behind(r, a);
}
