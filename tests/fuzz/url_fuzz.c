// IMAP URLs: what is taken keeps its bounds, its text as told in BADURL cannot leave the response code, and as it is logged it has
// no token.
#include "wire/url.h"

#include "base/limits.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct url *u, struct span text)
{
    must(u->uid > 0 && utf8_valid(u->mailbox));
    must(u->mailbox.n == 0 || memchr(u->mailbox.p, '\0', u->mailbox.n) == NULL);
    must(u->section.part_count == 0 || u->section.parts != NULL);
    must(utf8_valid(u->user) && utf8_valid(u->auth.user));
    must(u->host.p ? u->host.n > 0 && u->mailbox.n > 0 : u->auth.access == URL_ACCESS_NONE);
    must(u->auth.token.n == 0 || u->auth.rump.n + 33 < text.n);
    must(u->auth.rump.p == text.p && u->auth.rump.n <= text.n);
    must(u->has_partial ? u->at <= INT64_MAX && u->count > 0 : u->at == 0 && u->count == 0);
}

static void
masked(struct span text)
{
    const struct span mark = SPAN(":internal:"), hidden = SPAN("[hidden]");
    struct buf b;
    buf_init(&b, 2 * text.n + 1);
    url_put_masked(&b, text);
    must(!b.over);
    struct span rest = buf_span(&b);
    for (size_t at; (at = span_ifind(rest, mark)) < rest.n;) {
        rest = span_skip(rest, at + mark.n);
        if (span_starts(rest, hidden) && span_find(text, hidden) == text.n)
            rest = span_skip(rest, hidden.n);
        must(rest.n == 0 || (!ascii_is_alpha(rest.p[0]) && !ascii_is_digit(rest.p[0])));
    }
    buf_done(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    struct arena *a = arena_new();
    struct url u;
    struct fault f = {0};
    struct buf b;
    if (size <= LIMIT_line && url_parse(text, a, &u, &f) == R_OK)
        check(&u, text);
    buf_init(&b, 3 * size + 1);
    url_put_safe(&b, text);
    must(!b.over && ascii_only(buf_span(&b)));
    for (size_t i = 0; i < b.n; i++)
        must(b.p[i] > ' ' && b.p[i] != ']' && b.p[i] != '\\');
    buf_done(&b);
    masked(text);
    arena_free(&a);
    return 0;
}
