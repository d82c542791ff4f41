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

void
state_privates_drop(struct kept *k, uint64_t mailbox, uint64_t user, struct span ranges)
{
    size_t to = 0;
    for (size_t i = 0; i < k->private_count; i++) {
        const struct record_private *p = &k->privates[i];
        if (p->mailbox != mailbox || (user != 0 && p->user != user) ||
            !in_ranges(ranges, p->uid))
            k->privates[to++] = *p;
    }
    k->private_count = to;
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
