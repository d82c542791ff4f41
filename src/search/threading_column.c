#include "search/threading_column.h"

#include "mime/message_id.h"
#include "search/threading_inside.h"

#include <stdlib.h>

enum { SLOTS_FIRST = 1024, NUMBERS_MAX = 1 << 30, AT_ONCE = 4096 };

// What is met, by the order in which it was; numbers begin with 1.
struct numbers {
    struct hash_wide *list;
    uint32_t count, room;
    uint32_t *slots;  // twice as many as there is room
};

struct known {
    int64_t sent_s, arrived_s;
    uint32_t id, subject;  // 0: none
    uint32_t references_at, reference_count;
    bool reply;
};

struct threading_column {
    struct column head;  // its count and UIDs are those of the first run until the end
    struct known *messages;
    uint32_t added, room;  // messages with those that were added; room for them
    struct numbers ids, subjects;
    uint32_t *references;
    uint32_t reference_count, reference_room;
};

static struct threading_column *
column_of(struct column *c)
{
    return (struct threading_column *)c;
}

// ---- memory ----

static void
column_free(struct column *head)
{
    struct threading_column *c = column_of(head);
    free(c->messages);
    free(c->ids.list);
    free(c->ids.slots);
    free(c->subjects.list);
    free(c->subjects.slots);
    free(c->references);
    free(c);
}

// Room for `room` of them, where there are `from`.
static enum result
widen(struct threading_column *c, void *array, size_t size, const uint32_t room[2],
      struct fault *f)
{
    void *p;
    if (room[1] > NUMBERS_MAX)
        return fault_set(f, FAULT_LIMIT, "too many messages to thread");
    if (column_take(&c->head, (room[1] - room[0]) * size, f) != R_OK)
        return R_FAIL;
    memcpy(&p, array, sizeof p);
    p = reallocarray(p, room[1] + 1, size);
    must(p != NULL);
    memcpy(array, &p, sizeof p);
    return R_OK;
}

// ---- numbers ----

static uint32_t *
slot_of(const struct numbers *n, const struct hash_wide *hash)
{
    uint32_t mask = n->room * 2 - 1, i = (uint32_t)hash->part[0] & mask;
    while (n->slots[i] > 0 && memcmp(&n->list[n->slots[i] - 1], hash, sizeof *hash) != 0)
        i = (i + 1) & mask;
    return &n->slots[i];
}

static void
fill_slots(struct numbers *n)
{
    for (uint32_t i = 0; i < n->count; i++) {
        *slot_of(n, &n->list[i]) = i + 1;
        if (i % AT_ONCE == AT_ONCE - 1)
            task_yield();
    }
}

static enum result
numbers_room(struct threading_column *c, struct numbers *n, uint32_t room, struct fault *f)
{
    const uint32_t rooms[2] = {n->room, room};
    if (widen(c, &n->list, sizeof *n->list, rooms, f) != R_OK ||
        column_take(&c->head, (size_t)(room - n->room) * 2 * sizeof *n->slots, f) != R_OK)
        return R_FAIL;
    free(n->slots);
    n->slots = calloc(room, 2 * sizeof *n->slots);
    must(n->slots != NULL);
    n->room = room;
    fill_slots(n);
    return R_OK;
}

static enum result
number_of(struct threading_column *c, struct numbers *n, struct span text, uint32_t *out,
          struct fault *f)
{
    const struct hash_wide hash = hash_keyed_wide(text);
    if (n->count == n->room && numbers_room(c, n, n->room * 2, f) != R_OK)
        return R_FAIL;
    uint32_t *slot = slot_of(n, &hash);
    if (*slot == 0) {
        n->list[n->count++] = hash;
        *slot = n->count;
    }
    *out = *slot;
    return R_OK;
}

// ---- a new one ----

static enum result
copy_numbers(struct threading_column *c, const struct numbers *old, uint32_t more,
             struct numbers *out, struct fault *f)
{
    uint32_t room = SLOTS_FIRST;
    while (room < (uint64_t)old->count + more && room < NUMBERS_MAX)
        room *= 2;
    if (old->room > room)
        room = old->room;
    bool same = old->room == room;
    if (numbers_room(c, out, room, f) != R_OK)
        return R_FAIL;
    out->count = old->count;
    if (old->count > 0)
        memcpy(out->list, old->list, old->count * sizeof *out->list);
    if (same)
        memcpy(out->slots, old->slots, (size_t)room * 2 * sizeof *out->slots);
    else
        fill_slots(out);
    return R_OK;
}

static enum result
copy(struct threading_column *c, const struct threading_column *old, uint32_t more,
     struct fault *f)
{
    const uint32_t rooms[2] = {0, old->head.count + more};
    const uint32_t references[2] = {0, old->reference_count + more};
    c->room = rooms[1];
    c->reference_room = references[1];
    if (widen(c, &c->messages, sizeof *c->messages, rooms, f) != R_OK ||
        widen(c, &c->head.uids, sizeof *c->head.uids, rooms, f) != R_OK ||
        widen(c, &c->references, sizeof *c->references, references, f) != R_OK ||
        copy_numbers(c, &old->ids, more, &c->ids, f) != R_OK ||
        copy_numbers(c, &old->subjects, more, &c->subjects, f) != R_OK)
        return R_FAIL;
    c->head.count = c->added = old->head.count;
    c->reference_count = old->reference_count;
    if (old->head.count > 0) {
        memcpy(c->messages, old->messages, old->head.count * sizeof *c->messages);
        memcpy(c->head.uids, old->head.uids, old->head.count * sizeof *c->head.uids);
    }
    if (old->reference_count > 0)
        memcpy(c->references, old->references,
               old->reference_count * sizeof *c->references);
    return R_OK;
}

enum result
threading_column_begin(struct column *old, uint32_t more, struct column **out,
                       struct fault *f)
{
    static const struct threading_column none;
    struct threading_column *c = calloc(1, sizeof *c);
    must(c != NULL);
    c->head.refs = 1;
    c->head.free = column_free;
    struct column *made = &c->head;
    if (copy(c, old ? column_of(old) : &none, more, f) != R_OK) {
        column_unref(&made);
        return R_FAIL;
    }
    *out = made;
    return R_OK;
}

// ---- messages ----

static enum result
add_reference(struct threading_column *c, struct known *k, struct span id, struct fault *f)
{
    const uint32_t rooms[2] = {c->reference_room,
                               c->reference_room + c->reference_room / 2 + SLOTS_FIRST};
    if (!mime_message_id_valid(id))
        return R_OK;
    if (c->reference_count == c->reference_room) {
        if (widen(c, &c->references, sizeof *c->references, rooms, f) != R_OK)
            return R_FAIL;
        c->reference_room = rooms[1];
    }
    if (number_of(c, &c->ids, id, &c->references[c->reference_count], f) != R_OK)
        return R_FAIL;
    c->reference_count++;
    k->reference_count++;
    return R_OK;
}

static enum result
add_references(struct threading_column *c, struct known *k, struct span ids,
               struct fault *f)
{
    struct span id;
    while (span_next_field(&ids, '\0', &id) == R_OK)
        if (add_reference(c, k, id, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

static enum result
fill(struct threading_column *c, struct known *k, const struct threading_message *m,
     struct fault *f)
{
    *k = (struct known){.sent_s = m->sent_s,
                        .arrived_s = m->arrived_s,
                        .references_at = c->reference_count,
                        .reply = m->reply};
    if (m->subject.n > 0 && number_of(c, &c->subjects, m->subject, &k->subject, f) != R_OK)
        return R_FAIL;
    if (mime_message_id_valid(m->message_id) &&
        number_of(c, &c->ids, m->message_id, &k->id, f) != R_OK)
        return R_FAIL;
    if (add_references(c, k, m->references, f) != R_OK)
        return R_FAIL;
    return k->reference_count > 0 ? R_OK : add_references(c, k, m->in_reply_to, f);
}

static enum result
message_room(struct threading_column *c, struct fault *f)
{
    const uint32_t rooms[2] = {c->room, c->room + c->room / 2 + SLOTS_FIRST};
    if (c->added < c->room)
        return R_OK;
    if (widen(c, &c->messages, sizeof *c->messages, rooms, f) != R_OK ||
        widen(c, &c->head.uids, sizeof *c->head.uids, rooms, f) != R_OK)
        return R_FAIL;
    c->room = rooms[1];
    return R_OK;
}

enum result
threading_column_add(struct column *head, uint32_t uid, const struct threading_message *m,
                     struct fault *f)
{
    struct threading_column *c = column_of(head);
    uint32_t at = column_from(head, 0, uid);
    if (at < head->count && head->uids[at] == uid)
        return R_OK;
    if (message_room(c, f) != R_OK || fill(c, &c->messages[c->added], m, f) != R_OK)
        return R_FAIL;
    head->uids[c->added++] = uid;
    return R_OK;
}

// Two ascending runs become one, from behind.
static void
merge_runs(struct threading_column *c, const uint32_t *uids, const struct known *messages)
{
    uint32_t old = c->head.count, n = c->added - old, to = c->added;
    while (n > 0) {
        bool fresh = old == 0 || c->head.uids[old - 1] < uids[n - 1];
        to--;
        c->head.uids[to] = fresh ? uids[n - 1] : c->head.uids[old - 1];
        c->messages[to] = fresh ? messages[n - 1] : c->messages[old - 1];
        n -= fresh;
        old -= !fresh;
        if (to % AT_ONCE == 0)
            task_yield();
    }
}

enum result
threading_column_end(struct column *head, struct fault *f)
{
    struct threading_column *c = column_of(head);
    uint32_t old = head->count, n = c->added - old;
    if (n > 0 && old > 0 && head->uids[old] < head->uids[old - 1]) {
        size_t octets = (size_t)n * (sizeof *c->messages + sizeof *head->uids);
        if (column_take(head, octets, f) != R_OK)
            return R_FAIL;
        struct known *messages = reallocarray(NULL, n, sizeof *messages);
        uint32_t *uids = reallocarray(NULL, n, sizeof *uids);
        must(messages && uids);
        memcpy(messages, c->messages + old, n * sizeof *messages);
        memcpy(uids, head->uids + old, n * sizeof *uids);
        merge_runs(c, uids, messages);
        free(messages);
        free(uids);
        column_give(head, octets);
    }
    head->count = c->added;
    return R_OK;
}

// ---- threading by it ----

enum result
threading_by_column(struct threading *t, const struct column *head, struct fault *f)
{
    const struct threading_column *c = (const struct threading_column *)head;
    return threading_nodes_reserve(t, c->ids.count, head->count, f);
}

enum result
threading_add_known(struct threading *t, const struct column *head, uint32_t number,
                    uint32_t place, struct fault *f)
{
    const struct threading_column *c = (const struct threading_column *)head;
    const struct known *k = &c->messages[place];
    const struct threading_entry e = {.sent_s = k->sent_s,
                                      .arrived_s = k->arrived_s,
                                      .subject = {{k->subject, 0}},
                                      .number = number,
                                      .reply = k->reply,
                                      .has_subject = k->subject > 0};
    const struct threading_nodes refs = {c->references + k->references_at,
                                         k->reference_count};
    bool linked = t->kind != THREADING_SUBJECT;
    return threading_place(t, &e, linked ? k->id : 0,
                           linked ? refs : (struct threading_nodes){NULL, 0}, f);
}
