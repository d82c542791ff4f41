// The user's own scripts.
#include "mail/filter_inside.h"

#include "mail/script.h"

// In the arena.
static struct span
taken(struct filter_run *r, struct buf *b)
{
    struct span s = b->n ? arena_dup(r->arena, buf_span(b)) : SPAN("");
    buf_done(b);
    return s;
}

enum result
filter_own_active(struct filter_run *r, struct span *text, struct span *name)
{
    struct buf script, called;
    buf_init(&script, LIMIT_sieve_script);
    buf_init(&called, LIMIT_sieve_name);
    enum result found = script_active(r->account, &script, &called);
    *text = taken(r, &script);
    *name = taken(r, &called);
    return found;
}

enum result
filter_own_named(struct filter_run *r, struct span name, struct span *text)
{
    struct buf script;
    struct span clean;
    struct fault f;
    if (script_name(r->arena, name, &clean, &f) != R_OK)
        return R_NONE;
    buf_init(&script, LIMIT_sieve_script);
    enum result found = script_read(r->account, clean, &script);
    *text = taken(r, &script);
    return found;
}
