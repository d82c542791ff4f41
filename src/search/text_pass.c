#include "io/task.h"
#include "search/text_filter.h"
#include "search/text_find.h"

bool
text_is_scanned(const struct text_condition *c)
{
    return c->how == TEXT_SUFFIX || c->how == TEXT_INFIX;
}

void
text_work_init(struct text_work *w, const struct text_condition *c, size_t documents)
{
    *w = (struct text_work){.c = c, .marks = {.documents = documents}};
    text_pattern_init(&w->pattern, c);
    w->marks.zones = calloc(documents + 1, sizeof *w->marks.zones);
    must(w->marks.zones != NULL);
}

void
text_work_done(struct text_work *w)
{
    free(w->marks.zones);
    free(w->pages);
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

// Takes all terms of the page that meet the condition.
static enum result
take_page(struct text_place *at, struct text_work *w, struct fault *f)
{
    struct text_page *page = &at->page;
    struct text_entries entries = text_entries_of(page);
    struct text_entry entry;
    size_t passed = 0, from = 0, told = 0;
    if (w->places)
        return text_page_places(at->s, page, w->c, w->places, f);
    if (!page->text.p && text_page_spell(at->s, page, f) != R_OK)
        return R_FAIL;
    while ((from = text_pattern_find(&w->pattern, page->text, from)) < page->text.n &&
           !text_is_done(w)) {
        told += count_delimiters(span_slice(page->text, passed, from + 1));
        passed = from + 1;
        if (told > page->count)
            return fault_set(f, FAULT_CORRUPTION,
                             "search index: a page has more terms than it says");
        if (text_entries_skip(at->s, &entries, told - 1, f) != R_OK ||
            text_entry_next(at->s, &entries, &entry, f) != R_OK)
            return R_FAIL;
        entries.told++;
        if (text_list_mark(&at->lists, &entry, &w->marks, f) != R_OK)
            return R_FAIL;
        from += term_at(page, from).n + 1;
    }
    return R_OK;
}

// ---- looking up ----

static enum result
read_page(struct text_place *at, enum text_kind kind, uint32_t page, struct fault *f)
{
    task_yield();
    return text_page_load(at->s, kind, page, &at->page, f);
}

// The first page from `low` on that begins with such a head or a greater one.
static uint32_t
first_page(const uint64_t *heads, uint32_t low, uint32_t high, uint64_t head)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (heads[middle] < head)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// The last page that begins with the key or before it: few begin with the same octets.
static enum result
seek(struct text_place *at, enum text_kind kind, struct span key, uint32_t *out,
     struct fault *f)
{
    uint64_t head = text_term_head(key);
    const uint64_t *heads = at->s->heads;
    uint32_t low = 0, high = at->s->pages[kind], pages = high;
    for (enum text_kind k = 0; k < kind; k++)
        heads += at->s->pages[k];
    low = first_page(heads, 0, pages, head);
    low -= low > 0;
    high = head < UINT64_MAX ? first_page(heads, low, pages, head + 1) : pages;
    while (low + 1 < high) {
        uint32_t middle = low + (high - low) / 2;
        if (read_page(at, kind, middle, f) != R_OK)
            return R_FAIL;
        if (text_term_compare(at->page.first, key) <= 0)
            low = middle;
        else
            high = middle;
    }
    *out = low;
    return R_OK;
}

static enum result
look_up(struct text_place *at, struct text_work *w, enum text_kind kind, struct fault *f)
{
    struct span key = span_of(w->c->octets, w->c->n);
    uint32_t page;
    if (seek(at, kind, key, &page, f) != R_OK)
        return R_FAIL;
    for (bool first = true; page < at->s->pages[kind]; page++, first = false) {
        if (read_page(at, kind, page, f) != R_OK)
            return R_FAIL;
        struct span term = at->page.first;
        if (!first && text_term_compare(term, key) > 0 && !span_starts(term, key))
            return R_OK;
        if (take_page(at, w, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

enum result
text_look_up(struct text_place *at, struct text_work *w, struct fault *f)
{
    if (look_up(at, w, w->c->kind, f) != R_OK)
        return R_FAIL;
    return w->c->kind == TEXT_WORD ? look_up(at, w, TEXT_PAIRED, f) : R_OK;
}

// ---- the pages that a pass reads ----

enum { GRAMS = 6, LONGS = 12 };  // pieces of a pattern that are looked for

static bool
wants(const struct text_work *w, uint32_t page)
{
    return !text_is_done(w) && (w->pages[page / 8] >> (page % 8) & 1);
}

static void
want_kind(struct text_work *w, const struct text_segment *s, enum text_kind kind)
{
    uint32_t first = 0;
    for (enum text_kind k = 0; k < kind; k++)
        first += s->pages[k];
    for (uint32_t page = first; page < first + s->pages[kind]; page++)
        w->pages[page / 8] |= (unsigned char)(1u << (page % 8));
}

// Returns how many are left.
static unsigned
keep(unsigned char *pages, struct span row)
{
    unsigned left = 0;
    for (size_t i = 0; i < row.n; i++)
        left += (unsigned)__builtin_popcount(pages[i] &= (unsigned char)row.p[i]);
    return left;
}

static unsigned
count_pages(const unsigned char *pages, size_t n)
{
    unsigned some = 0;
    for (size_t i = 0; i < n; i++)
        some += (unsigned)__builtin_popcount(pages[i]);
    return some;
}

// The rows that all pages with the pattern have.
struct rows {
    uint32_t rows[GRAMS * FILTER_BITS > LONGS ? GRAMS *FILTER_BITS : LONGS];
    size_t n;
};

static struct rows
rows_of(const struct text_work *w)
{
    struct rows r = {.n = 0};
    bool longs = w->c->kind == TEXT_JUNCTION && w->pattern.n >= FILTER_LONG;
    size_t all = w->pattern.n - (size_t)(longs ? FILTER_LONG : FILTER_GRAM) + 1;
    size_t most = longs ? LONGS : GRAMS, n = all < most ? all : most;
    for (size_t i = 0; i < n; i++) {
        const char *piece = w->pattern.octets + i * all / n;
        if (longs) {
            r.rows[r.n++] = text_filter_long_row(piece);
            continue;
        }
        text_filter_rows(piece, r.rows + r.n);
        r.n += FILTER_BITS;
    }
    return r;
}

// Leaves the pages of one filter that have all pieces of the pattern, and perhaps one more: a row costs as much as a page.
static enum result
narrow_stripe(struct text_place *at, struct text_work *w, uint32_t stripe, struct fault *f)
{
    uint32_t left = text_segment_pages(at->s) - stripe * FILTER_PAGES;
    unsigned char *pages = w->pages + (size_t)stripe * FILTER_PAGES / 8;
    size_t n = text_filter_row_size(left < FILTER_PAGES ? left : FILTER_PAGES);
    struct rows rows = rows_of(w);
    unsigned some = count_pages(pages, n);
    for (size_t i = 0; i < rows.n && some > 1; i++) {
        struct span row;
        if (text_row_read(&at->rows, stripe, rows.rows[i], &row, f) != R_OK)
            return R_FAIL;
        some = keep(pages, row);
        task_yield();
    }
    return R_OK;
}

static enum result
choose_pages(struct text_place *at, struct text_work *w, struct fault *f)
{
    uint32_t pages = text_segment_pages(at->s);
    w->pages = calloc(pages / 8 + 1, 1);
    must(w->pages != NULL);
    want_kind(w, at->s, w->c->kind);
    if (w->c->kind == TEXT_WORD)
        want_kind(w, at->s, TEXT_PAIRED);
    if (w->c->folded)
        want_kind(w, at->s, TEXT_FOLDED);
    if (w->pattern.n < FILTER_GRAM)
        return R_OK;
    for (uint32_t stripe = 0; stripe * (uint64_t)FILTER_PAGES < pages; stripe++)
        if (narrow_stripe(at, w, stripe, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

// ---- a pass ----

// The weight of each page, or 0 where order does not matter.
static enum result
read_weights(struct text_place *at, uint8_t *weights, uint32_t pages, struct fault *f)
{
    struct span row;
    for (uint32_t page = 0, i = 0; page < pages; i++) {
        uint32_t stripe = page / FILTER_PAGES;
        if (page % FILTER_PAGES == 0)
            i = 0;
        if (text_row_read(&at->rows, stripe, FILTER_ROWS + i, &row, f) != R_OK)
            return R_FAIL;
        uint32_t end = (stripe + 1) * FILTER_PAGES, n = (uint32_t)row.n;
        n = n < pages - page ? n : pages - page;
        n = n < end - page ? n : end - page;
        memcpy(weights + page, row.p, n);
        page += n;
    }
    return R_OK;
}

struct order {
    uint32_t *pages;
    size_t n;
};

// The pages that some work wants, those with the commonest terms first.
static void
sort_pages(struct order *o, const uint8_t *weights, uint32_t pages,
           const struct text_work *works, size_t n)
{
    size_t at[UINT8_MAX + 2] = {0};
    uint32_t *found = calloc(pages + 1u, sizeof *found);
    must(found != NULL);
    for (uint32_t page = 0; page < pages; page++) {
        bool wanted = false;
        for (size_t i = 0; i < n && !wanted; i++)
            wanted = wants(&works[i], page);
        if (!wanted)
            continue;
        found[o->n++] = page;
        at[UINT8_MAX - weights[page] + 1]++;
    }
    for (size_t i = 1; i <= UINT8_MAX; i++)
        at[i] += at[i - 1];
    for (size_t i = 0; i < o->n; i++)
        o->pages[at[UINT8_MAX - weights[found[i]]]++] = found[i];
    free(found);
}

static enum result
read_any(struct text_place *at, uint32_t page, struct fault *f)
{
    enum text_kind kind = 0;
    for (; page >= at->s->pages[kind]; kind++)
        page -= at->s->pages[kind];
    return read_page(at, kind, page, f);
}

static enum result
take_any(struct text_place *at, struct text_work *works, size_t n, uint32_t page,
         struct fault *f)
{
    bool have = false;
    for (size_t i = 0; i < n; i++) {
        if (!wants(&works[i], page))
            continue;
        if (!have && read_any(at, page, f) != R_OK)
            return R_FAIL;
        have = true;
        if (take_page(at, &works[i], f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

enum result
text_pass(struct text_place *at, struct text_work *works, size_t n, struct fault *f)
{
    uint32_t pages = text_segment_pages(at->s);
    uint8_t *weights = calloc(pages + 1u, 1);
    struct order order = {.pages = calloc(pages + 1u, sizeof *order.pages)};
    bool ordered = false;
    enum result r = R_OK;
    must(weights != NULL && order.pages != NULL);
    for (size_t i = 0; i < n && r == R_OK; i++) {
        r = choose_pages(at, &works[i], f);
        ordered = ordered || works[i].only;
    }
    if (r == R_OK && ordered)
        r = read_weights(at, weights, pages, f);
    if (r == R_OK)
        sort_pages(&order, weights, pages, works, n);
    for (size_t i = 0; i < order.n && r == R_OK; i++)
        r = take_any(at, works, n, order.pages[i], f);
    free(weights);
    free(order.pages);
    return r;
}
