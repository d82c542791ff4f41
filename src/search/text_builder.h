#ifndef SEARCH_TEXT_BUILDER_H
#define SEARCH_TEXT_BUILDER_H

// A builder from the inside: terms with their postings, for who gathers them (text_builder.c) and who writes them (text_put.c).
// Private to this folder.

#include "search/text_inside.h"

enum {
    LOT = 64,
    CHUNK_FIRST = 12,
    CHUNK_MAX = 240,
    SLOTS_FIRST = 4096,
    OVERHEAD = 64,
    RECENT = 4096,
    AHEAD = 8,
};

// A chunk of postings: the place of the next one, its size, its octets.
enum { CHUNK_SIZE_AT = 4, CHUNK_HEAD = 5 };

struct term {
    uint64_t hash;
    uint32_t text;   // where its octets are
    uint32_t count;  // documents
    uint32_t document;
    struct text_coder coder;  // of the postings before that one
    uint32_t first, chunk;    // of the postings; 0: none
    uint16_t zones;           // of `document`
    uint8_t n, kind;          // octets of the term
    uint8_t size, left;       // of its last chunk
};

struct document {
    struct text_document d;
    bool dropped;
};

struct text_builder {
    struct term *terms;
    size_t count, room;
    uint64_t *slots;  // high half: of the hash; low half: term + 1, 0: free
    size_t slot_count;
    // terms that this document was told to have; a place is taken by the next one that comes to it
    struct recent {
        uint64_t hash;
        uint32_t document;  // + 1
        uint32_t zones;
    } * recent;
    struct buf texts, chunks;
    struct document *documents;
    size_t document_count, document_room;
    uint64_t key[2], text_octets;
    uint32_t zones;  // of the lane at work
    size_t weight;   // octets this document added
    bool open, full;
    struct text_words_to to;
    struct lane {
        struct text_words words;
        enum mime_zone zone;
    } lanes[MIME_LANES];
    size_t lot_count;
    struct found {
        uint64_t hash;
        const char *p;
        uint8_t n, kind;
    } lot[LOT];
};

static inline size_t
text_chunk_size(const struct text_builder *b, uint32_t chunk)
{
    return (unsigned char)b->chunks.p[chunk + CHUNK_SIZE_AT];
}

static inline void
text_term_fetch(const struct text_builder *b, const struct term *t)
{
    __builtin_prefetch(b->texts.p + t->text);
    __builtin_prefetch(b->chunks.p + t->chunk);
}

// Frees what it has and makes it ready for the next segment.
void text_builder_reset(struct text_builder *b);

#endif
