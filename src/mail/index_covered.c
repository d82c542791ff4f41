#include "mail/index_inside.h"

#include "base/pack.h"
#include "store/derived.h"

// Up to where the rows of each mailbox were looked at, and the string of the account that keeps it.

enum { COVERED_VERSION = 1, COVERED_MAX = 1 << 21 };

static const char covered_name[] = "covered";

// The place of the mailbox, or where it would be.
static size_t
covered_at(const struct mail_index *x, uint64_t mailbox)
{
    size_t at = 0, end = x->covered_count;
    while (at < end) {
        size_t mid = at + (end - at) / 2;
        if (x->covered[mid].mailbox < mailbox)
            at = mid + 1;
        else
            end = mid;
    }
    return at;
}

// NULL: nothing of that mailbox is covered.
static struct index_covered *
covered_find(const struct mail_index *x, size_t at, uint64_t mailbox)
{
    struct index_covered *c = at < x->covered_count ? &x->covered[at] : NULL;
    return c != NULL && c->mailbox == mailbox ? c : NULL;
}

struct index_covered *
mail_index_covered_of(struct mail_index *x, uint64_t mailbox)
{
    size_t at = covered_at(x, mailbox);
    struct index_covered *found = covered_find(x, at, mailbox);
    if (found != NULL)
        return found;
    if (x->covered_count == x->covered_room) {
        size_t room = x->covered_room > 0 ? x->covered_room * 2 : 16;
        x->covered = keep_grow(x->covered, x->covered_room * sizeof *x->covered,
                               room * sizeof *x->covered);
        x->covered_room = room;
    }
    memmove(x->covered + at + 1, x->covered + at,
            (x->covered_count++ - at) * sizeof *x->covered);
    x->covered[at] = (struct index_covered){mailbox, 0};
    return &x->covered[at];
}

void
mail_index_covered_clear(struct mail_index *x)
{
    keep_free(x->covered, x->covered_room * sizeof *x->covered);
    x->covered = NULL;
    x->covered_count = x->covered_room = 0;
}

static uint32_t
covered_upto(const struct mail_index *x, uint64_t mailbox)
{
    const struct index_covered *found = covered_find(x, covered_at(x, mailbox), mailbox);
    return found != NULL ? found->upto : 0;
}

uint64_t
mail_index_fresh(const struct mail_index *x)
{
    const struct state *st = account_state(x->account);
    uint64_t fresh = 0;
    for (uint32_t i = 0; i < st->mailbox_count; i++) {
        const struct mailbox_state *m = st->mailboxes[i];
        uint32_t last = m->counts.uidnext - 1, upto = covered_upto(x, m->id);
        uint64_t behind = last > upto ? last - upto : 0;
        fresh += behind < m->counts.exists ? behind : m->counts.exists;
    }
    return fresh;
}

// Of mailboxes that are gone nothing is kept.
static void
covered_put(struct mail_index *x, struct buf *b)
{
    size_t to = 0;
    pack_u8(b, COVERED_VERSION);
    for (size_t i = 0; i < x->covered_count; i++) {
        if (!state_mailbox(account_state(x->account), x->covered[i].mailbox))
            continue;
        x->covered[to++] = x->covered[i];
        pack_u64(b, x->covered[i].mailbox);
        pack_u32(b, x->covered[i].upto);
    }
    x->covered_count = to;
}

enum result
mail_index_covered_save(struct mail_index *x, struct fault *f)
{
    struct store *s = mail_store(x->account->mail);
    struct buf b;
    buf_init(&b, COVERED_MAX);
    covered_put(x, &b);
    enum result r = derived_put(s, x->account->id, span_str(covered_name), buf_span(&b), f);
    buf_done(&b);
    return r;
}

static enum result
covered_read(struct mail_index *x, struct derived *d, struct fault *f)
{
    size_t n = (size_t)derived_size(d);
    if (n > COVERED_MAX)
        return fault_set(f, FAULT_CORRUPTION, "search index: what it covers is too long");
    char *p = calloc(1, n + 1);
    must(p != NULL);
    enum result r = derived_read(d, 0, p, n, f);
    struct unpack u = unpack_of(span_of(p, n));
    if (r == R_OK && unpack_u8(&u) == COVERED_VERSION) {
        while (!u.bad && u.rest.n >= 12) {
            uint64_t mailbox = unpack_u64(&u);
            mail_index_covered_of(x, mailbox)->upto = unpack_u32(&u);
        }
    }
    free(p);
    return r;
}

enum result
mail_index_covered_load(struct mail_index *x, struct fault *f)
{
    struct derived *d;
    enum result r = derived_open(mail_store(x->account->mail), x->account->id,
                                 span_str(covered_name), &d, f);
    if (r == R_OK) {
        r = covered_read(x, d, f);
        derived_close(&d);
    }
    return r == R_FAIL ? R_FAIL : R_OK;
}

enum result
mail_index_covered_remove(struct account *a, struct fault *f)
{
    return derived_remove(mail_store(a->mail), a->id, span_str(covered_name), f);
}
