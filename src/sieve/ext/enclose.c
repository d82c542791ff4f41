// RFC 5703 section 6: enclose. What is redirected is not enclosed.

#include "base/hash.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "mime/address.h"
#include "sieve/message.h"

// From of the new message: the user whom the message was for.
static struct span
user_of(struct sieve_run *r)
{
    const struct sieve_world *w = sieve_world(r);
    struct span user;
    if (w->has_envelope && w->to.n > 0)
        return w->to;
    if (w->environment &&
        w->environment(w->arg, SPAN("vnd.dovecot.username"), &user) == R_OK)
        return user;
    return SPAN("MAILER-DAEMON");
}

static void
put_from(struct buf *b, struct span user)
{
    size_t at = span_behind_last(user, '@');
    const struct mime_address a = {.mailbox = span_slice(user, 0, at > 0 ? at - 1 : user.n),
                                   .host = at > 0 ? span_skip(user, at) : SPAN_NONE};
    buf_put_str(b, "From: <");
    mime_address_put(b, &a);
    buf_put_str(b, ">\r\n");
}

// The fields of this name as the message has them; false: it has none.
static bool
copy(struct buf *b, struct span header, struct span name)
{
    struct mime_header_iter it = mime_header_begin(header);
    struct mime_header h;
    bool any = false;
    while (mime_header_next(&it, &h) == R_OK)
        if (span_ieq(h.name, name)) {
            buf_put(b, h.raw);
            any = true;
        }
    return any;
}

// Those of :headers; *from, *date, *subject: it was among them.
static enum result
copy_named(struct sieve_run *r, const struct sieve_call *call, struct buf *b, bool *from,
           bool *date, bool *subject)
{
    const struct sieve_value *names = sieve_tag(call, "headers");
    struct span *texts;
    if (names == NULL)
        return R_OK;
    if (sieve_texts(r, names, &texts) != R_OK ||
        sieve_work(r, names->n * (sieve_header(r).n / 16 + 1)) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < names->n; i++) {
        if (sieve_is_mime_field(texts[i]) ||
            (span_ieq(texts[i], SPAN("Subject")) && sieve_tag(call, "subject")))
            continue;
        bool there = copy(b, sieve_header(r), texts[i]);
        *from |= there && span_ieq(texts[i], SPAN("From"));
        *date |= there && span_ieq(texts[i], SPAN("Date"));
        *subject |= there && span_ieq(texts[i], SPAN("Subject"));
    }
    return R_OK;
}

static enum result
put_subject(struct sieve_run *r, const struct sieve_call *call, struct buf *b)
{
    const struct sieve_value *subject = sieve_tag(call, "subject");
    if (subject != NULL)
        return sieve_put_text_field(r, b, SPAN("Subject"), subject);
    copy(b, sieve_header(r), SPAN("Subject"));
    return R_OK;
}

static enum result
put_fields(struct sieve_run *r, const struct sieve_call *call, struct buf *b)
{
    bool from = false, date = false, subject = false;
    if (copy_named(r, call, b, &from, &date, &subject) != R_OK)
        return R_FAIL;
    if (!from)
        put_from(b, user_of(r));
    if (!date) {
        buf_put_str(b, "Date: ");
        sieve_put_std11(b, sieve_world(r)->now_s, sieve_world(r)->zone_min);
        buf_put_str(b, "\r\n");
    }
    return subject ? R_OK : put_subject(r, call, b);
}

static bool
has(struct span text, const char *boundary)
{
    return span_find(text, span_str(boundary)) < text.n;
}

// A boundary that is in none of them.
static void
choose_boundary(struct span header, struct span body, struct span text, char out[static 48])
{
    unsigned n = 0;
    do
        snprintf(out, 48, "=_%016llx_%u", (unsigned long long)hash64(body), n++);
    while (has(header, out) || has(body, out) || has(text, out));
}

static void
put_parts(struct buf *b, struct span header, struct span body, struct span text,
          const char *boundary)
{
    bool plain = ascii_only(header) && ascii_only(body);
    buf_printf(b, "--%s\r\n", boundary);
    sieve_put_text_entity(b, text);
    buf_printf(b,
               "\r\n--%s\r\nContent-Type: message/rfc822\r\n"
               "Content-Transfer-Encoding: %s\r\n\r\n",
               boundary, plain ? "7bit" : "8bit");
    buf_put(b, header);
    buf_put(b, body);
    buf_printf(b, "\r\n--%s--\r\n", boundary);
}

static enum result
enclose(struct sieve_run *r, const struct sieve_call *call)
{
    struct span text, body, header = sieve_header(r);
    struct buf b;
    char boundary[48];
    if (sieve_one(r, &call->position[0], &text) != R_OK ||
        sieve_message_body(r, &body) != R_OK ||
        sieve_work(r, (body.n + header.n) / 4 + text.n) != R_OK)
        return R_FAIL;
    choose_boundary(header, body, text, boundary);
    buf_init(&b, LIMIT_sieve_body);
    if (put_fields(r, call, &b) != R_OK) {
        buf_done(&b);
        return R_FAIL;
    }
    buf_printf(
        &b, "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"%s\"\r\n\r\n",
        boundary);
    size_t header_size = b.n;
    put_parts(&b, header, body, text, boundary);
    sieve_message_enclosed(r);
    return sieve_message_set(r, &b, header_size, sieve_message(r)->root);
}

static const struct sieve_command commands[] = {
    {"enclose", SIEVE_ACTION, "s", .act = enclose,
     .tags = {{"subject", 's'}, {"headers", 'l'}}},
    {0},
};

const struct sieve_ext sieve_ext_enclose = {
    .capability = "enclose", .rfc = "RFC 5703", .commands = commands};
