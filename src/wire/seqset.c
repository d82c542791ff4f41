#include "wire/seqset.h"

#include "base/limits.h"

void
seqset_init(struct seqset *s, struct arena *a)
{
    *s = (struct seqset){.arena = a};
}

static void
ranges_room(struct seqset *s, uint32_t want)
{
    if (want <= s->room)
        return;
    uint32_t room = s->room ? s->room * 2 : 8;
    if (room < want)
        room = want;
    struct seqset_range *bigger = arena_array(s->arena, room, sizeof *bigger);
    if (s->count)
        memcpy(bigger, s->ranges, s->count * sizeof *bigger);
    s->ranges = bigger;
    s->room = room;
}

// Index of the first range whose end is at or after n - 1, so that n touches it or comes before it.
static uint32_t
range_find(const struct seqset *s, uint32_t n)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if ((uint64_t)s->ranges[mid].last + 1 < n)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static uint32_t
smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t
larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

// The same, in constant time when n is not before the last range.
static uint32_t
range_place(const struct seqset *s, uint32_t n)
{
    if (s->count == 0 || s->ranges[s->count - 1].first > n)
        return range_find(s, n);
    bool touches = (uint64_t)s->ranges[s->count - 1].last + 1 >= n;
    return touches ? s->count - 1 : s->count;
}

void
seqset_add_range(struct seqset *s, uint32_t first, uint32_t last)
{
    uint32_t at = range_place(s, first);
    uint32_t end = at;
    while (end < s->count && s->ranges[end].first <= (uint64_t)last + 1)
        end++;
    if (end > at) {
        first = smaller(first, s->ranges[at].first);
        last = larger(last, s->ranges[end - 1].last);
    }
    ranges_room(s, s->count + 1 - (end - at));
    memmove(s->ranges + at + 1, s->ranges + end, (s->count - end) * sizeof *s->ranges);
    s->ranges[at] = (struct seqset_range){first, last};
    s->count = s->count + 1 - (end - at);
}

void
seqset_add(struct seqset *s, uint32_t n)
{
    seqset_add_range(s, n, n);
}

// One number or '*' off the front; *star_out tells which.
static enum result
take_number(struct span *text, uint32_t star, uint32_t *n_out, bool *star_out)
{
    *star_out = text->n > 0 && text->p[0] == '*';
    size_t digits = 0;
    while (digits < text->n && ascii_is_digit(text->p[digits]))
        digits++;
    struct span number = span_slice(*text, 0, digits);
    *text = span_skip(*text, *star_out ? 1 : digits);
    if (*star_out)
        *n_out = star;
    else if (digits == 0 || number.p[0] == '0' || span_to_u32(number, n_out) != R_OK)
        return R_FAIL;
    return R_OK;
}

// "7", "7:9", "9:7", "*:4" off the front. A range that names nothing has first == 0.
static enum result
take_range(struct span *text, uint32_t star, struct seqset_range *r_out)
{
    bool star_first, star_last;
    uint32_t first, last;
    if (take_number(text, star, &first, &star_first) != R_OK)
        return R_FAIL;
    last = first;
    star_last = star_first;
    if (text->n > 0 && text->p[0] == ':') {
        *text = span_skip(*text, 1);
        if (take_number(text, star, &last, &star_last) != R_OK)
            return R_FAIL;
    }
    bool nothing = star == 0 && (star_first || star_last);
    r_out->first = nothing ? 0 : smaller(first, last);
    r_out->last = larger(first, last);
    return R_OK;
}

static int
range_order(const void *a, const void *b)
{
    const struct seqset_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

// Sorts and merges in place, so that a set in any order costs n log n.
static void
normalise(struct seqset *s)
{
    if (s->count < 2)
        return;
    qsort(s->ranges, s->count, sizeof *s->ranges, range_order);
    uint32_t kept = 0;
    for (uint32_t i = 1; i < s->count; i++) {
        struct seqset_range *top = &s->ranges[kept], next = s->ranges[i];
        if (next.first <= (uint64_t)top->last + 1)
            top->last = larger(top->last, next.last);
        else
            s->ranges[++kept] = next;
    }
    s->count = kept + 1;
}

enum result
seqset_parse(struct span text, uint32_t star, struct arena *a, struct seqset *s_out,
             struct fault *f)
{
    struct seqset s;
    seqset_init(&s, a);
    for (uint32_t ranges = 1;; ranges++) {
        struct seqset_range r;
        if (take_range(&text, star, &r) != R_OK)
            return fault_set(f, FAULT_BAD, "wrong sequence set");
        if (ranges > LIMIT_seqset_ranges)
            return fault_set(f, FAULT_LIMIT, "more than %d ranges", LIMIT_seqset_ranges);
        if (r.first > 0) {
            ranges_room(&s, s.count + 1);
            s.ranges[s.count++] = r;
        }
        if (text.n == 0)
            break;
        if (text.p[0] != ',')
            return fault_set(f, FAULT_BAD, "wrong sequence set");
        text = span_skip(text, 1);
    }
    normalise(&s);
    *s_out = s;
    return R_OK;
}

size_t
seqset_span(struct span text)
{
    size_t n = 0;
    while (n < text.n && (ascii_is_digit(text.p[n]) || text.p[n] == ':' ||
                          text.p[n] == ',' || text.p[n] == '*'))
        n++;
    return n;
}

bool
seqset_contains(const struct seqset *s, uint32_t n)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (s->ranges[mid].last < n)
            low = mid + 1;
        else
            high = mid;
    }
    return low < s->count && s->ranges[low].first <= n;
}

uint64_t
seqset_size(const struct seqset *s)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < s->count; i++)
        size += (uint64_t)s->ranges[i].last - s->ranges[i].first + 1;
    return size;
}

void
seqset_copy(struct seqset *to, struct arena *a, const struct seqset *from)
{
    struct seqset s;
    seqset_init(&s, a);
    ranges_room(&s, from->count);
    if (from->count)
        memcpy(s.ranges, from->ranges, from->count * sizeof *s.ranges);
    s.count = from->count;
    *to = s;
}

bool
seqset_next(const struct seqset *s, struct seqset_iter *i, uint32_t *n_out)
{
    if (i->range < s->count && i->next > s->ranges[i->range].last)
        i->range++;
    if (i->range >= s->count)
        return false;
    if (i->next < s->ranges[i->range].first)
        i->next = s->ranges[i->range].first;
    *n_out = (uint32_t)i->next++;
    return true;
}

void
seqset_print(const struct seqset *s, struct buf *b)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (i > 0)
            buf_put_char(b, ',');
        buf_put_u64(b, s->ranges[i].first);
        if (s->ranges[i].last == s->ranges[i].first)
            continue;
        buf_put_char(b, ':');
        buf_put_u64(b, s->ranges[i].last);
    }
}

void
seqset_put(struct buf *b, const struct seqset *s)
{
    uint32_t end = 0;
    pack_var(b, s->count);
    for (uint32_t i = 0; i < s->count; i++) {
        pack_var(b, s->ranges[i].first - end);
        pack_var(b, s->ranges[i].last - s->ranges[i].first);
        end = s->ranges[i].last;
    }
}

enum result
seqset_get(struct unpack *u, struct arena *a, struct seqset *s_out)
{
    struct seqset s;
    seqset_init(&s, a);
    uint64_t count = unpack_var(u), end = 0;
    if (u->bad || count > u->rest.n / 2)  // two octets a range at least
        return R_FAIL;
    ranges_room(&s, (uint32_t)count);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t gap = unpack_var(u), width = unpack_var(u);
        bool touching = gap == 0 || (i > 0 && gap == 1);
        if (u->bad || touching || gap > UINT32_MAX || width > UINT32_MAX ||
            end + gap + width > UINT32_MAX)
            return R_FAIL;
        s.ranges[s.count++] =
            (struct seqset_range){(uint32_t)(end + gap), (uint32_t)(end + gap + width)};
        end += gap + width;
    }
    *s_out = s;
    return R_OK;
}
