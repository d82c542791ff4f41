#ifndef SEARCH_TEXT_INDEX_H
#define SEARCH_TEXT_INDEX_H

// The text index of an account: in which messages a text occurs, without reading them. A document is a message body, by its
// EMAILID. It is kept in segments, immutable derived strings (store/derived.h) that can be made anew from the mail; see
// docs/decisions/0011-search-index.md. What it says is never wrong: YES and NO are final, MAYBE is to be verified.
// Owner: who opens it closes it, when no call is under way. Threads: the account's home. Trust: segments are checked page
// by page: FAULT_CORRUPTION means drop them all (derived_clear), open anew and index anew; scan meanwhile.

#include "mime/streams.h"
#include "store/store.h"

enum text_answer { TEXT_NOT_INDEXED, TEXT_NO, TEXT_MAYBE, TEXT_YES };

struct text_index;

// Suspends. Opens what there is, also nothing; finishes what a crash left of a merge.
enum result text_index_open(struct store *s, uint64_t account, struct text_index **out,
                            struct fault *f) MUST_CHECK;
void text_index_close(struct text_index **ti);  // takes NULL
bool text_index_has(const struct text_index *ti, uint64_t emailid);
size_t text_index_memory(const struct text_index *ti);  // octets it holds while it is open

struct text_stats {
    uint64_t documents, octets, text_octets;  // of the segments; of the text they index
    uint64_t terms;                           // words and junctions, each segment's own
    uint32_t segments;
};
void text_index_stats(const struct text_index *ti, struct text_stats *out);

// Gathers the documents of the next segment; how many is the caller's to bound (put at some 24 MB gathered), one document adds at
// most LIMIT_text_document. Memory: text_builder_octets, at most some four times that, also while it is put, and until it is freed.
struct text_builder;
struct text_builder *text_builder_new(void);
void text_builder_free(struct text_builder **b);  // takes NULL
void text_builder_reset(struct text_builder *b);  // drops all but the memory
void text_builder_begin(struct text_builder *b, uint64_t emailid);
struct mime_text_sink text_builder_sink(struct text_builder *b);  // its streams
// `open`: zones of which not all text was fed (a cut field, an attachment that could not be read): there the index never
// says NO.
void text_builder_end(struct text_builder *b, unsigned open);
void
text_builder_drop(struct text_builder *b);  // instead of end: the message could not be read
size_t text_builder_octets(const struct text_builder *b);
size_t text_builder_gathered(const struct text_builder *b);  // octets, for the next segment
size_t text_builder_documents(const struct text_builder *b);

// Suspends. Writes a segment; R_OK: it is on disk and found. The builder is empty afterwards in any case.
enum result text_index_put(struct text_index *ti, struct text_builder *b,
                           struct fault *f) MUST_CHECK;

// What a merge is to do; NULL or nothing set: make one segment of several of about one size, where there are too many.
struct text_merge_wish {
    bool soon;  // also where there are a few of about one size: it is often asked
    bool all;   // of all segments
    bool dead;  // of those that have documents which are not alive
    bool (*alive)(void *arg, uint64_t emailid);  // others are left out; may be NULL
    // Asked often, may suspend. False: it ends (FAULT_CLOSED), and everything is as it was. May be NULL.
    bool (*go_on)(void *arg);
    void *arg;
};
// Suspends, yields. Makes one segment of as many as are wished for and fit into one. R_NONE: nothing was due; with `dead`, no document is
// dead. One put or merge at a time; finds go on meanwhile.
enum result text_index_merge(struct text_index *ti, const struct text_merge_wish *wish,
                             struct fault *f) MUST_CHECK;

struct text_lookup {
    struct span needle;  // folded by i;unicode-casemap
    unsigned zones;      // mime/streams.h; where the needle may be
    bool fuzzy;          // the needle is folded by COLLATION_FUZZY, and so is the text
};

struct text_found;
// Suspends, yields. Documents that are put later are NOT_INDEXED in it.
enum result text_index_find(struct text_index *ti, const struct text_lookup *lookups,
                            size_t n, struct text_found **out, struct fault *f) MUST_CHECK;
// Quickest when asked in the order of EMAILIDs.
enum text_answer text_found_of(struct text_found *found, size_t slot, uint64_t emailid);
void text_found_free(struct text_found **found);  // takes NULL

#endif
