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
    uint32_t next_page;
    size_t delimiter;  // before the term
    struct span term;
};

// An input that has a term, and the first octets of that as a number: most terms differ there.
struct runner {
    uint64_t head;
    struct input *in;
};

struct merge {
    struct text_index *ti;
    const struct text_merge_wish *wish;
    struct input **inputs;
    size_t n;
    enum text_kind kind;
    struct runner runners[TEXT_REPLACED];
    size_t running;
    struct text_writer *w;
    struct text_posting *postings;
    size_t count, room;
    bool in_order;
    struct fault *f;
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

// How many from the smallest on fit into one string: terms and lists are less than both together.
static size_t
fitting(const struct text_index *ti, struct text_segment *const *sorted, size_t n)
{
    uint64_t octets = 0;
    size_t fit = 0;
    for (; fit < n && fit < TEXT_REPLACED; fit++) {
        octets += sorted[fit]->octets;
        if (octets > ti->octets_max)
            break;
    }
    return fit;
}

// The smallest ones, up to the first FAN of about one size; 0: none are due.
static size_t
due(const struct text_index *ti, struct text_segment *const *sorted)
{
    size_t fit = fitting(ti, sorted, ti->count);
    for (size_t from = 0; from + FAN <= fit; from++)
        if (tier_of(sorted[from]) == tier_of(sorted[from + FAN - 1]))
            return from + FAN;
    return ti->count > SEGMENTS_MAX && fit > 1 ? (fit < FAN ? fit : FAN) : 0;
}

static bool
has_dead(const struct text_segment *s, const struct text_merge_wish *wish)
{
    for (size_t i = 0; i < s->document_count; i++) {
        if (!wish->alive(wish->arg, s->documents[i].emailid))
            return true;
        if (i % 1024 == 0)
            task_yield();
    }
    return false;
}

// Those with dead documents go to the front. One is written again also where it is as large as a string may be.
static size_t
dead(const struct text_index *ti, const struct text_merge_wish *wish,
     struct text_segment **sorted)
{
    size_t n = 0;
    for (size_t i = 0; i < ti->count; i++)
        if (has_dead(sorted[i], wish))
            sorted[n++] = sorted[i];
    size_t fit = fitting(ti, sorted, n);
    return n > 0 && fit == 0 ? 1 : fit;
}

// What is merged, at the front of `sorted`, of which there are ti->count.
static size_t
choose(const struct text_index *ti, const struct text_merge_wish *wish,
       struct text_segment **sorted)
{
    if (ti->count == 0)
        return 0;
    memcpy(sorted, ti->segments, ti->count * sizeof(struct text_segment *));
    qsort(sorted, ti->count, sizeof *sorted, by_octets);
    if (wish->dead)
        return dead(ti, wish, sorted);
    return wish->all ? fitting(ti, sorted, ti->count) : due(ti, sorted);
}

static enum result
go_on(const struct merge *m)
{
    task_yield();
    return !m->wish->go_on || m->wish->go_on(m->wish->arg)
               ? R_OK
               : fault_set(m->f, FAULT_CLOSED, "the merge of segments was stopped");
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
place_documents(struct merge *m, struct text_document *out)
{
    const struct text_merge_wish *wish = m->wish;
    size_t at[TEXT_REPLACED] = {0}, total = 0, n = 0;
    for (size_t i = 0; i < m->n; i++)
        total += m->inputs[i]->s->document_count;
    for (size_t told = 0; told < total;) {
        uint64_t emailid = least_emailid(m, at);
        bool gone = wish->alive && !wish->alive(wish->arg, emailid);
        struct text_document d =
            place_document(m, at, emailid, gone ? TEXT_GONE : (uint32_t)n);
        if (!gone)
            out[n++] = d;
        told = 0;
        for (size_t i = 0; i < m->n; i++)
            told += at[i];
        if (told % 256 == 0)
            task_yield();
    }
    return n;
}

// ---- terms ----

// R_NONE: there are no more of the kind.
static enum result
next_page(const struct merge *m, struct input *in)
{
    if (in->next_page == in->s->pages[m->kind])
        return R_NONE;
    if (go_on(m) != R_OK ||
        text_page_load(in->s, m->kind, in->next_page++, &in->page, m->f) != R_OK ||
        text_page_spell(in->s, &in->page, m->f) != R_OK)
        return R_FAIL;
    in->entries = text_entries_of(&in->page);
    in->delimiter = 0;
    in->term = SPAN_NONE;
    return R_OK;
}

static int
runner_compare(const struct runner *a, const struct runner *b)
{
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    return text_term_compare(a->in->term, b->in->term);
}

// R_NONE: the input has no more.
static enum result
next_term(const struct merge *m, struct runner *r)
{
    struct input *in = r->in;
    if (in->term.p)
        in->delimiter += in->term.n + 1;
    if (!in->term.p || in->delimiter + 1 >= in->page.text.n) {
        enum result got = next_page(m, in);
        if (got != R_OK)
            return got;
    }
    const char *term = in->page.text.p + in->delimiter + 1;
    size_t room = in->page.text.n - in->delimiter - 1, n = 0;
    while (n < room && term[n] != (char)TEXT_DELIMITER)
        n++;
    if (n == 0 || n > TERM_MAX)
        return fault_set(m->f, FAULT_CORRUPTION, "search index: a term is wrong");
    in->term = span_of(term, n);
    uint64_t before = r->head;
    r->head = text_term_head(in->term);
    if (r->head < before)
        return fault_set(m->f, FAULT_CORRUPTION, "search index: terms are out of order");
    return text_entry_next(in->s, &in->entries, &in->entry, m->f);
}

static enum result
begin_runners(struct merge *m)
{
    m->running = 0;
    for (size_t i = 0; i < m->n; i++) {
        struct runner *r = &m->runners[m->running];
        *r = (struct runner){0, m->inputs[i]};
        r->in->next_page = 0;
        r->in->term = SPAN_NONE;
        enum result got = next_term(m, r);
        if (got == R_FAIL)
            return R_FAIL;
        m->running += got == R_OK;
    }
    return R_OK;
}

// The first one that has the least term.
static size_t
least_runner(const struct merge *m)
{
    size_t least = 0;
    for (size_t i = 1; i < m->running; i++)
        if (runner_compare(&m->runners[i], &m->runners[least]) < 0)
            least = i;
    return least;
}

// ---- postings ----

static void
make_room(struct merge *m, size_t more)
{
    if (m->count + more <= m->room)
        return;
    m->room = (m->count + more) * 2;
    m->postings = reallocarray(m->postings, m->room, sizeof *m->postings);
    must(m->postings != NULL);
}

static enum result
wrong_list(const struct merge *m)
{
    return fault_set(m->f, FAULT_CORRUPTION, "search index: a list is wrong");
}

static enum result
take_postings(struct merge *m, struct input *in)
{
    struct text_coder c = text_coder_of();
    struct text_posting p = in->entry.one;
    struct span rest = SPAN_NONE;
    enum result got = R_OK;
    if (in->entry.octets > 0 &&
        text_list_octets(&in->lists, &in->entry, &rest, m->f) != R_OK)
        return R_FAIL;
    make_room(m, rest.n + 1);  // each has an octet at least
    if (in->entry.octets > 0)
        got = text_posting_next(&c, &rest, &p);
    for (; got == R_OK; got = text_posting_next(&c, &rest, &p)) {
        if (p.document >= in->s->document_count)
            return wrong_list(m);
        p.document = in->places[p.document];
        if (p.document == TEXT_GONE)
            continue;
        m->in_order = m->in_order &&
                      (m->count == 0 || m->postings[m->count - 1].document < p.document);
        m->postings[m->count++] = p;
    }
    return got == R_NONE ? R_OK : wrong_list(m);
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

// Takes the postings of a runner's term, and turns it to its next one; R_NONE: it has no more, and its place is the next one's. The order of
// the others stays: that of their documents.
static enum result
take_runner(struct merge *m, size_t i)
{
    struct runner *r = &m->runners[i];
    if (take_postings(m, r->in) != R_OK)
        return R_FAIL;
    enum result got = next_term(m, r);
    if (got == R_NONE)
        memmove(r, r + 1, (--m->running - i) * sizeof *r);
    return got;
}

static enum result
merge_term(struct merge *m)
{
    char octets[TERM_MAX] = {0};
    size_t least = least_runner(m);
    uint64_t head = m->runners[least].head;
    struct span term = span_of(octets, m->runners[least].in->term.n);
    memcpy(octets, m->runners[least].in->term.p, term.n);
    m->count = 0;
    m->in_order = true;
    for (size_t i = least; i < m->running;) {
        if (m->runners[i].head != head || !span_eq(m->runners[i].in->term, term)) {
            i++;
            continue;
        }
        enum result got = take_runner(m, i);
        if (got == R_FAIL)
            return R_FAIL;
        if (got == R_OK && m->runners[i].head == head &&
            text_term_compare(m->runners[i].in->term, term) <= 0)
            return fault_set(m->f, FAULT_CORRUPTION,
                             "search index: terms are out of order");
    }
    order_postings(m);
    if (m->count == 0)
        return R_OK;
    return text_writer_term(m->w, m->kind, term, m->postings, m->count, m->f);
}

static enum result
merge_kind(struct merge *m, enum text_kind kind)
{
    m->kind = kind;
    if (begin_runners(m) != R_OK)
        return R_FAIL;
    while (m->running > 0)
        if (merge_term(m) != R_OK)
            return R_FAIL;
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
write_merged(struct merge *m, uint32_t number)
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
    made.n = place_documents(m, documents);
    made.documents = documents;
    if (total > 0)  // what the gone ones had is not known; about their share
        made.text_octets =
            (uint64_t)((double)made.text_octets * (double)made.n / (double)total);
    enum result r = text_writer_open(m->ti->store, m->ti->account, number, &m->w, m->f);
    for (enum text_kind kind = 0; kind < TEXT_KINDS && r == R_OK; kind++)
        r = merge_kind(m, kind);
    if (r == R_OK)
        r = text_writer_finish(&m->w, &made, m->f);
    else
        text_writer_abort(&m->w);
    free(documents);
    return r;
}

// The new one takes the place of those it is made of.
static enum result
replace(struct merge *m, uint32_t number)
{
    struct text_segment *s;
    enum result r = text_segment_open(m->ti->store, m->ti->account, number, &s, m->f);
    if (r == R_NONE)
        return fault_set(m->f, FAULT_CORRUPTION, "search index: a new segment is gone");
    if (r != R_OK)
        return r;
    text_index_add(m->ti, s);
    for (size_t i = 0; i < m->n; i++)
        text_index_remove(m->ti, m->inputs[i]->s);
    for (size_t i = 0; i < m->n; i++)
        if (text_segment_drop(m->ti, m->inputs[i]->s->number, m->f) != R_OK)
            return R_FAIL;
    return R_OK;
}

static int
by_first_document(const void *left, const void *right)
{
    const struct text_segment *a = *(struct text_segment *const *)left,
                              *b = *(struct text_segment *const *)right;
    uint64_t x = a->document_count > 0 ? a->documents->emailid : 0,
             y = b->document_count > 0 ? b->documents->emailid : 0;
    return (x > y) - (x < y);
}

// As a rule each has the documents of a time, and lists that follow each other are in order as they are.
static enum result
merge_chosen(struct merge *m, struct text_segment **chosen)
{
    uint32_t number = m->ti->next_number++;
    qsort(chosen, m->n, sizeof *chosen, by_first_document);
    m->inputs = calloc(m->n, sizeof(struct input *));
    must(m->inputs != NULL);
    for (size_t i = 0; i < m->n; i++)
        m->inputs[i] = input_new(chosen[i]);
    enum result r = write_merged(m, number);
    if (r == R_OK)
        r = replace(m, number);
    for (size_t i = 0; i < m->n; i++)
        input_free(m->inputs[i]);
    free(m->inputs);
    free(m->postings);
    return r;
}

enum result
text_index_merge(struct text_index *ti, const struct text_merge_wish *wish, struct fault *f)
{
    static const struct text_merge_wish usual = {0};
    struct merge m = {.ti = ti, .wish = wish ? wish : &usual, .f = f};
    must(!ti->busy && (!m.wish->dead || m.wish->alive));
    struct text_segment **sorted = calloc(ti->count + 1, sizeof(struct text_segment *));
    must(sorted != NULL);
    ti->busy = true;  // also while it chooses: that may suspend
    m.n = choose(ti, m.wish, sorted);
    enum result r = m.n > 0 ? merge_chosen(&m, sorted) : R_NONE;
    free(sorted);
    ti->busy = false;
    return r;
}
