#ifndef SEARCH_TEXT_INSIDE_H
#define SEARCH_TEXT_INSIDE_H

// What the parts of the text index share: terms with their postings on the way to a segment, and segments as they are read.
// The format is in docs/format.md. Private to this folder.
// Trust: all that a segment says is checked as it is read; what does not fit is FAULT_CORRUPTION.

#include "base/arena.h"
#include "search/text_index.h"
#include "search/text_words.h"
#include "store/derived.h"

enum {
    TEXT_PAGE = 16384,
    TEXT_PAGE_DATA = TEXT_PAGE - 8,  // then its checksum
    TEXT_PLAIN = 3 * TEXT_PAGE,      // at most, of the terms of a page as they are searched
    TEXT_DELIMITER = 0xFF,           // around the terms of a page: no octet of UTF-8
    TEXT_ZONES_FIRST = MIME_ZONE_BODY,
    TEXT_NAME = 16,
    TEXT_REPLACED = 64,  // segments that one merge may replace
    TEXT_GONE = UINT32_MAX,
    TEXT_ZONE_BITS = 10,
};
_Static_assert((int)MIME_ZONES < 1 << TEXT_ZONE_BITS, "zones fit");

struct text_posting {
    uint32_t document;
    uint16_t zones;
};

// Postings as they are written: each the difference to the one before, and its zones where they change.
struct text_coder {
    uint32_t next;  // the least document that may come
    uint16_t zones;
};
static inline struct text_coder
text_coder_of(void)
{
    return (struct text_coder){0, TEXT_ZONES_FIRST};
}
enum { TEXT_POSTING_MAX = 12 };
// A varint as pack_var's, where there is room. Returns its octets.
static inline size_t
text_var_put(unsigned char *out, uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        out[n++] = (unsigned char)(v | 0x80);
    out[n++] = (unsigned char)v;
    return n;
}
// The varint at p, of at most ten octets; NULL: it does not end. Most are of one octet or two.
const char *text_var_long(const char *p, const char *end, uint64_t *out);
static inline const char *
text_var_pass(const char *p, const char *end, uint64_t *out)
{
    if (end - p < 2 || ((unsigned char)p[0] & (unsigned char)p[1] & 0x80))
        return text_var_long(p, end, out);
    uint64_t low = (unsigned char)p[0] & 0x7F, more = (unsigned char)p[0] >> 7;
    *out = low | ((uint64_t)(unsigned char)p[1] << 7 & -more);
    return p + 1 + more;
}
// A posting: varint of 2 * (documents left out since the last one) + (1 when the zones change), then a varint of the zones.
static inline size_t
text_posting_put(struct text_coder *c, struct text_posting p, unsigned char *out)
{
    bool changed = p.zones != c->zones;
    must(p.document >= c->next);
    size_t n = text_var_put(out, (uint64_t)(p.document - c->next) << 1 | changed);
    if (changed)
        n += text_var_put(out + n, p.zones);
    c->next = p.document + 1;
    c->zones = p.zones;
    return n;
}
// R_NONE at the end, R_FAIL: damaged.
enum result text_posting_next(struct text_coder *c, struct span *rest,
                              struct text_posting *out) MUST_CHECK;
// Adds the wanted zones of each posting of a list to those of its document, and counts the documents that had none before. R_FAIL: damaged.
struct text_marks {
    uint16_t *zones;  // of each document
    size_t documents, reached;
    unsigned wanted;
};
void text_posting_mark(struct text_marks *m, struct text_posting p);
enum result text_postings_mark(struct text_marks *m, struct span list) MUST_CHECK;
// Passes over the rest of a list, of which all must be among so many documents, and counts them. R_FAIL: damaged.
enum result text_postings_pass(struct text_coder *c, struct span rest, size_t documents,
                               size_t *n_out) MUST_CHECK;

struct text_document {
    uint64_t emailid;
    uint16_t open;  // zones of which the index does not have all
    uint16_t
        loose;  // those of which it does not have all that a fuzzy text may be found in
};

// ---- writing ----

// A segment on its way: terms in the order of text_term_compare, then documents by EMAILID, then finish or abort.
struct text_writer;
// Suspends.
enum result text_writer_open(struct store *s, uint64_t account, uint32_t number,
                             struct text_writer **out, struct fault *f) MUST_CHECK;
// At least one, by documents.
struct text_postings {
    const struct text_posting *all;  // where they are coded: the first
    size_t n;
    struct span coded;  // as their list is written, if they are
};
// Suspends. TERM_MAX octets can be read from where the term begins.
enum result text_writer_term(struct text_writer *w, enum text_kind kind, struct span term,
                             const struct text_postings *postings,
                             struct fault *f) MUST_CHECK;
struct text_made {
    const struct text_document *documents;
    size_t n;
    uint64_t text_octets;
    uint32_t replaced[TEXT_REPLACED];  // these segments are gone when it is there
    size_t replaced_count;
};
// A pair of words with one blank between them: the places of the right one and of the left one among those of TEXT_PAIRED, as a number.
static inline uint64_t
text_pair_of(uint32_t left, uint32_t right)
{
    return (uint64_t)right << 32 | left;
}
// Suspends. Pairs by that number, behind all terms.
enum result text_writer_pair(struct text_writer *w, uint64_t pair,
                             const struct text_postings *postings,
                             struct fault *f) MUST_CHECK;
// Suspends. A term of TEXT_TURNED, and the place of its word among those of TEXT_PAIRED.
enum result text_writer_turned(struct text_writer *w, struct span term, uint32_t place,
                               struct fault *f) MUST_CHECK;
// Terms of TEXT_PAIRED so far.
uint32_t text_writer_paired(const struct text_writer *w);
// Suspends. Ends the writer in any case.
enum result text_writer_finish(struct text_writer **w, const struct text_made *made,
                               struct fault *f) MUST_CHECK;
void text_writer_abort(struct text_writer **w);  // takes NULL

// ---- segments ----

struct text_segment {
    uint32_t number, references;
    struct derived *terms, *lists;
    uint32_t pages[TEXT_KINDS], pair_pages,
        document_pages;  // of `terms`; filters stand between
    uint32_t paired;     // terms of TEXT_PAIRED
    // of each page of terms, kind by kind: the first octets of its first term, as a number; then of each page of pairs its first pair
    uint64_t *heads;
    uint64_t list_octets, term_count, text_octets, octets;
    struct text_document *documents;
    size_t document_count;
    uint32_t replaced[TEXT_REPLACED];
    size_t replaced_count;
};

void text_segment_name(char name[TEXT_NAME], uint32_t number, bool lists);
// Suspends.
enum result text_segment_open(struct store *s, uint64_t account, uint32_t number,
                              struct text_segment **out, struct fault *f) MUST_CHECK;
void text_segment_release(struct text_segment *s);
// The place of an EMAILID among the documents, looked for from *hint on; false: it is not there.
bool text_segment_has(const struct text_segment *s, uint64_t emailid, size_t *hint);

// A page of terms. `text` is each term between two TEXT_DELIMITERs.
struct text_page {
    uint16_t count;
    struct span first, coded;  // its first term; all of them, as they are written
    struct span text, entries;
    uint64_t list;   // where the first list begins
    uint32_t place;  // of its first term among those of its kind
    char octets[TEXT_PAGE + TERM_MAX], plain[TEXT_PLAIN + 2 * TERM_MAX];
};
// Suspends. `page` counts from the first of that kind. All but `text`.
enum result text_page_load(struct text_segment *s, enum text_kind kind, uint32_t page,
                           struct text_page *out, struct fault *f) MUST_CHECK;
// Makes `text` of what was loaded.
enum result text_page_spell(const struct text_segment *s, struct text_page *p,
                            struct fault *f) MUST_CHECK;

// What stands beside a term or a pair.
struct text_entry {
    struct span list;  // of one posting: itself
    uint64_t at;       // else where its list begins
    uint32_t octets;   // and how long it is; 0: one posting
    struct text_posting one;
};

// A page of pairs, one after the other.
struct text_pairs {
    const struct text_segment *segment;
    struct text_pair_cursor {
        const char *p, *end;
        uint64_t next;         // the least pair that may come
        uint64_t list;         // where its list would begin
        uint16_t zones, left;  // of the last entry of one posting; pairs of the page
    } at;
    char octets[TEXT_PAGE];
};
// Suspends.
enum result text_pairs_load(struct text_segment *s, uint32_t page, struct text_pairs *out,
                            struct fault *f) MUST_CHECK;
// R_NONE: the page has no more.
enum result text_pairs_next(struct text_pairs *it, uint64_t *pair, struct text_entry *out,
                            struct fault *f) MUST_CHECK;

// All pages of terms that have a filter, counted from the first word on: all kinds but TEXT_TURNED.
uint32_t text_segment_pages(const struct text_segment *s);
// The row of a filter: of the pages from `stripe` * FILTER_PAGES on (text_filter.h).
struct text_row_reader {
    struct text_segment *segment;
    uint64_t place;  // of what is in `octets`; UINT64_MAX: nothing
    char octets[TEXT_PAGE];
};
static inline void
text_row_reader_init(struct text_row_reader *r, struct text_segment *s)
{
    r->segment = s;
    r->place = UINT64_MAX;
}
// Suspends. *out stays until the next one is read.
enum result text_row_read(struct text_row_reader *r, uint32_t stripe, uint32_t row,
                          struct span *out, struct fault *f) MUST_CHECK;

// Walks over the entries of a page, beside its terms.
struct text_entries {
    struct span rest;
    uint64_t list;
    size_t told;  // for who walks: the entries so far
};
struct text_entries text_entries_of(const struct text_page *page);
// Passes over the entries up to the n-th of the page.
enum result text_entries_skip(const struct text_segment *s, struct text_entries *it,
                              size_t n, struct fault *f) MUST_CHECK;
enum result text_entry_next(const struct text_segment *s, struct text_entries *it,
                            struct text_entry *out, struct fault *f) MUST_CHECK;

// Reads the postings of entries, one page of lists at a time.
struct text_list_reader {
    struct text_segment *segment;
    uint64_t page;  // in `octets`; UINT64_MAX: none
    struct buf list;
    char octets[TEXT_PAGE];
};
void text_list_reader_init(struct text_list_reader *r, struct text_segment *s);
void text_list_reader_done(struct text_list_reader *r);
// Suspends. The list of an entry that has one, as it is written; it stays until the next one is read.
enum result text_list_octets(struct text_list_reader *r, const struct text_entry *e,
                             struct span *out, struct fault *f) MUST_CHECK;
// Suspends. Marks the documents of the list.
enum result text_list_mark(struct text_list_reader *r, const struct text_entry *e,
                           struct text_marks *m, struct fault *f) MUST_CHECK;

// Terms by their octets.
static inline int
text_term_compare(struct span a, struct span b)
{
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

// The first octets of a term as a number, in the same order. Eight octets can be read there.
static inline uint64_t
text_term_head(struct span term)
{
    uint64_t v;
    memcpy(&v, term.p, 8);
    v = __builtin_bswap64(v);
    return term.n < 8 ? v & ~(UINT64_MAX >> 8 * term.n) : v;
}

struct text_index {
    struct store *store;
    uint64_t account;
    struct text_segment **segments;  // oldest first
    size_t count, room;
    uint32_t next_number;
    uint64_t octets_max;  // of a merged segment: LIMIT_derived_string
    bool busy;            // a put or merge is under way
};
void text_index_add(struct text_index *ti, struct text_segment *s);
// Suspends. Its strings go; who has it open reads on.
enum result text_segment_drop(struct text_index *ti, uint32_t number,
                              struct fault *f) MUST_CHECK;
void text_index_remove(struct text_index *ti, struct text_segment *s);
// How many segments a merge is of; they are put at the front of `sorted`, which has room for ti->count.
size_t text_merge_choose(const struct text_index *ti, const struct text_merge_wish *wish,
                         struct text_segment **sorted);

#endif
