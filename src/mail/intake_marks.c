// The marks of a message on its way in.
#include "mail/intake_inside.h"
#include "mail/marks.h"
#include "mime/marks.h"

static bool
wants_header(const struct intake *in)
{
    return in->wanted & (MARK_UNSUBSCRIBE | MARK_AUTOSENT);
}

void
intake_marks_feed(struct intake *in, struct span bytes)
{
    if (!wants_header(in) || in->head_n == LIMIT_intake_header)
        return;
    if (!in->head)
        in->head = arena_alloc(in->arena, LIMIT_intake_header);
    size_t room = LIMIT_intake_header - in->head_n;
    size_t n = bytes.n < room ? bytes.n : room;
    if (n > 0)
        memcpy(in->head + in->head_n, bytes.p, n);
    in->head_n += n;
}

static unsigned
of_header(const struct intake *in, struct span header)
{
    unsigned marks = 0;
    if ((in->wanted & MARK_UNSUBSCRIBE) && mime_is_one_click(header))
        marks |= MARK_UNSUBSCRIBE;
    if ((in->wanted & MARK_AUTOSENT) && mime_is_automatic(header))
        marks |= MARK_AUTOSENT;
    return marks;
}

void
intake_marks_end(struct intake *in, const struct mime_part *root)
{
    const unsigned either = MARK_ATTACHMENT | MARK_NO_ATTACHMENT;
    if (in->wanted & either)
        in->marks |= mime_has_attachment(root) ? MARK_ATTACHMENT : MARK_NO_ATTACHMENT;
    if (in->head)
        in->marks |=
            of_header(in, span_slice(span_of(in->head, in->head_n), 0, root->header.size));
    in->marks &= in->wanted;
    in->head = NULL;
}

static unsigned
marks_of(const struct intake_item *item, const struct mailbox *m)
{
    unsigned marks = item->intake->marks;
    if (m->state->special_use != USE_SENT)
        marks &= ~(unsigned)MARK_AUTOSENT;
    if (item->params.imported)
        marks |= item->intake->wanted & MARK_IMPORTED;
    return marks;
}

// What a client says of attachments is not kept beside what was seen.
static bool
is_kept(const struct intake *in, struct span keyword)
{
    const unsigned either = MARK_ATTACHMENT | MARK_NO_ATTACHMENT;
    return !(in->wanted & either) || !(mark_from(keyword) & either) || keyword.p[0] != '$';
}

static void
mark_item(struct arena *a, struct intake_item *item, unsigned marks)
{
    struct intake_params *p = &item->params;
    struct span *all = arena_array(a, p->keyword_count + MARKS, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < p->keyword_count; i++)
        if (is_kept(item->intake, p->keywords[i]))
            all[n++] = p->keywords[i];
    for (unsigned bit = 0; bit < MARKS; bit++)
        if (marks & 1u << bit)
            all[n++] = mark_keyword(bit);
    p->keywords = all;
    p->keyword_count = n;
}

const struct intake_item *
intake_marked(struct arena *a, const struct mailbox *m, const struct intake_item *items,
              size_t n)
{
    bool wanted = false;
    for (size_t i = 0; i < n; i++)
        wanted |= items[i].intake->wanted != 0;
    if (!wanted)
        return items;
    struct intake_item *marked = arena_array(a, n, sizeof *marked);
    for (size_t i = 0; i < n; i++) {
        marked[i] = items[i];
        mark_item(a, &marked[i], marks_of(&items[i], m));
    }
    return marked;
}
