#include "io/task.h"
#include "search/text_builder.h"

// A builder's terms, sorted, as a segment.

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
        size_t n = text_chunk_size(b, at) - (at == t->chunk ? t->left : 0u);
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
    uint64_t v = 0;
    memcpy(&v, b->texts.p + t->text, t->n < 8 ? t->n : 8);
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
            text_term_fetch(b, &b->terms[order[i + AHEAD].term]);
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
    text_builder_reset(b);
    ti->busy = false;
    return r == R_NONE ? fault_set(f, FAULT_CORRUPTION, "a new segment is gone") : r;
}
