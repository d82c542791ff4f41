#include "ctl/import_ids.h"

#include "base/hash.h"
#include "base/limits.h"

struct slot {
    struct hash_wide id;
    struct import_ids_place where;  // uid 0: free
};

struct import_ids {
    struct slot *slots;
    size_t count, room;  // room: a power of two
};

enum { ROOM_FIRST = 1024 };

struct import_ids *
import_ids_new(void)
{
    struct import_ids *i = calloc(1, sizeof *i);
    must(i != NULL);
    return i;
}

void
import_ids_free(struct import_ids **ip)
{
    if (*ip == NULL)
        return;
    free((*ip)->slots);
    free(*ip);
    *ip = NULL;
}

static struct slot *
slot_of(const struct import_ids *i, struct hash_wide id)
{
    size_t at = id.part[0] & (i->room - 1);
    while (i->slots[at].where.uid != 0 &&
           (i->slots[at].id.part[0] != id.part[0] || i->slots[at].id.part[1] != id.part[1]))
        at = (at + 1) & (i->room - 1);
    return &i->slots[at];
}

static void
grow(struct import_ids *i)
{
    struct import_ids bigger = {.room = i->room ? i->room * 2 : ROOM_FIRST};
    bigger.slots = calloc(bigger.room, sizeof *bigger.slots);
    must(bigger.slots != NULL);
    for (size_t k = 0; k < i->room; k++)
        if (i->slots[k].where.uid != 0)
            *slot_of(&bigger, i->slots[k].id) = i->slots[k];
    free(i->slots);
    i->slots = bigger.slots;
    i->room = bigger.room;
}

void
import_ids_add(struct import_ids *i, struct span id, struct import_ids_place where)
{
    if (id.n == 0 || where.uid == 0 || i->count >= LIMIT_pull_ids)
        return;
    if (i->count * 4 >= i->room * 3)
        grow(i);
    struct slot *s = slot_of(i, hash_keyed_wide(id));
    i->count += s->where.uid == 0;
    *s = (struct slot){hash_keyed_wide(id), where};
}

enum result
import_ids_find(const struct import_ids *i, struct span id, struct import_ids_place *out)
{
    if (id.n == 0 || i->room == 0)
        return R_NONE;
    const struct slot *s = slot_of(i, hash_keyed_wide(id));
    if (s->where.uid == 0)
        return R_NONE;
    *out = s->where;
    return R_OK;
}

struct span
import_ids_of_row(const struct message_row *row)
{
    return span_of((const char *)&row->emailid, sizeof row->emailid);
}
