#include "base/budget.h"
#include "io/task.h"
#include "search/text_gather.h"

// Segments are read side by side, term by term and pair by pair, and written as one.

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
    // of its terms of TEXT_PAIRED so far: their places in the new segment; TEXT_GONE: no document has it any more
    uint32_t *words, word_count;
    uint64_t turned;  // of TEXT_TURNED: the place of the term's word
    struct text_pairs pairs;
};

// An input that has a term, and the first octets of that as a number: most terms differ there. Or one that has a pair, as it will be.
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
    struct text_gather postings;
    uint32_t turned;  // the place of the word that is the term turned
    struct fault *f;
};

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

// Do the documents of each stand behind those of the one before? None is gone.
static bool
is_straight(const struct merge *m)
{
    uint32_t next = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct input *in = m->inputs[i];
        if (in->s->document_count > 0 && in->places[0] != next)
            return false;
        next += (uint32_t)in->s->document_count;
    }
    return true;
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

static enum result
wrong_words(const struct merge *m)
{
    return fault_set(m->f, FAULT_CORRUPTION,
                     "search index: words are not as they are told");
}

static enum result
next_turned(const struct merge *m, struct input *in)
{
    struct span *rest = &in->entries.rest;
    const char *p = text_var_pass(rest->p, rest->p + rest->n, &in->turned);
    if (!p || in->turned >= in->word_count)
        return wrong_words(m);
    *rest = span_skip(*rest, (size_t)(p - rest->p));
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
    return m->kind == TEXT_TURNED ? next_turned(m, in)
                                  : text_entry_next(in->s, &in->entries, &in->entry, m->f);
}

typedef enum result next_fn(const struct merge *m, struct runner *r);

// What each input has first, of terms or of pairs.
static enum result
begin_runners(struct merge *m, next_fn *next)
{
    m->running = 0;
    for (size_t i = 0; i < m->n; i++) {
        struct runner *r = &m->runners[m->running];
        *r = (struct runner){0, m->inputs[i]};
        r->in->next_page = 0;
        r->in->term = SPAN_NONE;
        r->in->pairs.at.left = 0;
        enum result got = next(m, r);
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

// ---- one term of all of them ----

static enum result
take_postings(struct merge *m, struct input *in)
{
    return text_gather_take(&m->postings, &in->lists, &in->entry, in->places, m->f);
}

// The place of the term that is merged.
static enum result
place_word(const struct merge *m, struct input *in)
{
    if (in->word_count == in->s->paired)
        return wrong_words(m);
    in->words[in->word_count++] = text_writer_paired(m->w);
    return R_OK;
}

// No document has the term.
static void
unplace_words(const struct merge *m)
{
    for (size_t i = 0; i < m->n; i++) {
        struct input *in = m->inputs[i];
        if (in->word_count > 0 && in->words[in->word_count - 1] == text_writer_paired(m->w))
            in->words[in->word_count - 1] = TEXT_GONE;
    }
}

// Takes the postings of a runner's term, and turns it to its next one; R_NONE: it has no more, and its place is the next one's. The order of
// the others stays: that of their documents.
static enum result
take_runner(struct merge *m, size_t i)
{
    struct runner *r = &m->runners[i];
    if (m->kind == TEXT_TURNED)
        m->turned = r->in->words[r->in->turned];
    else if (take_postings(m, r->in) != R_OK ||
             (m->kind == TEXT_PAIRED && place_word(m, r->in) != R_OK))
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
    text_gather_reset(&m->postings);
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
    if (m->kind == TEXT_TURNED)
        return m->turned == TEXT_GONE ? R_OK
                                      : text_writer_turned(m->w, term, m->turned, m->f);
    struct text_postings all = text_gather_all(&m->postings);
    if (all.n > 0)
        return text_writer_term(m->w, m->kind, term, &all, m->f);
    if (m->kind == TEXT_PAIRED)
        unplace_words(m);
    return R_OK;
}

static enum result
merge_kind(struct merge *m, enum text_kind kind)
{
    m->kind = kind;
    if (begin_runners(m, next_term) != R_OK)
        return R_FAIL;
    while (m->running > 0)
        if (merge_term(m) != R_OK)
            return R_FAIL;
    return R_OK;
}

// ---- pairs ----

// The next pair of the input; R_NONE: there are no more.
static enum result
next_pair_of(const struct merge *m, struct input *in, uint64_t *out)
{
    uint64_t pair = 0;
    enum result got;
    while ((got = text_pairs_next(&in->pairs, &pair, &in->entry, m->f)) == R_NONE) {
        if (in->next_page == in->s->pair_pages)
            return R_NONE;
        if (go_on(m) != R_OK ||
            text_pairs_load(in->s, in->next_page++, &in->pairs, m->f) != R_OK)
            return R_FAIL;
    }
    uint32_t left = (uint32_t)pair, right = (uint32_t)(pair >> 32);
    if (got != R_OK)
        return R_FAIL;
    *out = pair;
    return left < in->word_count && right < in->word_count ? R_OK : wrong_words(m);
}

// The same of those whose words are left.
static enum result
next_pair(const struct merge *m, struct runner *r)
{
    uint64_t pair;
    enum result got;
    while ((got = next_pair_of(m, r->in, &pair)) == R_OK) {
        uint32_t left = r->in->words[(uint32_t)pair], right = r->in->words[pair >> 32];
        if (left == TEXT_GONE || right == TEXT_GONE)
            continue;
        r->head = text_pair_of(left, right);
        return R_OK;
    }
    return got;
}

static enum result
merge_pair(struct merge *m)
{
    uint64_t pair = UINT64_MAX;
    for (size_t i = 0; i < m->running; i++)
        pair = m->runners[i].head < pair ? m->runners[i].head : pair;
    text_gather_reset(&m->postings);
    for (size_t i = 0; i < m->running;) {
        struct runner *r = &m->runners[i];
        if (r->head != pair) {
            i++;
            continue;
        }
        if (take_postings(m, r->in) != R_OK)
            return R_FAIL;
        enum result got = next_pair(m, r);
        if (got == R_FAIL)
            return R_FAIL;
        if (got == R_NONE)
            memmove(r, r + 1, (--m->running - i) * sizeof *r);
    }
    struct text_postings all = text_gather_all(&m->postings);
    return all.n > 0 ? text_writer_pair(m->w, pair, &all, m->f) : R_OK;
}

static enum result
merge_pairs(struct merge *m)
{
    if (begin_runners(m, next_pair) != R_OK)
        return R_FAIL;
    while (m->running > 0)
        if (merge_pair(m) != R_OK)
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
    in->words = calloc(s->paired + 1u, sizeof *in->words);
    must(in->places != NULL && in->words != NULL);
    budget_force(BUDGET_TABLES, s->paired * sizeof *in->words);
    text_list_reader_init(&in->lists, s);
    return in;
}

static void
input_free(struct input *in)
{
    text_list_reader_done(&in->lists);
    budget_give(BUDGET_TABLES, in->s->paired * sizeof *in->words);
    text_segment_release(in->s);
    free(in->places);
    free(in->words);
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
    text_gather_init(&m->postings, made.n == total && is_straight(m));
    made.documents = documents;
    if (total > 0)  // what the gone ones had is not known; about their share
        made.text_octets =
            (uint64_t)((double)made.text_octets * (double)made.n / (double)total);
    enum result r = text_writer_open(m->ti->store, m->ti->account, number, &m->w, m->f);
    for (enum text_kind kind = 0; kind < TEXT_KINDS && r == R_OK; kind++)
        r = merge_kind(m, kind);
    if (r == R_OK)
        r = merge_pairs(m);
    if (r == R_OK)
        r = text_writer_finish(&m->w, &made, m->f);
    else
        text_writer_abort(&m->w);
    text_gather_done(&m->postings);
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
    m.n = text_merge_choose(ti, m.wish, sorted);
    enum result r = m.n > 0 ? merge_chosen(&m, sorted) : R_NONE;
    free(sorted);
    ti->busy = false;
    return r;
}
