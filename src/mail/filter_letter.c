// The letters that deliveries send: redirected messages, answers, notifications.
#include "mail/filter_inside.h"
#include "mail/filter_text.h"
#include "mail/forward.h"

#include "base/clock.h"
#include "base/quoted.h"
#include "base/utf8.h"
#include "mime/encoded_word.h"
#include "mime/date.h"
#include "mime/header.h"
#include "wire/date.h"

#include <time.h>

static enum result
send(struct filter_run *r, const struct filter_letter *l, struct fault *f)
{
    return r->home->send(r->home->arg, l, f);
}

// As SMTP and header fields write it.
static struct span
written(struct filter_run *r, struct span address, struct span domain)
{
    struct buf b;
    size_t at = span_behind_last(address, '@');
    if (address.n == 0)
        return SPAN("");
    buf_init(&b, 2 * address.n + domain.n + 8);
    quoted_put_local(&b, span_slice(address, 0, at ? at - 1 : address.n));
    buf_put_char(&b, '@');
    buf_put(&b, at ? span_skip(address, at) : domain);
    struct span whole = arena_dup(r->arena, buf_span(&b));
    buf_done(&b);
    return whole;
}

static struct span
own_domain(const struct filter_run *r)
{
    const struct filter_settings *s = &r->rules->is;
    return s->domain.n ? s->domain : s->hostname;
}

// The user's, as it was written to; one without a domain gets ours.
struct span
filter_own_address(struct filter_run *r)
{
    return written(r, r->in->to, own_domain(r));
}

struct span
filter_sender(struct filter_run *r)
{
    return written(r, r->in->from, own_domain(r));
}

// ---- redirect ----

static int64_t
deadline(const struct filter_run *r, const struct sieve_action *a)
{
    struct span relative = sieve_detail(a, "bytimerelative"),
                absolute = sieve_detail(a, "bytimeabsolute");
    uint64_t seconds;
    int64_t at;
    if (relative.p && span_to_u64(relative, &seconds) == R_OK)
        return r->now_s + (int64_t)(seconds < UINT32_MAX ? seconds : UINT32_MAX);
    return absolute.p && date_time_parse_internet(absolute, &at) == R_OK ? at : 0;
}

static struct span
either(struct span own, struct span came)
{
    return own.p ? own : came;
}

bool
filter_keeps_sender(const struct filter_run *r, const struct sieve_action *a)
{
    static const char *const own[] = {"notify", "ret", "bytimerelative", "bytimeabsolute"};
    if (r->stored)
        return false;  // RFC 6785 section 3.4
    if (r->in->from.n == 0)
        return true;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (sieve_has_detail(a, own[i]))
            return false;
    return true;
}

// The parameters of the message go on with it while its sender does (RFC 3461 sections 5.2.7.1 and 5.2.7.2).
static void
put_parameters(struct filter_run *r, const struct sieve_action *a, struct filter_letter *l)
{
    struct filter_envelope none = {0};
    bool keeps = filter_keeps_sender(r, a);
    const struct filter_envelope *came = keeps ? &r->in->envelope : &none;
    l->from = keeps ? filter_sender(r) : filter_own_address(r);
    l->notify = either(sieve_detail(a, "notify"), came->notify);
    l->ret = either(sieve_detail(a, "ret"), came->ret);
    l->orcpt = came->orcpt;
    l->envid = came->envid;
    l->success_is_told = keeps && !filter_asks_on(r, a);
    l->by_mode = sieve_detail(a, "bymode");
    l->by_trace = sieve_has_detail(a, "bytrace");
    l->by_s = deadline(r, a);
}

enum result
filter_letter_redirect(struct filter_run *r, const struct sieve_action *a, struct fault *f)
{
    struct buf head;
    buf_init(&head, 2 * LIMIT_sieve_header);
    forward_put_header(&head, a->header.p ? a->header : r->original, r->account->user);
    struct filter_letter l = {
        .to = &a->target,
        .n = 1,
        .head = buf_span(&head),
        .text = a->body.p ? a->body : SPAN(""),
        .body = a->body.p ? NULL : r->in->intake,
        .utf8 = r->in->utf8,
        .why = SPAN("redirect"),
        .owner = r->account->user,
    };
    put_parameters(r, a, &l);
    enum result sent = head.over
                           ? fault_set(f, FAULT_TOOBIG, "the message's header is too large")
                           : send(r, &l, f);
    buf_done(&head);
    return sent;
}

// ---- parts of what is written here ----

struct span
filter_field(struct filter_run *r, const struct sieve_action *a, const char *name)
{
    struct mime_header h;
    struct buf b;
    struct span header = a && a->header.p ? a->header : r->original;
    if (mime_header_find(header, span_str(name), &h) != R_OK)
        return SPAN("");
    buf_init(&b, LIMIT_sieve_variable);
    mime_header_unfold(&b, span_slice(h.value, 0, LIMIT_sieve_variable / 4));
    struct span value = b.n ? arena_dup(r->arena, buf_span(&b)) : SPAN("");
    buf_done(&b);
    return value;
}

// What is beyond ASCII is encoded.
void
filter_put_field(struct filter_run *r, struct buf *b, const char *name, struct span value)
{
    enum { MOST = 900 };
    struct buf words;
    size_t n = value.n < MOST ? value.n : MOST;
    while (n > 0 && n < value.n && ((unsigned char)value.p[n] & 0xC0) == 0x80)
        n--;
    char *line = arena_cstr(r->arena, span_slice(value, 0, n));
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = ' ';
    buf_init(&words, 16 * MOST);
    mime_encode_words(&words, span_of(line, n));
    buf_printf(b, "%s: ", name);
    mime_fold_words(b, buf_span(&words));
    buf_put_str(b, "\r\n");
    buf_done(&words);
}

void
filter_put_mailboxes(struct filter_run *r, struct buf *b, const char *name,
                     struct span list)
{
    buf_printf(b, "%s: ", name);
    sieve_put_mailboxes(b, r->arena, list);
    buf_put_str(b, "\r\n");
}

void
filter_put_common(struct filter_run *r, struct buf *b, const char *kind)
{
    struct span host = r->rules->is.hostname;
    buf_put_str(b, "Date: ");
    mime_date_put(b, clock_wall_s());
    buf_printf(b, "\r\nMessage-ID: <sieve.%s.%016llx@%.*s>\r\n", kind,
               (unsigned long long)random_u64(),
               SPAN_ARG(host.n ? host : SPAN("localhost")));
}

void
filter_put_references(struct filter_run *r, const struct sieve_action *a, struct buf *b)
{
    struct span id = filter_field(r, a, "Message-ID"),
                older = filter_field(r, a, "References");
    if (id.n == 0 || id.n > 900)
        return;
    buf_printf(b, "In-Reply-To: %.*s\r\nReferences: ", SPAN_ARG(id));
    size_t behind = older.n > 0 && older.n < 4000 ? older.n : 0;
    struct span rest = span_slice(older, 0, behind), one;
    while (rest.n > 0 && span_next_field(&rest, ' ', &one) == R_OK)
        if (one.n > 0)
            buf_printf(b, "%.*s\r\n ", SPAN_ARG(one));
    buf_printf(b, "%.*s\r\n", SPAN_ARG(id));
}

// Lines end with CRLF, whatever the script's do.
void
filter_put_lines(struct buf *b, struct span text)
{
    struct span line;
    while (span_next_field(&text, '\n', &line) == R_OK) {
        if (!text.p && line.n == 0)
            return;
        buf_put(b, span_ends(line, SPAN("\r")) ? span_slice(line, 0, line.n - 1) : line);
        buf_put_str(b, "\r\n");
    }
}

static void
put_plain(struct buf *b)
{
    buf_put_str(b, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                   "Content-Transfer-Encoding: 8bit\r\n\r\n");
}

// A script's MIME entity (RFC 2045 section 2.4): who the letter is from, and what it is, is not for its fields to say.
static void
put_entity(struct buf *b, struct span entity)
{
    struct mime_header_iter it = mime_header_begin(entity);
    struct mime_header h;
    size_t end = 0;
    buf_put_str(b, "MIME-Version: 1.0\r\n");
    while (mime_header_next(&it, &h) == R_OK) {
        end = (size_t)(h.raw.p - entity.p) + h.raw.n;
        if (span_istarts(h.name, SPAN("Content-")))
            filter_put_lines(b, h.raw);
    }
    struct span body = span_skip(entity, end);
    if (!span_starts(body, SPAN("\r\n")) && !span_starts(body, SPAN("\n")))
        buf_put_str(b, "\r\n");
    filter_put_lines(b, body);
}

enum result
filter_send_text(struct filter_run *r, struct buf *b, struct filter_letter *l,
                 struct fault *f)
{
    struct span text = buf_span(b);
    l->text = text;
    l->utf8 = !ascii_only(span_slice(text, 0, span_find(text, SPAN("\r\n\r\n"))));
    l->owner = r->account->user;
    enum result sent =
        b->over ? fault_set(f, FAULT_TOOBIG, "it is too long") : send(r, l, f);
    return sent;
}

// ---- vacation ----

static struct span
subject_of(struct filter_run *r, const struct sieve_action *a)
{
    struct span given = sieve_detail(a, "subject");
    struct buf b;
    if (given.p)
        return given;
    struct span was = filter_field(r, a, "Subject");
    buf_init(&b, LIMIT_sieve_variable + 16);
    buf_put_str(&b, was.n ? "Auto: " : "Automated reply");
    mime_decode_words(&b, was);
    struct span subject = arena_dup(r->arena, buf_span(&b));
    buf_done(&b);
    return subject;
}

enum result
filter_letter_answer(struct filter_run *r, const struct sieve_action *a, struct fault *f)
{
    struct buf b;
    struct span from = either(sieve_detail(a, "from"), filter_own_address(r)),
                to = filter_sender(r);
    buf_init(&b, FILTER_LETTER);
    filter_put_mailboxes(r, &b, "From", from);
    filter_put_mailboxes(r, &b, "To", to);
    filter_put_field(r, &b, "Subject", subject_of(r, a));
    filter_put_common(r, &b, "vacation");
    filter_put_references(r, a, &b);
    buf_put_str(&b, "Auto-Submitted: auto-replied (vacation)\r\nPrecedence: bulk\r\n"
                    "X-Auto-Response-Suppress: All\r\n");
    if (sieve_has_detail(a, "mime")) {
        put_entity(&b, a->target);
    } else {
        put_plain(&b);
        filter_put_lines(&b, a->target);
    }
    struct filter_letter l = {.from = SPAN(""),
                              .to = &to,
                              .n = 1,
                              .notify = SPAN("NEVER"),  // RFC 5230 section 5.1
                              .why = SPAN("vacation")};
    enum result sent = filter_send_text(r, &b, &l, f);
    if (sent == R_OK && sieve_has_detail(a, "fcc"))
        filter_file_copy(r, a, buf_span(&b));
    buf_done(&b);
    return sent;
}

// ---- notify ----

static bool
is_among(const struct span *texts, size_t n, struct span text)
{
    for (size_t i = 0; i < n; i++)
        if (span_eq(texts[i], text))
            return true;
    return false;
}

static size_t
recipients_of(struct filter_run *r, const struct sieve_action *a, struct span **out)
{
    size_t n = 0;
    *out = arena_array(r->arena, LIMIT_sieve_redirects, sizeof **out);
    for (const struct sieve_detail *d = a->details; d; d = d->next)
        if (span_eq(span_str(d->name), SPAN("recipient")) && n < LIMIT_sieve_redirects &&
            !is_among(*out, n, d->value))
            (*out)[n++] = d->value;
    return n;
}

static void
put_importance(struct buf *b, struct span importance)
{
    if (span_eq(importance, SPAN("1")))
        buf_put_str(b, "Importance: high\r\nX-Priority: 1\r\n");
    else if (span_eq(importance, SPAN("3")))
        buf_put_str(b, "Importance: low\r\nX-Priority: 5\r\n");
}

static void
put_notification(struct filter_run *r, const struct sieve_action *a, struct buf *b)
{
    struct span body = sieve_detail(a, "body");
    if (body.p) {
        filter_put_lines(b, body);
        return;
    }
    buf_put_str(b, "From: ");
    mime_decode_words(b, filter_field(r, a, "From"));
    buf_put_str(b, "\r\nSubject: ");
    mime_decode_words(b, filter_field(r, a, "Subject"));
    buf_put_str(b, "\r\n");
}

enum result
filter_letter_notify(struct filter_run *r, const struct sieve_action *a, struct fault *f)
{
    struct buf b;
    struct span *to, from = either(sieve_detail(a, "from"), filter_own_address(r));
    struct span subject = either(sieve_detail(a, "message"), sieve_detail(a, "subject"));
    size_t n = recipients_of(r, a, &to);
    buf_init(&b, FILTER_LETTER);
    filter_put_mailboxes(r, &b, "From", from);
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s%.*s%s", i ? ",\r\n " : "To: ", SPAN_ARG(to[i]),
                   i + 1 == n ? "\r\n" : "");
    filter_put_field(r, &b, "Subject", either(subject, filter_field(r, a, "Subject")));
    filter_put_common(r, &b, "notify");
    struct span own = filter_own_address(r);
    buf_printf(&b, "Auto-Submitted: auto-notified; owner-email=\"%.*s\"\r\n",
               SPAN_ARG(span_slice(own, 0, span_find_char(own, '"'))));
    put_importance(&b, sieve_detail(a, "importance"));
    put_plain(&b);
    put_notification(r, a, &b);
    struct filter_letter l = {
        .from = r->in->from.n ? own : SPAN(""), .to = to, .n = n, .why = SPAN("notify")};
    enum result sent = filter_send_text(r, &b, &l, f);
    if (sent == R_OK && sieve_has_detail(a, "fcc"))
        filter_file_copy(r, a, buf_span(&b));
    buf_done(&b);
    return sent;
}
