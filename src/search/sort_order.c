#include "search/sort_inside.h"

#include "base/limits.h"
#include "io/task.h"

// A radix sort, the first criterion first. A digit is a number, or seven octets of a text; messages whose digits are equal
// are put in order by the next one. So each octet of each text is looked at a few times at most, however alike they are.

enum { STEP = 7, SMALL = 40, WORK = 4096 };

static void
worked(struct sort *s, uint32_t n)
{
    s->work += n;
    if (s->work < WORK)
        return;
    s->work = 0;
    task_yield();
}

static const struct sort_value *
value_of(const struct sort *s, const struct sort_range *r, uint32_t message)
{
    return &s->values[(size_t)message * s->program.n + r->criterion];
}

// Seven octets and how many there were; 8 of them when more follow.
static uint64_t
text_digit(const struct sort_value *v, size_t at)
{
    size_t left = v->number - at, n = left < STEP ? left : STEP;
    unsigned char octets[8] = {0};
    uint64_t digit;
    memcpy(octets, v->text + at, n);
    octets[7] = (unsigned char)(left > STEP ? STEP + 1 : left);
    memcpy(&digit, octets, sizeof digit);
    return __builtin_bswap64(digit);
}

uint64_t
sort_digit(const struct sort *s, uint32_t criterion, uint32_t at, uint32_t message)
{
    const struct sort_value *v = &s->values[(size_t)message * s->program.n + criterion];
    uint64_t digit = v->text ? text_digit(v, at) : v->number;
    return s->program.list[criterion].reverse ? ~digit : digit;
}

// ---- by one digit, equal ones staying as they are ----

static void
sort_small(struct sort_item *items, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct sort_item x = items[i];
        uint32_t at = i;
        for (; at > 0 && items[at - 1].digit > x.digit; at--)
            items[at] = items[at - 1];
        items[at] = x;
    }
}

static void
sort_byte(struct sort *s, const struct sort_item *from, struct sort_item *to, uint32_t n,
          unsigned shift)
{
    uint32_t at[256] = {0}, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        at[from[i].digit >> shift & 255]++;
    for (unsigned b = 0; b < 256; b++) {
        uint32_t here = at[b];
        at[b] = sum;
        sum += here;
    }
    for (uint32_t i = 0; i < n; i++) {
        to[at[from[i].digit >> shift & 255]++] = from[i];
        if (i % WORK == WORK - 1)
            task_yield();
    }
    worked(s, n);
}

static void
sort_digits(struct sort *s, struct sort_item *items, uint32_t n)
{
    struct sort_item *from = items, *to = s->spare;
    uint64_t differ = 0;
    if (n <= SMALL) {
        sort_small(items, n);
        return;
    }
    for (uint32_t i = 1; i < n; i++)
        differ |= items[i].digit ^ items[0].digit;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if ((differ >> shift & 255) == 0)
            continue;
        sort_byte(s, from, to, n, shift);
        struct sort_item *other = from;
        from = to;
        to = other;
    }
    if (from != items)
        memcpy(items, from, n * sizeof *items);
}

// ---- ranges ----

static enum result
push(struct sort *s, struct sort_range r, struct fault *f)
{
    if (s->range_count == s->range_room) {
        size_t room = s->range_room > 0 ? s->range_room * 2 : 256;
        if (sort_take(s, (room - s->range_room) * sizeof r, f) != R_OK)
            return R_FAIL;
        s->ranges = realloc(s->ranges, room * sizeof r);
        must(s->ranges != NULL);
        s->range_room = room;
    }
    s->ranges[s->range_count++] = r;
    return R_OK;
}

// Where the texts of the range, equal up to r->at, begin to differ or the first of them ends.
static uint32_t
common(struct sort *s, const struct sort_range *r)
{
    const struct sort_value *first = value_of(s, r, s->items[r->from].message);
    size_t end = first->number;
    for (uint32_t i = 1; i < r->n && end > r->at; i++) {
        const struct sort_value *v = value_of(s, r, s->items[r->from + i].message);
        size_t at = r->at;
        end = v->number < end ? v->number : end;
        while (at < end && v->text[at] == first->text[at])
            at++;
        worked(s, 1 + (uint32_t)(at - r->at) / 16);
        end = at;
    }
    return (uint32_t)end;
}

// Equal in this digit: what is compared next. False: nothing, they are equal.
static bool
deeper(struct sort *s, struct sort_range *r)
{
    const struct sort_value *v = value_of(s, r, s->items[r->from].message);
    if (v->text && v->number - r->at > STEP) {
        r->at += STEP;
        r->at = common(s, r);
        return true;
    }
    r->criterion++;
    r->at = 0;
    return r->criterion < s->end;
}

static enum result
split(struct sort *s, struct sort_range r, struct fault *f)
{
    struct sort_item *items = &s->items[r.from];
    bool seen = s->set;  // by sort_set
    s->set = false;
    for (uint32_t i = 0; i < r.n && !seen; i++) {
        items[i].digit = sort_digit(s, r.criterion, r.at, items[i].message);
        if (i % WORK == WORK - 1)
            task_yield();
    }
    sort_digits(s, items, r.n);
    for (uint32_t i = 0, end; i < r.n; i = end) {
        for (end = i + 1; end < r.n && items[end].digit == items[i].digit;)
            end++;
        struct sort_range equal = {r.from + i, end - i, r.criterion, r.at};
        if (equal.n > 1 && deeper(s, &equal) && push(s, equal, f) != R_OK)
            return R_FAIL;
    }
    worked(s, r.n);
    return R_OK;
}

static enum result
begin(struct sort *s, struct fault *f)
{
    size_t each = sizeof *s->spare + sizeof *s->order;
    if (s->order)
        return R_OK;
    if (sort_take(s, s->count * each, f) != R_OK)
        return R_FAIL;
    s->spare = calloc(s->count + 1, sizeof *s->spare);
    s->order = calloc(s->count + 1, sizeof *s->order);
    must(s->spare && s->order);
    return R_OK;
}

// By the criteria from `first` on and before `end`.
static enum result
order_by(struct sort *s, uint32_t first, uint32_t end, const uint32_t **order_out,
         struct fault *f)
{
    if (begin(s, f) != R_OK)
        return R_FAIL;
    s->end = end;
    s->set = s->set && first == 0;
    for (size_t i = 0; i < s->count && !s->set; i++)
        s->items[i].message = (uint32_t)i;
    if (s->count > 1 && first < end &&
        push(s, (struct sort_range){0, (uint32_t)s->count, first, 0}, f) != R_OK)
        return R_FAIL;
    while (s->range_count > 0)
        if (split(s, s->ranges[--s->range_count], f) != R_OK)
            return R_FAIL;
    for (size_t i = 0; i < s->count; i++)
        s->order[i] = s->items[i].message;
    s->set = false;
    *order_out = s->order;
    return R_OK;
}

enum result
sort_order(struct sort *s, const uint32_t **order_out, struct fault *f)
{
    return order_by(s, 0, s->program.n, order_out, f);
}

enum result
sort_order_by(struct sort *s, unsigned criterion, const uint32_t **order_out,
              struct fault *f)
{
    return order_by(s, criterion, criterion + 1, order_out, f);
}
