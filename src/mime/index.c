#include "mime/index.h"
#include "base/limits.h"
#include "base/pack.h"
#include "mime/encoded_word.h"

// Layout: version, count, then the parts in the order of the message. A part's children follow
// it with its depth plus one; the body follows the header.
enum { VERSION = 1, NAME_MAX_PUT = 255 };
enum { FLAG_ROOT = 1, FLAG_ATTACHMENT = 2 };

struct reader {
    struct unpack u;
    uint32_t left;
};

// Writing

static const struct mime_part *
next_in_order(const struct mime_part *part, uint32_t *depth)
{
    if (part->child) {
        ++*depth;
        return part->child;
    }
    while (part && !part->next) {
        part = part->parent;
        --*depth;
    }
    return part ? part->next : NULL;
}

static void
put_lower(struct buf *b, struct span word)
{
    char lower[64];
    size_t n = word.n < sizeof(lower) ? word.n : sizeof(lower);

    for (size_t i = 0; i < n; i++)
        lower[i] = ascii_lower(word.p[i]);
    pack_span(b, span_of(lower, n));
}

// A parameter in UTF-8, cut at NAME_MAX_PUT octets.
static void
put_param(struct buf *b, const struct mime_part *part, struct span name)
{
    struct buf value;

    buf_init(&value, LIMIT_mime_header);
    if (mime_param_find(part->params, name, &value) != R_OK && span_eq(name, SPAN("name")))
        (void)!mime_param_find(part->disposition_params, SPAN("filename"), &value);
    pack_span(b, span_slice(buf_span(&value), 0, NAME_MAX_PUT));
    buf_done(&value);
}

static void
put_part(struct buf *b, const struct mime_part *part, uint32_t depth)
{
    bool attachment = span_ieq(part->disposition, SPAN("attachment"));

    pack_u8(b, (uint8_t)((unsigned)part->kind | (unsigned)part->encoding << 2));
    pack_u8(b, (part->envelope ? FLAG_ROOT : 0) | (attachment ? FLAG_ATTACHMENT : 0));
    pack_var(b, depth);
    pack_var(b, part->header.at);
    pack_var(b, part->header.size);
    pack_var(b, part->header.lines);
    pack_var(b, part->body.size);
    pack_var(b, part->body.lines);
    put_lower(b, part->type.p ? part->type : SPAN("text"));
    put_lower(b, part->subtype.p ? part->subtype : SPAN("plain"));
    put_param(b, part, SPAN("charset"));
    put_param(b, part, SPAN("name"));
}

static uint32_t
count_parts(const struct mime_part *root)
{
    uint32_t n = 0, depth = 0;

    for (const struct mime_part *part = root; part; part = next_in_order(part, &depth))
        n++;
    return n;
}

void
mime_index_put(struct buf *b, const struct mime_part *root)
{
    uint32_t depth = 0;

    pack_u8(b, VERSION);
    pack_var(b, count_parts(root));
    for (const struct mime_part *part = root; part; part = next_in_order(part, &depth))
        put_part(b, part, depth);
}

// Reading

static enum result
damaged(struct fault *f)
{
    (void)fault_set(f, FAULT_CORRUPTION, "MIME index is damaged");
    return R_FAIL;
}

static enum result
read_begin(struct reader *r, struct span index, struct fault *f)
{
    r->u = unpack_of(index);
    uint8_t version = unpack_u8(&r->u);
    uint64_t count = unpack_var(&r->u);
    if (r->u.bad || version != VERSION || count == 0 || count > LIMIT_mime_parts + 1)
        return damaged(f);
    r->left = (uint32_t)count;
    return R_OK;
}

static bool
read_range(struct unpack *u, struct mime_range *range, uint64_t at)
{
    uint64_t size = unpack_var(u), lines = unpack_var(u);

    range->at = at;
    range->size = size;
    range->lines = (uint32_t)lines;
    return at <= INT64_MAX / 4 && size <= INT64_MAX / 4 && lines <= UINT32_MAX;
}

// One record; R_NONE after the last.
static enum result
read_part(struct reader *r, struct mime_index_part *out, struct fault *f)
{
    struct unpack *u = &r->u;

    if (r->left == 0)
        return unpack_end(u) == R_OK ? R_NONE : damaged(f);
    r->left--;
    uint8_t kind = unpack_u8(u), flags = unpack_u8(u);
    uint64_t depth = unpack_var(u), at = unpack_var(u);
    *out = (struct mime_index_part){.kind = (enum mime_kind)(kind & 3),
                                    .encoding = (enum mime_encoding)(kind >> 2),
                                    .depth = (uint32_t)depth,
                                    .root = flags & FLAG_ROOT,
                                    .attachment = flags & FLAG_ATTACHMENT};
    bool good =
        read_range(u, &out->header, at) && read_range(u, &out->body, at + out->header.size);
    out->type = unpack_span(u);
    out->subtype = unpack_span(u);
    out->charset = unpack_span(u);
    out->name = unpack_span(u);
    bool known = (kind & 3) <= MIME_KIND_MESSAGE && kind >> 2 <= MIME_ENC_UNKNOWN;
    return good && known && !u->bad && depth <= LIMIT_mime_depth ? R_OK : damaged(f);
}

// The message that a message/rfc822 part holds is the record after it.
static enum result
fill_message(const struct reader *after, struct mime_index_part *part, struct fault *f)
{
    struct reader peek = *after;
    struct mime_index_part child;

    if (part->kind != MIME_KIND_MESSAGE)
        return R_OK;
    if (read_part(&peek, &child, f) != R_OK || child.depth != part->depth + 1)
        return damaged(f);
    part->message = true;
    part->message_header = child.header;
    part->message_text = child.body;
    return R_OK;
}

// Moves to the child number k (from 1) of the part that was read last.
static enum result
read_child(struct reader *r, struct mime_index_part *part, uint32_t k, struct fault *f)
{
    uint32_t depth = part->depth;
    struct mime_index_part next;
    enum result got;

    while ((got = read_part(r, &next, f)) == R_OK) {
        if (next.depth <= depth)
            return R_NONE;
        if (next.depth == depth + 1 && --k == 0) {
            *part = next;
            return R_OK;
        }
    }
    return got;
}

// A multipart without parts is shown with one empty text part (render.c), so there is one.
static void
make_empty_child(struct mime_index_part *part)
{
    *part = (struct mime_index_part){.depth = part->depth + 1,
                                     .header = {.at = part->body.at},
                                     .body = {.at = part->body.at},
                                     .type = SPAN("text"),
                                     .subtype = SPAN("plain")};
}

// One step of a section path. `as_part`: the part itself is meant, not the message that it is
// the root of; in a message that is not a multipart, number 1 goes from the one to the other.
static enum result
step(struct reader *r, struct mime_index_part *part, uint32_t number, bool *as_part,
     struct fault *f)
{
    if (number == 0)
        return R_NONE;
    if (*as_part && part->kind == MIME_KIND_MESSAGE) {
        if (read_child(r, part, 1, f) != R_OK)
            return damaged(f);
        *as_part = false;
    }
    if (part->kind == MIME_KIND_MULTIPART) {
        *as_part = true;
        enum result got = read_child(r, part, number, f);
        if (got != R_NONE || number != 1)
            return got;
        make_empty_child(part);
        return R_OK;
    }
    if (*as_part || number != 1)
        return R_NONE;
    *as_part = true;
    return R_OK;
}

enum result
mime_index_find(struct span index, const uint32_t *numbers, size_t n,
                struct mime_index_part *out, struct fault *f)
{
    struct reader r;
    struct mime_index_part part;
    bool as_part = false;

    if (read_begin(&r, index, f) != R_OK || read_part(&r, &part, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n; i++) {
        enum result got = step(&r, &part, numbers[i], &as_part, f);
        if (got != R_OK)
            return got;
    }
    if (n == 0) {
        part.whole = part.message = true;
        part.message_header = part.header;
        part.message_text = part.body;
    } else if (fill_message(&r, &part, f) != R_OK) {
        return R_FAIL;
    }
    *out = part;
    return R_OK;
}

enum result
mime_index_section(const struct mime_index_part *part, enum mime_section section,
                   struct mime_range *out)
{
    bool whole = part->whole;

    switch (section) {
    case MIME_SECTION_ALL:
        *out = part->body;
        if (whole)
            *out = (struct mime_range){0, part->header.size + part->body.size,
                                       part->header.lines + part->body.lines};
        return R_OK;
    case MIME_SECTION_HEADER:
        if (part->message)
            *out = part->message_header;
        return part->message ? R_OK : R_NONE;
    case MIME_SECTION_TEXT:
        if (part->message)
            *out = part->message_text;
        return part->message ? R_OK : R_NONE;
    case MIME_SECTION_MIME:
        if (!whole)
            *out = part->header;
        return whole ? R_NONE : R_OK;
    }
    return R_NONE;
}

enum result
mime_index_begin(struct mime_index_iter *it, struct span index, struct fault *f)
{
    struct reader r;

    if (read_begin(&r, index, f) != R_OK)
        return R_FAIL;
    *it = (struct mime_index_iter){r.u.rest, r.left};
    return R_OK;
}

enum result
mime_index_next(struct mime_index_iter *it, struct mime_index_part *out, struct fault *f)
{
    struct reader r = {unpack_of(it->rest), it->left};
    struct mime_index_part part;
    enum result got = read_part(&r, &part, f);

    if (got != R_OK)
        return got;
    if (fill_message(&r, &part, f) != R_OK)
        return R_FAIL;
    *it = (struct mime_index_iter){r.u.rest, r.left};
    *out = part;
    return R_OK;
}
