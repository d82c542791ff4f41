#include "submission/header.h"
#include "base/limits.h"
#include "mime/address.h"
#include "mime/date.h"
#include "mime/header.h"
#include "mime/message_id.h"

// ---- where it ends ----

// "Name:", white space before the colon is tolerated (RFC 5322 section 4.5).
static bool
begins_field(struct span line)
{
    size_t n = 0;
    while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f && line.p[n] != ':')
        n++;
    size_t colon = n;
    while (colon < line.n && (line.p[colon] == ' ' || line.p[colon] == '\t'))
        colon++;
    return n > 0 && colon < line.n && line.p[colon] == ':';
}

static bool
goes_on(const struct submission_header_end *e, struct span line)
{
    bool folded = line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t');
    return folded ? e->at > 0 : begins_field(line);
}

void
submission_header_scan(struct submission_header_end *e, struct span text, bool whole)
{
    while (!e->found) {
        struct span rest = span_skip(text, e->at);
        size_t n = span_find(rest, SPAN("\r\n"));
        if (n == rest.n && !whole)
            return;
        struct span line = span_slice(rest, 0, n);
        if (line.n == 0 || !goes_on(e, line)) {
            e->found = true;
            e->gap = line.n == 0 && rest.n > 0 ? 2 : 0;
            return;
        }
        e->at += n < rest.n ? n + 2 : n;
    }
}

// ---- who it is from ----

static enum result
add_author(struct arena *a, const struct mime_address *m, struct submission_header *h,
           struct fault *f)
{
    if (m->kind != MIME_ADDRESS || m->route.n > 0 || m->mailbox.n == 0 || m->host.n == 0)
        return fault_set(f, FAULT_BAD,
                         "From and Sender have addresses only, each with a domain");
    if (h->author_count == LIMIT_submission_authors)
        return fault_set(f, FAULT_BAD, "From and Sender have more than %d addresses",
                         LIMIT_submission_authors);
    struct buf b;
    buf_init(&b, m->mailbox.n + m->host.n + 1);
    buf_put(&b, m->mailbox);
    buf_put_char(&b, '@');
    buf_put(&b, m->host);
    h->authors[h->author_count++] = arena_dup(a, buf_span(&b));
    buf_done(&b);
    return R_OK;
}

// Where the next '@' is that stands in no quoted string and no comment.
struct ats {
    struct span value;
    size_t at;
    unsigned depth;
    bool quoted;
};

static bool
ats_next(struct ats *w, size_t *out)
{
    while (w->at < w->value.n) {
        size_t i = w->at++;
        char c = w->value.p[i];
        if (c == '\\' && (w->quoted || w->depth > 0))
            w->at++;
        else if (c == '"' && w->depth == 0)
            w->quoted = !w->quoted;
        else if (c == '(' && !w->quoted)
            w->depth++;
        else if (c == ')' && w->depth > 0)
            w->depth--;
        else if (c == '@' && !w->quoted && w->depth == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

// What stands around it without a blank or bracket.
static struct span
word_around(struct span value, size_t at)
{
    static const struct span ends = SPAN(" \t\r\n<>,;:()\"");
    size_t from = at, to = at;
    while (from > 0 && span_find_char(ends, value.p[from - 1]) == ends.n)
        from--;
    while (to < value.n && span_find_char(ends, value.p[to]) == ends.n)
        to++;
    return span_slice(value, from, to);
}

static bool
is_author(const struct submission_header *h, size_t from, struct span word)
{
    for (size_t i = from; i < h->author_count; i++)
        if (span_ieq(h->authors[i], word))
            return true;
    return false;
}

// "<ann@example.org> <eve@example.net>", "eve@example.net <ann@example.org>": readers show the one or the other. As many signs as
// addresses leave no doubt; else all must be of the addresses that were read.
static bool
is_clear(const struct submission_header *h, size_t from, struct span value)
{
    struct ats count = {.value = value}, each = count;
    size_t n = 0, at;
    bool known = true;
    while (ats_next(&count, &at))
        n++;
    if (count.quoted || count.depth > 0)
        return false;
    if (n == h->author_count - from)
        return true;
    while (known && ats_next(&each, &at))
        known = is_author(h, from, word_around(value, at));
    return known;
}

static enum result
read_authors(struct arena *a, struct span value, bool one, struct submission_header *h,
             struct fault *f)
{
    size_t before = h->author_count;
    for (const struct mime_address *m = mime_address_parse(a, value); m; m = m->next)
        if (add_author(a, m, h, f) != R_OK)
            return R_FAIL;
    size_t n = h->author_count - before;
    if (n == 0 || (one && n > 1))
        return fault_set(f, FAULT_BAD,
                         one ? "Sender has one address" : "From has no address");
    return is_clear(h, before, value)
               ? R_OK
               : fault_set(f, FAULT_BAD,
                           "From and Sender: an address may be a name in quotes only");
}

// RFC 6409 section 8.3: one without an id is none.
static bool
has_id(struct span value)
{
    struct mime_message_ids ids = {.rest = value};
    struct buf id;
    buf_init(&id, LIMIT_mime_header);
    bool found = mime_message_id_next(&ids, &id);
    buf_done(&id);
    return found;
}

static enum result
read_field(struct arena *a, const struct mime_header *field, struct submission_header *h,
           struct fault *f)
{
    bool from = span_ieq(field->name, SPAN("From"));
    bool sender = span_ieq(field->name, SPAN("Sender"));
    if ((from && h->has_from) || (sender && h->has_sender))
        return fault_set(f, FAULT_BAD, "more than one field %s", from ? "From" : "Sender");
    h->has_from |= from;
    h->has_sender |= sender;
    h->has_date |= span_ieq(field->name, SPAN("Date"));
    h->has_id |= span_ieq(field->name, SPAN("Message-ID")) && has_id(field->value);
    h->has_bcc |= span_ieq(field->name, SPAN("Bcc"));
    h->hops += span_ieq(field->name, SPAN("Received"));
    return from || sender ? read_authors(a, field->value, sender, h, f) : R_OK;
}

enum result
submission_header_read(struct span block, struct arena *a, struct submission_header *out,
                       struct fault *f)
{
    struct submission_header h = {.block = block};
    struct mime_header_iter it = mime_header_begin(block);
    struct mime_header field;
    h.authors = arena_array(a, LIMIT_submission_authors, sizeof *h.authors);
    while (mime_header_next(&it, &field) == R_OK)
        if (read_field(a, &field, &h, f) != R_OK)
            return R_FAIL;
    if (h.hops > LIMIT_submission_hops)
        return fault_set(f, FAULT_CANNOT, "more than %d fields Received",
                         LIMIT_submission_hops);
    *out = h;
    return R_OK;
}

// ---- what it lacks ----

static bool
stays(const struct submission_header *h, struct span name, bool outgoing)
{
    if (!h->has_id && span_ieq(name, SPAN("Message-ID")))
        return false;
    static const char *const kept_here[] = {"Bcc", "Resent-Bcc", "Return-Path"};
    for (size_t i = 0; outgoing && i < sizeof kept_here / sizeof kept_here[0]; i++)
        if (span_ieq(name, span_str(kept_here[i])))
            return false;
    return true;
}

// RFC 5322 section 3.6.2: several authors have one who sent it.
static void
put_missing(struct buf *b, const struct submission_header *h,
            const struct submission_header_made *made)
{
    if (!h->has_from)
        buf_printf(b, "From: <%.*s>\r\n", SPAN_ARG(made->from));
    if (!h->has_sender && h->author_count > 1 && made->from.n > 0)
        buf_printf(b, "Sender: <%.*s>\r\n", SPAN_ARG(made->from));
    if (!h->has_date) {
        buf_put_str(b, "Date: ");
        mime_date_put(b, made->now_s);
        buf_put_str(b, "\r\n");
    }
    if (!h->has_id)
        buf_printf(b, "Message-ID: <%016llx.%llx@%s>\r\n", (unsigned long long)made->id,
                   (unsigned long long)made->now_s, made->hostname);
}

void
submission_header_put(struct buf *b, const struct submission_header *h,
                      const struct submission_header_made *made, bool outgoing)
{
    struct mime_header_iter it = mime_header_begin(h->block);
    struct mime_header field;
    while (mime_header_next(&it, &field) == R_OK) {
        if (!stays(h, field.name, outgoing))
            continue;
        buf_put(b, field.raw);
        if (!span_ends(field.raw, SPAN("\r\n")))
            buf_put_str(b, "\r\n");
    }
    put_missing(b, h, made);
    buf_put_str(b, "\r\n");
}
