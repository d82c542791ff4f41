#include "base/hash.h"
#include "base/limits.h"
// Names are another server's.
#define HASH_FUNCTION(key, size, value)                                                    \
    ((value) = (unsigned)hash_keyed(span_of((key), (size))))
#include "pull/session.h"

#include "base/table.h"

// The name of a mailbox, or of a label that no mailbox shows: Gmail's "Show in IMAP" is off.
struct session_label {
    UT_hash_handle hh;  // in the order in which they were met
    struct span raw;
    bool shown;
    struct seqset uids;  // of what is not shown: in the mailbox of all messages
};

static struct session_label *
add_name(struct session *s, struct span raw, bool shown)
{
    struct session_label *l = ARENA_NEW(s->arena, struct session_label);
    l->raw = raw;
    l->shown = shown;
    seqset_init(&l->uids, s->arena);
    HASH_ADD_KEYPTR(hh, s->names, l->raw.p, l->raw.n, l);
    return l;
}

static void
add_mailboxes(struct session *s)
{
    for (size_t i = 0; i < s->count; i++)
        (void)add_name(s, s->mailboxes[i].raw, true);
}

// NULL: there are too many.
static struct session_label *
label_of(struct session *s, struct span raw)
{
    struct session_label *l = NULL;
    HASH_FIND(hh, s->names, raw.p, raw.n, l);
    if (l == NULL && HASH_COUNT(s->names) < LIMIT_mailboxes)
        l = add_name(s, arena_dup(s->arena, raw), false);
    return l;
}

void
session_take_labels(struct session *s, const struct pull_message *m)
{
    if (s->source->mailbox[0] != '\0')  // what is not listed was not asked for
        return;
    if (s->names == NULL)
        add_mailboxes(s);
    for (size_t i = 0; i < m->label_count; i++) {
        struct span raw = m->labels[i];
        bool system = raw.n == 0 || raw.p[0] == '\\';
        struct session_label *l = system ? NULL : label_of(s, raw);
        if (l != NULL && !l->shown)
            seqset_add(&l->uids, m->uid);
    }
}

void
session_labels_done(struct session *s)
{
    HASH_CLEAR(hh, s->names);
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
    for (const struct session_label *l = s->names; l != NULL; l = l->hh.next)
        if (!l->shown && visit_hidden(s, l, all, f) != R_OK)
            return R_FAIL;
    return R_OK;
}
