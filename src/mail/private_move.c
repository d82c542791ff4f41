#include "mail/private.h"

// Everybody's sets are looked for in the index once (mailbox_privates.whole); later they are in memory.

struct users {
    uint64_t *ids;
    size_t n;
};

static bool
is_other(const struct account *a, uint64_t user, uint64_t mover)
{
    return private_foreign(a, user) && user != mover;
}

static void
users_in_memory(struct account *a, const struct mailbox *m, uint64_t mover,
                struct users *out)
{
    size_t room = 0;
    for (const struct private_set *s = m->privates.sets; s; s = s->next)
        room++;
    out->ids = arena_array(a->batch_arena, room, sizeof *out->ids);
    for (const struct private_set *s = m->privates.sets; s; s = s->next)
        if (is_other(a, s->user, mover))
            out->ids[out->n++] = s->user;
}

static enum result
users_in_index(struct account *a, const struct mailbox *m, uint64_t mover,
               struct users *out, struct fault *f)
{
    struct store_private_users found = {.a = a->batch_arena};
    if (store_private_users(mail_store(a->mail), account_state(a), &found, f) != R_OK)
        return R_FAIL;
    out->ids = arena_array(a->batch_arena, found.n, sizeof *out->ids);
    for (size_t i = 0; i < found.n; i++)
        if (found.list[i].mailbox == m->id && is_other(a, found.list[i].user, mover))
            out->ids[out->n++] = found.list[i].user;
    return R_OK;
}

// What this batch has put is neither in the index nor in the lists.
static bool
changes_now(const struct account *a, const struct mailbox *m, uint64_t mover)
{
    for (const struct private_set *s = m->privates.sets; s; s = s->next)
        if (is_other(a, s->user, mover) && s->batch == a->batch_number)
            return true;
    return false;
}

enum result
private_others_open(struct account *a, struct mailbox *m, uint64_t mover,
                    struct private_others *out, struct fault *f)
{
    struct users users = {0};
    bool whole = m->privates.whole;
    if (changes_now(a, m, mover))
        return R_NONE;
    if (!m->state || !m->state->privates)
        return R_OK;
    if (whole)
        users_in_memory(a, m, mover, &users);
    else if (users_in_index(a, m, mover, &users, f) != R_OK)
        return R_FAIL;
    out->sets = arena_array(a->batch_arena, users.n, sizeof(struct private_set *));
    for (; out->n < users.n; out->n++) {
        struct private_set **s = &out->sets[out->n];
        if (private_open_here(a, m, users.ids[out->n], s, f) != R_OK)
            return R_FAIL;
    }
    m->privates.whole = true;
    return R_OK;
}

void
private_others_close(struct private_others *o)
{
    while (o->n > 0)
        private_close(o->sets[--o->n]);
}

size_t
private_others_octets(const struct private_others *o, const struct mailbox *m,
                      const uint32_t *rows, size_t n)
{
    size_t octets = 0;
    for (size_t k = 0; k < o->n; k++) {
        size_t at = 0, marked = rows ? 0 : o->sets[k]->list.n;
        for (size_t i = 0; rows && i < n; i++) {
            yield_at(i);
            marked +=
                private_find(&o->sets[k]->list, m->state->rows[rows[i]].uid, &at) != NULL;
        }
        octets += marked > 0 ? marked * PRIVATE_OCTETS + PRIVATE_RECORD : 0;
    }
    return octets;
}

static size_t
entries_of(const struct private_set *s, uint16_t mask, const struct seqset *source,
           const struct seqset *target, struct private_entry *out)
{
    struct seqset_iter from = {0}, to = {0};
    uint32_t old, new;
    size_t at = 0, n = 0;
    for (size_t i = 0; seqset_next(source, &from, &old) && seqset_next(target, &to, &new);
         i++) {
        const struct private_entry *e = private_find(&s->list, old, &at);
        yield_at(i);
        if (e && (e->flags & mask))
            out[n++] = (struct private_entry){.uid = new, .flags = e->flags &mask};
    }
    return n;
}

void
private_others_put(struct account *a, struct store_batch *b, const struct private_others *o,
                   const struct private_put *to, const struct seqset *source,
                   const struct seqset *target)
{
    struct private_put p = *to;
    struct private_entry *entries =
        arena_array(a->batch_arena, seqset_size(target), sizeof *entries);
    p.entries = entries;
    for (size_t k = 0; k < o->n; k++) {
        p.user = o->sets[k]->user;
        p.n = entries_of(o->sets[k], private_mask(a, p.user), source, target, entries);
        if (p.n == 0)
            continue;
        p.modseq = change_modseq(a);
        private_put(a, b, &p);
    }
}
