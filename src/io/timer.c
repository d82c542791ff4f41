#include "io/loop_inside.h"

#include "base/clock.h"
#include "base/load.h"

void
timer_init(struct timer *t, loop_fn *fn, void *arg)
{
    *t = (struct timer){.fn = fn, .arg = arg};
}

void
timer_clear(struct timer *t)
{
    if (!t->at)
        return;
    *t->at = t->next;
    if (t->next)
        t->next->at = t->at;
    t->next = NULL;
    t->at = NULL;
}

static void
link_in(struct timer **head, struct timer *t)
{
    t->next = *head;
    t->at = head;
    if (t->next)
        t->next->at = &t->next;
    *head = t;
}

void
timer_set(struct timer *t, uint32_t delay_ms)
{
    struct loop *l = loop_self();
    must(l != NULL && t->fn != NULL);
    timer_clear(t);
    t->due_ms = clock_mono_ms() + delay_ms + 1;  // the clock's rest of a millisecond
    uint64_t tick = t->due_ms / WHEEL_TICK_MS + 1;
    if (tick < l->wheel.tick)
        tick = l->wheel.tick;
    size_t slot = tick % WHEEL_SLOTS;
    link_in(&l->wheel.slots[slot], t);
    l->wheel.filled[slot / 64] |= 1ULL << (slot % 64);
}

void
wheel_init(struct wheel *w, uint64_t now_ms)
{
    *w = (struct wheel){.tick = now_ms / WHEEL_TICK_MS};
}

static void
slot_take_due(struct wheel *w, size_t slot, uint64_t now_ms, struct timer **due)
{
    struct timer *t = w->slots[slot];
    while (t) {
        struct timer *next = t->next;
        if (t->due_ms <= now_ms) {
            timer_clear(t);
            link_in(due, t);
        }
        t = next;
    }
    if (!w->slots[slot])
        w->filled[slot / 64] &= ~(1ULL << (slot % 64));
}

// The due timers hang in a list of their own while they run, so that one may clear another.
void
wheel_run(struct wheel *w, uint64_t now_ms)
{
    struct timer *due = NULL;
    uint64_t last = now_ms / WHEEL_TICK_MS;
    if (last >= w->tick + WHEEL_SLOTS)
        w->tick = last - WHEEL_SLOTS + 1;
    for (; w->tick <= last; w->tick++) {
        size_t slot = w->tick % WHEEL_SLOTS;
        if (w->filled[slot / 64] & 1ULL << (slot % 64))
            slot_take_due(w, slot, now_ms, &due);
    }
    while (due) {
        struct timer *t = due;
        timer_clear(t);
        load_timer(t->due_ms, now_ms);
        t->fn(t->arg);
    }
}

uint64_t
wheel_next_ms(const struct wheel *w)
{
    for (uint64_t tick = w->tick; tick < w->tick + WHEEL_SLOTS;) {
        size_t slot = tick % WHEEL_SLOTS;
        uint64_t bits = w->filled[slot / 64] >> (slot % 64);
        if (bits)
            return (tick + (unsigned)__builtin_ctzll(bits)) * WHEEL_TICK_MS;
        tick += 64 - slot % 64;
    }
    return 0;
}
