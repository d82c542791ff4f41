#include "base/hash.h"
#include "base/limits.h"
#include "base/pages.h"
#include "search/text_builder.h"

// Terms are looked up in lots, so that the memory they lie in comes while others are worked on: a text has many, and few of them
// are in the processor's caches. Pairs of words are not looked up, but written down one after the other too. Where a term was met is written down one after the other, and sorted by who writes the segment.

// ---- terms ----

static uint64_t
load(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

#define FEWER(n) (((uint64_t)1 << 8 * (n)) - 1)
#define EIGHT UINT64_MAX
// Which of 16 octets belong to a text of n.
static const uint64_t front_masks[TERM_MAX + 1][2] = {
    {0, 0},
    {FEWER(1), 0},
    {FEWER(2), 0},
    {FEWER(3), 0},
    {FEWER(4), 0},
    {FEWER(5), 0},
    {FEWER(6), 0},
    {FEWER(7), 0},
    {EIGHT, 0},
    {EIGHT, FEWER(1)},
    {EIGHT, FEWER(2)},
    {EIGHT, FEWER(3)},
    {EIGHT, FEWER(4)},
    {EIGHT, FEWER(5)},
    {EIGHT, FEWER(6)},
    {EIGHT, FEWER(7)},
    [16 ... TERM_MAX] = {EIGHT, EIGHT},
};

struct wide {
    uint64_t low, high;
};

static struct wide
times(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;
    return (struct wide){(uint64_t)m, (uint64_t)(m >> 64)};
}

// Keyed, since terms come from outside; a SipHash of each would cost more than all the rest. The product of two factors that are not known
// keeps all of both, so that `more` tells terms apart of which the hash is the same.
static uint64_t
hash_term(const uint64_t key[4], const struct text_term *t, uint32_t *more)
{
    const uint64_t *masks = front_masks[t->n];
    uint64_t first = (load(t->p) & masks[0]) ^ key[0],
             second = (load(t->p + 8) & masks[1]) ^ key[1];
    if (t->n > 16) {
        struct wide rest =
            times(load(t->p + t->n - 16) ^ key[2], load(t->p + t->n - 8) ^ key[3]);
        first ^= rest.low;
        second ^= rest.high;
    }
    struct wide w = times(first, second);
    uint64_t size = (uint64_t)t->n << 8 | t->kind;
    struct wide h = times(w.low ^ key[2] ^ size, w.high ^ key[3]);
    *more =
        (uint32_t)(((w.low ^ key[1]) + (w.high << 32 | w.high >> 32)) * (key[0] | 1) >> 32);
    return h.low ^ h.high;
}

// The top of the hash, of slots that share a line of the processor's cache the first one.
static size_t
slot_of(const struct half *h, uint64_t hash)
{
    return (size_t)(hash >> (64 - h->bits)) & ~(size_t)(LINE - 1);
}

static size_t
slot_next(const struct half *h, size_t slot)
{
    return (slot + 1) & (((size_t)1 << h->bits) - 1);
}

static size_t
slots_size(unsigned bits)
{
    return bits > 0 ? sizeof(struct slot) << bits : 0;
}

static void
place(struct half *h, struct slot slot)
{
    size_t i = slot_of(h, slot.hash);
    while (h->slots[i].term != 0)
        i = slot_next(h, i);
    h->slots[i] = slot;
}

static void
more_slots(struct pool *pool, struct half *h)
{
    struct region before = h->slot_room;
    const struct slot *old = before.p;
    size_t n = slots_size(h->bits) / sizeof *old;
    h->bits = h->bits > 0 ? h->bits + 1 : SLOTS_FIRST_BITS;
    must(h->bits <= 31);
    h->slot_room = (struct region){0};
    h->slots = text_region(pool, &h->slot_room, slots_size(h->bits));
    memset(h->slots, 0, slots_size(h->bits));
    for (size_t i = 0; i < n; i++)
        if (old[i].term != 0)
            place(h, old[i]);
    text_region_give(pool, &before);
}

// There is room for it.
static void
new_term(struct half *h, const struct found *f, uint32_t met)
{
    struct term *t = (struct term *)(h->records + h->used);
    t->n = f->n;
    memcpy(t->text, f->text, TERM_MAX);
    h->firsts[h->count++] = (struct first){(uint32_t)h->used, met};
    h->used += RECORD_HEAD + (size_t)f->n;
}

// Its slot, or the one for it.
static size_t
slot_for(const struct half *h, const struct found *f)
{
    size_t i = slot_of(h, f->hash);
    while (h->slots[i].term != 0 &&
           (h->slots[i].hash != f->hash || h->slots[i].more != f->more))
        i = slot_next(h, i);
    return i;
}

static void
meet(struct text_builder *b, struct half *h, struct found *f, uint32_t met)
{
    struct slot *s = &h->slots[slot_for(h, f)];
    if (s->term != 0) {
        f->term = h->met[h->met_count++] = s->term;
        return;
    }
    new_term(h, f, met);
    f->term = (uint32_t)h->count;
    *s = (struct slot){f->hash, f->more, f->term};
    b->weight += (size_t)f->n + OVERHEAD;
}

// ---- lots ----

// Of what the builder is at, from there on.
static void
begin_run(struct runs *r, const struct text_builder *b, size_t from)
{
    const struct run *last = r->count > 0 ? &r->all[r->count - 1] : NULL;
    struct run run = {from, (uint32_t)b->document_count - 1, (uint16_t)b->zones};
    if (last && last->document == run.document && last->zones == run.zones)
        return;
    if (r->count == r->room) {
        r->room = r->room > 0 ? r->room * 2 : 64;
        r->all = reallocarray(r->all, r->room, sizeof *r->all);
    }
    must(r->all != NULL);
    r->all[r->count++] = run;
}

static void *
more_of(void *p, size_t *room, size_t first, size_t each)
{
    size_t old = *room;
    *room = old > 0 ? old * 2 : first;
    return pages_grow(p, old * each, *room * each);
}

// For new terms; records are written with all that is behind their texts.
void
text_half_room(struct half *h)
{
    if (h->count + LOT_ROOM > h->first_room)
        h->firsts = more_of(h->firsts, &h->first_room, FIRSTS_FIRST, sizeof *h->firsts);
    if (h->used + (LOT_ROOM + 1) * (RECORD_HEAD + TERM_MAX) > h->room)
        h->records = more_of(h->records, &h->room, RECORDS_FIRST, 1);
    must(h->room <= UINT32_MAX && h->first_room <= UINT32_MAX);
}

// For a lot.
static void
make_room(struct pool *pool, struct half *h)
{
    text_half_room(h);
    if (h->met_count + LOT_ROOM > h->met_room)
        h->met = more_of(h->met, &h->met_room, MET_FIRST, sizeof *h->met);
    // at most five eighths of the slots are taken
    if (h->bits == 0 || (h->count + LOT_ROOM) / 5 >= ((size_t)1 << h->bits) / 8)
        more_slots(pool, h);
}

// The term in the line where it is looked for first, or 0.
static uint32_t
term_in_line(const struct slot *s, const struct found *f)
{
    uint32_t term = 0;
    for (size_t i = 0; i < LINE; i++)
        term |=
            s[i].term & -(uint32_t)(((s[i].hash ^ f->hash) | (s[i].more ^ f->more)) == 0);
    return term;
}

// Takes those that are there, without a branch for each, since there is no telling; the others are left in `rest`.
static size_t
meet_known(struct half *h, struct lot *lot, uint8_t rest[LOT_ROOM])
{
    size_t left = 0, met = h->met_count;
    for (size_t i = 0; i < lot->n; i++) {
        struct found *f = &lot->found[i];
        uint32_t term = term_in_line(&h->slots[slot_of(h, f->hash)], f);
        h->met[met] = f->term = term;
        rest[left] = (uint8_t)i;
        met += term != 0;
        left += term == 0;
    }
    h->met_count = met;
    return left;
}

// All of a document and its zones.
static void
meet_lot(struct text_builder *b, enum text_kind kind)
{
    struct half *h = &b->halves[kind];
    struct lot *lot = &b->lots[kind];
    uint32_t document = (uint32_t)b->document_count - 1;
    uint8_t rest[LOT_ROOM];
    make_room(&b->pool, h);
    begin_run(&h->runs, b, h->met_count);
    size_t left = meet_known(h, lot, rest);
    for (size_t i = 0; i < left; i++)
        meet(b, h, &lot->found[rest[i]], document << TEXT_ZONE_BITS | b->zones);
    b->weight += lot->n * sizeof *h->met;
    b->full = b->full || b->weight > LIMIT_text_document;
    lot->n = 0;
}

static void
meet_all(struct text_builder *b)
{
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++)
        if (b->lots[kind].n > 0)
            meet_lot(b, kind);
}

// All ones where v is 0, else 0: v has no highest bit. Compilers make a branch of a comparison.
static uint64_t
mask_if_none(uint64_t v)
{
    return (uint64_t)((int64_t)(v - 1) >> 63);
}

// 0: this document was told to have it, in these zones; else 1. Without a branch, since there is no telling.
static unsigned
is_new(uint64_t *recent, uint64_t hash, uint64_t zones)
{
    uint64_t had = *recent & (RECENT - 1) & mask_if_none((*recent ^ hash) / RECENT);
    *recent = (hash & ~(uint64_t)(RECENT - 1)) | had | zones;
    return mask_if_none(had & zones) & 1;
}

// ---- pairs ----

// A word of a lot: its place in `recent`, whether it is looked up, and whether it is joined to the one before.
struct seen {
    uint16_t place;
    uint8_t new, joined;
};

// Each pair another number.
static uint64_t
hash_pair(uint64_t v)
{
    v = (v ^ v >> 32) * 0x9E3779B97F4A7C15u;
    return v ^ v >> 32;
}

// The words of a lot, all of a document and its zones; those that are looked up have been.
static void
join_words(struct text_builder *b, const struct seen *seen, size_t n)
{
    struct pairs *pairs = &b->pairs;
    const struct found *f = b->lots[TEXT_WORD].found;
    uint32_t last = b->lane->last;
    if (pairs->count + n >= pairs->room)
        pairs->all = more_of(pairs->all, &pairs->room, PAIRS_FIRST, sizeof *pairs->all);
    begin_run(&pairs->runs, b, pairs->count);
    uint64_t *to = pairs->all + pairs->count, *from = to;
    for (size_t i = 0; i < n; i++) {
        uint32_t *word = &pairs->words[seen[i].place];
        *word = (f->term & -(uint32_t)seen[i].new) | (*word & (seen[i].new - 1u));
        f += seen[i].new;
        *to = text_pair_of(last, *word);
        uint64_t hash = hash_pair(*to);
        last = *word;
        // without a branch, since there is no telling: at the last place is what is no pair
        size_t place = seen[i].joined ? hash & (RECENT - 1) : RECENT;
        to += is_new(&pairs->recent[place], hash, b->zones) & seen[i].joined;
    }
    b->lane->last = last;
    pairs->count += (size_t)(to - from);
    b->weight += (size_t)(to - from) * sizeof *to;
}

// Where the terms of one kind go to.
struct aim {
    struct found *to;
    const struct slot *slots;
    size_t mask;
    unsigned shift;
};

static struct aim
aim_of(struct text_builder *b, enum text_kind kind)
{
    const struct half *h = &b->halves[kind];
    struct found *to = b->lots[kind].found + b->lots[kind].n;
    return h->slots ? (struct aim){to, h->slots, ~(size_t)(LINE - 1), 64 - h->bits}
                    : (struct aim){to, b->nothing, 0, 0};
}

static void
on_terms(void *arg, const struct text_term *terms, size_t n)
{
    struct text_builder *b = arg;
    const uint64_t key[4] = {b->key[0], b->key[1], b->key[2], b->key[3]};
    uint64_t *recent = b->recent, zones = b->zones;
    struct aim aims[TEXT_KINDS];
    struct seen seen[TEXT_TERMS];
    size_t words = 0;
    if (b->full)
        return;
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++)
        aims[kind] = aim_of(b, kind);
    for (size_t i = 0; i < n; i++) {
        struct aim *aim = &aims[terms[i].kind];
        struct found *f = aim->to;
        uint32_t more;
        uint64_t hash = hash_term(key, &terms[i], &more);
        unsigned new = is_new(&recent[hash & (RECENT - 1)], hash, zones);
        f->hash = hash;
        f->more = more;
        f->n = terms[i].n;
        memcpy(f->text, terms[i].p, TERM_MAX);
        aim->to += new;
        seen[words] = (struct seen){hash & (RECENT - 1), (uint8_t) new, terms[i].joined};
        words += terms[i].kind == TEXT_WORD;
        // its slots come while others are worked on
        __builtin_prefetch(&aim->slots[hash >> aim->shift & aim->mask]);
    }
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++)
        b->lots[kind].n = (size_t)(aims[kind].to - b->lots[kind].found);
    if (b->lots[TEXT_WORD].n > 0)
        meet_lot(b, TEXT_WORD);
    join_words(b, seen, words);
    for (enum text_kind kind = TEXT_JUNCTION; kind < TEXT_KINDS; kind++)
        if (b->lots[kind].n >= LOT)
            meet_lot(b, kind);
}

static void
turn_to(struct text_builder *b, unsigned lane)
{
    if (b->zones != b->lanes[lane].zone)
        meet_all(b);
    b->lane = &b->lanes[lane];
    b->zones = b->lane->zone;
}

// ---- streams ----

static void
on_begin(void *arg, unsigned lane, enum mime_zone zone)
{
    struct text_builder *b = arg;
    must(b->open);
    b->lanes[lane].zone = zone;
    text_words_begin(&b->lanes[lane].words, &b->to);
}

static void
on_feed(void *arg, unsigned lane, struct span folded)
{
    struct text_builder *b = arg;
    turn_to(b, lane);
    b->text_octets += folded.n;
    if (!b->full)
        text_words_feed(&b->lanes[lane].words, folded);
}

static void
on_end(void *arg, unsigned lane)
{
    struct text_builder *b = arg;
    turn_to(b, lane);
    if (!b->full)
        text_words_end(&b->lanes[lane].words);
    if (b->lanes[lane].words.loose)
        b->documents[b->document_count - 1].d.loose |= (uint16_t)b->lanes[lane].zone;
}

struct mime_text_sink
text_builder_sink(struct text_builder *b)
{
    return (struct mime_text_sink){on_begin, on_feed, on_end, b};
}

// ---- documents ----

struct text_builder *
text_builder_new(void)
{
    struct text_builder *b = calloc(1, sizeof *b);
    must(b != NULL);
    b->to = (struct text_words_to){on_terms, b};
    random_bytes(b->key, sizeof b->key);
    b->recent = calloc(RECENT, sizeof *b->recent);
    b->pairs.recent = calloc(RECENT + 1, sizeof *b->pairs.recent);
    b->pairs.words = calloc(RECENT, sizeof *b->pairs.words);
    must(b->recent && b->pairs.recent && b->pairs.words);
    return b;
}

void
text_builder_close(struct text_builder *b)
{
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++) {
        text_region_give(&b->pool, &b->halves[kind].slot_room);
        b->halves[kind].slots = NULL;
        b->halves[kind].bits = 0;
    }
}

void
text_builder_reset(struct text_builder *b)
{
    struct region *regions[] = {&b->order, &b->spare, &b->ends, &b->postings, &b->ranks};
    text_builder_close(b);
    for (size_t i = 0; i < sizeof regions / sizeof *regions; i++)
        text_region_give(&b->pool, regions[i]);
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++) {
        struct half *h = &b->halves[kind];
        h->used = h->count = h->met_count = h->runs.count = 0;
        b->lots[kind].n = 0;
    }
    random_bytes(b->key, sizeof b->key);
    b->document_count = b->pairs.count = b->pairs.runs.count = 0;
    b->text_octets = 0;
    b->open = false;
}

void
text_builder_free(struct text_builder **b)
{
    if (!*b)
        return;
    text_builder_reset(*b);
    text_pool_done(&(*b)->pool);
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++) {
        struct half *h = &(*b)->halves[kind];
        pages_free(h->records, h->room);
        pages_free(h->firsts, h->first_room * sizeof *h->firsts);
        pages_free(h->met, h->met_room * sizeof *h->met);
        free(h->runs.all);
    }
    pages_free((*b)->pairs.all, (*b)->pairs.room * sizeof *(*b)->pairs.all);
    free((*b)->pairs.runs.all);
    free((*b)->recent);
    free((*b)->pairs.recent);
    free((*b)->pairs.words);
    free((*b)->documents);
    free(*b);
    *b = NULL;
}

void
text_builder_begin(struct text_builder *b, uint64_t emailid)
{
    must(!b->open && b->document_count < DOCUMENTS_MAX);
    if (b->document_count == b->document_room) {
        b->document_room = b->document_room > 0 ? b->document_room * 2 : 64;
        b->documents = realloc(b->documents, b->document_room * sizeof *b->documents);
        must(b->documents != NULL);
    }
    b->documents[b->document_count++] = (struct document){{emailid, 0, 0}, false};
    memset(b->recent, 0, RECENT * sizeof *b->recent);
    memset(b->pairs.recent, 0, RECENT * sizeof *b->pairs.recent);
    b->weight = 0;
    b->open = true;
    b->full = false;
}

void
text_builder_end(struct text_builder *b, unsigned open)
{
    must(b->open);
    meet_all(b);
    b->open = false;
    b->documents[b->document_count - 1].d.open = (uint16_t)(b->full ? MIME_ZONES : open);
}

void
text_builder_drop(struct text_builder *b)
{
    must(b->open);
    meet_all(b);
    b->open = false;
    b->documents[b->document_count - 1].dropped = true;
}

size_t
text_builder_octets(const struct text_builder *b)
{
    size_t n = sizeof *b + RECENT * (2 * sizeof *b->recent + sizeof *b->pairs.words) +
               b->document_room * sizeof *b->documents +
               b->pairs.room * sizeof *b->pairs.all +
               b->pairs.runs.room * sizeof *b->pairs.runs.all + b->pool.octets;
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++) {
        const struct half *h = &b->halves[kind];
        n += h->room + h->first_room * sizeof *h->firsts + h->met_room * sizeof *h->met +
             h->runs.room * sizeof *h->runs.all;
    }
    return n;
}

size_t
text_builder_gathered(const struct text_builder *b)
{
    size_t n = b->pairs.count * sizeof *b->pairs.all +
               b->pairs.runs.count * sizeof *b->pairs.runs.all;
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++) {
        const struct half *h = &b->halves[kind];
        n += h->used + h->count * (sizeof *h->firsts + 2 * sizeof *h->slots) +
             h->met_count * sizeof *h->met + h->runs.count * sizeof *h->runs.all;
    }
    return n;
}

size_t
text_builder_documents(const struct text_builder *b)
{
    return b->document_count;
}
