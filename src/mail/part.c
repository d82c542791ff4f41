#include "mail/part.h"

#include "base/limits.h"
#include "io/task.h"
#include "mime/header.h"
#include "mime/index.h"

enum { PIECE = 65536, DECODED_PIECE = 32768 };

// ---- finding ----

static enum mime_section
mime_section_of(enum section_kind kind)
{
    switch (kind) {
    case SECTION_ALL:
        return MIME_SECTION_ALL;
    case SECTION_TEXT:
        return MIME_SECTION_TEXT;
    case SECTION_MIME:
        return MIME_SECTION_MIME;
    default:
        return MIME_SECTION_HEADER;
    }
}

// HEADER.FIELDS and HEADER.FIELDS.NOT.
static enum result
choose_fields(struct mail_part *p, const struct section *s, struct arena *a,
              struct fault *f)
{
    struct buf out;
    size_t n = p->size < LIMIT_mime_headers ? (size_t)p->size : LIMIT_mime_headers;
    char *block = arena_alloc(a, n + 1);
    if (n > 0 && message_read(p->mail, p->row, p->at, n, block, f) != R_OK)
        return R_FAIL;
    buf_init(&out, n + 16);
    mime_header_filter(&out, span_of(block, n), s->fields, s->field_count,
                       s->kind == SECTION_FIELDS_NOT);
    p->text = arena_dup(a, buf_span(&out));
    buf_done(&out);
    p->in_memory = true;
    p->at = 0;
    p->size = p->text.n;
    return R_OK;
}

static void
take_range(struct mail_part *p, struct mime_range r)
{
    p->at = r.at < p->row->size ? r.at : p->row->size;
    p->size = r.size < p->row->size - p->at ? r.size : p->row->size - p->at;
}

enum result
mail_part_find(struct mail_part *p, const struct section *s,
               const struct message_cache *cache, struct arena *a, struct fault *f)
{
    struct mime_index_part part;
    struct mime_range range = {0, p->row->size, 0};
    p->encoding = MIME_ENC_IDENTITY;
    take_range(p, range);
    if (mail_part_is_whole(s))
        return R_OK;
    enum result r = mime_index_find(cache->index, s->parts, s->part_count, &part, f);
    if (r == R_OK)
        r = mime_index_section(&part, mime_section_of(s->kind), &range);
    if (r != R_OK)
        return r;
    take_range(p, range);
    if (s->kind == SECTION_ALL)
        p->encoding = part.encoding;
    bool fields = s->kind == SECTION_FIELDS || s->kind == SECTION_FIELDS_NOT;
    return fields ? choose_fields(p, s, a, f) : R_OK;
}

void
mail_part_clip(struct mail_part *p, uint64_t at, uint64_t count)
{
    uint64_t skip = at < p->size ? at : p->size;
    p->at += skip;
    p->size -= skip;
    if (p->size > count)
        p->size = count;
}

// ---- reading ----

static enum result
read_raw(const struct mail_part *p, char *piece, size_t room,
         const struct mail_part_sink *sink, struct fault *f)
{
    for (uint64_t done = 0; done < p->size;) {
        size_t n = p->size - done < room ? (size_t)(p->size - done) : room;
        if (p->in_memory)
            memcpy(piece, p->text.p + p->at + done, n);
        else if (message_read(p->mail, p->row, p->at + done, n, piece, f) != R_OK)
            return R_FAIL;
        if (sink->fn(sink->arg, piece, n, f) != R_OK)
            return R_FAIL;
        done += n;
        task_yield();
    }
    return R_OK;
}

struct decoding {
    struct mime_decoder decoder;
    struct buf out;
    const struct mail_part_sink *sink;
};

static enum result
decoded_out(struct decoding *d, struct fault *f)
{
    enum result r = d->out.n > 0 ? d->sink->fn(d->sink->arg, d->out.p, d->out.n, f) : R_OK;
    buf_reset(&d->out);
    return r;
}

static enum result
decode_piece(void *arg, char *octets, size_t n, struct fault *f)
{
    struct decoding *d = arg;
    if (mime_decoder_feed(&d->decoder, span_of(octets, n), &d->out, f) != R_OK)
        return R_FAIL;
    return decoded_out(d, f);
}

static enum result
read_decoded(const struct mail_part *p, char *piece, const struct mail_part_sink *sink,
             struct fault *f)
{
    struct decoding d = {.decoder = mime_decoder_of(p->encoding, false), .sink = sink};
    if (p->encoding == MIME_ENC_UNKNOWN)
        return fault_set(f, FAULT_UNKNOWNCTE, "unknown encoding");
    buf_init(&d.out, DECODED_PIECE * 2 + 1024);
    struct mail_part_sink decode = {decode_piece, &d};
    enum result r = read_raw(p, piece, DECODED_PIECE, &decode, f);
    if (r == R_OK)
        r = mime_decoder_end(&d.decoder, &d.out, f);
    if (r == R_OK)
        r = decoded_out(&d, f);
    buf_done(&d.out);
    return r;
}

enum result
mail_part_read(const struct mail_part *p, bool decoded, struct arena *a,
               const struct mail_part_sink *sink, struct fault *f)
{
    char *piece = arena_alloc(a, decoded ? DECODED_PIECE : PIECE);
    return decoded ? read_decoded(p, piece, sink, f) : read_raw(p, piece, PIECE, sink, f);
}

// ---- what there is of it ----

static enum result
count(void *arg, char *octets, size_t n, struct fault *f)
{
    struct mail_part_window *w = arg;
    (void)f;
    w->size += n;
    for (char *at = octets; (at = memchr(at, '\n', n - (size_t)(at - octets))); at++)
        w->lines++;
    w->nul |= memchr(octets, '\0', n) != NULL;
    return R_OK;
}

enum result
mail_part_measure(const struct mail_part *p, bool decoded, struct arena *a,
                  struct mail_part_window *out, struct fault *f)
{
    *out = (struct mail_part_window){.size = 0};
    if (mail_part_read(p, decoded, a, &(struct mail_part_sink){count, out}, f) != R_OK)
        return R_FAIL;
    out->left = out->size;
    return R_OK;
}

void
mail_part_window(struct mail_part_window *w, uint64_t at, uint64_t n)
{
    w->skip = at < w->size ? at : w->size;
    w->left = w->size - w->skip < n ? w->size - w->skip : n;
}
