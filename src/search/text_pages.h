#ifndef SEARCH_TEXT_PAGES_H
#define SEARCH_TEXT_PAGES_H

// The pages of a segment: their heads and checksums. Private to this folder.

#include "base/hash.h"
#include "search/text_inside.h"

#define TEXT_MAGIC "PHTEXT\0\3"
enum {
    TEXT_PAGE_WORDS = 1,
    TEXT_PAGE_JUNCTIONS = 2,
    TEXT_PAGE_FOLDED = 3,
    TEXT_PAGE_DOCUMENTS = 4,
    TEXT_PAGE_HEAD = 14,  // what, 0, count, octets of terms, where its lists begin
    // A term is its first octet, which is TERM_SHARED times the octets that it shares with the one before and, in the low bits, those that
    // follow less one; TERM_LONG there: one octet more says how many. Then these.
    TERM_SHARED = 8,
    TERM_LONG = TERM_SHARED - 1,
    TEXT_ENTRY_MAX = 16,
    TEXT_FOOT_MAGIC = 8,
};

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
