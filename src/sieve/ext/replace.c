// RFC 5703 section 5: replace. A message larger than LIMIT_sieve_body cannot be changed.

#include "base/limits.h"
#include "mime/encoded_word.h"
#include "sieve/message.h"
#include "sieve/parts.h"

static enum result
check(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *from = sieve_tag(call, "from");
    if (sieve_tag(call, "mime") && (from || sieve_tag(call, "subject")))
        return sieve_wrong(c, call->line, call->column,
                           ":mime goes with neither :subject nor :from");
    if (from && sieve_is_constant(&from->strings[0]) &&
        !sieve_is_mailbox_list(sieve_compiler_arena(c), from->strings[0].text))
        return sieve_wrong(c, from->line, from->column, "\"%.*s\" is no list of addresses",
                           SPAN_ARG(span_slice(from->strings[0].text, 0, 60)));
    return R_OK;
}

// The fields of an entity, with its empty line.
static struct span
header_of(struct span entity)
{
    struct mime_header_iter it = mime_header_begin(entity);
    struct mime_header h;
    size_t end = 0;
    while (mime_header_next(&it, &h) == R_OK)
        end = (size_t)(h.raw.p - entity.p) + h.raw.n;
    struct span rest = span_skip(entity, end);
    size_t empty = span_starts(rest, SPAN("\r\n")) ? 2
                   : span_starts(rest, SPAN("\n")) ? 1
                                                   : 0;
    return span_slice(entity, 0, end + empty);
}

// The new part: as :mime has it, or a text.
static enum result
entity_of(struct sieve_run *r, const struct sieve_call *call, struct span *fields,
          struct span *body)
{
    struct span text;
    struct buf b;
    if (sieve_one(r, &call->position[0], &text) != R_OK || sieve_work(r, text.n) != R_OK)
        return R_FAIL;
    if (sieve_tag(call, "mime") == NULL) {
        buf_init(&b, text.n * 4 + 1024);
        sieve_put_text_entity(&b, text);
        if (sieve_take(r, &b, &text) != R_OK)
            return R_FAIL;
    }
    struct span header = header_of(text);
    *body = span_skip(text, header.n);
    buf_init(&b, header.n + 16);
    sieve_put_fields(&b, header, true);
    return sieve_take(r, &b, fields);
}

// Would its text end a multipart around it?
static bool
has_delimiter(const struct mime_part *part, struct span text)
{
    struct buf b;
    bool found = false;
    for (const struct mime_part *p = part->parent; p && !found; p = p->parent) {
        buf_init(&b, LIMIT_mime_boundary + 2);
        buf_put_str(&b, "--");
        if (mime_param_find(p->params, SPAN("boundary"), &b) == R_OK)
            found = span_find(text, buf_span(&b)) < text.n;
        buf_done(&b);
    }
    return found;
}

// Offsets of parts count from the header that the text had when it was scanned.
static enum result
replace_part(struct sieve_run *r, const struct sieve_call *call,
             const struct mime_part *part)
{
    const struct sieve_message *m = sieve_message(r);
    struct span fields, body, all;
    struct buf b;
    size_t front = m->root->header.size;
    if (entity_of(r, call, &fields, &body) != R_OK || sieve_message_body(r, &all) != R_OK ||
        sieve_work(r, body.n) != R_OK)
        return R_FAIL;
    if (has_delimiter(part, body))
        return sieve_fail(r, call, "the replacement has a boundary of the message in it");
    buf_init(&b, LIMIT_sieve_body);
    buf_put(&b, m->header);
    buf_put(&b, span_slice(all, 0, part->header.at - front));
    buf_put(&b, fields);
    buf_put_str(&b, "\r\n");
    buf_put(&b, span_ends(body, SPAN("\r\n")) ? span_slice(body, 0, body.n - 2) : body);
    buf_put(&b, span_skip(all, part->body.at + part->body.size - front));
    return sieve_message_set(r, &b, m->header.n, part);
}

static void
put_others(struct buf *b, struct span fields, bool subject, bool from)
{
    struct mime_header_iter it = mime_header_begin(fields);
    struct mime_header h;
    while (mime_header_next(&it, &h) == R_OK) {
        bool changed = (subject && span_ieq(h.name, SPAN("Subject"))) ||
                       (from && span_ieq(h.name, SPAN("From")));
        buf_put_str(b, changed ? "Original-" : "");
        buf_put(b, h.raw);
    }
}

// A :from that is no list of addresses is passed over at run time (section 5).
static const struct sieve_value *
usable_from(struct sieve_run *r, const struct sieve_call *call)
{
    const struct sieve_value *from = sieve_tag(call, "from");
    struct span text;
    bool good = from && sieve_one(r, from, &text) == R_OK &&
                sieve_is_mailbox_list(sieve_scratch(r), text);
    return good ? from : NULL;
}

static enum result
put_from(struct sieve_run *r, struct buf *b, const struct sieve_value *from)
{
    struct span text;
    if (sieve_one(r, from, &text) != R_OK || sieve_room(r, text.n * 8) != R_OK)
        return R_FAIL;
    buf_put_str(b, "From: ");
    sieve_put_mailboxes(b, sieve_scratch(r),
                        span_trim(sieve_one_line(sieve_scratch(r), text)));
    buf_put_str(b, "\r\n");
    return R_OK;
}

static enum result
put_header(struct sieve_run *r, const struct sieve_call *call, struct buf *b)
{
    const struct sieve_value *subject = sieve_tag(call, "subject");
    const struct sieve_value *from = usable_from(r, call);
    struct span fields;
    struct buf old;
    buf_init(&old, LIMIT_sieve_header);
    sieve_put_fields(&old, sieve_header(r), false);
    if (sieve_take(r, &old, &fields) != R_OK ||
        (subject && sieve_put_text_field(r, b, SPAN("Subject"), subject) != R_OK) ||
        (from && put_from(r, b, from) != R_OK))
        return R_FAIL;
    put_others(b, fields, subject != NULL, from != NULL);
    if (subject || from)
        sieve_message_has_originals(r);
    return R_OK;
}

static enum result
replace_message(struct sieve_run *r, const struct sieve_call *call)
{
    struct span fields, body;
    struct mime_header version;
    struct buf b;
    if (entity_of(r, call, &fields, &body) != R_OK)
        return R_FAIL;
    buf_init(&b, LIMIT_sieve_body);
    if (put_header(r, call, &b) != R_OK) {
        buf_done(&b);
        return R_FAIL;
    }
    if (mime_header_find(fields, SPAN("MIME-Version"), &version) != R_OK)
        buf_put_str(&b, "MIME-Version: 1.0\r\n");
    buf_put(&b, fields);
    buf_put_str(&b, "\r\n");
    size_t header_size = b.n;
    buf_put(&b, body);
    return sieve_message_set(r, &b, header_size, sieve_message(r)->root);
}

static enum result
replace(struct sieve_run *r, const struct sieve_call *call)
{
    const struct mime_part *now = sieve_part_now(r), *part = now ? now : sieve_part_root(r);
    if (part == sieve_message(r)->root)
        return replace_message(r, call);
    return replace_part(r, call, part);
}

static const struct sieve_command commands[] = {
    {"replace", SIEVE_ACTION, "s", .check = check, .act = replace,
     .tags = {{"mime"}, {"subject", 's'}, {"from", 's'}}},
    {0},
};

const struct sieve_ext sieve_ext_replace = {
    .capability = "replace", .rfc = "RFC 5703", .commands = commands};
