#include "base/hash.h"
#include "base/limits.h"
#include "search/text_builder.h"

// Terms are looked up in lots, so that the memory they lie in comes while others are worked on: a text has many, and few of them
// are in the processor's caches. Postings of a term lie in chunks, already as they are written.

// ---- terms ----

static uint64_t
load(const char *p, size_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
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
    uint64_t h = b->key[0], size = (uint64_t)n << 8 | kind;
    for (; n > 16; p += 16, n -= 16)
        h = mix(load(p, 8) ^ h, load(p + 8, 8) ^ b->key[1]);
    uint64_t head, tail = 0;
    if (n >= 8) {
        head = load(p, 8);
        tail = load(p + n - 8, 8);
    } else if (n >= 4) {
        head = load(p, 4) | load(p + n - 4, 4) << 32;
    } else {
        head = (uint64_t)(unsigned char)p[0] << 16 |
               (uint64_t)(unsigned char)p[n / 2] << 8 | (unsigned char)p[n - 1];
    }
    return mix(mix(head ^ h, tail ^ b->key[1]) ^ size, b->key[0] | 1);
}

static void
place(struct text_builder *b, uint64_t hash, size_t term)
{
    size_t i = hash & (b->slot_count - 1);
    while ((uint32_t)b->slots[i] != 0)
        i = (i + 1) & (b->slot_count - 1);
    b->slots[i] = (hash & ~(uint64_t)UINT32_MAX) | (uint32_t)(term + 1);
}

static void
grow(struct text_builder *b)
{
    b->room = b->room > 0 ? b->room * 2 : SLOTS_FIRST / 2;
    b->terms = realloc(b->terms, b->room * sizeof *b->terms);
    must(b->terms != NULL);
    free(b->slots);
    b->slot_count = b->room * 2;
    b->slots = calloc(b->slot_count, sizeof *b->slots);
    must(b->slots != NULL);
    for (size_t i = 0; i < b->count; i++)
        place(b, b->terms[i].hash, i);
}

static struct term *
find_term(struct text_builder *b, const struct found *t)
{
    for (size_t i = t->hash & (b->slot_count - 1); (uint32_t)b->slots[i] != 0;
         i = (i + 1) & (b->slot_count - 1)) {
        if ((b->slots[i] ^ t->hash) >> 32)
            continue;
        struct term *term = &b->terms[(uint32_t)b->slots[i] - 1];
        if (term->n == t->n && term->kind == t->kind &&
            memcmp(b->texts.p + term->text, t->p, t->n) == 0)
            return term;
    }
    return NULL;
}

static void
new_term(struct text_builder *b, const struct found *t, uint32_t document)
{
    if (b->count == b->room)
        grow(b);
    place(b, t->hash, b->count);
    b->terms[b->count++] = (struct term){.hash = t->hash,
                                         .text = (uint32_t)b->texts.n,
                                         .count = 1,
                                         .document = document,
                                         .coder = text_coder_of(),
                                         .zones = (uint16_t)b->zones,
                                         .n = t->n,
                                         .kind = t->kind};
    buf_put(&b->texts, span_of(t->p, t->n));
    b->weight += t->n + OVERHEAD;
}

// ---- postings ----

static void
new_chunk(struct text_builder *b, struct term *t)
{
    size_t n = t->count < CHUNK_FIRST ? CHUNK_FIRST
               : t->count < CHUNK_MAX ? t->count
                                      : CHUNK_MAX;
    uint32_t at = (uint32_t)b->chunks.n;
    must(buf_reserve(&b->chunks, CHUNK_HEAD + n) != NULL);
    b->chunks.n += CHUNK_HEAD + n;
    memset(b->chunks.p + at, 0, CHUNK_SIZE_AT);
    b->chunks.p[at + CHUNK_SIZE_AT] = (char)n;
    if (t->first == 0)
        t->first = at;
    else
        memcpy(b->chunks.p + t->chunk, &at, sizeof at);
    t->chunk = at;
    t->size = t->left = (uint8_t)n;
}

static void
put_octet(struct text_builder *b, struct term *t, unsigned char octet)
{
    if (t->left == 0)
        new_chunk(b, t);
    b->chunks.p[t->chunk + CHUNK_HEAD + t->size - t->left] = (char)octet;
    t->left--;
}

static void
put_posting(struct text_builder *b, struct term *t)
{
    unsigned char octets[TEXT_POSTING_MAX];
    size_t n =
        text_posting_put(&t->coder, (struct text_posting){t->document, t->zones}, octets);
    for (size_t i = 0; i < n; i++)
        put_octet(b, t, octets[i]);
    b->weight += n;
}

static void
meet(struct text_builder *b, const struct found *found)
{
    uint32_t document = (uint32_t)b->document_count - 1;
    struct term *t = find_term(b, found);
    if (!t) {
        new_term(b, found, document);
    } else if (t->document == document) {
        t->zones |= (uint16_t)b->zones;
    } else {
        put_posting(b, t);
        t->document = document;
        t->zones = (uint16_t)b->zones;
        t->count++;
    }
}

// The term that is first looked at, else any.
static size_t
likely_term(const struct text_builder *b, uint64_t hash)
{
    uint32_t term = (uint32_t)b->slots[hash & (b->slot_count - 1)];
    return term > 0 ? term - 1 : 0;
}

static void
meet_lot(void *arg)
{
    struct text_builder *b = arg;
    if (b->slot_count == 0)
        grow(b);
    for (size_t i = 0; i < b->lot_count; i++)
        __builtin_prefetch(&b->terms[likely_term(b, b->lot[i].hash)]);
    for (size_t i = 0; i < b->lot_count && b->count > 0; i++)
        text_term_fetch(b, &b->terms[likely_term(b, b->lot[i].hash)]);
    for (size_t i = 0; i < b->lot_count && !b->full; i++)
        meet(b, &b->lot[i]);
    b->lot_count = 0;
    b->full = b->full || b->weight > LIMIT_text_document;
}

static void
on_term(void *arg, enum text_kind kind, struct span term)
{
    struct text_builder *b = arg;
    if (b->full)
        return;
    uint64_t hash = hash_term(b, kind, term.p, term.n);
    struct recent *r = &b->recent[(hash >> 32) & (RECENT - 1)];
    uint32_t document = (uint32_t)b->document_count;
    bool same = r->hash == hash && r->document == document;
    if (same && (r->zones & b->zones))
        return;
    *r = (struct recent){hash, document, b->zones | (same ? r->zones : 0)};
    b->lot[b->lot_count++] = (struct found){hash, term.p, (uint8_t)term.n, (uint8_t)kind};
    if (b->slot_count > 0)
        __builtin_prefetch(&b->slots[hash & (b->slot_count - 1)]);
    if (b->lot_count == LOT)
        meet_lot(b);
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
    buf_init(&b->chunks, UINT32_MAX / 2);
    buf_put(&b->chunks, SPAN("\0\0\0\0"));  // place 0 is none
    b->to = (struct text_words_to){on_term, meet_lot, b};
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
    free(b->terms);
    free(b->slots);
    free(b->recent);
    free(b->documents);
    buf_done(&b->texts);
    buf_done(&b->chunks);
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
    must(!b->open && b->document_count < TEXT_GONE);
    if (b->document_count == b->document_room) {
        b->document_room = b->document_room > 0 ? b->document_room * 2 : 64;
        b->documents = realloc(b->documents, b->document_room * sizeof *b->documents);
        must(b->documents != NULL);
    }
    b->documents[b->document_count++] = (struct document){{emailid, 0, 0}, false};
    b->weight = 0;
    b->open = true;
    b->full = false;
}

void
text_builder_end(struct text_builder *b, unsigned open)
{
    must(b->open);
    b->open = false;
    b->documents[b->document_count - 1].d.open = (uint16_t)(b->full ? MIME_ZONES : open);
}

void
text_builder_drop(struct text_builder *b)
{
    must(b->open);
    b->open = false;
    b->documents[b->document_count - 1].dropped = true;
}

size_t
text_builder_octets(const struct text_builder *b)
{
    return b->room * sizeof *b->terms + b->slot_count * sizeof *b->slots + b->texts.cap +
           RECENT * sizeof *b->recent + b->chunks.cap +
           b->document_room * sizeof *b->documents;
}

size_t
text_builder_documents(const struct text_builder *b)
{
    return b->document_count;
}
