// Whole messages: any octets give a tree, the same for two halves; everything made of it holds.

#include "mime/index.h"
#include "mime/marks.h"
#include "mime/render.h"
#include "mime/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// BODY is BODYSTRUCTURE without its extensions.
static void
structures(struct buf *out, const struct mime_part *root, bool utf8)
{
    struct buf body, made, extensions;
    buf_init(&body, 1 << 26);
    buf_init(&made, 1 << 26);
    buf_init(&extensions, 1 << 26);
    size_t at = out->n;
    mime_render_structure(out, &extensions, root, utf8);
    mime_render_body(&body, root, false, utf8);
    must(mime_render_body_of(&made, span_skip(buf_span(out), at), buf_span(&extensions)) ==
         R_OK);
    must(span_eq(buf_span(&body), buf_span(&made)));
    buf_done(&body);
    buf_done(&made);
    buf_done(&extensions);
}

static void
describe(struct buf *out, struct arena *a, struct span message, size_t cut)
{
    struct mime_scan *s = mime_scan_new(a);
    mime_scan_feed(s, span_slice(message, 0, cut));
    mime_scan_feed(s, span_skip(message, cut));
    const struct mime_part *root = mime_scan_end(s);
    mime_render_envelope(out, root, cut % 2);
    structures(out, root, cut % 2);
    must(!memchr(out->p, '\0', out->n));
    mime_index_put(out, root);
    mime_summary_put(out, root);
    struct span header = span_slice(message, 0, root->header.size);
    buf_printf(out, "%d%d%d", mime_has_attachment(root), mime_is_one_click(header),
               mime_is_automatic(header));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span message = span_of(data, size);
    struct arena *a = arena_new();
    struct buf one, two;
    buf_init(&one, 1 << 26);
    buf_init(&two, 1 << 26);
    describe(&one, a, message, 0);
    describe(&two, a, message, size / 4 * 2);
    must(span_eq(buf_span(&one), buf_span(&two)));
    buf_done(&one);
    buf_done(&two);
    arena_free(&a);
    return 0;
}
