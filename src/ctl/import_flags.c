#include "ctl/import.h"
#include "mail/change.h"
#include "mail/marks.h"

struct keywords {
    struct span *names;
    size_t n;
};

static bool
has_keyword(const struct keywords *k, struct span name)
{
    for (size_t i = 0; i < k->n; i++)
        if (span_ieq(k->names[i], name))
            return true;
    return false;
}

// What the server sets itself stays.
static struct keywords
wanted_keywords(struct arena *a, const struct keywords *now, const struct parcel_message *h)
{
    struct keywords k = {arena_array(a, now->n + h->keyword_count + 1, sizeof *k.names), 0};
    for (size_t i = 0; i < h->keyword_count; i++)
        if (import_is_keyword(h->keywords[i]) && !has_keyword(&k, h->keywords[i]))
            k.names[k.n++] = h->keywords[i];
    for (size_t i = 0; i < now->n; i++)
        if (mark_from(now->names[i]) != 0 && !has_keyword(&k, now->names[i]))
            k.names[k.n++] = now->names[i];
    return k;
}

static bool
is_same(const struct keywords *a, const struct keywords *b)
{
    for (size_t i = 0; i < a->n; i++)
        if (!has_keyword(b, a->names[i]))
            return false;
    return a->n == b->n;
}

static enum result
change(struct import *im, const struct message_row *row, const struct keywords *to,
       uint16_t flags, struct fault *f)
{
    struct import_pull *p = im->pull;
    struct seqset one;
    struct flag_result done;
    seqset_init(&one, p->scratch);
    seqset_add(&one, row->uid);
    if (p->writer == NULL && !p->dry_run &&
        view_open(&im->ref, false, NULL, NULL, &p->writer, f) != R_OK)
        return R_FAIL;
    const struct selection sel = {p->writer, &one, true};
    const struct flag_change c = {
        .op = FLAG_OP_SET, .flags = flags, .keywords = to->names, .keyword_count = to->n};
    p->flags++;
    return p->dry_run ? R_OK : change_flags(&sel, &c, p->scratch, &done, f);
}

enum result
import_flags_bring(struct import *im, const struct message_row *row,
                   const struct parcel_message *h, struct fault *f)
{
    struct import_pull *p = im->pull;
    struct keywords now = {0};
    uint16_t flags = h->flags & FLAG_ALL;
    arena_reset(p->scratch);
    if (row->keywords == 0 && h->keyword_count == 0 && row->flags == flags)
        return R_OK;
    if (view_keywords(p->view, row->keywords, p->scratch, &now.names, &now.n, f) != R_OK)
        return R_FAIL;
    struct keywords to = wanted_keywords(p->scratch, &now, h);
    if (row->flags == flags && is_same(&now, &to))
        return R_OK;
    return change(im, row, &to, flags, f);
}
