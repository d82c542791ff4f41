#include "pop3/downgrade.h"
#include "base/quoted.h"
#include "base/utf8.h"
#include "mime/address.h"
#include "mime/encoded_word.h"
#include "mime/header.h"

static bool
holds_addresses(struct span name)
{
    static const char *const names[] = {"From", "Sender", "Reply-To", "To", "Cc", "Bcc"};
    if (span_istarts(name, SPAN("Resent-")))
        name = span_skip(name, 7);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (span_ieq(name, span_str(names[i])))
            return true;
    return false;
}

static void
put_phrase(struct buf *b, struct span text)
{
    if (!ascii_only(text)) {
        mime_encode_phrase(b, text);
        return;
    }
    if (span_starts(text, SPAN("=?")))
        buf_put(b, text);
    else
        quoted_put(b, text);
}

static void
put_unsendable(struct buf *b, const struct mime_address *a)
{
    struct buf text;
    buf_init(&text, SIZE_MAX);
    if (a->name.n > 0)
        buf_printf(&text, "%.*s ", SPAN_ARG(a->name));
    mime_address_put(&text, a);
    put_phrase(b, buf_span(&text));
    buf_put_str(b, ":;");
    buf_done(&text);
}

static void
put_address(struct buf *b, const struct mime_address *a)
{
    if (!ascii_only(a->mailbox) || !ascii_only(a->host)) {
        put_unsendable(b, a);
        return;
    }
    if (a->name.n > 0) {
        put_phrase(b, a->name);
        buf_put_char(b, ' ');
    }
    buf_put_char(b, '<');
    mime_address_put(b, a);
    buf_put_char(b, '>');
}

static void
put_addresses(struct buf *b, struct span value)
{
    struct arena *arena = arena_new();
    bool first = true;
    for (const struct mime_address *a = mime_address_parse(arena, value); a; a = a->next) {
        if (a->kind == MIME_GROUP_END) {
            buf_put_char(b, ';');
            continue;
        }
        buf_put_str(b, first ? " " : ",\r\n ");
        first = a->kind == MIME_GROUP_START;
        if (a->kind == MIME_ADDRESS) {
            put_address(b, a);
        } else {
            put_phrase(b, a->mailbox);
            buf_put_char(b, ':');
        }
    }
    arena_free(&arena);
}

static void
put_field(struct buf *b, const struct mime_header *h)
{
    struct buf line, words;
    buf_init(&line, SIZE_MAX);
    buf_init(&words, SIZE_MAX);
    mime_header_unfold(&line, h->value);
    buf_put(b, h->name);
    buf_put_char(b, ':');
    if (holds_addresses(h->name)) {
        put_addresses(b, buf_span(&line));
    } else {
        mime_encode_words(&words, buf_span(&line));
        buf_put_char(b, ' ');
        mime_fold_words(b, buf_span(&words));
    }
    buf_put_str(b, "\r\n");
    buf_done(&line);
    buf_done(&words);
}

// Lines that are no field: where the empty line is missing they are the message's text.
static void
put_stray(struct buf *b, struct span lines)
{
    struct span line;
    while (span_next_field(&lines, '\n', &line) == R_OK) {
        if (span_ends(line, SPAN("\r")))
            line.n--;
        if (line.n == 0)
            continue;
        mime_encode_words(b, line);
        buf_put_str(b, "\r\n");
    }
}

void
pop3_downgrade(struct span header, struct buf *out)
{
    struct mime_header_iter it = mime_header_begin(header);
    struct span rest = header;
    struct mime_header h;
    while (mime_header_next(&it, &h) == R_OK) {
        put_stray(out, span_slice(rest, 0, (size_t)(h.raw.p - rest.p)));
        rest = it.rest;
        if (ascii_only(h.raw))
            buf_put(out, h.raw);
        else if (ascii_only(h.name))
            put_field(out, &h);
    }
    put_stray(out, rest);
    if (out->n > 0 && out->p[out->n - 1] != '\n')
        buf_put_str(out, "\r\n");
    buf_put_str(out, "\r\n");
}
