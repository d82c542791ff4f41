#ifndef SEARCH_TEXT_PAGES_H
#define SEARCH_TEXT_PAGES_H

// The pages of a segment: their heads and checksums. Private to this folder.

#include "base/hash.h"
#include "search/text_inside.h"

#define TEXT_MAGIC "PHTEXT\0\6"
enum {
    TEXT_PAGE_WORDS = 1,  // and one more for each kind of terms
    TEXT_PAGE_PAIRS = 6,
    TEXT_PAGE_HEADS = 7,
    TEXT_PAGE_DOCUMENTS = 8,
    // what, 0, count, octets of terms, where its lists begin, terms of the kind before it
    TEXT_PAGE_HEAD = 18,
    // A term is its first octet, which is TERM_SHARED times the octets that it shares with the one before and, in the low bits, those that
    // follow less one; TERM_LONG there: one octet more says how many. Then these.
    TERM_SHARED = 8,
    TERM_LONG = TERM_SHARED - 1,
    TEXT_ENTRY_MAX = 16,
    // A pair: varint of 2 * (left words passed over since the one before) + 0, or 2 * (the left word's place) + 1 and a varint of the right
    // words passed over; then varint of 4 * document + 2 * (other zones than the last one's) + 1 and in that case a varint of the zones, or 2 * the octets of its list.
    TEXT_PAIR_MAX = 24,
    TEXT_HEADS = (TEXT_PAGE_DATA - TEXT_PAGE_HEAD) / 8,  // in a page
    TEXT_FOOT_MAGIC = 8,
};

// Octets of the term at p that are its own, and where they begin.
static inline struct span
text_own_octets(const char *p)
{
    size_t n = ((unsigned char)*p++ & TERM_LONG) + 1u;
    if (n > TERM_LONG)
        n = (unsigned char)*p++;
    return span_of(p, n);
}

// Bound to the string and the place in it.
static inline uint64_t
text_page_salt(uint32_t number, bool lists)
{
    return ((uint64_t)number << 1 | lists) * 0x9E3779B97F4A7C15u;
}
static inline uint64_t
text_page_sum(const char page[TEXT_PAGE], uint64_t salt, uint64_t place)
{
    return hash64(span_of(page, TEXT_PAGE_DATA)) ^ salt ^ (place + 1) * 0xC2B2AE3D27D4EB4Fu;
}

#endif
