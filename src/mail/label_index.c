#include "mail/label_index.h"

#include "base/budget.h"
#include "base/clock.h"

enum { FIRST_CAP = 256, SLICE = 16384 };

// A mailbox; rows up to UID `upto` are in the index.
struct slot {
    uint64_t mailbox;
    uint32_t upto;
    uint32_t places;
    bool gone;
};

struct label_index {
    struct label_place *places;  // of `room`, as many as the heads
    uint32_t *heads;             // place + 1; 0: none
    uint32_t room, used, free;   // free: place + 1
    uint32_t dead;               // places of mailboxes that are gone
    struct slot *slots;          // ascending by mailbox
    uint32_t slot_count, slot_room;
    bool whole;
    unsigned pins;
    uint64_t used_ms;
};

// ---- memory ----

static size_t
memory_of(const struct label_index *x)
{
    return x->room * (sizeof *x->places + sizeof *x->heads) +
           x->slot_room * sizeof *x->slots;
}

// Everything is forgotten; who is making the index begins again.
static void
clear(struct label_index *x)
{
    budget_give(BUDGET_TABLES, memory_of(x));
    free(x->places);
    free(x->heads);
    free(x->slots);
    *x = (struct label_index){.pins = x->pins, .used_ms = x->used_ms};
}

void
label_index_free(struct account *a)
{
    if (!a->labels)
        return;
    clear(a->labels);
    free(a->labels);
    a->labels = NULL;
}

size_t
label_index_drop(struct account *a, uint64_t now_ms, uint64_t unused_ms)
{
    const struct label_index *x = a->labels;
    if (!x || x->pins > 0 || now_ms - x->used_ms <= unused_ms)
        return 0;
    size_t octets = memory_of(x);
    label_index_free(a);
    return octets;
}

static uint32_t *
head_of(const struct label_index *x, uint64_t emailid)
{
    return &x->heads[(size_t)(emailid * 0x9e3779b97f4a7c15 >> 32) & (x->room - 1)];
}

static void
link_all(struct label_index *x)
{
    for (uint32_t i = 0; i < x->used; i++) {
        uint32_t *head = head_of(x, x->places[i].emailid);
        x->places[i].next = *head;
        *head = i + 1;
    }
}

// Only when no place is free: then all of them are linked.
static void
grow(struct label_index *x)
{
    uint32_t room = x->room > 0 ? x->room * 2 : FIRST_CAP;
    must(room > x->room);
    budget_force(BUDGET_TABLES, (room - x->room) * (sizeof *x->places + sizeof *x->heads));
    x->places = realloc(x->places, room * sizeof *x->places);
    free(x->heads);
    x->heads = calloc(room, sizeof *x->heads);
    must(x->places != NULL && x->heads != NULL);
    x->room = room;
    link_all(x);
}

static uint32_t
place_new(struct label_index *x)
{
    uint32_t at = x->free;
    if (at > 0) {
        x->free = x->places[at - 1].next;
        return at - 1;
    }
    if (x->used == x->room)
        grow(x);
    return x->used++;
}

// ---- slots ----

static struct slot *
slot_find(const struct label_index *x, uint64_t mailbox)
{
    uint32_t low = 0, high = x->slot_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (x->slots[mid].mailbox < mailbox)
            low = mid + 1;
        else
            high = mid;
    }
    return low < x->slot_count && x->slots[low].mailbox == mailbox ? &x->slots[low] : NULL;
}

// Ids rise within an account, so a new mailbox comes last.
static struct slot *
slot_add(struct label_index *x, uint64_t mailbox, uint32_t upto)
{
    if (x->slot_count == x->slot_room) {
        uint32_t room = x->slot_room > 0 ? x->slot_room * 2 : 16;
        budget_force(BUDGET_TABLES, (room - x->slot_room) * sizeof *x->slots);
        x->slots = realloc(x->slots, room * sizeof *x->slots);
        must(x->slots != NULL);
        x->slot_room = room;
    }
    must(x->slot_count == 0 || x->slots[x->slot_count - 1].mailbox < mailbox);
    x->slots[x->slot_count] = (struct slot){.mailbox = mailbox, .upto = upto};
    return &x->slots[x->slot_count++];
}

// ---- rows ----

static struct label_place *
place_of(const struct label_index *x, uint64_t emailid, uint32_t slot)
{
    if (x->room == 0)
        return NULL;
    for (uint32_t at = *head_of(x, emailid); at > 0; at = x->places[at - 1].next)
        if (x->places[at - 1].emailid == emailid && x->places[at - 1].slot == slot)
            return &x->places[at - 1];
    return NULL;
}

static void
row_add(struct label_index *x, struct slot *s, const struct message_row *row)
{
    uint32_t slot = (uint32_t)(s - x->slots);
    struct label_place *p = place_of(x, row->emailid, slot);
    if (p) {
        p->count++;
        p->uid = row->uid;
        return;
    }
    uint32_t at = place_new(x);
    uint32_t *head = head_of(x, row->emailid);
    x->places[at] = (struct label_place){row->emailid, slot, row->uid, 1, *head};
    *head = at + 1;
    s->places++;
}

static void
place_remove(struct label_index *x, struct slot *s, const struct label_place *p)
{
    uint32_t at = (uint32_t)(p - x->places) + 1, *link = head_of(x, p->emailid);
    while (*link != at)
        link = &x->places[*link - 1].next;
    *link = p->next;
    x->places[at - 1].next = x->free;
    x->free = at;
    s->places--;
}

static void
row_remove(struct label_index *x, struct slot *s, const struct message_row *row)
{
    struct label_place *p = place_of(x, row->emailid, (uint32_t)(s - x->slots));
    must(p != NULL);
    if (p->uid == row->uid)
        p->uid = 0;
    if (--p->count == 0)
        place_remove(x, s, p);
}

// ---- making it ----

// The next mailbox that is not wholly in it. Slots stand in the order of ids, and all but the last are whole.
static struct mailbox *
next_mailbox(struct account *a)
{
    const struct label_index *x = a->labels;
    const struct slot *last = x->slot_count > 0 ? &x->slots[x->slot_count - 1] : NULL;
    if (last && !last->gone && last->upto != UINT32_MAX)
        return mailbox_of(a, last->mailbox);
    uint32_t at = last ? state_mailbox_at(account_state(a), last->mailbox + 1) : 0;
    return at < account_state(a)->mailbox_count
               ? mailbox_of(a, account_state(a)->mailboxes[at]->id)
               : NULL;
}

static void
put_slice(struct label_index *x, const struct mailbox *m)
{
    const struct mailbox_state *st = m->state;
    struct slot *s = slot_find(x, m->id);
    if (!s)
        s = slot_add(x, m->id, 0);
    uint32_t from = state_row_at(st, s->upto + 1), end = st->counts.exists;
    if (end - from > SLICE)
        end = from + SLICE;
    for (uint32_t i = from; i < end; i++)
        row_add(x, s, &st->rows[i]);
    s->upto = end == st->counts.exists ? UINT32_MAX : st->rows[end - 1].uid;
}

static enum result
make(struct account *a, struct fault *f)
{
    struct mailbox *m;
    while ((m = next_mailbox(a))) {
        if (m->state->counts.exists > 0 && mailbox_load(a, m, f) != R_OK) {
            if (f->kind == FAULT_NONEXISTENT)
                continue;
            return R_FAIL;
        }
        put_slice(a->labels, m);
        if (m->state->counts.exists > 0)
            task_yield();
    }
    a->labels->whole = true;
    return R_OK;
}

enum result
label_index_ready(struct account *a, struct fault *f)
{
    if (!a->labels) {
        a->labels = calloc(1, sizeof *a->labels);
        must(a->labels != NULL);
    }
    struct label_index *x = a->labels;
    enum result r = R_OK;
    x->pins++;
    while (r == R_OK && !x->whole)
        r = make(a, f);
    x->pins--;
    x->used_ms = clock_mono_ms();
    return r;
}

// ---- asking it ----

bool
label_index_whole(const struct account *a)
{
    return a->labels && a->labels->whole;
}

static const struct label_place *
living(const struct label_index *x, uint32_t at, uint64_t emailid)
{
    for (; at > 0; at = x->places[at - 1].next) {
        const struct label_place *p = &x->places[at - 1];
        if (p->emailid == emailid && !x->slots[p->slot].gone)
            return p;
    }
    return NULL;
}

const struct label_place *
label_places(const struct account *a, uint64_t emailid)
{
    const struct label_index *x = a->labels;
    must(x->whole);
    return x->room > 0 ? living(x, *head_of(x, emailid), emailid) : NULL;
}

const struct label_place *
label_places_next(const struct account *a, const struct label_place *p)
{
    return living(a->labels, p->next, p->emailid);
}

uint64_t
label_slot_mailbox(const struct account *a, uint32_t slot)
{
    return a->labels->slots[slot].mailbox;
}

uint32_t
label_slots(const struct account *a)
{
    return a->labels->slot_count;
}

const struct label_place *
label_place_in(const struct account *a, uint64_t emailid, uint64_t mailbox)
{
    const struct label_index *x = a->labels;
    const struct slot *s = slot_find(x, mailbox);
    return s && !s->gone ? place_of(x, emailid, (uint32_t)(s - x->slots)) : NULL;
}

bool
label_held(const struct account *a, uint64_t emailid, uint64_t mailbox)
{
    return label_place_in(a, emailid, mailbox) != NULL;
}

// ---- keeping it ----

// A mailbox made after the index is whole from its start. NULL: the index is not so far.
static struct slot *
mailbox_came(struct label_index *x, uint64_t mailbox)
{
    struct slot *s = slot_find(x, mailbox);
    return s || !x->whole ? s : slot_add(x, mailbox, UINT32_MAX);
}

// The slot, when rows of this UID are in the index.
static struct slot *
slot_for(struct label_index *x, uint64_t mailbox, uint32_t uid)
{
    struct slot *s = mailbox_came(x, mailbox);
    return s && uid <= s->upto ? s : NULL;
}

static void
row_came(struct label_index *x, uint64_t mailbox, const struct message_row *row)
{
    struct slot *s = slot_for(x, mailbox, row->uid);
    if (s)
        row_add(x, s, row);
}

static void
rows_came(struct label_index *x, struct span meta)
{
    struct record_copied r;
    struct record_row row;
    must(record_copied_get(meta, &r) == R_OK);
    struct unpack u = unpack_of(r.rows);
    for (size_t i = 1; record_rows_next(&u, &row) == R_OK; i++) {
        row_came(x, r.mailbox, &row.row);
        yield_at(i);
    }
}

static void
rows_go(struct account *a, struct span meta)
{
    struct label_index *x = a->labels;
    struct record_expunged r;
    uint32_t first, last;
    must(record_expunged_get(meta, &r) == R_OK);
    const struct mailbox_state *st = state_mailbox(account_state(a), r.mailbox);
    if (!st || !slot_find(x, r.mailbox))
        return;
    if (!st->loaded) {
        clear(x);
        return;
    }
    struct unpack u = unpack_of(r.uids);
    while (record_ranges_next(&u, &first, &last) == R_OK)
        for (uint32_t i = state_row_at(st, first);
             i < st->counts.exists && st->rows[i].uid <= last; i++) {
            struct slot *s = slot_find(x, r.mailbox);  // others made slots meanwhile
            if (st->rows[i].uid <= s->upto)
                row_remove(x, s, &st->rows[i]);
            yield_at(i);
        }
}

// Its places stay, passed over, until they are too many.
static void
mailbox_goes(struct label_index *x, struct span meta)
{
    struct record_mailbox_gone r;
    must(record_mailbox_gone_get(meta, &r) == R_OK);
    struct slot *s = slot_find(x, r.id);
    if (!s || s->gone)
        return;
    s->gone = true;
    x->dead += s->places;
    if (x->dead > x->used / 2)
        clear(x);
}

void
label_index_before(struct account *a, enum record_type type, struct span meta)
{
    if (a->labels && (type == RECORD_EXPUNGED || type == RECORD_MOVED))
        rows_go(a, meta);
}

void
label_index_after(struct account *a, enum record_type type, struct span meta)
{
    struct record_added added;
    struct record_filed filed;
    struct record_mailbox made;
    if (!a->labels)
        return;
    switch (type) {
    case RECORD_MAILBOX:
        must(record_mailbox_get(meta, &made) == R_OK);
        mailbox_came(a->labels, made.id);
        break;
    case RECORD_ADDED:
        must(record_added_get(meta, &added) == R_OK);
        row_came(a->labels, added.mailbox, &added.row);
        break;
    case RECORD_COPIED:
        rows_came(a->labels, meta);
        break;
    case RECORD_FILED:
        must(record_filed_get(meta, &filed) == R_OK);
        row_came(a->labels, filed.mailbox, &filed.row);
        break;
    case RECORD_MAILBOX_GONE:
        mailbox_goes(a->labels, meta);
        break;
    case RECORD_RESTORED:
    case RECORD_ACCOUNT_GONE:
        clear(a->labels);
        break;
    default:
        break;
    }
}
