#include "sieve/message.h"
#include "base/utf8.h"
#include "mime/encoded_word.h"
#include "mime/quoted_printable.h"
#include "sieve/parts.h"
#include "sieve/run.h"

enum { LINE_MAX_OCTETS = 998 };

const struct sieve_message *
sieve_message(const struct sieve_run *r)
{
    return &r->message;
}

enum result
sieve_message_body(struct sieve_run *r, struct span *out)
{
    const struct sieve_message *m = &r->message;
    if (m->size > LIMIT_sieve_body)
        return sieve_fail(r, NULL, "a message of more than %d octets cannot be changed",
                          LIMIT_sieve_body);
    return sieve_read(r, m->root->header.size, m->size - m->root->header.size, out);
}

enum result
sieve_message_set(struct sieve_run *r, struct buf *text, size_t header_size,
                  const struct mime_part *replaced)
{
    struct sieve_world w;
    struct sieve_message *m = &r->message;
    struct span whole;
    if (text->over || sieve_room(r, 2 * text->n) != R_OK ||
        sieve_work(r, text->n / 4 + 1) != R_OK) {
        buf_done(text);
        return sieve_fail(r, NULL, "the changed message is too large");
    }
    whole = arena_dup(r->arena, buf_span(text));
    buf_done(text);
    sieve_world_of(r->arena, whole, &w);
    m->header = span_slice(whole, 0, header_size);
    m->body = span_skip(whole, header_size);
    m->edited = true;
    m->size = w.size;
    m->root = w.root;
    m->read = w.read;
    m->read_arg = w.read_arg;
    sieve_parts_moved(r, replaced);
    return R_OK;
}

void
sieve_message_enclosed(struct sieve_run *r)
{
    if (r->enclosed)
        return;
    r->enclosed = true;
    r->before_enclosed = r->message;
}

void
sieve_message_has_originals(struct sieve_run *r)
{
    r->message.has_originals = true;
}

static struct span
without_cr(struct span line)
{
    return span_ends(line, SPAN("\r")) ? span_slice(line, 0, line.n - 1) : line;
}

// Can it stand in a message as it is, whatever is around it?
static bool
is_plain(struct span text)
{
    struct span line;
    if (!ascii_only(text) || span_find_char(text, '\0') < text.n)
        return false;
    while (span_next_field(&text, '\n', &line) == R_OK) {
        line = without_cr(line);
        if (line.n > LINE_MAX_OCTETS || span_starts(line, SPAN("--")) ||
            span_find_char(line, '\r') < line.n)
            return false;
    }
    return true;
}

static void
put_lines(struct buf *b, struct span text)
{
    struct span line;
    if (span_ends(text, SPAN("\n")))
        text.n--;
    while (span_next_field(&text, '\n', &line) == R_OK) {
        buf_put(b, without_cr(line));
        buf_put_str(b, "\r\n");
    }
}

void
sieve_put_text_entity(struct buf *b, struct span text)
{
    bool plain = is_plain(text);
    buf_printf(b,
               "Content-Type: text/plain; charset=utf-8\r\n"
               "Content-Transfer-Encoding: %s\r\n\r\n",
               plain ? "7bit" : "quoted-printable");
    if (plain)
        put_lines(b, text);
    else
        mime_encode_quoted_printable(b, text);
}

void
sieve_put_field(struct buf *b, struct span name, struct span value)
{
    struct buf words;
    buf_put(b, name);
    buf_put_str(b, ": ");
    if (ascii_only(value)) {
        buf_put(b, value);
    } else {
        buf_init(&words, SIZE_MAX);
        mime_encode_words(&words, value);
        mime_fold_words(b, buf_span(&words));
        buf_done(&words);
    }
    buf_put_str(b, "\r\n");
}

enum result
sieve_put_text_field(struct sieve_run *r, struct buf *b, struct span name,
                     const struct sieve_value *v)
{
    struct span text;
    if (sieve_one(r, v, &text) != R_OK)
        return R_FAIL;
    sieve_put_field(b, name, span_trim(sieve_one_line(r->scratch, text)));
    return R_OK;
}

bool
sieve_is_mime_field(struct span name)
{
    return span_istarts(name, SPAN("Content-")) || span_ieq(name, SPAN("MIME-Version"));
}

void
sieve_put_fields(struct buf *b, struct span header, bool of_mime)
{
    struct mime_header_iter it = mime_header_begin(header);
    struct mime_header h;
    while (mime_header_next(&it, &h) == R_OK)
        if (sieve_is_mime_field(h.name) == of_mime)
            buf_put(b, h.raw);
}
