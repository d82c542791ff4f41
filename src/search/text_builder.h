#ifndef SEARCH_TEXT_BUILDER_H
#define SEARCH_TEXT_BUILDER_H

// A builder from the inside: terms, and in which document and zones each was met, for who gathers them (text_builder.c) and who writes
// them (text_put.c). Private to this folder.

#include "search/text_inside.h"

enum {
    LOT = 64,
    ROOM_FIRST = 2048,
    TERM_TEXT = 27,
    TERM_HEAD = TERM_TEXT - 4,
    OVERHEAD = 64,
    RECENT = 4096,  // more than there are zones
    DOCUMENTS_MAX = (1u << (32 - TEXT_ZONE_BITS)) - 1,
};

// Half a line of the processor's cache. Of a longer text: its first TERM_HEAD octets, and where among `texts` all of them are.
struct term {
    uint32_t count;  // of times met
    uint8_t n;
    char text[TERM_TEXT];
};

// Terms met one after the other in the same document and zones.
struct run {
    size_t from;
    uint32_t document;
    uint16_t zones;
};

// Terms of one kind.
struct half {
    struct term *terms;
    size_t count, room;
    uint64_t *slots;  // high half: of the hash; low half: term + 1, 0: free
    unsigned bits;    // of the hash, from the top, that are a place in them
    uint32_t *met;    // terms in the order in which they were met
    size_t met_count, met_room;
    struct run *runs;
    size_t run_count, run_room;
};

struct document {
    struct text_document d;
    bool dropped;
};

struct text_builder {
    struct half halves[TEXT_KINDS];
    // terms that this document was told to have: the hash but for its low bits, which are the place, and there the zones. A place is
    // taken by the next one that comes to it
    uint64_t *recent;
    struct buf texts;
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
    struct lot {
        size_t n;
        struct found {
            uint64_t hash;
            char text[TERM_MAX];
            uint16_t zones;
            uint8_t n;
        } found[LOT];
    } lots[TEXT_KINDS];
};

static inline struct span
text_term_text(const struct text_builder *b, const struct term *t)
{
    uint32_t at;
    if (t->n <= TERM_TEXT)
        return span_of(t->text, t->n);
    memcpy(&at, t->text + TERM_HEAD, sizeof at);
    return span_of(b->texts.p + at, t->n);
}

// Frees what it has and makes it ready for the next segment.
void text_builder_reset(struct text_builder *b);

#endif
