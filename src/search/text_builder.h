#ifndef SEARCH_TEXT_BUILDER_H
#define SEARCH_TEXT_BUILDER_H

// A builder from the inside: terms, and in which document and zones each was met, for who gathers them (text_builder.c) and who writes
// them (text_put.c). Private to this folder.

#include "search/text_inside.h"
#include "search/text_pool.h"

enum {
    LOT = 64,
    LOT_ROOM = LOT + TEXT_TERMS,
    RECORDS_FIRST = 1 << 15,  // octets
    FIRSTS_FIRST = 2048,
    SLOTS_FIRST_BITS = 12,
    MET_FIRST = 2048,
    OVERHEAD = 64,
    LINE = 4,       // slots in a line of the processor's cache
    RECENT = 4096,  // more than there are zones
    PAIRS_FIRST = 2048,
    DOCUMENTS_MAX = (1u << (32 - TEXT_ZONE_BITS)) - 1,
};

// A term's text, n octets of it; one lies behind the other.
struct term {
    uint8_t n;
    char text[];
};
enum { RECORD_HEAD = offsetof(struct term, text) };

// Where a term is, by 96 bits of its keyed hash: two that are equal there are the same term.
struct slot {
    uint64_t hash;
    uint32_t more;
    uint32_t term;  // its number, from 1 on; 0: free
};

// Terms met one after the other in the same document and zones.
struct run {
    size_t from;
    uint32_t document;
    uint16_t zones;
};

struct runs {
    struct run *all;
    size_t count, room;
};

// Two words, by their numbers, one blank between them: all that were met, in that order, text_pair_of (while they are sorted: text_put.c);
// those that this document was told to have, as terms are below; and the numbers of words, by their places there.
struct pairs {
    uint64_t *all;
    size_t count, room;
    struct runs runs;
    uint64_t *recent;
    uint32_t *words;
};

// Terms of one kind, by numbers from 1 on.
struct half {
    char *records;
    size_t used, room;
    // of each term: where its record is, and the document in which it was met first, in the low bits the zones
    struct first {
        uint32_t record, met;
    } * firsts;
    size_t count, first_room;
    struct slot *slots;
    struct region slot_room;
    unsigned bits;  // of the hash, from the top, that are a place in them
    uint32_t *met;  // terms in the order in which they were met again
    size_t met_count, met_room;
    struct runs runs;
};

struct document {
    struct text_document d;
    bool dropped;
};

struct text_builder {
    struct half
        halves[TEXT_KINDS];  // of TEXT_PAIRED none; TEXT_TURNED: while a segment is written
    struct pairs pairs;
    struct pool pool;
    struct region order, spare, ends, postings, ranks;  // text_put.c
    // terms that this document was told to have: the hash but for its low bits, which are the place, and there the zones. A place is
    // taken by the next one that comes to it
    uint64_t *recent;
    struct slot nothing[1];  // is fetched where there is nothing to fetch
    struct document *documents;
    size_t document_count, document_room;
    uint64_t key[4], text_octets;
    uint32_t zones;  // of the lane at work
    size_t weight;   // octets this document added
    bool open, full;
    struct text_words_to to;
    struct lane {
        struct text_words words;
        enum mime_zone zone;
        uint32_t last;  // the last word's number
    } lanes[MIME_LANES], *lane;
    struct lot {
        size_t n;
        struct found {
            uint64_t hash;
            uint32_t more;
            uint32_t term;  // of a word that was met: its number
            uint8_t n;
            char text[TERM_MAX];
        } found[LOT_ROOM];
    } lots[TEXT_KINDS];
};

// They have no slots any more, and are only written.
void text_builder_close(struct text_builder *b);
// Makes room for LOT_ROOM new terms.
void text_half_room(struct half *h);

static inline struct span
text_term_text(const struct half *h, uint32_t record)
{
    const struct term *t = (const struct term *)(h->records + record);
    return span_of(t->text, t->n);
}

#endif
