#include "io/task.h"
#include "search/text_inside.h"

// Segments are merged when FAN of them are about as large as each other, so that each document is written again once for each
// FAN-fold growth, and a search looks into few segments.

enum { FAN = 8, SEGMENTS_MAX = 24, SMALLEST = 1 << 20 };

// One of the segments that are merged, at a term of it.
struct input {
    struct text_segment *s;
    uint32_t *places;  // of its documents in the new segment; TEXT_GONE
    struct text_page page;
    struct text_list_reader lists;
    struct text_entries entries;
    struct text_entry entry;
    enum text_kind kind;
    uint32_t next_page;
    size_t delimiter;  // before the term
    struct span term;  // p NULL: there are no more
};

struct merge {
    struct text_index *ti;
    struct input **inputs;
    size_t n;
    struct text_writer *w;
    struct text_posting *postings;
    size_t count, room;
    const uint32_t *places;  // of the input that is read
    bool in_order;
};

// ---- choosing ----

static unsigned
tier_of(const struct text_segment *s)
{
    unsigned tier = 0;
    for (uint64_t n = s->octets; n >= (uint64_t)SMALLEST; n /= FAN)
        tier++;
    return tier;
}

static int
by_octets(const void *left, const void *right)
{
    const struct text_segment *a = *(struct text_segment *const *)left,
                              *b = *(struct text_segment *const *)right;
    return (a->octets > b->octets) - (a->octets < b->octets);
}

// The smallest ones that are due; 0: none are.
static size_t
choose(const struct text_index *ti, bool all, struct text_segment **out)
{
    size_t n = ti->count < TEXT_REPLACED ? ti->count : TEXT_REPLACED;
    if (n == 0)
        return 0;
    memcpy(out, ti->segments, n * sizeof *out);
    qsort(out, n, sizeof *out, by_octets);
    if (all)
        return n;
    for (size_t from = 0; from + FAN <= n; from++)
        if (tier_of(out[from]) == tier_of(out[from + FAN - 1]))
            return from + FAN;
    return n > SEGMENTS_MAX ? FAN : 0;
}

// ---- documents ----

static uint64_t
least_emailid(const struct merge *m, const size_t *at)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < m->n; i++) {
        const struct text_segment *s = m->inputs[i]->s;
        if (at[i] < s->document_count && s->documents[at[i]].emailid < least)
            least = s->documents[at[i]].emailid;
    }
    return least;
}

// Gives all inputs' documents of that EMAILID a place, and tells of which zones none of them has all.
static struct text_document
place_document(const struct merge *m, size_t *at, uint64_t emailid, uint32_t place)
{
    struct text_document d = {emailid, MIME_ZONES, MIME_ZONES};
    for (size_t i = 0; i < m->n; i++) {
        const struct text_segment *s = m->inputs[i]->s;
        if (at[i] == s->document_count || s->documents[at[i]].emailid != emailid)
            continue;
        d.open &= s->documents[at[i]].open;
        d.loose &= s->documents[at[i]].loose;
        m->inputs[i]->places[at[i]++] = place;
    }
    return d;
}

static size_t
place_documents(struct merge *m, text_alive_fn *alive, void *arg, struct text_document *out)
{
    size_t at[TEXT_REPLACED] = {0}, total = 0, n = 0;
    for (size_t i = 0; i < m->n; i++)
        total += m->inputs[i]->s->document_count;
    for (size_t told = 0; told < total;) {
        uint64_t emailid = least_emailid(m, at);
        bool gone = alive && !alive(arg, emailid);
        struct text_document d =
            place_document(m, at, emailid, gone ? TEXT_GONE : (uint32_t)n);
        if (!gone)
            out[n++] = d;
        told = 0;
        for (size_t i = 0; i < m->n; i++)
            told += at[i];
        task_yield();
    }
    return n;
}

// ---- terms ----

static enum result
next_page(struct input *in, struct fault *f)
{
    in->term = SPAN_NONE;
    if (in->next_page == in->s->pages[in->kind])
        return R_OK;
    if (text_page_read(in->s, in->kind, in->next_page++, &in->page, f) != R_OK)
        return R_FAIL;
    in->entries = text_entries_of(&in->page);
    in->delimiter = 0;
    in->term = SPAN("");
    return R_OK;
}

static enum result
next_term(struct input *in, struct fault *f)
{
    if (in->term.p)
        in->delimiter += in->term.n + 1;
    if ((!in->term.p || in->delimiter + 1 >= in->page.text.n) && next_page(in, f) != R_OK)
        return R_FAIL;
    if (!in->term.p)
        return R_OK;
    struct span rest = span_skip(in->page.text, in->delimiter + 1);
    in->term = span_slice(rest, 0, span_find_char(rest, (char)TEXT_DELIMITER));
    if (in->term.n == 0 || in->term.n > TERM_MAX)
        return fault_set(f, FAULT_CORRUPTION, "search index: a term is wrong");
    return text_entry_next(in->s, &in->entries, &in->entry, f);
}

static struct span
least_term(const struct merge *m)
{
    struct span least = SPAN_NONE;
    for (size_t i = 0; i < m->n; i++) {
        struct span term = m->inputs[i]->term;
        if (term.p && (!least.p || text_term_compare(term, least) < 0))
            least = term;
    }
    return least;
}

static void
on_posting(void *arg, struct text_posting p)
{
    struct merge *m = arg;
    p.document = m->places[p.document];
    if (p.document == TEXT_GONE)
        return;
    if (m->count == m->room) {
        m->room = m->room > 0 ? m->room * 2 : 256;
        m->postings = realloc(m->postings, m->room * sizeof *m->postings);
        must(m->postings != NULL);
    }
    m->in_order =
        m->in_order && (m->count == 0 || m->postings[m->count - 1].document < p.document);
    m->postings[m->count++] = p;
}

static int
by_document(const void *left, const void *right)
{
    const struct text_posting *a = left, *b = right;
    return (a->document > b->document) - (a->document < b->document);
}

// A document may come from two segments.
static void
order_postings(struct merge *m)
{
    size_t n = 0;
    if (m->in_order)
        return;
    qsort(m->postings, m->count, sizeof *m->postings, by_document);
    for (size_t i = 0; i < m->count; i++) {
        if (n > 0 && m->postings[n - 1].document == m->postings[i].document)
            m->postings[n - 1].zones |= m->postings[i].zones;
        else
            m->postings[n++] = m->postings[i];
    }
    m->count = n;
}

static enum result
merge_term(struct merge *m, enum text_kind kind, struct span least, struct fault *f)
{
    char term[TERM_MAX];
    struct span t = span_of(term, least.n);
    memcpy(term, least.p, least.n);
    m->count = 0;
    m->in_order = true;
    for (size_t i = 0; i < m->n; i++) {
        struct input *in = m->inputs[i];
        if (!in->term.p || !span_eq(in->term, t))
            continue;
        m->places = in->places;
        if (text_list_read(&in->lists, &in->entry, on_posting, m, f) != R_OK ||
            next_term(in, f) != R_OK)
            return R_FAIL;
        if (in->term.p && text_term_compare(in->term, t) <= 0)
            return fault_set(f, FAULT_CORRUPTION, "search index: terms are out of order");
    }
    order_postings(m);
    if (m->count == 0)
        return R_OK;
    return text_writer_term(m->w, kind, t, m->postings, m->count, f);
}

static enum result
merge_kind(struct merge *m, enum text_kind kind, struct fault *f)
{
    struct span least;
    for (size_t i = 0; i < m->n; i++) {
        struct input *in = m->inputs[i];
        in->kind = kind;
        in->next_page = 0;
        in->term = SPAN_NONE;
        if (next_term(in, f) != R_OK)
            return R_FAIL;
    }
    while ((least = least_term(m)).p) {
        if (merge_term(m, kind, least, f) != R_OK)
            return R_FAIL;
        task_yield();
    }
    return R_OK;
}

// ---- all of it ----

static struct input *
input_new(struct text_segment *s)
{
    struct input *in = calloc(1, sizeof *in);
    must(in != NULL);
    in->s = s;
    s->references++;
    in->places = calloc(s->document_count + 1, sizeof *in->places);
    must(in->places != NULL);
    text_list_reader_init(&in->lists, s);
    return in;
}

static void
input_free(struct input *in)
{
    text_list_reader_done(&in->lists);
    text_segment_release(in->s);
    free(in->places);
    free(in);
}

static enum result
write_merged(struct merge *m, uint32_t number, text_alive_fn *alive, void *arg,
             struct fault *f)
{
    struct text_made made = {.replaced_count = m->n};
    size_t total = 0;
    for (size_t i = 0; i < m->n; i++) {
        total += m->inputs[i]->s->document_count;
        made.text_octets += m->inputs[i]->s->text_octets;
        made.replaced[i] = m->inputs[i]->s->number;
    }
    struct text_document *documents = calloc(total + 1, sizeof *documents);
    must(documents != NULL);
    made.n = place_documents(m, alive, arg, documents);
    made.documents = documents;
    if (total > 0)  // what the gone ones had is not known; about their share
        made.text_octets =
            (uint64_t)((double)made.text_octets * (double)made.n / (double)total);
    enum result r = text_writer_open(m->ti->store, m->ti->account, number, &m->w, f);
    for (enum text_kind kind = 0; kind < TEXT_KINDS && r == R_OK; kind++)
        r = merge_kind(m, kind, f);
    if (r == R_OK)
        r = text_writer_finish(&m->w, &made, f);
    else
        text_writer_abort(&m->w);
    free(documents);
    return r;
}

// The new one takes the place of those it is made of.
static enum result
replace(struct merge *m, uint32_t number, struct fault *f)
{
    struct text_segment *s;
    enum result r = text_segment_open(m->ti->store, m->ti->account, number, &s, f);
    if (r == R_NONE)
        return fault_set(f, FAULT_CORRUPTION, "search index: a new segment is gone");
    if (r != R_OK)
        return r;
    text_index_add(m->ti, s);
    for (size_t i = 0; i < m->n; i++)
        text_index_remove(m->ti, m->inputs[i]->s);
    for (size_t i = 0; i < m->n; i++)
        if (text_segment_drop(m->ti, m->inputs[i]->s->number, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

enum result
text_index_merge(struct text_index *ti, bool all, text_alive_fn *alive, void *arg,
                 struct fault *f)
{
    struct text_segment *chosen[TEXT_REPLACED];
    struct merge m = {.ti = ti};
    must(!ti->busy);
    m.n = choose(ti, all, chosen);
    if (m.n == 0)
        return R_NONE;
    ti->busy = true;
    m.inputs = calloc(m.n, sizeof(struct input *));
    must(m.inputs != NULL);
    for (size_t i = 0; i < m.n; i++)
        m.inputs[i] = input_new(chosen[i]);
    uint32_t number = ti->next_number++;
    enum result r = write_merged(&m, number, alive, arg, f);
    if (r == R_OK)
        r = replace(&m, number, f);
    for (size_t i = 0; i < m.n; i++)
        input_free(m.inputs[i]);
    free(m.inputs);
    free(m.postings);
    ti->busy = false;
    return r;
}
