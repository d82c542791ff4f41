#include "base/pack.h"
#include "search/text_filter.h"
#include "search/text_pages.h"

void
text_segment_name(char name[TEXT_NAME], uint32_t number, bool lists)
{
    (void)!snprintf(name, TEXT_NAME, "%08x-%c", number, lists ? 'l' : 't');
}

static enum result
damaged(const struct text_segment *s, const char *what, struct fault *f)
{
    return fault_set(f, FAULT_CORRUPTION, "search index segment %08x: %s", s->number, what);
}

static enum result
read_page(struct text_segment *s, bool lists, uint64_t place, char page[TEXT_PAGE],
          struct fault *f)
{
    uint64_t sum;
    if (derived_read(lists ? s->lists : s->terms, place * TEXT_PAGE, page, TEXT_PAGE, f) !=
        R_OK)
        return R_FAIL;
    memcpy(&sum, page + TEXT_PAGE_DATA, sizeof sum);
    if (sum != text_page_sum(page, text_page_salt(s->number, lists), place))
        return damaged(s, "a page's checksum is wrong", f);
    return R_OK;
}

// ---- opening ----

static void
take_foot(struct text_segment *s, struct unpack *u, uint32_t *number_out)
{
    *number_out = unpack_u32(u);
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++)
        s->pages[kind] = unpack_u32(u);
    s->pair_pages = unpack_u32(u);
    s->paired = unpack_u32(u);
    s->document_pages = unpack_u32(u);
    s->document_count = (size_t)unpack_u64(u);
    s->list_octets = unpack_u64(u);
    s->term_count = unpack_u64(u);
    s->text_octets = unpack_u64(u);
    s->replaced_count = unpack_u16(u);
    for (size_t i = 0; i < s->replaced_count && i < TEXT_REPLACED; i++)
        s->replaced[i] = unpack_u32(u);
}

// Pages of the filter of so many pages.
static uint64_t
filter_size(uint64_t pages)
{
    if (pages == 0)
        return 0;
    uint64_t each = TEXT_PAGE_DATA / text_filter_row_size((size_t)pages);
    return (FILTER_ROWS_ALL + each - 1) / each;
}

static uint64_t
count_pages(const struct text_segment *s)
{
    uint64_t n = 0;
    for (enum text_kind kind = 0; kind < TEXT_TURNED; kind++)
        n += s->pages[kind];
    return n;
}

// Where the first page of turned words is: behind all other terms with their filters.
static uint64_t
turned_at(const struct text_segment *s)
{
    uint64_t pages = count_pages(s), stripes = pages / FILTER_PAGES;
    return pages + stripes * filter_size(FILTER_PAGES) + filter_size(pages % FILTER_PAGES);
}

static uint64_t
pairs_at(const struct text_segment *s)
{
    return turned_at(s) + s->pages[TEXT_TURNED];
}

// Heads there are of pages of terms and of pairs.
static uint64_t
head_count(const struct text_segment *s)
{
    return count_pages(s) + s->pages[TEXT_TURNED] + s->pair_pages;
}

// Of documents: behind the pairs and what all these pages begin with.
static uint64_t
documents_at(const struct text_segment *s)
{
    uint64_t heads = head_count(s);
    return pairs_at(s) + s->pair_pages + (heads + TEXT_HEADS - 1) / TEXT_HEADS;
}

static bool
foot_fits(const struct text_segment *s)
{
    uint64_t pages = documents_at(s) + s->document_pages + 1;
    uint64_t lists =
        s->list_octets / TEXT_PAGE_DATA + (s->list_octets % TEXT_PAGE_DATA > 0);
    return s->replaced_count <= TEXT_REPLACED && s->list_octets < (uint64_t)1 << 48 &&
           s->text_octets < (uint64_t)1 << 48 &&
           derived_size(s->terms) == pages * TEXT_PAGE &&
           derived_size(s->lists) == lists * TEXT_PAGE && count_pages(s) <= UINT32_MAX &&
           // each takes two octets at least, and so does
           s->paired <= (uint64_t)s->pages[TEXT_PAIRED] * (TEXT_PAGE_DATA / 2) &&
           s->document_count <= (uint64_t)s->document_pages * (TEXT_PAGE_DATA / 2);
}

static enum result
read_foot(struct text_segment *s, char page[TEXT_PAGE], struct fault *f)
{
    uint64_t size = derived_size(s->terms);
    uint32_t number;
    if (size == 0 || size % TEXT_PAGE != 0)
        return damaged(s, "it has no whole pages", f);
    if (read_page(s, false, size / TEXT_PAGE - 1, page, f) != R_OK)
        return R_FAIL;
    struct span foot = span_of(page, TEXT_PAGE_DATA);
    if (!span_starts(foot, SPAN(TEXT_MAGIC)))
        return damaged(s, "it is of another format", f);
    struct unpack u = unpack_of(span_skip(foot, TEXT_FOOT_MAGIC));
    take_foot(s, &u, &number);
    if (u.bad || number != s->number || !foot_fits(s))
        return damaged(s, "its foot is wrong", f);
    s->octets = size + derived_size(s->lists);
    return R_OK;
}

struct head {
    uint8_t what;
    uint16_t count, text;
    uint64_t list;
    uint32_t place;
};

static struct head
head_of(const char page[TEXT_PAGE])
{
    struct unpack u = unpack_of(span_of(page, TEXT_PAGE_HEAD));
    struct head h = {.what = unpack_u8(&u)};
    (void)unpack_u8(&u);
    h.count = unpack_u16(&u);
    h.text = unpack_u16(&u);
    h.list = unpack_u64(&u);
    h.place = unpack_u32(&u);
    return h;
}

static enum result
take_documents(struct text_segment *s, const char page[TEXT_PAGE], size_t *have,
               struct fault *f)
{
    struct head h = head_of(page);
    if (h.what != TEXT_PAGE_DOCUMENTS || h.text > TEXT_PAGE_DATA - TEXT_PAGE_HEAD)
        return damaged(s, "a page is not of documents", f);
    struct unpack u = unpack_of(span_of(page + TEXT_PAGE_HEAD, h.text));
    uint64_t emailid = h.list;
    for (size_t i = 0; i < h.count; i++) {
        uint64_t delta = unpack_var(&u), open = unpack_var(&u);
        bool rising = *have == 0 || delta > 0;
        if (u.bad || *have == s->document_count || !rising ||
            delta > UINT64_MAX - emailid || open >> TEXT_ZONE_BITS > MIME_ZONES)
            return damaged(s, "its documents are wrong", f);
        emailid += delta;
        s->documents[(*have)++] = (struct text_document){
            emailid, open & MIME_ZONES, (uint16_t)(open >> TEXT_ZONE_BITS)};
    }
    return R_OK;
}

static enum result
read_documents(struct text_segment *s, char page[TEXT_PAGE], struct fault *f)
{
    uint64_t first = documents_at(s);
    size_t have = 0;
    s->documents = calloc(s->document_count + 1, sizeof *s->documents);
    must(s->documents != NULL);
    for (uint32_t i = 0; i < s->document_pages; i++)
        if (read_page(s, false, first + i, page, f) != R_OK ||
            take_documents(s, page, &have, f) != R_OK)
            return R_FAIL;
    return have == s->document_count ? R_OK : damaged(s, "it lacks documents", f);
}

static enum result
take_heads(struct text_segment *s, const char page[TEXT_PAGE], uint64_t from,
           struct fault *f)
{
    struct head h = head_of(page);
    uint64_t left = head_count(s) - from;
    size_t n = left < TEXT_HEADS ? (size_t)left : TEXT_HEADS;
    struct unpack u = unpack_of(span_of(page + TEXT_PAGE_HEAD, n * 8));
    if (h.what != TEXT_PAGE_HEADS || h.count != n)
        return damaged(s, "a page is not of heads", f);
    for (size_t i = 0; i < n; i++)
        s->heads[from + i] = unpack_u64(&u);
    return R_OK;
}

static enum result
read_heads(struct text_segment *s, char page[TEXT_PAGE], struct fault *f)
{
    uint64_t place = pairs_at(s) + s->pair_pages, n = head_count(s);
    s->heads = calloc(n + 1, sizeof *s->heads);
    must(s->heads != NULL);
    for (uint64_t i = 0; i < n; i += TEXT_HEADS)
        if (read_page(s, false, place++, page, f) != R_OK ||
            take_heads(s, page, i, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

static enum result
open_strings(struct text_segment *s, struct store *store, uint64_t account, struct fault *f)
{
    char name[TEXT_NAME];
    text_segment_name(name, s->number, false);
    enum result r = derived_open(store, account, span_str(name), &s->terms, f);
    if (r != R_OK)
        return r;
    text_segment_name(name, s->number, true);
    r = derived_open(store, account, span_str(name), &s->lists, f);
    return r == R_NONE ? damaged(s, "its lists are gone", f) : r;
}

enum result
text_segment_open(struct store *store, uint64_t account, uint32_t number,
                  struct text_segment **out, struct fault *f)
{
    struct text_segment *s = calloc(1, sizeof *s);
    char *page = calloc(1, TEXT_PAGE);
    must(s != NULL && page != NULL);
    s->number = number;
    s->references = 1;
    enum result r = open_strings(s, store, account, f);
    if (r == R_OK && (r = read_foot(s, page, f)) == R_OK &&
        (r = read_documents(s, page, f)) == R_OK)
        r = read_heads(s, page, f);
    free(page);
    if (r == R_OK)
        *out = s;
    else
        text_segment_release(s);
    return r;
}

void
text_segment_release(struct text_segment *s)
{
    if (--s->references > 0)
        return;
    derived_close(&s->terms);
    derived_close(&s->lists);
    free(s->documents);
    free(s->heads);
    free(s);
}

bool
text_segment_has(const struct text_segment *s, uint64_t emailid, size_t *hint)
{
    size_t low = *hint < s->document_count ? *hint : 0, high = s->document_count, step = 1;
    if (low < high && s->documents[low].emailid > emailid)
        low = 0;
    while (low + step < high && s->documents[low + step].emailid <= emailid) {
        low += step;  // the next one is near, as a rule
        step *= 2;
    }
    if (low + step < high)
        high = low + step;
    while (low + 1 < high) {
        size_t middle = low + (high - low) / 2;
        if (s->documents[middle].emailid <= emailid)
            low = middle;
        else
            high = middle;
    }
    *hint = low;
    return low < s->document_count && s->documents[low].emailid == emailid;
}

// ---- pages of terms ----

uint32_t
text_segment_pages(const struct text_segment *s)
{
    return (uint32_t)count_pages(s);
}

enum result
text_page_load(struct text_segment *s, enum text_kind kind, uint32_t page,
               struct text_page *out, struct fault *f)
{
    must(page < s->pages[kind]);
    uint64_t place = page;
    for (enum text_kind k = 0; k < kind; k++)
        place += s->pages[k];
    place = kind == TEXT_TURNED ? turned_at(s) + page
                                : place + place / FILTER_PAGES * filter_size(FILTER_PAGES);
    if (read_page(s, false, place, out->octets, f) != R_OK)
        return R_FAIL;
    struct head h = head_of(out->octets);
    struct span body =
        span_of(out->octets + TEXT_PAGE_HEAD, TEXT_PAGE_DATA - TEXT_PAGE_HEAD);
    struct span first = text_own_octets(body.p);
    if (h.what != TEXT_PAGE_WORDS + kind || h.text > body.n || h.count == 0 ||
        h.list > s->list_octets || (unsigned char)body.p[0] >= TERM_SHARED ||
        first.n > TERM_MAX || (size_t)(first.p - body.p) + first.n > h.text)
        return damaged(s, "a page of terms is wrong", f);
    out->count = h.count;
    out->list = h.list;
    out->place = h.place;
    out->first = first;
    out->coded = span_slice(body, 0, h.text);
    out->text = SPAN_NONE;
    out->entries = span_skip(body, h.text);
    return R_OK;
}

struct text_entries
text_entries_of(const struct text_page *page)
{
    return (struct text_entries){page->entries, page->list, 0};
}

enum result
text_entry_next(const struct text_segment *s, struct text_entries *it,
                struct text_entry *out, struct fault *f)
{
    struct unpack u = unpack_of(it->rest);
    uint64_t v = unpack_var(&u);
    *out = (struct text_entry){.at = it->list};
    if (v & 1) {
        uint64_t zones = unpack_var(&u);
        if (u.bad || v >> 1 >= s->document_count || zones == 0 || zones > MIME_ZONES)
            return damaged(s, "a posting is wrong", f);
        out->one = (struct text_posting){(uint32_t)(v >> 1), (uint16_t)zones};
    } else {
        if (u.bad || v == 0 || v >> 1 > s->list_octets - it->list || v >> 1 > UINT32_MAX)
            return damaged(s, "a list is wrong", f);
        out->octets = (uint32_t)(v >> 1);
        it->list += v >> 1;
    }
    it->rest = u.rest;
    return R_OK;
}

enum result
text_entries_skip(const struct text_segment *s, struct text_entries *it, size_t n,
                  struct fault *f)
{
    const char *p = it->rest.p, *end = p + it->rest.n;
    uint64_t v, zones;
    for (; it->told < n; it->told++) {
        p = text_var_pass(p, end, &v);
        if (p && (v & 1))
            p = text_var_pass(p, end, &zones);
        if (!p || (!(v & 1) && (v == 0 || v >> 1 > s->list_octets - it->list)))
            return damaged(s, "an entry is wrong", f);
        it->list += v & 1 ? 0 : v >> 1;
    }
    it->rest = span_of(p, (size_t)(end - p));
    return R_OK;
}

// ---- pairs ----

enum result
text_pairs_load(struct text_segment *s, uint32_t page, struct text_pairs *out,
                struct fault *f)
{
    must(page < s->pair_pages);
    if (read_page(s, false, pairs_at(s) + page, out->octets, f) != R_OK)
        return R_FAIL;
    struct head h = head_of(out->octets);
    if (h.what != TEXT_PAGE_PAIRS || h.text > TEXT_PAGE_DATA - TEXT_PAGE_HEAD ||
        h.list > s->list_octets)
        return damaged(s, "a page of pairs is wrong", f);
    out->segment = s;
    const char *p = out->octets + TEXT_PAGE_HEAD;
    out->at =
        (struct text_pair_cursor){p, p + h.text, 0, h.list, TEXT_ZONES_FIRST, h.count};
    return R_OK;
}

// ---- rows of filters ----

enum result
text_row_read(struct text_row_reader *r, uint32_t stripe, uint32_t row, struct span *out,
              struct fault *f)
{
    uint64_t first = (uint64_t)stripe * FILTER_PAGES,
             left = count_pages(r->segment) - first;
    uint64_t pages = left < FILTER_PAGES ? left : FILTER_PAGES;
    size_t size = text_filter_row_size((size_t)pages), each = TEXT_PAGE_DATA / size;
    uint64_t place = stripe * (FILTER_PAGES + filter_size(FILTER_PAGES)) + pages;
    place += row / each;
    must(first < first + left && row < FILTER_ROWS_ALL);
    if (r->place != place) {
        r->place = UINT64_MAX;
        if (read_page(r->segment, false, place, r->octets, f) != R_OK)
            return R_FAIL;
        r->place = place;
    }
    *out = span_of(r->octets + row % each * size, size);
    return R_OK;
}

// ---- lists ----

void
text_list_reader_init(struct text_list_reader *r, struct text_segment *s)
{
    r->segment = s;
    r->page = UINT64_MAX;
    buf_init(&r->list, SIZE_MAX / 2);
}

void
text_list_reader_done(struct text_list_reader *r)
{
    buf_done(&r->list);
}

static enum result
turn_to(struct text_list_reader *r, uint64_t page, struct fault *f)
{
    if (r->page == page)
        return R_OK;
    r->page = UINT64_MAX;
    if (read_page(r->segment, true, page, r->octets, f) != R_OK)
        return R_FAIL;
    r->page = page;
    return R_OK;
}

// The list as one string: in its page, or gathered from several.
enum result
text_list_octets(struct text_list_reader *r, const struct text_entry *e, struct span *out,
                 struct fault *f)
{
    uint64_t at = e->at, end = e->at + e->octets;
    buf_reset(&r->list);
    while (at < end) {
        size_t from = (size_t)(at % TEXT_PAGE_DATA);
        size_t n =
            TEXT_PAGE_DATA - from < end - at ? TEXT_PAGE_DATA - from : (size_t)(end - at);
        if (turn_to(r, at / TEXT_PAGE_DATA, f) != R_OK)
            return R_FAIL;
        *out = span_of(r->octets + from, n);
        at += n;
        if (n == e->octets)
            return R_OK;
        buf_put(&r->list, *out);
    }
    *out = buf_span(&r->list);
    return R_OK;
}

enum result
text_list_mark(struct text_list_reader *r, const struct text_entry *e, struct text_marks *m,
               struct fault *f)
{
    struct span list;
    if (e->octets == 0) {
        text_posting_mark(m, e->one);
        return R_OK;
    }
    if (text_list_octets(r, e, &list, f) != R_OK)
        return R_FAIL;
    return text_postings_mark(m, list) == R_OK ? R_OK
                                               : damaged(r->segment, "a list is wrong", f);
}
