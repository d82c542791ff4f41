#include "io/task.h"
#include "search/text_builder.h"

// A builder's terms, sorted, as a segment.

enum { AHEAD = 8, NOWHERE = DOCUMENTS_MAX };

struct order {
    uint64_t head;  // first octets of the term, as a number
    uint32_t term;
};

struct put {
    struct text_builder *b;
    struct text_writer *w;
    uint32_t *places;  // of documents in the segment; NOWHERE
    bool in_order;
    struct order *order, *spare;
    // where each term's begin in the other one: the place of each document in which it was met, and the zones in the low bits
    uint32_t *at, *met;
    struct text_posting *postings;
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

enum { DIGIT = 11, DIGITS = 6 };  // bits, and how many of them a head has
typedef uint32_t digit_counts[DIGITS][1 << DIGIT];

static size_t
digit_of(uint64_t head, unsigned digit)
{
    return (size_t)(head >> digit * DIGIT) & ((1u << DIGIT) - 1);
}

static void
count_digits(const struct order *order, size_t n, digit_counts counts)
{
    for (size_t i = 0; i < n; i++)
        for (unsigned d = 0; d < DIGITS; d++)
            counts[d][digit_of(order[i].head, d)]++;
    for (unsigned d = 0; d < DIGITS; d++) {
        uint32_t before = 0;
        for (size_t i = 0; i < 1u << DIGIT; i++) {
            uint32_t here = counts[d][i];
            counts[d][i] = before;
            before += here;
        }
    }
}

// By heads, a digit at a time, the lowest first.
static void
sort_heads(struct put *p, size_t n)
{
    digit_counts *counts = calloc(1, sizeof *counts);
    must(counts != NULL);
    count_digits(p->order, n, *counts);
    for (unsigned d = 0; d < DIGITS; d++) {
        uint32_t *at = (*counts)[d];
        for (size_t i = 0; i < n; i++)
            p->spare[at[digit_of(p->order[i].head, d)]++] = p->order[i];
        struct order *sorted = p->spare;
        p->spare = p->order;
        p->order = sorted;
        task_yield();
    }
    free(counts);
}

enum { FEW = 12 };

struct of_kind {
    const struct text_builder *b;
    const struct half *h;
};

static int
by_text(const void *left, const void *right, void *arg)
{
    const struct of_kind *k = arg;
    const struct term *x = &k->h->terms[((const struct order *)left)->term],
                      *y = &k->h->terms[((const struct order *)right)->term];
    return text_term_compare(text_term_text(k->b, x), text_term_text(k->b, y));
}

// Of one head.
static void
sort_texts(struct of_kind *k, struct order *o, size_t n)
{
    if (n > FEW) {
        qsort_r(o, n, sizeof *o, by_text, k);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct order one = o[i];
        size_t at = i;
        for (; at > 0 && by_text(&o[at - 1], &one, k) > 0; at--)
            o[at] = o[at - 1];
        o[at] = one;
    }
}

static void
sort_terms(struct put *p, const struct half *h)
{
    struct of_kind k = {p->b, h};
    for (size_t i = 0; i < h->count; i++)
        p->order[i] = (struct order){
            text_term_head(span_of(h->terms[i].text, h->terms[i].n)), (uint32_t)i};
    sort_heads(p, h->count);
    for (size_t i = 0, next; i < h->count; i = next) {
        for (next = i + 1; next < h->count && p->order[next].head == p->order[i].head;)
            next++;
        sort_texts(&k, p->order + i, next - i);
    }
}

// ---- their postings ----

static void
sort_runs(struct put *p, const struct half *h)
{
    uint32_t before = 0;
    for (size_t i = 0; i < h->count; i++) {
        uint32_t term = p->order[i].term;
        p->at[term] = before;
        before += h->terms[term].count;
    }
    for (size_t r = 0; r < h->run_count; r++) {
        size_t end = r + 1 < h->run_count ? h->runs[r + 1].from : h->met_count;
        uint32_t here = p->places[h->runs[r].document] << TEXT_ZONE_BITS | h->runs[r].zones;
        for (size_t i = h->runs[r].from; i < end; i++)
            p->met[p->at[h->met[i]]++] = here;
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

// What was met in a document is one after the other.
static size_t
gather(struct put *p, const uint32_t *met, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t document = met[i] >> TEXT_ZONE_BITS;
        uint16_t zones = met[i] & MIME_ZONES;
        if (document == NOWHERE)
            continue;
        if (n > 0 && p->postings[n - 1].document == document)
            p->postings[n - 1].zones |= zones;
        else
            p->postings[n++] = (struct text_posting){document, zones};
    }
    if (!p->in_order)
        qsort(p->postings, n, sizeof *p->postings, by_document);
    return n;
}

static enum result
put_sorted(struct put *p, enum text_kind kind, struct fault *f)
{
    const struct half *h = &p->b->halves[kind];
    size_t at = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct term *t = &h->terms[p->order[i].term];
        if (i + AHEAD < h->count)
            __builtin_prefetch(&h->terms[p->order[i + AHEAD].term]);
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): put_kind frees what is read here
        size_t n = gather(p, p->met + at, t->count);
        at += t->count;
        if (n > 0 && text_writer_term(p->w, kind, text_term_text(p->b, t), p->postings, n,
                                      f) != R_OK)
            return R_FAIL;
        if (i % 256 == 0)
            task_yield();
    }
    return R_OK;
}

static void *
some(size_t n, size_t octets)
{
    void *p = calloc(n + 1, octets);
    must(p != NULL);
    return p;
}

static enum result
put_kind(struct put *p, enum text_kind kind, struct fault *f)
{
    const struct half *h = &p->b->halves[kind];
    must(h->met_count <= UINT32_MAX && h->run_count <= UINT32_MAX);
    p->order = some(h->count, sizeof *p->order);
    p->spare = some(h->count, sizeof *p->spare);
    sort_terms(p, h);
    free(p->spare);
    p->at = some(h->count, sizeof *p->at);
    p->met = some(h->met_count, sizeof *p->met);
    p->postings = some(h->run_count, sizeof *p->postings);
    sort_runs(p, h);
    enum result r = put_sorted(p, kind, f);
    free(p->order);
    free(p->at);
    free(p->met);
    free(p->postings);
    return r;
}

static enum result
put_terms(struct put *p, struct fault *f)
{
    enum result r = R_OK;
    for (enum text_kind kind = 0; kind < TEXT_KINDS && r == R_OK; kind++)
        r = put_kind(p, kind, f);
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
    enum result r = put_segment(&p, ti, number, f);
    if (r == R_OK && (r = text_segment_open(ti->store, ti->account, number, &s, f)) == R_OK)
        text_index_add(ti, s);
    free(p.places);
    text_builder_reset(b);
    ti->busy = false;
    return r == R_NONE ? fault_set(f, FAULT_CORRUPTION, "a new segment is gone") : r;
}
