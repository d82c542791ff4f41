#include "io/task.h"
#include "search/text_find.h"

// Pairs of words: read one after the other, and looked up where a condition may be met by one.

static inline bool
take_pair(const struct text_segment *s, struct text_pair_cursor *c, uint64_t *pair)
{
    uint64_t v = 0, right = c->next >> 32, more = 0, left;
    const char *p = text_var_pass(c->p, c->end, &v);
    if (p && (v & 1))
        p = text_var_pass(p, c->end, &more);
    left = (v >> 1) + (v & 1 ? 0 : c->next & UINT32_MAX);
    if (!p || more >= s->paired || (right += more) >= s->paired || left >= s->paired)
        return false;
    *pair = text_pair_of((uint32_t)left, (uint32_t)right);
    if (*pair < c->next)
        return false;
    c->next = *pair + 1;
    c->p = p;
    return true;
}

static inline bool
take_entry(const struct text_segment *s, struct text_pair_cursor *c, struct text_entry *out)
{
    uint64_t v = 0, zones = c->zones;
    out->at = c->list;
    const char *p = text_var_pass(c->p, c->end, &v);
    if (p && (v & 3) == 3)
        p = text_var_pass(p, c->end, &zones);
    if (!p)
        return false;
    c->p = p;
    if (v & 1) {
        out->octets = 0;
        out->one = (struct text_posting){(uint32_t)(v >> 2), (uint16_t)zones};
        c->zones = (uint16_t)zones;
        return v >> 2 < s->document_count && zones > 0 && zones <= MIME_ZONES;
    }
    out->octets = (uint32_t)(v >> 1);
    if (v == 0 || v >> 1 > s->list_octets - c->list || v >> 1 > UINT32_MAX)
        return false;
    c->list += v >> 1;
    return true;
}

static inline enum result
next(const struct text_segment *s, struct text_pair_cursor *c, uint64_t *pair,
     struct text_entry *out, struct fault *f)
{
    if (c->left == 0)
        return R_NONE;
    c->left--;
    return take_pair(s, c, pair) && take_entry(s, c, out)
               ? R_OK
               : fault_set(f, FAULT_CORRUPTION,
                           "search index segment %08x: a pair is wrong", s->number);
}

enum result
text_pairs_next(struct text_pairs *it, uint64_t *pair, struct text_entry *out,
                struct fault *f)
{
    return next(it->segment, &it->at, pair, out, f);
}

// ---- a condition as two words ----

static bool
is_plain(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alpha(s.p[i]) && !ascii_is_digit(s.p[i]))
            return false;
    return true;
}

// A word of the pair, of which the condition has one end, or all where it is `whole`: a junction has at most PAIR_EDGE octets of it.
static struct text_condition
word_of(struct span s, bool whole, enum text_kind kind)
{
    struct text_condition c = {.kind = kind, .how = TEXT_PREFIX, .n = (uint8_t)s.n};
    if (whole && s.n < PAIR_EDGE)
        c.how = TEXT_WHOLE;
    for (size_t i = 0; i < s.n; i++)
        c.octets[i] = s.p[kind == TEXT_TURNED ? s.n - 1 - i : i];
    return c;
}

// False: no pair meets it.
static bool
split(const struct text_condition *c, struct text_condition *left,
      struct text_condition *right)
{
    struct span s = span_of(c->octets, c->n);
    size_t blank = span_find_char(s, ' ');
    if (c->kind != TEXT_JUNCTION || blank == s.n)
        return false;
    struct span a = span_slice(s, 0, blank), b = span_skip(s, blank + 1);
    *left = word_of(a, c->how == TEXT_WHOLE || c->how == TEXT_PREFIX, TEXT_TURNED);
    *right = word_of(b, c->how == TEXT_WHOLE || c->how == TEXT_SUFFIX, TEXT_PAIRED);
    return is_plain(a) && is_plain(b);
}

// ---- looking up ----

// The words that a pair may have at one side; of all of them where there is no text.
static enum result
find_words(struct text_place *at, const struct text_condition *c, struct text_places *out,
           struct fault *f)
{
    struct text_work w;
    if (c->n == 0) {
        out->end = at->s->paired;
        return R_OK;
    }
    out->first = UINT32_MAX;
    out->bits = calloc(at->s->paired / 8 + 1u, 1);
    must(out->bits != NULL);
    text_work_init(&w, c, 0);
    w.places = out;
    enum result r = text_look_up(at, &w, f);
    text_work_done(&w);
    return r;
}

static bool
has(const struct text_places *p, uint32_t place)
{
    return !p->bits || (p->bits[place / 8] >> (place % 8) & 1);
}

// The first page that may have a pair with that right word.
static uint32_t
seek(const struct text_segment *s, const uint64_t *heads, uint32_t right)
{
    uint32_t low = 0, high = s->pair_pages;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (heads[middle] >> 32 < right)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? low - 1 : 0;
}

// Reads the lists of the page's pairs of these words.
static enum result
take_pairs(struct text_place *at, struct text_work *w, const struct text_places *left,
           const struct text_places *right, struct fault *f)
{
    struct text_pair_cursor c = at->pairs.at;
    struct text_entry entry;
    enum result r;
    uint64_t pair = 0;
    while (!text_is_done(w) && (r = next(at->s, &c, &pair, &entry, f)) != R_NONE) {
        if (r != R_OK)
            return R_FAIL;
        uint32_t place = (uint32_t)(pair >> 32);
        if (place >= right->end)
            return R_OK;
        if (place >= right->first && has(left, (uint32_t)pair) &&
            text_list_mark(&at->lists, &entry, &w->marks, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
take_all_pairs(struct text_place *at, struct text_work *w, const struct text_places *left,
               const struct text_places *right, struct fault *f)
{
    struct text_segment *s = at->s;
    const uint64_t *heads = s->heads + text_segment_pages(s) + s->pages[TEXT_TURNED];
    uint32_t page = seek(s, heads, right->first);
    for (bool first = true; page < s->pair_pages && !text_is_done(w);
         page++, first = false) {
        if (!first && heads[page] >> 32 >= right->end)
            return R_OK;
        task_yield();
        if (text_pairs_load(s, page, &at->pairs, f) != R_OK ||
            take_pairs(at, w, left, right, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

enum result
text_look_up_pairs(struct text_place *at, struct text_work *w, struct fault *f)
{
    struct text_places left = {0}, right = {0};
    struct text_condition before, after;
    if (at->s->pair_pages == 0 || !split(w->c, &before, &after))
        return R_OK;
    enum result r = find_words(at, &after, &right, f);
    if (r == R_OK && right.first < right.end &&
        (r = find_words(at, &before, &left, f)) == R_OK && left.first < left.end)
        r = take_all_pairs(at, w, &left, &right, f);
    free(left.bits);
    free(right.bits);
    return r;
}
