#include "pipe/pipe.h"

void
pipe_call_put(struct buf *b, const struct pipe_call *c)
{
    pack_span(b, c->program);
    pack_span(b, c->arguments);
    pack_span(b, c->user);
    pack_span(b, c->from);
    pack_span(b, c->to);
    pack_span(b, c->original);
}

static bool
is_text(struct span s)
{
    return span_find_char(s, '\0') == s.n;
}

static bool
are_texts(struct span packed)
{
    struct unpack u = unpack_of(packed);
    while (u.rest.n > 0 && !u.bad)
        if (!is_text(unpack_span(&u)))
            return false;
    return !u.bad;
}

enum result
pipe_call_get(struct span packed, struct pipe_call *out)
{
    struct unpack u = unpack_of(packed);
    *out = (struct pipe_call){.program = unpack_span(&u)};
    out->arguments = unpack_span(&u);
    out->user = unpack_span(&u);
    out->from = unpack_span(&u);
    out->to = unpack_span(&u);
    out->original = unpack_span(&u);
    return unpack_end(&u) == R_OK && is_text(out->program) && is_text(out->user) &&
                   is_text(out->from) && is_text(out->to) && is_text(out->original) &&
                   are_texts(out->arguments)
               ? R_OK
               : R_FAIL;
}
