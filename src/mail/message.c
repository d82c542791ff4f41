#include "mail/message.h"

#include "base/limits.h"
#include "io/task.h"
#include "mail/scan_cache.h"
#include "mail/scan_charge.h"
#include "mime/index.h"
#include "mime/render.h"
#include "mime/summary.h"

#include <openssl/evp.h>

// A cache of an unknown version is not read: the body is scanned instead. Version 3 has BODY itself, version 4 what it leaves
// out of BODYSTRUCTURE.
enum {
    READ_PIECE = 65536,
    HASH_PIECE = 16384,
    CACHE_WITH_BODY = 3,
    CACHE_VERSION = 4,
    CACHE_PARTS = 5
};

// The lengths stand in front, so that finding one value does not read its way through the others.
void
message_cache_put(struct buf *b, const struct message_cache *c)
{
    const struct span parts[] = {c->summary, c->envelope, c->bodystructure, c->index,
                                 c->extensions};
    pack_u8(b, CACHE_VERSION);
    for (size_t i = 0; i < CACHE_PARTS; i++)
        pack_var(b, parts[i].n);
    for (size_t i = 0; i < CACHE_PARTS; i++)
        buf_put(b, parts[i]);
}

enum result
message_cache_get(struct span packed, struct message_cache *c_out)
{
    struct unpack u = unpack_of(packed);
    struct span parts[CACHE_PARTS];
    uint64_t n[CACHE_PARTS];
    uint8_t version = unpack_u8(&u);
    if (version != CACHE_VERSION && version != CACHE_WITH_BODY)
        return R_FAIL;
    for (size_t i = 0; i < CACHE_PARTS; i++)
        n[i] = unpack_var(&u);
    for (size_t i = 0; i < CACHE_PARTS; i++) {
        if (u.bad || n[i] > u.rest.n)
            return R_FAIL;
        parts[i] = span_of(u.rest.p, (size_t)n[i]);
        u.rest = span_skip(u.rest, (size_t)n[i]);
    }
    if (unpack_end(&u) != R_OK)
        return R_FAIL;
    *c_out = (struct message_cache){.summary = parts[0],
                                    .envelope = parts[1],
                                    .bodystructure = parts[2],
                                    .index = parts[3]};
    if (version == CACHE_WITH_BODY)
        c_out->body = parts[4];
    else
        c_out->extensions = parts[4];
    return R_OK;
}

enum result
message_cache_body(struct buf *b, const struct message_cache *c, struct fault *f)
{
    if (c->body.n > 0)
        buf_put(b, c->body);
    else if (mime_render_body_of(b, c->bodystructure, c->extensions) != R_OK)
        return fault_set(f, FAULT_CORRUPTION,
                         "the cached structure of a message is damaged");
    return R_OK;
}

// Appends one rendering to the buffer; its extent, to be made a span once the buffer stands still.
struct extent {
    size_t at, end;
};

static struct span
extent_span(const struct buf *b, struct extent e)
{
    return span_of(b->p + e.at, e.end - e.at);
}

void
scan_cache(const struct mime_part *root, struct arena *a, bool utf8,
           struct message_cache *out)
{
    struct buf *b = ARENA_NEW(a, struct buf), extensions;
    struct extent e[5];
    buf_init(&extensions, LIMIT_record_meta);
    buf_init(b, LIMIT_record_meta);
    arena_on_end(a, scan_cache_done, b);
    e[0].at = b->n;
    mime_render_envelope(b, root, utf8);
    e[0].end = e[1].at = b->n;
    mime_render_structure(b, &extensions, root, utf8);
    e[1].end = e[2].at = b->n;
    mime_index_put(b, root);
    e[2].end = e[3].at = b->n;
    mime_summary_put(b, root);
    e[3].end = e[4].at = b->n;
    buf_put(b, buf_span(&extensions));
    e[4].end = b->n;
    buf_done(&extensions);
    *out = (struct message_cache){.envelope = extent_span(b, e[0]),
                                  .bodystructure = extent_span(b, e[1]),
                                  .index = extent_span(b, e[2]),
                                  .summary = extent_span(b, e[3]),
                                  .extensions = extent_span(b, e[4])};
}

void
scan_cache_done(void *arg)
{
    buf_done(arg);
}

static enum result
scan_body(struct mail *m, const struct message_row *row, struct arena *a,
          const struct mime_part **root_out, struct fault *f)
{
    struct scan_charge *charge = scan_charge_new(a);
    struct mime_scan *scan = mime_scan_new(a);
    char *piece = arena_alloc(a, READ_PIECE);
    for (uint64_t at = 0; at < row->size;) {
        size_t n = row->size - at < READ_PIECE ? (size_t)(row->size - at) : READ_PIECE;
        if (message_read(m, row, at, n, piece, f) != R_OK)
            return R_FAIL;
        mime_scan_feed(scan, span_of(piece, n));
        if (scan_charge_grow(charge, f) != R_OK)
            return R_FAIL;
        at += n;
        task_yield();
    }
    *root_out = mime_scan_end(scan);
    return R_OK;
}

static enum result
make_cache(struct mail *m, const struct message_row *row, struct arena *a, bool utf8,
           struct message_cache *out, struct fault *f)
{
    const struct mime_part *root;
    if (scan_body(m, row, a, &root, f) != R_OK)
        return R_FAIL;
    scan_cache(root, a, utf8, out);
    return R_OK;
}

enum result
message_cache_load(struct mail *m, const struct message_row *row, struct arena *a,
                   struct message_cache *out, struct fault *f)
{
    struct store_cache_reader *r = store_cache_begin(mail_store(m));
    struct span packed, copy = SPAN_NONE;
    if (store_cache_find(r, row->blob, &packed) == R_OK)
        copy = arena_dup(a, packed);
    store_cache_end(&r);
    if (copy.p && message_cache_get(copy, out) == R_OK)
        return R_OK;
    return make_cache(m, row, a, false, out, f);
}

enum result
message_cache_utf8(struct mail *m, const struct message_row *row, struct arena *a,
                   struct message_cache *out, struct fault *f)
{
    return make_cache(m, row, a, true, out, f);
}

// A message that is not a multipart has the one part 1.
static const struct mime_part *
part_of(const struct mime_part *holder, uint32_t number)
{
    const struct mime_part *p = holder->child;
    if (holder->kind != MIME_KIND_MULTIPART)
        return number == 1 ? holder : NULL;
    while (p && --number > 0)
        p = p->next;
    return p;
}

static const struct mime_part *
part_at(const struct mime_part *root, const struct message_part *asked)
{
    const struct mime_part *p = root;
    for (size_t i = 0; i < asked->count && p; i++) {
        bool inside = i > 0 && p->kind == MIME_KIND_MESSAGE;
        if (i > 0 && p->kind == MIME_KIND_LEAF)
            return NULL;
        const struct mime_part *holder = inside ? p->child : p;
        p = holder ? part_of(holder, asked->numbers[i]) : NULL;
    }
    return p;
}

enum result
message_part_structure(struct mail *m, const struct message_row *row,
                       const struct message_part *asked, struct arena *a, struct span *out,
                       struct fault *f)
{
    const struct mime_part *root;
    struct buf b;
    if (scan_body(m, row, a, &root, f) != R_OK)
        return R_FAIL;
    const struct mime_part *found = part_at(root, asked);
    if (!found)
        return R_NONE;
    struct mime_part part = *found;
    if (asked->decoded && part.kind == MIME_KIND_LEAF) {
        part.encoding_name = SPAN("binary");
        part.body.size = asked->decoded->size;
        part.body.lines = asked->decoded->lines;
    }
    buf_init(&b, LIMIT_answer_line);
    mime_render_body(&b, &part, true, asked->utf8);
    *out = arena_dup(a, buf_span(&b));
    buf_done(&b);
    return R_OK;
}

enum result
message_read(struct mail *m, const struct message_row *row, uint64_t offset, size_t len,
             char *dst, struct fault *f)
{
    return store_blob_read(mail_store(m), row->blob, offset, len, dst, f);
}

enum result
message_hash(struct mail *m, const struct message_row *row, unsigned char out[MESSAGE_HASH],
             struct fault *f)
{
    char piece[HASH_PIECE];
    enum result r = R_OK;
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    must(sha != NULL && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1);
    for (uint64_t at = 0; r == R_OK && at < row->size; at += sizeof piece) {
        uint64_t left = row->size - at;
        size_t n = left < sizeof piece ? (size_t)left : sizeof piece;
        r = message_read(m, row, at, n, piece, f);
        if (r == R_OK)
            must(EVP_DigestUpdate(sha, piece, n) == 1);
    }
    if (r == R_OK)
        must(EVP_DigestFinal_ex(sha, out, NULL) == 1);
    EVP_MD_CTX_free(sha);
    return r;
}
