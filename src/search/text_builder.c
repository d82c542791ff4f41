#include "base/hash.h"
#include "base/limits.h"
#include "search/text_builder.h"

// Terms are looked up in lots, so that the memory they lie in comes while others are worked on: a text has many, and few of them
// are in the processor's caches. Where a term was met is written down one after the other, and sorted by who writes the segment.

// ---- terms ----

static uint64_t
load(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

// The first n octets, of which there are eight.
static uint64_t
load_few(const char *p, size_t n)
{
    return n < 8 ? load(p) & (((uint64_t)1 << 8 * n) - 1) : load(p);
}

static uint64_t
mix(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

// Keyed, since terms come from outside; a SipHash of each would cost more than all the rest.
static uint64_t
hash_term(const struct text_builder *b, enum text_kind kind, const char *p, size_t n)
{
    uint64_t h = b->key[0], size = (uint64_t)n << 8 | kind, tail = 0;
    if (n > 16)
        h = mix(load(p + 8) ^ h, load(p + n - 16) ^ b->key[1]);
    if (n > 8)
        tail = load(p + n - 8);
    return mix(mix(load_few(p, n) ^ h, tail ^ b->key[1]) ^ size, b->key[0] | 1);
}

// The top of the hash, since it is what a slot keeps.
static size_t
slot_of(const struct half *h, uint64_t hash)
{
    return (size_t)(hash >> (64 - h->bits));
}

static size_t
slot_next(const struct half *h, size_t slot)
{
    return (slot + 1) & (((size_t)1 << h->bits) - 1);
}

static void
place(struct half *h, uint64_t hash, size_t term)
{
    size_t i = slot_of(h, hash);
    while ((uint32_t)h->slots[i] != 0)
        i = slot_next(h, i);
    h->slots[i] = (hash & ~(uint64_t)UINT32_MAX) | (uint32_t)(term + 1);
}

static void
grow(struct half *h)
{
    uint64_t *old = h->slots;
    size_t old_count = old ? (size_t)1 << h->bits : 0;
    h->room = h->room > 0 ? h->room * 2 : ROOM_FIRST;
    must(h->room <= (size_t)1 << 31);
    h->terms = reallocarray(h->terms, h->room, sizeof *h->terms);
    h->bits = (unsigned)__builtin_ctzll(h->room * 2);
    h->slots = calloc(h->room * 2, sizeof *h->slots);
    must(h->terms != NULL && h->slots != NULL);
    for (size_t i = 0; i < old_count; i++)
        if ((uint32_t)old[i] != 0)
            place(h, old[i], (uint32_t)old[i] - 1);
    free(old);
}

static bool
is_term(const struct text_builder *b, const struct term *t, const struct found *f)
{
    if (t->n != f->n || load_few(t->text, f->n) != load_few(f->text, f->n))
        return false;
    if (f->n <= 8)
        return true;
    const char *text = text_term_text(b, t).p;
    if (load(text + f->n - 8) != load(f->text + f->n - 8))
        return false;
    return f->n <= 16 || memcmp(text + 8, f->text + 8, f->n - 16u) == 0;
}

// Its number, or `count`.
static size_t
find_term(const struct text_builder *b, const struct half *h, const struct found *f)
{
    for (size_t i = slot_of(h, f->hash); (uint32_t)h->slots[i] != 0; i = slot_next(h, i)) {
        size_t term = (uint32_t)h->slots[i] - 1;
        if ((h->slots[i] ^ f->hash) >> 32 == 0 && is_term(b, &h->terms[term], f))
            return term;
    }
    return h->count;
}

static void
new_term(struct text_builder *b, struct half *h, const struct found *f)
{
    if (h->count == h->room)
        grow(h);
    place(h, f->hash, h->count);
    struct term *t = &h->terms[h->count++];
    *t = (struct term){.n = f->n};
    memcpy(t->text, f->text, TERM_TEXT);
    if (f->n > TERM_TEXT) {
        uint32_t at = (uint32_t)b->texts.n;
        memcpy(t->text + TERM_HEAD, &at, sizeof at);
        buf_put(&b->texts, span_of(f->text, f->n));
        must(!b->texts.over);
    }
    b->weight += (size_t)f->n + OVERHEAD;
}

static void
meet(struct text_builder *b, struct half *h, const struct found *f)
{
    size_t term = find_term(b, h, f);
    if (term == h->count)
        new_term(b, h, f);
    h->terms[term].count++;
    h->met[h->met_count++] = (uint32_t)term;
}

// ---- lots ----

static void
begin_run(struct half *h, uint32_t document, uint16_t zones)
{
    const struct run *last = h->run_count > 0 ? &h->runs[h->run_count - 1] : NULL;
    if (last && last->document == document && last->zones == zones)
        return;
    if (h->run_count == h->run_room) {
        h->run_room = h->run_room > 0 ? h->run_room * 2 : 64;
        h->runs = reallocarray(h->runs, h->run_room, sizeof *h->runs);
    }
    must(h->runs != NULL);
    h->runs[h->run_count++] = (struct run){h->met_count, document, zones};
}

static void
make_room(struct half *h)
{
    if (h->met_count + LOT > h->met_room) {
        h->met_room = h->met_room > 0 ? h->met_room * 2 : ROOM_FIRST;
        h->met = reallocarray(h->met, h->met_room, sizeof *h->met);
        must(h->met != NULL);
    }
    if (h->room == 0)
        grow(h);
}

static void
meet_lot(struct text_builder *b, enum text_kind kind)
{
    struct half *h = &b->halves[kind];
    struct lot *lot = &b->lots[kind];
    make_room(h);
    for (size_t i = 0; i < lot->n; i++) {
        // the one that is looked at first
        uint32_t likely = (uint32_t)h->slots[slot_of(h, lot->found[i].hash)];
        __builtin_prefetch(&h->terms[likely > 0 ? likely - 1 : 0], 1);
    }
    for (size_t i = 0; i < lot->n; i++) {
        begin_run(h, (uint32_t)b->document_count - 1, lot->found[i].zones);
        meet(b, h, &lot->found[i]);
    }
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

// True: this document was told to have it, in these zones.
static bool
is_known(struct text_builder *b, uint64_t hash)
{
    uint64_t *recent = &b->recent[hash & (RECENT - 1)], zones = b->zones;
    if ((*recent ^ hash) < RECENT) {
        if (*recent & zones)
            return true;
        zones |= *recent & (RECENT - 1);
    }
    *recent = (hash & ~(uint64_t)(RECENT - 1)) | zones;
    return false;
}

static void
on_term(void *arg, enum text_kind kind, struct span term)
{
    struct text_builder *b = arg;
    struct half *h = &b->halves[kind];
    struct lot *lot = &b->lots[kind];
    uint64_t hash = hash_term(b, kind, term.p, term.n);
    if (b->full || is_known(b, hash))
        return;
    if (h->slots)
        __builtin_prefetch(&h->slots[slot_of(h, hash)], 1);
    struct found *f = &lot->found[lot->n++];
    f->hash = hash;
    f->zones = (uint16_t)b->zones;
    f->n = (uint8_t)term.n;
    memcpy(f->text, term.p, TERM_MAX);
    if (lot->n == LOT)
        meet_lot(b, kind);
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
    b->zones = b->lanes[lane].zone;
    b->text_octets += folded.n;
    if (!b->full)
        text_words_feed(&b->lanes[lane].words, folded);
}

static void
on_end(void *arg, unsigned lane)
{
    struct text_builder *b = arg;
    b->zones = b->lanes[lane].zone;
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

static void
start(struct text_builder *b)
{
    buf_init(&b->texts, UINT32_MAX / 2);
    b->to = (struct text_words_to){on_term, b};
    random_bytes(b->key, sizeof b->key);
    b->recent = calloc(RECENT, sizeof *b->recent);
    must(b->recent != NULL);
}

struct text_builder *
text_builder_new(void)
{
    struct text_builder *b = calloc(1, sizeof *b);
    must(b != NULL);
    start(b);
    return b;
}

static void
empty(struct text_builder *b)
{
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++) {
        free(b->halves[kind].terms);
        free(b->halves[kind].slots);
        free(b->halves[kind].met);
        free(b->halves[kind].runs);
    }
    free(b->recent);
    free(b->documents);
    buf_done(&b->texts);
    memset(b, 0, sizeof *b);
}

void
text_builder_reset(struct text_builder *b)
{
    empty(b);
    start(b);
}

void
text_builder_free(struct text_builder **b)
{
    if (!*b)
        return;
    empty(*b);
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
    size_t n =
        b->texts.cap + RECENT * sizeof *b->recent + b->document_room * sizeof *b->documents;
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++) {
        const struct half *h = &b->halves[kind];
        n += h->room * (sizeof *h->terms + 2 * sizeof *h->slots) +
             h->met_room * sizeof *h->met + h->run_room * sizeof *h->runs;
    }
    return n;
}

size_t
text_builder_documents(const struct text_builder *b)
{
    return b->document_count;
}
