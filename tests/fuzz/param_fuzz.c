// Parameters of Content-Type with their RFC 2231 pieces: bounded, and the BODYSTRUCTURE that is
// made of them is balanced.
#include "base/limits.h"
#include "mime/param.h"
#include "mime/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Parentheses outside quoted strings; there is no other octet that opens or closes.
static void
check_balanced(struct span s)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < s.n; i++) {
        if (quoted && s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            quoted = !quoted;
        else if (!quoted)
            depth += (s.p[i] == '(') - (s.p[i] == ')');
        must(depth >= 0 && s.p[i] != '\r' && s.p[i] != '\n');
    }
    must(depth == 0 && !quoted);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct mime_lex l = mime_lex_of(span_of(data, size));
    size_t n = 0;
    for (const struct mime_param *p = mime_param_parse(a, &l); p; p = p->next, n++)
        must(p->name.p != NULL && p->name.n + p->value.n <= size * 4 + 16);
    must(n <= LIMIT_mime_params);
    struct mime_scan *s = mime_scan_new(a);
    struct buf out;
    buf_init(&out, 1 << 24);
    mime_scan_feed(s, SPAN("Content-Type: text/plain"));
    mime_scan_feed(s, span_of(data, size));
    const struct mime_part *root = mime_scan_end(s);
    mime_render_body(&out, root, true, false);
    if (span_find_char(buf_span(&out), '{') == out.n)  // a literal has octets of its own
        check_balanced(buf_span(&out));
    buf_done(&out);
    arena_free(&a);
    return 0;
}
