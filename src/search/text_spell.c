#include "search/text_find.h"
#include "search/text_pages.h"

#include "base/lane.h"

// The terms of a page, spelled out one after the other.

// The octets of a term, more behind them.
struct spelled {
    lane16 first, second;
};
_Static_assert(sizeof(struct spelled) == TERM_MAX, "a term fits");

// Which octets are the first n.
static struct spelled
front_of(size_t n)
{
    static const lane16 low = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    lane16 all = lane_of((char)n);
    return (struct spelled){(lane16)(low < all), (lane16)(low + 16 < all)};
}

// The first `shared` octets of `before`, then those at p. (To read from memory what was written there just now in other pieces would take
// longer than all the rest.)
static void
spell(struct spelled *before, size_t shared, const char *p)
{
    struct spelled mask = front_of(shared);
    before->first = (before->first & mask.first) | (lane_load(p - shared) & ~mask.first);
    before->second =
        (before->second & mask.second) | (lane_load(p - shared + 16) & ~mask.second);
}

struct speller {
    const char *p, *end;
    size_t n, count;  // octets of the last term; terms so far
    struct spelled term;
};

static struct speller
speller_of(const struct text_page *page)
{
    return (struct speller){.p = page->coded.p, .end = page->coded.p + page->coded.n};
}

static enum result
damaged(const struct text_segment *s, const char *what, struct fault *f)
{
    return fault_set(f, FAULT_CORRUPTION, "search index segment %08x: %s", s->number, what);
}

// False: it is damaged. Behind what counts of a page's octets is room for a whole term. The octets that a term shares are told in some term
// before: there are as many before its own.
static inline bool
spell_next(struct speller *sp)
{
    size_t shared = (unsigned char)*sp->p / TERM_SHARED;
    struct span own = text_own_octets(sp->p);
    if (shared > sp->n || own.n == 0 || shared + own.n > TERM_MAX ||
        (size_t)(own.p - sp->p) + own.n > (size_t)(sp->end - sp->p))
        return false;
    spell(&sp->term, shared, own.p);
    sp->n = shared + own.n;
    sp->count++;
    sp->p = own.p + own.n;
    return true;
}

static enum result
spell_end(const struct text_segment *s, const struct text_page *page,
          const struct speller *sp, struct fault *f)
{
    return sp->count == page->count
               ? R_OK
               : damaged(s, "a page has not the terms that it says", f);
}

// Behind what counts of `plain` is room for a whole term.
enum result
text_page_spell(const struct text_segment *s, struct text_page *page, struct fault *f)
{
    struct speller sp = speller_of(page);
    char *to = page->plain;
    *to++ = (char)TEXT_DELIMITER;
    while (sp.p < sp.end) {
        if (to - page->plain > TEXT_PLAIN || !spell_next(&sp))
            return damaged(s, "a term is wrong", f);
        memcpy(to, &sp.term, sizeof sp.term);
        to += sp.n;
        *to++ = (char)TEXT_DELIMITER;
    }
    page->text = span_of(page->plain, (size_t)(to - page->plain));
    return spell_end(s, page, &sp, f);
}

// ---- the places of terms ----

static enum result
take_place(const struct text_segment *s, struct text_places *out, uint64_t place,
           struct fault *f)
{
    if (place >= s->paired)
        return damaged(s, "there are too many words", f);
    out->bits[place / 8] |= (unsigned char)(1u << (place % 8));
    out->first = place < out->first ? (uint32_t)place : out->first;
    out->end = place >= out->end ? (uint32_t)place + 1 : out->end;
    return R_OK;
}

static bool
begins_with(const struct speller *sp, const struct text_condition *c,
            const struct spelled *mask)
{
    lane_halves other =
        (lane_halves)(((sp->term.first ^ lane_load(c->octets)) & mask->first) |
                      ((sp->term.second ^ lane_load(c->octets + 16)) & mask->second));
    return (other[0] | other[1]) == 0 &&
           (c->how == TEXT_WHOLE ? sp->n == c->n : sp->n >= c->n);
}

// The place of the next word that is turned.
static bool
next_place(struct span *rest, uint64_t *place)
{
    const char *p = text_var_pass(rest->p, rest->p + rest->n, place);
    if (!p)
        return false;
    *rest = span_skip(*rest, (size_t)(p - rest->p));
    return true;
}

enum result
text_page_places(const struct text_segment *s, const struct text_page *page,
                 const struct text_condition *c, struct text_places *out, struct fault *f)
{
    struct speller sp = speller_of(page);
    struct spelled mask = front_of(c->n);
    struct span rest = page->entries;
    uint64_t place = page->place;
    while (sp.p < sp.end) {
        if (!spell_next(&sp) || (c->kind == TEXT_TURNED && !next_place(&rest, &place)))
            return damaged(s, "a term is wrong", f);
        if (begins_with(&sp, c, &mask) && take_place(s, out, place, f) != R_OK)
            return R_FAIL;
        place++;
    }
    return spell_end(s, page, &sp, f);
}
