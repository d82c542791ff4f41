#include "base/hash.h"
#include "base/limits.h"
#include "io/task.h"
#include "search/text_inside.h"

// Terms are looked up in lots, so that the memory they lie in comes while others are worked on: a text has many, and few of them
// are in the processor's caches. Postings of a term lie in chunks, already as they are written.

enum {
    LOT = 64,
    CHUNK_FIRST = 12,
    CHUNK_MAX = 240,
    SLOTS_FIRST = 4096,
    OVERHEAD = 64,
    RECENT = 4096,
    AHEAD = 8,
};

struct term {
    uint64_t hash;
    uint32_t text;   // where its octets are
    uint32_t count;  // documents
    uint32_t document;
    struct text_coder coder;  // of the postings before that one
    uint32_t first, chunk;    // of the postings; 0: none
    uint16_t zones;           // of `document`
    uint8_t n, kind;          // octets of the term
    uint8_t size, left;       // of its last chunk
};

struct document {
    struct text_document d;
    bool dropped;
};

struct text_builder {
    struct term *terms;
    size_t count, room;
    uint64_t *slots;  // high half: of the hash; low half: term + 1, 0: free
    size_t slot_count;
    // terms that this document was told to have; a place is taken by the next one that comes to it
    struct recent {
        uint64_t hash;
        uint32_t document;  // + 1
        uint32_t zones;
    } * recent;
    struct buf texts, chunks;
    struct document *documents;
    size_t document_count, document_room;
    uint64_t key[2], text_octets;
    uint32_t zones;  // of the lane at work
    size_t weight;   // octets this document added
    bool open, full;
    struct text_words_to to;
    struct lane {
        struct text_words words;
        enum mime_zone zone;
    } lanes[MIME_LANES];
    size_t lot_count;
    struct found {
        uint64_t hash;
        const char *p;
        uint8_t n, kind;
    } lot[LOT];
};

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

// A chunk: the place of the next one, its size, its octets.
enum { CHUNK_SIZE_AT = 4, CHUNK_HEAD = 5 };

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

static size_t
chunk_size(const struct text_builder *b, uint32_t chunk)
{
    return (unsigned char)b->chunks.p[chunk + CHUNK_SIZE_AT];
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
fetch(const struct text_builder *b, const struct term *t)
{
    __builtin_prefetch(b->texts.p + t->text);
    __builtin_prefetch(b->chunks.p + t->chunk);
}

static void
meet_lot(void *arg)
{
    struct text_builder *b = arg;
    if (b->slot_count == 0)
        grow(b);
    for (size_t i = 0; i < b->lot_count; i++)
        __builtin_prefetch(&b->terms[likely_term(b, b->lot[i].hash)]);
    for (size_t i = 0; i < b->lot_count; i++)
        fetch(b, &b->terms[likely_term(b, b->lot[i].hash)]);
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
    b->documents[b->document_count++] = (struct document){{emailid, 0}, false};
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

// ---- the segment ----

struct order {
    uint64_t head;  // first octets of the term, as a number
    uint32_t term;
};

struct put {
    struct text_builder *b;
    struct text_writer *w;
    uint32_t *places;  // of documents in the segment; TEXT_GONE
    bool in_order;
    struct text_posting *postings;
    size_t room;
    struct buf octets;
};

static int
by_emailid(const void *left, const void *right, void *arg)
{
    const struct document *d = arg;
    uint64_t a = d[*(const uint32_t *)left].d.emailid,
             b = d[*(const uint32_t *)right].d.emailid;
    return a != b ? (a > b) - (a < b)
                  : (*(const uint32_t *)left > *(const uint32_t *)right) -
                        (*(const uint32_t *)left < *(const uint32_t *)right);
}

// The documents by EMAILID, each once, without those that were dropped.
static size_t
place_documents(struct put *p, struct text_document *out)
{
    struct text_builder *b = p->b;
    uint32_t *sorted = calloc(b->document_count + 1, sizeof *sorted);
    size_t n = 0;
    must(sorted != NULL);
    for (size_t i = 0; i < b->document_count; i++)
        sorted[i] = (uint32_t)i;
    qsort_r(sorted, b->document_count, sizeof *sorted, by_emailid, b->documents);
    p->in_order = true;
    for (size_t i = 0; i < b->document_count; i++) {
        const struct document *d = &b->documents[sorted[i]];
        bool again = n > 0 && out[n - 1].emailid == d->d.emailid;
        p->in_order = p->in_order && sorted[i] == i;
        p->places[sorted[i]] = d->dropped || again ? TEXT_GONE : (uint32_t)n;
        if (!d->dropped && !again)
            out[n++] = d->d;
    }
    free(sorted);
    return n;
}

static int
by_document(const void *left, const void *right)
{
    const struct text_posting *a = left, *b = right;
    return (a->document > b->document) - (a->document < b->document);
}

static void
take_posting(struct put *p, struct text_posting posting, size_t *n)
{
    posting.document = p->places[posting.document];
    if (posting.document == TEXT_GONE)
        return;
    if (*n == p->room) {
        p->room = p->room > 0 ? p->room * 2 : 256;
        p->postings = realloc(p->postings, p->room * sizeof *p->postings);
        must(p->postings != NULL);
    }
    p->postings[(*n)++] = posting;
}

// The chunks of a term as one string.
static void
gather_chunks(const struct text_builder *b, const struct term *t, struct buf *out)
{
    buf_reset(out);
    for (uint32_t at = t->first; at != 0;) {
        size_t n = chunk_size(b, at) - (at == t->chunk ? t->left : 0u);
        buf_put(out, span_of(b->chunks.p + at + CHUNK_HEAD, n));
        memcpy(&at, b->chunks.p + at, sizeof at);
    }
    must(!out->over);
}

static size_t
gather(struct put *p, const struct term *t)
{
    struct text_coder c = text_coder_of();
    struct text_posting posting;
    size_t n = 0;
    gather_chunks(p->b, t, &p->octets);
    struct span rest = buf_span(&p->octets);
    while (text_posting_next(&c, &rest, &posting) == R_OK)
        take_posting(p, posting, &n);
    take_posting(p, (struct text_posting){t->document, t->zones}, &n);
    if (!p->in_order)
        qsort(p->postings, n, sizeof *p->postings, by_document);
    return n;
}

static int
by_text(const void *left, const void *right, void *arg)
{
    const struct order *a = left, *b = right;
    const struct text_builder *builder = arg;
    if (a->head != b->head)
        return a->head > b->head ? 1 : -1;
    const struct term *x = &builder->terms[a->term], *y = &builder->terms[b->term];
    return text_term_compare(span_of(builder->texts.p + x->text, x->n),
                             span_of(builder->texts.p + y->text, y->n));
}

static uint64_t
head_of(const struct text_builder *b, const struct term *t)
{
    uint64_t v = load(b->texts.p + t->text, t->n < 8 ? t->n : 8);
    return __builtin_bswap64(v);
}

// The terms of a kind, sorted.
static enum result
put_kind(struct put *p, enum text_kind kind, struct order *order, struct fault *f)
{
    struct text_builder *b = p->b;
    size_t n = 0;
    for (size_t i = 0; i < b->count; i++)
        if (b->terms[i].kind == kind)
            order[n++] = (struct order){head_of(b, &b->terms[i]), (uint32_t)i};
    qsort_r(order, n, sizeof *order, by_text, b);
    for (size_t i = 0; i < n; i++) {
        const struct term *t = &b->terms[order[i].term];
        if (i + AHEAD < n)
            fetch(b, &b->terms[order[i + AHEAD].term]);
        if (i + 2 * AHEAD < n)
            __builtin_prefetch(&b->terms[order[i + 2 * AHEAD].term]);
        size_t postings = gather(p, t);
        if (postings > 0 &&
            text_writer_term(p->w, kind, span_of(b->texts.p + t->text, t->n), p->postings,
                             postings, f) != R_OK)
            return R_FAIL;
        if (i % 256 == 0)
            task_yield();
    }
    return R_OK;
}

static enum result
put_terms(struct put *p, struct fault *f)
{
    struct order *order = calloc(p->b->count + 1, sizeof *order);
    must(order != NULL);
    enum result r = R_OK;
    for (enum text_kind kind = 0; kind < TEXT_KINDS && r == R_OK; kind++)
        r = put_kind(p, kind, order, f);
    free(order);
    return r;
}

static enum result
put_segment(struct put *p, struct text_index *ti, uint32_t number, struct fault *f)
{
    struct text_builder *b = p->b;
    struct text_document *documents = calloc(b->document_count + 1, sizeof *documents);
    must(documents != NULL);
    struct text_made made = {.documents = documents, .text_octets = b->text_octets};
    made.n = place_documents(p, documents);
    enum result r = text_writer_open(ti->store, ti->account, number, &p->w, f);
    if (r == R_OK && (r = put_terms(p, f)) != R_OK)
        text_writer_abort(&p->w);
    if (r == R_OK)
        r = text_writer_finish(&p->w, &made, f);
    free(documents);
    return r;
}

enum result
text_index_put(struct text_index *ti, struct text_builder *b, struct fault *f)
{
    struct put p = {.b = b};
    struct text_segment *s;
    uint32_t number = ti->next_number++;
    must(!b->open && !ti->busy);
    ti->busy = true;
    p.places = calloc(b->document_count + 1, sizeof *p.places);
    must(p.places != NULL);
    buf_init(&p.octets, UINT32_MAX);
    enum result r = put_segment(&p, ti, number, f);
    if (r == R_OK && (r = text_segment_open(ti->store, ti->account, number, &s, f)) == R_OK)
        text_index_add(ti, s);
    buf_done(&p.octets);
    free(p.places);
    free(p.postings);
    empty(b);
    start(b);
    ti->busy = false;
    return r == R_NONE ? fault_set(f, FAULT_CORRUPTION, "a new segment is gone") : r;
}
