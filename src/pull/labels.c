#include "pull/session.h"

#include "base/limits.h"

static bool
is_shown(const struct session *s, struct span label)
{
    for (size_t i = 0; i < s->count; i++)
        if (span_eq(s->mailboxes[i].raw, label))
            return true;
    return false;
}

static struct session_label *
find_label(struct session *s, struct span raw)
{
    for (size_t i = 0; i < s->hidden.count; i++)
        if (span_eq(s->hidden.labels[i].raw, raw))
            return &s->hidden.labels[i];
    return NULL;
}

// NULL: there are too many.
static struct session_label *
add_label(struct session *s, struct span raw)
{
    if (s->hidden.count + s->count >= LIMIT_mailboxes)
        return NULL;
    if (s->hidden.count == s->hidden.room) {
        s->hidden.room = s->hidden.room ? s->hidden.room * 2 : 16;
        struct session_label *grown = arena_array(s->arena, s->hidden.room, sizeof *grown);
        if (s->hidden.count > 0)
            memcpy(grown, s->hidden.labels, s->hidden.count * sizeof *grown);
        s->hidden.labels = grown;
    }
    struct session_label *l = &s->hidden.labels[s->hidden.count++];
    l->raw = arena_dup(s->arena, raw);
    seqset_init(&l->uids, s->arena);
    return l;
}

void
session_take_labels(struct session *s, const struct pull_message *m)
{
    if (s->source->mailbox[0] != '\0')  // what is not listed was not asked for
        return;
    for (size_t i = 0; i < m->label_count; i++) {
        struct span raw = m->labels[i];
        if (raw.n == 0 || raw.p[0] == '\\' || is_shown(s, raw))
            continue;
        struct session_label *l = find_label(s, raw);
        if (l == NULL)
            l = add_label(s, raw);
        if (l != NULL)
            seqset_add(&l->uids, m->uid);
    }
}

static enum result
visit_hidden(struct session *s, const struct session_label *l,
             const struct session_mailbox *all, struct fault *f)
{
    struct session_mailbox m = {
        .raw = all->raw, .only = &l->uids, .is = {.role = PULL_LABEL}};
    if (session_name(s, l->raw, all->delimiter, &m.is) != R_OK)
        return s->ops->problem(s->ops->arg, span_slice(l->raw, 0, 200),
                               SPAN("a label that cannot be a mailbox's name"), f);
    return session_visit(s, &m, f);
}

enum result
session_visit_hidden(struct session *s, struct fault *f)
{
    const struct session_mailbox *all = session_find_all(s);
    for (size_t i = 0; i < s->hidden.count; i++)
        if (visit_hidden(s, &s->hidden.labels[i], all, f) != R_OK)
            return R_FAIL;
    return R_OK;
}
