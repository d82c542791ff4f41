#include "search/query.h"

static const struct seqset *
copy_set(const struct seqset *set, struct arena *a)
{
    struct seqset *copy = ARENA_NEW(a, struct seqset);
    seqset_copy(copy, a, set);
    return copy;
}

static struct span
copy_text(struct span text, struct arena *a)
{
    return text.p ? arena_dup(a, text) : SPAN_NONE;
}

struct query *
query_copy(const struct query *q, struct arena *a)
{
    struct query *copy = ARENA_NEW(a, struct query), **last = &copy->first;
    *copy = *q;
    copy->first = copy->next = NULL;
    copy->name = copy_text(q->name, a);
    copy->text = copy_text(q->text, a);
    copy->said = copy_text(q->said, a);
    copy->needle.finder.needle = copy->text;
    copy->set = q->set ? copy_set(q->set, a) : NULL;
    for (const struct query *k = q->first; k; k = k->next, last = &(*last)->next)
        *last = query_copy(k, a);
    return copy;
}
