#include "store/state_inside.h"
#include "store/store.h"

// Private rows of a state that keeps everything: ascending by mailbox, user and UID.

static int
order(const struct record_private *a, uint64_t mailbox, uint64_t user, uint32_t uid)
{
    if (a->mailbox != mailbox)
        return a->mailbox < mailbox ? -1 : 1;
    if (a->user != user)
        return a->user < user ? -1 : 1;
    return a->uid < uid ? -1 : a->uid > uid;
}

static size_t
find(const struct kept *k, uint64_t mailbox, uint64_t user, uint32_t uid)
{
    size_t low = 0, high = k->private_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (order(&k->privates[mid], mailbox, user, uid) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void
state_private_put(struct kept *k, const struct record_private *p)
{
    size_t at = find(k, p->mailbox, p->user, p->uid);
    if (at < k->private_count &&
        order(&k->privates[at], p->mailbox, p->user, p->uid) == 0) {
        if (k->privates[at].modseq < p->modseq)
            k->privates[at] = *p;
        return;
    }
    if (k->private_count == k->private_cap) {
        k->private_cap = k->private_cap > 0 ? k->private_cap * 2 : 16;
        k->privates = reallocarray(k->privates, k->private_cap, sizeof *k->privates);
        must(k->privates != NULL);
    }
    memmove(k->privates + at + 1, k->privates + at,
            (k->private_count++ - at) * sizeof *k->privates);
    k->privates[at] = *p;
}

static bool
in_ranges(struct span ranges, uint32_t uid)
{
    struct unpack u = unpack_of(ranges);
    uint32_t first = 0, last = 0;
    while (record_ranges_next(&u, &first, &last) == R_OK)
        if (first <= uid && uid <= last)
            return true;
    return ranges.n == 0;
}

static void
bury(struct kept *k, const struct record_private *p, uint64_t modseq)
{
    if (k->mark_count == k->mark_cap) {
        k->mark_cap = k->mark_cap > 0 ? k->mark_cap * 2 : 16;
        k->marks = reallocarray(k->marks, k->mark_cap, sizeof *k->marks);
        must(k->marks != NULL);
    }
    k->marks[k->mark_count] = *p;
    k->marks[k->mark_count++].modseq = modseq;
}

static void
drop_marks(struct kept *k, uint64_t mailbox, uint64_t user)
{
    size_t to = 0;
    for (size_t i = 0; i < k->mark_count; i++)
        if (k->marks[i].mailbox != mailbox || k->marks[i].user != user)
            k->marks[to++] = k->marks[i];
    k->mark_count = to;
}

void
state_privates_drop(struct kept *k, uint64_t mailbox, uint64_t user, struct span ranges,
                    uint64_t buried, uint64_t owner)
{
    size_t to = 0;
    for (size_t i = 0; i < k->private_count; i++) {
        const struct record_private *p = &k->privates[i];
        bool goes = p->mailbox == mailbox && (user == 0 || p->user == user) &&
                    in_ranges(ranges, p->uid);
        if (goes && buried && p->user != owner && p->flags != 0)
            bury(k, p, buried);
        if (!goes)
            k->privates[to++] = *p;
    }
    k->private_count = to;
    if (user != 0 && ranges.n == 0)
        drop_marks(k, mailbox, user);
}

void
state_marks_forget(struct kept *k, uint64_t mailbox, uint64_t up_to_modseq)
{
    size_t to = 0;
    for (size_t i = 0; i < k->mark_count; i++)
        if (k->marks[i].mailbox != mailbox || k->marks[i].modseq > up_to_modseq)
            k->marks[to++] = k->marks[i];
    k->mark_count = to;
}

static bool
is_tombstone(const struct store_tombstones *t, uint32_t uid, uint64_t modseq)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->list[i].row.uid == uid && t->list[i].modseq == modseq)
            return true;
    return false;
}

// modseq: of the tombstones, 0: each row's own.
static void
list_marks(const struct record_private *from, size_t n, const struct record_private *of,
           struct store_tombstones *out)
{
    for (size_t i = 0; i < n; i++)
        if (from[i].mailbox == of->mailbox && from[i].user != of->user &&
            is_tombstone(out, from[i].uid, of->modseq ? of->modseq : from[i].modseq))
            out->marks[out->mark_count++] =
                (struct store_mark){from[i].user, from[i].uid, from[i].flags};
}

void
state_marks_list(const struct kept *k, uint64_t mailbox, uint64_t owner,
                 struct store_tombstones *out)
{
    struct record_private of = {.mailbox = mailbox, .user = owner};
    out->marks = arena_array(out->a, k->mark_count + k->private_count, sizeof *out->marks);
    out->mark_count = 0;
    out->last = out->max == 0 || out->n < out->max;
    list_marks(k->marks, k->mark_count, &of, out);
    for (size_t i = 0; i < k->deleted_count; i++) {
        of.modseq = k->deleted[i].modseq;
        if (k->deleted[i].row.id == mailbox)
            list_marks(k->privates, k->private_count, &of, out);
    }
}

void
state_privates_list(const struct kept *k, uint64_t mailbox, uint64_t user,
                    struct store_privates *out)
{
    out->list = calloc(k->private_count + 1, sizeof *out->list);
    out->n = 0;
    must(out->list != NULL);
    for (size_t i = find(k, mailbox, user, 0); i < k->private_count; i++) {
        const struct record_private *p = &k->privates[i];
        if (p->mailbox != mailbox || p->user != user)
            break;
        out->list[out->n++] = (struct store_private){p->uid, p->flags, p->modseq};
    }
}

void
state_private_users(const struct kept *k, struct store_private_users *out)
{
    out->list = calloc(k->private_count + 1, sizeof *out->list);
    out->n = 0;
    must(out->list != NULL);
    for (size_t i = 0; i < k->private_count; i++) {
        const struct record_private *p = &k->privates[i];
        if (i == 0 || p->mailbox != p[-1].mailbox || p->user != p[-1].user)
            out->list[out->n++] = (struct store_private_user){p->mailbox, p->user};
    }
}
