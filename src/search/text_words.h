#ifndef SEARCH_TEXT_WORDS_H
#define SEARCH_TEXT_WORDS_H

// Folded text as terms, which are pieces of it. A word is a run of letters and digits; a long one is cut into windows that overlap, so that
// each piece of at most WORD_SURE octets lies in one. A run of ideographs gives its pairs. A junction is what is between two words
// with the last and first octets of them, more of them where it is one blank, so that phrases are found too; long gaps are cut into windows likewise. Two plain words (of
// ASCII, of WORD_WINDOW octets at most) with one blank between them give no junction: the second one is told to be joined to the first. A word that the fuzzy
// fold changes is told as folded too, in windows of its own, so that each piece of at most WORD_SURE octets of the fuzzy text's words lies in a
// term of TEXT_WORD or TEXT_FOLDED, unless the stream is loose.
// Trust: valid UTF-8 in whole characters; other octets give other terms, nothing worse. Threads: one at a time.

#include "base/span.h"

// TEXT_PAIRED: words of a segment that are in pairs (text_inside.h), TEXT_TURNED: the same, each from its end to its beginning; they are told
// as TEXT_WORD.
enum text_kind {
    TEXT_WORD,
    TEXT_PAIRED,
    TEXT_JUNCTION,
    TEXT_FOLDED,
    TEXT_TURNED,
    TEXT_KINDS,
};
enum text_class { TEXT_GAP, TEXT_LETTER, TEXT_IDEOGRAPH };

enum {
    WORD_WINDOW = 32,
    WORD_STRIDE = 16,
    WORD_SURE = WORD_WINDOW - WORD_STRIDE + 1,
    GAP_WINDOW = 16,
    GAP_STRIDE = 8,
    GAP_SURE = GAP_WINDOW - GAP_STRIDE + 1,
    WORD_EDGE = 2,   // octets of a word in a junction
    PAIR_EDGE = 15,  // the same where the gap is one blank: the words of phrases
    TERM_MAX = WORD_WINDOW,
    TEXT_ROOM = 4096,
    TEXT_TERMS = 64,
};
_Static_assert((int)TERM_MAX >= (int)GAP_WINDOW + 2 * (int)WORD_EDGE &&
                   (int)TERM_MAX >= 1 + 2 * (int)PAIR_EDGE,
               "junctions fit too");

// The character at the front of s: its class, and its octets (at least 1, at most s.n) in *n_out.
enum text_class text_class_of(struct span s, size_t *n_out);
// How many octets of the words beside this gap, which is whole, its junction has.
static inline size_t
text_edge(struct span gap)
{
    return gap.n == 1 && *gap.p == ' ' ? PAIR_EDGE : WORD_EDGE;
}
// Octets of the run of that class at the front.
size_t text_run(struct span s, enum text_class class);

// TERM_MAX octets can be read from where a term begins, however short it is.
struct text_term {
    const char *p;
    uint8_t n, kind;
    bool joined;  // to the word told before it, by one blank
};
// Some of them, in order, at most TEXT_TERMS; what they point at goes away afterwards.
struct text_words_to {
    void (*terms)(void *arg, const struct text_term *terms, size_t n);
    void *arg;
};

struct text_words {
    const struct text_words_to *to;
    size_t n, edge;  // octets in text; its first `edge` are the end of a word that was told
    // the middle of a run longer than the text: TEXT_ROOM
    bool long_word, long_gap;
    bool whole;  // the last term is a plain word, and the text goes on behind it
    bool loose;  // a word of the fuzzy text may be in no term
    bool ascii;  // all of the text is, without small letters
    struct text_term told[TEXT_TERMS];
    size_t told_n;
    char text[TEXT_ROOM + TERM_MAX], folded[TEXT_ROOM + TERM_MAX];
    // of the text: where runs of ASCII letters and digits begin and end, in turns, then its end
    uint16_t edges[TEXT_ROOM + 4];
    // a bit for each octet: it is not ASCII, or a small letter
    uint64_t beyond[TEXT_ROOM / 64 + 2];
};

// A stream: begin, feed, end.
void text_words_begin(struct text_words *w, const struct text_words_to *to);
void text_words_feed(struct text_words *w, struct span folded);
void text_words_end(struct text_words *w);

#endif
