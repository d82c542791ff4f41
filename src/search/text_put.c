#include "io/task.h"
#include "search/text_builder.h"

// A builder's terms, sorted, as a segment.

enum { AHEAD = 16, NOWHERE = DOCUMENTS_MAX };

struct order {
    // first octets of the term, as a number; when they are in order: where it was met first, and in the low half how often again
    uint64_t head;
    uint32_t term;  // its number
    uint32_t record;
};

struct put {
    struct text_builder *b;
    struct text_writer *w;
    uint32_t *places;  // of documents in the segment; NOWHERE
    bool in_order;
    struct order *order, *spare;
    // of each term, by its number: how often it was met again, later where the next one goes to in `met`. There, one after the other:
    // the place of each document in which it was, and the zones in the low bits
    uint32_t *ends, *met;
    struct text_posting *postings;
    // of each word, by its number: is it in a pair, later its place among those that are
    uint32_t *places_of_words;
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
        p->places[sorted[i]] = d->dropped || again ? NOWHERE : (uint32_t)n;
        if (!d->dropped && !again)
            out[n++] = d->d;
    }
    free(sorted);
    return n;
}

// ---- terms in order ----

enum { DIGIT = 11, DIGITS = 4, REST = 64 - DIGITS * DIGIT };  // bits, and how many of them
_Static_assert(DIGITS % 2 == 0, "they end where they began");
typedef uint32_t digit_counts[DIGITS][1 << DIGIT];

// `shift`: where the lowest one begins.
static size_t
digit_of(uint64_t v, unsigned shift, unsigned digit)
{
    return (size_t)(v >> (shift + digit * DIGIT)) & ((1u << DIGIT) - 1);
}

static void
count_digits(digit_counts counts, uint64_t v, unsigned shift, unsigned digits)
{
    for (unsigned d = 0; d < digits; d++)
        counts[d][digit_of(v, shift, d)]++;
}

// Where each value of a digit goes to, of how often it is there.
static void
place_digits(digit_counts counts, unsigned digits)
{
    for (unsigned d = 0; d < digits; d++) {
        uint32_t before = 0;
        for (size_t i = 0; i < 1u << DIGIT; i++) {
            uint32_t here = counts[d][i];
            counts[d][i] = before;
            before += here;
        }
    }
}

static digit_counts *
new_counts(void)
{
    digit_counts *counts = calloc(1, sizeof *counts);
    must(counts != NULL);
    return counts;
}

// By the top of their heads, a digit at a time, the lowest first.
static void
sort_heads(struct put *p, size_t n)
{
    digit_counts *counts = new_counts();
    for (size_t i = 0; i < n; i++)
        count_digits(*counts, p->order[i].head, REST, DIGITS);
    place_digits(*counts, DIGITS);
    for (unsigned d = 0; d < DIGITS; d++) {
        uint32_t *at = (*counts)[d];
        for (size_t i = 0; i < n; i++)
            p->spare[at[digit_of(p->order[i].head, REST, d)]++] = p->order[i];
        struct order *sorted = p->spare;
        p->spare = p->order;
        p->order = sorted;
        task_yield();
    }
    free(counts);
}

enum { FEW = 24, HEAD = 8 };

typedef int compare_fn(const void *left, const void *right, void *half);

static int
by_head(const void *left, const void *right, void *half)
{
    const struct order *a = left, *b = right;
    (void)half;
    return (a->head > b->head) - (a->head < b->head);
}

// Where the heads are the octets behind them: by these, and what is behind.
static int
by_rest(const void *left, const void *right, void *half)
{
    const struct order *a = left, *b = right;
    const struct half *h = half;
    int c = by_head(left, right, half);
    return c != 0 ? c
                  : text_term_compare(text_term_text(h, a->record),
                                      text_term_text(h, b->record));
}

static void
sort_few(struct half *h, struct order *o, size_t n, compare_fn *compare)
{
    if (n > FEW) {
        qsort_r(o, n, sizeof *o, compare, h);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct order one = o[i];
        size_t at = i;
        for (; at > 0 && compare(&o[at - 1], &one, h) > 0; at--)
            o[at] = o[at - 1];
        o[at] = one;
    }
}

// Of one head.
static void
sort_texts(struct half *h, struct order *o, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct span text = text_term_text(h, o[i].record);
        o[i].head = text.n > HEAD ? text_term_head(span_skip(text, HEAD)) : 0;
    }
    sort_few(h, o, n, by_rest);
}

// How many at the front have one head, but for its last bits.
static size_t
alike(const struct order *o, size_t n, unsigned bits)
{
    size_t i = 1;
    while (i < n && o[i].head >> bits == o->head >> bits)
        i++;
    return i;
}

static void
sort_alike(struct half *h, struct order *o, size_t n)
{
    sort_few(h, o, n, by_head);
    for (size_t some; n > 0; o += some, n -= some)
        if ((some = alike(o, n, 0)) > 1)
            sort_texts(h, o, some);
}

static void
sort_terms(struct put *p, struct half *h)
{
    size_t n = h->count;
    for (size_t i = 0; i < n; i++) {
        uint32_t record = h->firsts[i].record;
        p->order[i] = (struct order){text_term_head(text_term_text(h, record)),
                                     (uint32_t)i + 1, record};
    }
    sort_heads(p, n);
    for (size_t i = 0, some; i < n; i += some)
        if ((some = alike(p->order + i, n - i, REST)) > 1)
            sort_alike(h, p->order + i, some);
}

// ---- their postings ----

static void
sort_runs(struct put *p, const struct half *h)
{
    uint32_t before = 0;
    for (size_t i = 0; i < h->met_count; i++)
        p->ends[h->met[i]]++;
    task_yield();
    for (size_t i = 0; i < h->count; i++) {
        struct order *o = &p->order[i];
        if (i + AHEAD < h->count) {
            __builtin_prefetch(&p->ends[o[AHEAD].term], 1);
            __builtin_prefetch(&h->firsts[o[AHEAD].term - 1]);
        }
        uint32_t *at = &p->ends[o->term], more = *at;
        o->head = (uint64_t)h->firsts[o->term - 1].met << 32 | more;
        *at = before;
        before += more;
    }
    for (size_t r = 0; r < h->runs.count; r++) {
        size_t end = r + 1 < h->runs.count ? h->runs.all[r + 1].from : h->met_count;
        uint32_t here =
            p->places[h->runs.all[r].document] << TEXT_ZONE_BITS | h->runs.all[r].zones;
        for (size_t i = h->runs.all[r].from; i < end; i++)
            p->met[p->ends[h->met[i]]++] = here;
        if (r % 64 == 0)
            task_yield();
    }
}

static int
by_document(const void *left, const void *right)
{
    const struct text_posting *a = left, *b = right;
    return (a->document > b->document) - (a->document < b->document);
}

static size_t
gather_one(struct put *p, size_t n, uint32_t met)
{
    uint32_t document = met >> TEXT_ZONE_BITS;
    uint16_t zones = met & MIME_ZONES;
    if (document == NOWHERE)
        return n;
    if (n > 0 && p->postings[n - 1].document == document) {
        p->postings[n - 1].zones |= zones;
        return n;
    }
    p->postings[n] = (struct text_posting){document, zones};
    return n + 1;
}

// What was met in a document is one after the other.
static size_t
gather(struct put *p, uint32_t first, const uint32_t *met, size_t count)
{
    uint32_t place = p->places[first >> TEXT_ZONE_BITS];
    size_t n = gather_one(p, 0, place << TEXT_ZONE_BITS | (first & MIME_ZONES));
    for (size_t i = 0; i < count; i++)
        n = gather_one(p, n, met[i]);
    if (!p->in_order)
        qsort(p->postings, n, sizeof *p->postings, by_document);
    return n;
}

// Is a term of a builder's half of the kind? Words are of two.
static bool
is_of(struct put *p, enum text_kind kind, uint32_t term)
{
    return kind == TEXT_WORD     ? !p->places_of_words[term]
           : kind == TEXT_PAIRED ? p->places_of_words[term]
                                 : true;
}

// A word that is in pairs: its place, and its octets from its end on.
static void
turn(struct put *p, uint32_t word, struct span text)
{
    struct half *h = &p->b->halves[TEXT_TURNED];
    text_half_room(h);
    struct term *t = (struct term *)(h->records + h->used);
    t->n = (uint8_t)text.n;
    for (size_t i = 0; i < text.n; i++)
        t->text[i] = text.p[text.n - 1 - i];
    h->firsts[h->count++] = (struct first){(uint32_t)h->used, 0};
    h->used += RECORD_HEAD + text.n;
    p->places_of_words[word] = text_writer_paired(p->w);
}

// A term of the kind, and where it was met again.
static enum result
put_term(struct put *p, const struct half *h, enum text_kind kind, const struct order *o,
         const uint32_t *met, struct fault *f)
{
    if (!is_of(p, kind, o->term))
        return R_OK;
    size_t n = gather(p, (uint32_t)(o->head >> 32), met, (uint32_t)o->head);
    if (n == 0)
        return R_OK;
    struct span text = text_term_text(h, o->record);
    if (kind == TEXT_PAIRED)
        turn(p, o->term, text);
    return text_writer_term(p->w, kind, text,
                            &(struct text_postings){p->postings, n, SPAN_NONE}, f);
}

static enum result
put_sorted(struct put *p, const struct half *h, enum text_kind kind, struct fault *f)
{
    size_t at = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct order *o = &p->order[i];
        if (i + AHEAD < h->count)
            __builtin_prefetch(h->records + o[AHEAD].record);
        if (put_term(p, h, kind, o, p->met + at, f) != R_OK)
            return R_FAIL;
        at += (uint32_t)o->head;
        if (i % 256 == 0)
            task_yield();
    }
    return R_OK;
}

static void
find_paired(struct put *p)
{
    const struct text_builder *b = p->b;
    size_t size = (b->halves[TEXT_WORD].count + 1) * sizeof *p->places_of_words;
    p->places_of_words = memset(text_region(&p->b->pool, &p->b->ranks, size), 0, size);
    for (size_t i = 0; i < b->pairs.count; i++)
        p->places_of_words[(uint32_t)b->pairs.all[i]] =
            p->places_of_words[b->pairs.all[i] >> 32] = 1;
    task_yield();
}

static enum result
put_kind(struct put *p, enum text_kind kind, struct fault *f)
{
    struct text_builder *b = p->b;
    struct half *h = &b->halves[kind];
    size_t ends = (h->count + 1) * sizeof *p->ends, order = h->count * sizeof *p->order,
           met = h->met_count * sizeof *p->met;
    if (h->count == 0)
        return R_OK;
    must(h->met_count <= UINT32_MAX && h->runs.count <= UINT32_MAX);
    p->order = text_region(&b->pool, &b->order, order);
    p->spare = text_region(&b->pool, &b->spare, order > met ? order : met);
    sort_terms(p, h);
    p->met = text_region(&b->pool, &b->spare, met);
    p->ends = memset(text_region(&b->pool, &b->ends, ends), 0, ends);
    p->postings =
        text_region(&b->pool, &b->postings, (h->runs.count + 1) * sizeof *p->postings);
    sort_runs(p, h);
    enum result r = put_sorted(p, h, kind, f);
    return r == R_OK && kind == TEXT_WORD ? put_sorted(p, h, TEXT_PAIRED, f) : r;
}

static enum result
put_turned(struct put *p, struct fault *f)
{
    struct text_builder *b = p->b;
    struct half *h = &b->halves[TEXT_TURNED];
    p->order = text_region(&b->pool, &b->order, h->count * sizeof *p->order);
    p->spare = text_region(&b->pool, &b->spare, h->count * sizeof *p->spare);
    sort_terms(p, h);
    for (size_t i = 0; i < h->count; i++) {
        const struct order *o = &p->order[i];
        if (text_writer_turned(p->w, text_term_text(h, o->record), o->term - 1, f) != R_OK)
            return R_FAIL;
        if (i % 256 == 0)
            task_yield();
    }
    return R_OK;
}

// ---- pairs ----

// In how many bits a number is.
static unsigned
bits_of(size_t n)
{
    return n > 0 ? 64 - (unsigned)__builtin_clzll(n) : 0;
}

// How a pair is sorted: the place of its right word, that of the left one, each `bits`, and in the low bits its run.
struct sorted_pairs {
    const uint64_t *all;
    unsigned bits, low;
};

static void
key_pairs(struct put *p, struct sorted_pairs *s, digit_counts counts, unsigned digits)
{
    struct pairs *pairs = &p->b->pairs;
    const struct runs *runs = &pairs->runs;
    for (size_t r = 0; r < runs->count; r++) {
        size_t end = r + 1 < runs->count ? runs->all[r + 1].from : pairs->count;
        for (size_t i = runs->all[r].from; i < end; i++) {
            uint64_t left = p->places_of_words[(uint32_t)pairs->all[i]],
                     right = p->places_of_words[pairs->all[i] >> 32];
            pairs->all[i] = (right << s->bits | left) << s->low | r;
            count_digits(counts, pairs->all[i], s->low, digits);
        }
        if (r % 64 == 0)
            task_yield();
    }
}

// By the places of their right words, then of their left ones; what is the same there stays as it was.
static void
sort_pairs(struct put *p, struct sorted_pairs *s)
{
    struct text_builder *b = p->b;
    size_t n = b->pairs.count;
    uint64_t *from = b->pairs.all, *to = text_region(&b->pool, &b->spare, n * sizeof *to);
    digit_counts *counts = new_counts();
    s->bits = bits_of(text_writer_paired(p->w));
    s->low = bits_of(b->pairs.runs.count);
    unsigned digits = (2 * s->bits + DIGIT - 1) / DIGIT;
    must(digits <= DIGITS && 2 * s->bits + s->low <= 64);
    key_pairs(p, s, *counts, digits);
    place_digits(*counts, digits);
    for (unsigned d = 0; d < digits; d++) {
        uint32_t *at = (*counts)[d];
        for (size_t i = 0; i < n; i++)
            to[at[digit_of(from[i], s->low, d)]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
        task_yield();
    }
    free(counts);
    s->all = from;
}

// All that is met of one pair; *next behind it.
static size_t
gather_pair(struct put *p, const struct sorted_pairs *s, size_t *next)
{
    const struct pairs *pairs = &p->b->pairs;
    uint64_t pair = s->all[*next] >> s->low;
    size_t n = 0, i = *next;
    for (; i < pairs->count && s->all[i] >> s->low == pair; i++) {
        const struct run *run = &pairs->runs.all[s->all[i] & (((uint64_t)1 << s->low) - 1)];
        n = gather_one(p, n, p->places[run->document] << TEXT_ZONE_BITS | run->zones);
    }
    *next = i;
    if (!p->in_order)
        qsort(p->postings, n, sizeof *p->postings, by_document);
    return n;
}

static enum result
put_pairs(struct put *p, struct fault *f)
{
    struct text_builder *b = p->b;
    struct sorted_pairs s;
    sort_pairs(p, &s);
    p->postings =
        text_region(&b->pool, &b->postings, b->document_count * sizeof *p->postings);
    for (size_t i = 0, told = 0; i < b->pairs.count; told++) {
        uint64_t pair = s.all[i] >> s.low;
        uint32_t left = (uint32_t)(pair & (((uint64_t)1 << s.bits) - 1));
        struct text_postings all = {p->postings, gather_pair(p, &s, &i), SPAN_NONE};
        if (all.n > 0 &&
            text_writer_pair(p->w, text_pair_of(left, (uint32_t)(pair >> s.bits)), &all,
                             f) != R_OK)
            return R_FAIL;
        if (told % 256 == 0)
            task_yield();
    }
    return R_OK;
}

static enum result
put_terms(struct put *p, struct fault *f)
{
    enum result r = R_OK;
    find_paired(p);
    for (enum text_kind kind = 0; kind < TEXT_TURNED && r == R_OK; kind++)
        r = put_kind(p, kind, f);
    if (r == R_OK)
        r = put_turned(p, f);
    return r == R_OK ? put_pairs(p, f) : r;
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
    text_builder_close(b);
    p.places = calloc(b->document_count + 1, sizeof *p.places);
    must(p.places != NULL);
    enum result r = put_segment(&p, ti, number, f);
    if (r == R_OK && (r = text_segment_open(ti->store, ti->account, number, &s, f)) == R_OK)
        text_index_add(ti, s);
    free(p.places);
    text_builder_reset(b);
    ti->busy = false;
    return r == R_NONE ? fault_set(f, FAULT_CORRUPTION, "a new segment is gone") : r;
}
