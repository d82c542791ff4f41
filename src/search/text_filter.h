#ifndef SEARCH_TEXT_FILTER_H
#define SEARCH_TEXT_FILTER_H

// Which pages of terms may hold a pattern, so that few of them are read. For each page: two bits of FILTER_ROWS for each three
// octets that stand one after the other in it, of junctions one more for each five, and how many documents its commonest term has. Kept by rows, a bit for each page, for
// FILTER_PAGES pages at a time. Private to this folder. Trust: a wrong row misses pages; rows come from pages with checksums.

#include "base/span.h"

enum {
    FILTER_PAGES = 2048,
    FILTER_ROWS = 49152,
    FILTER_GRAM = 3,
    FILTER_BITS = 2,
    FILTER_LONG = 5,                    // octets
    FILTER_ROWS_ALL = FILTER_ROWS + 8,  // then an octet for each page: its weight
};

// Octets of a row for so many pages.
static inline size_t
text_filter_row_size(size_t pages)
{
    return (pages + 7) / 8;
}

// The rows of three octets. Eight can be read there.
static inline void
text_filter_rows(const char *p, uint32_t rows[FILTER_BITS])
{
    uint32_t gram;
    memcpy(&gram, p, sizeof gram);
    uint64_t h = (__builtin_bswap32(gram) >> 8) * 0x9E3779B97F4A7C15u;
    rows[0] = (uint32_t)((h >> 32) * FILTER_ROWS >> 32);
    rows[1] = (uint32_t)((h & UINT32_MAX) * FILTER_ROWS >> 32);
}

// The row of five octets. Eight can be read there.
static inline uint32_t
text_filter_long_row(const char *p)
{
    uint64_t h;
    memcpy(&h, p, sizeof h);
    h = (__builtin_bswap64(h) >> 24) * 0x9E3779B97F4A7C15u;
    return (uint32_t)((h >> 32) * FILTER_ROWS >> 32);
}

// A filter on its way, at most some 12 MB.
struct text_filter;
struct text_filter *text_filter_new(void);
void text_filter_free(struct text_filter **t);  // takes NULL
// A term of the next page, with a delimiter at each end and eight octets behind that can be read; its first `known` octets were those of the one before. `longs`: each five octets
// too.
void text_filter_term(struct text_filter *t, struct span text, size_t known, bool longs);
// The end of the page: the most documents that one of its terms has.
void text_filter_page(struct text_filter *t, size_t documents);
size_t text_filter_pages(const struct text_filter *t);  // so far; at most FILTER_PAGES
// Row after row: text_filter_row_size octets of each.
void text_filter_row(const struct text_filter *t, uint32_t row, char *out);
void text_filter_reset(struct text_filter *t);  // for the next pages

#endif
