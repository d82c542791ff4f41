#include "main/auth_inside.h"
#include "base/clock.h"

// Who waits for the answer of an outer user database: rings of struct ask, one for each question.

void
ask_init(struct ask *a, void (*again)(void *arg), void *arg)
{
    *a = (struct ask){.since_ms = clock_mono_ms(), .again = again, .arg = arg};
}

void
ask_anew(struct ask *a)
{
    a->since_ms = clock_mono_ms();
    a->fresh = true;
    a->kept = false;
    a->count = 0;
}

void
ask_ring_add(struct ask *ring, struct ask *a)
{
    a->next = ring;
    a->prev = ring->prev;
    ring->prev->next = a;
    ring->prev = a;
    a->waiting = true;
}

void
ask_cancel(struct ask *a)
{
    if (!a->waiting)
        return;
    a->prev->next = a->next;
    a->next->prev = a->prev;
    a->waiting = false;
}

// Whoever is called may cancel others of the ring.
void
ask_wake_all(struct ask *ring, uint8_t verdict)
{
    while (ring->next != ring) {
        struct ask *a = ring->next;
        ask_cancel(a);
        a->verdict = verdict;
        a->again(a->arg);
    }
}

void
ask_ring_move(struct ask *from, struct ask *to)
{
    to->next = to->prev = to;
    if (from->next == from)
        return;
    to->next = from->next;
    to->prev = from->prev;
    to->next->prev = to;
    to->prev->next = to;
    from->next = from->prev = from;
}
