#include "io/task.h"
#include "search/text_find.h"

// Segment by segment, condition by condition: conditions on the beginning of a term are looked up, the others are answered in one
// pass over the terms. Each gives the zones of every document; what meets all of them in one zone is found.

enum { PASS = 6 };  // conditions answered in one pass

struct found_in {
    struct text_segment *segment;
    size_t hint;
    uint64_t **bits;  // of each lookup: one bit a document
};

struct text_found {
    struct text_lookup *lookups;
    bool *exact;
    size_t n, count;
    struct found_in *in;
};

// One condition at work on one segment.
struct work {
    const struct text_condition *c;
    struct text_pattern pattern;
    unsigned wanted;
    bool only;  // the only condition: it may stop when all documents are reached
    uint16_t *zones;
    size_t reached;
};

struct place {
    struct text_segment *s;
    struct text_page *page;
    struct text_list_reader lists;
};

static void
on_posting(void *arg, struct text_posting p)
{
    struct work *w = arg;
    unsigned zones = p.zones & w->wanted;
    w->reached += zones && !w->zones[p.document];
    w->zones[p.document] |= (uint16_t)zones;
}

static bool
is_done(const struct place *at, const struct work *w)
{
    return w->only && w->reached == at->s->document_count;
}

// ---- one page ----

static struct span
term_at(const struct text_page *page, size_t delimiter)
{
    struct span rest = span_skip(page->text, delimiter + 1);
    return span_slice(rest, 0, span_find_char(rest, (char)TEXT_DELIMITER));
}

static size_t
count_delimiters(struct span text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == (char)TEXT_DELIMITER;
    return n;
}

// Reads the lists of all terms of the page that meet the condition.
static enum result
take_page(struct place *at, struct work *w, struct fault *f)
{
    const struct text_page *page = at->page;
    struct text_entries entries = text_entries_of(page);
    struct text_entry entry;
    size_t passed = 0, from = 0, told = 0;
    while ((from = text_pattern_find(&w->pattern, page->text, from)) < page->text.n &&
           !is_done(at, w)) {
        told += count_delimiters(span_slice(page->text, passed, from + 1));
        passed = from + 1;
        if (told > page->count)
            return fault_set(f, FAULT_CORRUPTION,
                             "search index: a page has more terms than it says");
        for (; entries.told < told; entries.told++)
            if (text_entry_next(at->s, &entries, &entry, f) != R_OK)
                return R_FAIL;
        if (text_list_read(&at->lists, &entry, on_posting, w, f) != R_OK)
            return R_FAIL;
        from += term_at(page, from).n + 1;
    }
    return R_OK;
}

// ---- looking up, and passing over all ----

static enum result
read_page(struct place *at, enum text_kind kind, uint32_t page, struct fault *f)
{
    task_yield();
    return text_page_read(at->s, kind, page, at->page, f);
}

// The last page that begins with the key or before it.
static enum result
seek(struct place *at, enum text_kind kind, struct span key, uint32_t *out, struct fault *f)
{
    uint32_t low = 0, high = at->s->pages[kind];
    while (low + 1 < high) {
        uint32_t middle = low + (high - low) / 2;
        if (read_page(at, kind, middle, f) != R_OK)
            return R_FAIL;
        if (text_term_compare(term_at(at->page, 0), key) <= 0)
            low = middle;
        else
            high = middle;
    }
    *out = low;
    return R_OK;
}

static enum result
look_up(struct place *at, struct work *w, struct fault *f)
{
    struct span key = span_of(w->c->octets, w->c->n);
    enum text_kind kind = w->c->kind;
    uint32_t page;
    if (seek(at, kind, key, &page, f) != R_OK)
        return R_FAIL;
    for (bool first = true; page < at->s->pages[kind]; page++, first = false) {
        if (read_page(at, kind, page, f) != R_OK)
            return R_FAIL;
        struct span term = term_at(at->page, 0);
        if (!first && text_term_compare(term, key) > 0 && !span_starts(term, key))
            return R_OK;
        if (take_page(at, w, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
pass_over(struct place *at, enum text_kind kind, struct work *work, size_t n,
          struct fault *f)
{
    for (uint32_t page = 0; page < at->s->pages[kind]; page++) {
        bool done = true;
        for (size_t i = 0; i < n; i++)
            done = done && (work[i].c->kind != kind || is_done(at, &work[i]));
        if (done)
            return R_OK;
        if (read_page(at, kind, page, f) != R_OK)
            return R_FAIL;
        for (size_t i = 0; i < n; i++)
            if (work[i].c->kind == kind && take_page(at, &work[i], f) != R_OK)
                return R_FAIL;
    }
    return R_OK;
}

// ---- a lookup in a segment ----

static bool
is_scanned(const struct text_condition *c)
{
    return c->how == TEXT_SUFFIX || c->how == TEXT_INFIX;
}

static struct work
work_new(const struct text_condition *c, const struct text_lookup *l, size_t documents,
         bool only)
{
    struct work w = {.c = c, .wanted = l->zones, .only = only};
    text_pattern_init(&w.pattern, c);
    w.zones = calloc(documents + 1, sizeof *w.zones);
    must(w.zones != NULL);
    return w;
}

// Leaves what was found before and now. Returns how many documents that are.
static size_t
work_end(struct work *w, uint16_t *found, size_t documents)
{
    size_t left = 0;
    for (size_t i = 0; i < documents; i++) {
        found[i] &= w->zones[i];
        left += found[i] != 0;
    }
    free(w->zones);
    return left;
}

// A lookup at work on one segment.
struct seek {
    struct place *at;
    const struct text_lookup *lookup;
    struct text_needle needle;
    uint16_t *found;  // zones in which all conditions so far are met
    size_t left;      // documents that have some
};

static enum result
look_up_all(struct seek *k, struct fault *f)
{
    size_t documents = k->at->s->document_count;
    for (size_t i = 0; i < k->needle.n && k->left > 0; i++) {
        if (is_scanned(&k->needle.conditions[i]))
            continue;
        struct work w =
            work_new(&k->needle.conditions[i], k->lookup, documents, k->needle.n == 1);
        enum result r = look_up(k->at, &w, f);
        k->left = work_end(&w, k->found, documents);
        if (r != R_OK)
            return r;
    }
    return R_OK;
}

// The next conditions that take a pass.
static size_t
works_new(const struct seek *k, size_t *next, struct work work[PASS])
{
    size_t count = 0;
    for (; *next < k->needle.n && count < PASS; (*next)++) {
        const struct text_condition *c = &k->needle.conditions[*next];
        if (!is_scanned(c))
            continue;
        work[count++] = work_new(c, k->lookup, k->at->s->document_count, k->needle.n == 1);
    }
    return count;
}

static enum result
pass_over_all(struct seek *k, struct fault *f)
{
    enum result r = R_OK;
    for (size_t next = 0; next < k->needle.n && k->left > 0 && r == R_OK;) {
        struct work work[PASS];
        size_t count = works_new(k, &next, work);
        for (enum text_kind kind = 0; kind < TEXT_KINDS && r == R_OK; kind++)
            r = pass_over(k->at, kind, work, count, f);
        for (size_t i = 0; i < count; i++)
            k->left = work_end(&work[i], k->found, k->at->s->document_count);
    }
    return r;
}

static enum result
find_in(struct place *at, const struct text_lookup *l, struct found_in *in, size_t slot,
        bool *exact, struct fault *f)
{
    size_t documents = at->s->document_count;
    struct seek k = {.at = at, .lookup = l, .left = documents};
    k.found = calloc(documents + 1, sizeof *k.found);
    in->bits[slot] = calloc(documents / 64 + 1, sizeof(uint64_t));
    must(k.found && in->bits[slot]);
    memset(k.found, 0xFF, documents * sizeof *k.found);
    text_needle_read(&k.needle, l->needle);
    *exact = k.needle.exact;
    enum result r = look_up_all(&k, f);
    if (r == R_OK)
        r = pass_over_all(&k, f);
    for (size_t i = 0; i < documents; i++)
        in->bits[slot][i / 64] |= (uint64_t)(k.found[i] != 0) << (i % 64);
    free(k.found);
    return r;
}

// ---- all of it ----

static struct text_found *
found_new(struct text_index *ti, const struct text_lookup *lookups, size_t n)
{
    struct text_found *found = calloc(1, sizeof *found);
    must(found != NULL);
    found->n = n;
    found->count = ti->count;
    found->lookups = calloc(n + 1, sizeof *found->lookups);
    found->exact = calloc(n + 1, sizeof *found->exact);
    found->in = calloc(ti->count + 1, sizeof *found->in);
    must(found->lookups && found->exact && found->in);
    if (n > 0)
        memcpy(found->lookups, lookups, n * sizeof *lookups);
    for (size_t i = 0; i < ti->count; i++) {
        struct found_in *in = &found->in[i];
        in->segment = ti->segments[i];
        in->segment->references++;
        in->bits = calloc(n + 1, sizeof(uint64_t *));
        must(in->bits != NULL);
    }
    return found;
}

enum result
text_index_find(struct text_index *ti, const struct text_lookup *lookups, size_t n,
                struct text_found **out, struct fault *f)
{
    struct text_found *found = found_new(ti, lookups, n);
    struct place *at = calloc(1, sizeof *at);
    must(at != NULL);
    at->page = calloc(1, sizeof *at->page);
    must(at->page != NULL);
    enum result r = R_OK;
    for (size_t i = 0; i < found->count && r == R_OK; i++) {
        at->s = found->in[i].segment;
        text_list_reader_init(&at->lists, at->s);
        for (size_t slot = 0; slot < n && r == R_OK; slot++)
            r = find_in(at, &found->lookups[slot], &found->in[i], slot, &found->exact[slot],
                        f);
        text_list_reader_done(&at->lists);
    }
    free(at->page);
    free(at);
    if (r != R_OK)
        text_found_free(&found);
    else
        *out = found;
    return r;
}

// The document that the hint is at.
static bool
is_found(const struct found_in *in, size_t slot)
{
    return in->bits[slot][in->hint / 64] >> (in->hint % 64) & 1;
}

enum text_answer
text_found_of(struct text_found *found, size_t slot, uint64_t emailid)
{
    enum text_answer answer = TEXT_NOT_INDEXED;
    must(slot < found->n);
    for (size_t i = 0; i < found->count; i++) {
        struct found_in *in = &found->in[i];
        if (!text_segment_has(in->segment, emailid, &in->hint))
            continue;
        bool bit = is_found(in, slot);
        bool open = in->segment->documents[in->hint].open & found->lookups[slot].zones;
        enum text_answer here = bit && found->exact[slot] ? TEXT_YES
                                : bit || open             ? TEXT_MAYBE
                                                          : TEXT_NO;
        answer = here > answer ? here : answer;
    }
    return answer;
}

void
text_found_free(struct text_found **found)
{
    if (!*found)
        return;
    for (size_t i = 0; i < (*found)->count; i++) {
        struct found_in *in = &(*found)->in[i];
        for (size_t slot = 0; slot < (*found)->n; slot++)
            free(in->bits[slot]);
        free(in->bits);
        text_segment_release(in->segment);
    }
    free((*found)->in);
    free((*found)->lookups);
    free((*found)->exact);
    free(*found);
    *found = NULL;
}
