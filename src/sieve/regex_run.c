#include "base/utf8.h"
#include "sieve/regex_inside.h"

// A way to match: the next step, and where groups began and ended. NOWHERE: not yet.
#define NOWHERE SIZE_MAX

struct list {
    uint32_t *steps;
    size_t n;
    size_t *places;  // of each, `width` of them
};

// What is to be done: follow a step, or give a place its old value back.
struct todo {
    uint32_t step;
    bool restore;
    uint32_t place;
    size_t value;
};

struct run {
    const struct sieve_regex *x;
    struct span text;
    size_t at;
    size_t width;
    struct list now, next;
    uint32_t *seen;  // by step: the round in which it was added
    uint32_t round;
    struct todo *todo;
    size_t *places, *best;
    bool found;
    struct sieve_steps *steps;
};

static struct list
new_list(struct arena *a, size_t n, size_t width)
{
    return (struct list){.steps = arena_array(a, n, sizeof(uint32_t)),
                         .places = arena_array(a, n * width, sizeof(size_t))};
}

// One step of those that read no character; more to do is put on the pile.
static void
follow(struct run *r, struct list *list, uint32_t step, size_t *pile)
{
    const struct regex_step *s = &r->x->steps[step];
    bool here = s->op == STEP_BEGIN ? r->at == 0 : r->at == r->text.n;
    switch (s->op) {
    case STEP_JUMP:
        r->todo[(*pile)++] = (struct todo){.step = s->a};
        break;
    case STEP_SPLIT:
        r->todo[(*pile)++] = (struct todo){.step = s->b};
        r->todo[(*pile)++] = (struct todo){.step = s->a};
        break;
    case STEP_BEGIN:
    case STEP_END:
        if (here)
            r->todo[(*pile)++] = (struct todo){.step = step + 1};
        break;
    case STEP_SAVE:
        r->todo[(*pile)++] =
            (struct todo){.restore = true, .place = s->a, .value = r->places[s->a]};
        r->todo[(*pile)++] = (struct todo){.step = step + 1};
        r->places[s->a] = r->at;
        break;
    default:
        list->steps[list->n] = step;
        memcpy(list->places + list->n * r->width, r->places, r->width * sizeof(size_t));
        list->n++;
        break;
    }
}

static bool
add(struct run *r, struct list *list, uint32_t step)
{
    size_t pile = 0;
    r->todo[pile++] = (struct todo){.step = step};
    while (pile > 0) {
        struct todo t = r->todo[--pile];
        if (t.restore) {
            r->places[t.place] = t.value;
            continue;
        }
        if (r->seen[t.step] == r->round)
            continue;
        r->seen[t.step] = r->round;
        if (!sieve_steps_spend(r->steps, 1 + r->width / 8))
            return false;
        follow(r, list, t.step, &pile);
    }
    return true;
}

static bool
in_ranges(const struct sieve_regex *x, const struct regex_step *s, uint32_t point)
{
    for (uint32_t i = s->a; i < s->b; i++)
        if (point >= x->ranges[i].low && point <= x->ranges[i].high)
            return true;
    return false;
}

// In either case: as it is, folded, and as a capital.
static bool
is_in(const struct sieve_regex *x, const struct regex_step *s, uint32_t point)
{
    if (in_ranges(x, s, point))
        return true;
    uint32_t small = regex_small(x->collation, point);
    uint32_t capital = regex_capital(x->collation, point);
    return (small != point && in_ranges(x, s, small)) ||
           (capital != point && in_ranges(x, s, capital));
}

static bool
reads(const struct sieve_regex *x, const struct regex_step *s, uint32_t point)
{
    switch (s->op) {
    case STEP_POINT:
        return s->a == point ||
               regex_small(x->collation, s->a) == regex_small(x->collation, point);
    case STEP_ANY:
        return true;
    case STEP_IN:
        return is_in(x, s, point);
    case STEP_NOT_IN:
        return !is_in(x, s, point);
    default:
        return false;
    }
}

// The leftmost, then the longest.
static void
keep_best(struct run *r, const size_t *places)
{
    if (r->found &&
        (places[0] > r->best[0] || (places[0] == r->best[0] && places[1] <= r->best[1])))
        return;
    memcpy(r->best, places, r->width * sizeof(size_t));
    r->found = true;
}

static void
swap(struct run *r)
{
    struct list l = r->now;
    r->now = r->next;
    r->next = l;
    r->next.n = 0;
}

// One character: which ways go on. `behind` is where the next begins.
static bool
read_point(struct run *r, uint32_t point, size_t behind)
{
    size_t here = r->at;
    r->at = behind;
    for (size_t i = 0; i < r->now.n; i++) {
        const struct regex_step *s = &r->x->steps[r->now.steps[i]];
        const size_t *places = r->now.places + i * r->width;
        if (!sieve_steps_spend(
                r->steps, 1 + (s->op == STEP_IN || s->op == STEP_NOT_IN ? s->b - s->a : 0)))
            return false;
        if (s->op == STEP_MATCH) {
            keep_best(r, places);
            continue;
        }
        if (here == behind || !reads(r->x, s, point))
            continue;
        memcpy(r->places, places, r->width * sizeof(size_t));
        if (!add(r, &r->next, r->now.steps[i] + 1))
            return false;
    }
    return true;
}

static bool
begin_here(struct run *r)
{
    for (size_t i = 0; i < r->width; i++)
        r->places[i] = NOWHERE;
    return r->found || add(r, &r->now, 0);
}

static bool
run(struct run *r)
{
    r->round = 1;
    for (;;) {
        struct span rest = span_skip(r->text, r->at);
        uint32_t point = 0;
        size_t n = rest.n;
        if (!begin_here(r))
            return false;
        if (n > 0 && utf8_next(&rest, &point) != R_OK) {
            point = 0xDC00 + (unsigned char)*rest.p;  // no character: stands for itself
            rest = span_skip(rest, 1);
        }
        r->round++;
        if (!read_point(r, point, r->at + (n - rest.n)))
            return false;
        if (n == 0 || (r->found && r->next.n == 0))
            return true;
        swap(r);
    }
}

static void
tell(const struct run *r, struct span *taken)
{
    for (size_t i = 0; i < r->x->groups; i++) {
        size_t from = r->best[2 * i], to = r->best[2 * i + 1];
        taken[i] =
            from == NOWHERE || to == NOWHERE ? SPAN_NONE : span_slice(r->text, from, to);
    }
}

size_t
sieve_regex_octets(const struct sieve_regex *x)
{
    size_t places = 2 * (size_t)x->groups * sizeof(size_t);
    return (x->n + 1) *
           (2 * (places + sizeof(uint32_t)) + sizeof(uint32_t) + 4 * sizeof(struct todo));
}

enum result
sieve_regex_find(const struct sieve_regex *x, struct arena *scratch, struct span text,
                 struct span *taken, struct sieve_steps *steps)
{
    size_t width = 2 * (size_t)x->groups;
    struct run r = {.x = x, .text = text, .width = width, .steps = steps};
    r.now = new_list(scratch, x->n, width);
    r.next = new_list(scratch, x->n, width);
    r.seen = arena_array(scratch, x->n, sizeof(uint32_t));
    r.todo = arena_array(scratch, 4 * x->n + 4, sizeof(struct todo));
    r.places = arena_array(scratch, width, sizeof(size_t));
    r.best = arena_array(scratch, width, sizeof(size_t));
    bool whole = run(&r);
    if (!whole)
        return R_FAIL;
    if (!r.found)
        return R_NONE;
    tell(&r, taken);
    return R_OK;
}
