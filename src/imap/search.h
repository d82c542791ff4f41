#ifndef IMAP_SEARCH_H
#define IMAP_SEARCH_H

// SEARCH: its keys and return options as words (RFC 9051 section 6.4.4). A new key is a word of SLOT_SEARCH with one
// struct imap_search_key; a new return option a word of SLOT_SEARCH_RETURN.

#include "imap/session.h"
#include "search/query.h"

struct imap_label;
struct imap_search;
struct search_index;
struct sort_program;

struct imap_search_key {
    enum query_op op;
    bool negated;     // UNSEEN is NOT SEEN
    uint32_t number;  // of a flag
    // Reads the key's arguments, from the space on, into the query; NULL when it has none.
    void (*parse)(struct imap_search *s, struct parse *p, struct query *q);
};

enum imap_search_return {
    RETURN_MIN = 1,
    RETURN_MAX = 2,
    RETURN_ALL = 4,
    RETURN_COUNT = 8,
    RETURN_SAVE = 16,
    RETURN_PARTIAL = 32,
    RETURN_CONTEXT = 64,
    RETURN_UPDATE = 128,
    RETURN_RELEVANCY = 256
};

// RFC 9394: from the lowest UID on (1 is the first), or backwards from the highest.
struct imap_partial {
    uint32_t first, last;  // first <= last
    bool backwards;
    struct span text;  // as the client gave it
};
void imap_partial_parse(struct parse *p, struct imap_partial *out);
// The members of `all`, ascending, that are in the range.
void imap_partial_of(const struct imap_partial *range, const struct seqset *all,
                     struct arena *a, struct seqset *out);

// What a key asks of a mailbox before it is searched: its sets are resolved, its labels looked up. Suspends.
struct imap_search_bind {
    struct query *query;
    enum result (*fn)(struct imap_search *s, struct view *v,
                      const struct imap_search_bind *b, struct fault *f);
    struct span text;
    const struct imap_label *label;
    struct imap_search_bind *next;
};
void imap_search_bind_add(struct imap_search *s, const struct imap_search_bind *b);

// RFC 7377 section 2.1: the mailbox that ESEARCH tells of; nothing is told when nothing is found.
struct imap_search_source {
    struct span name;
    uint32_t uidvalidity;
};

// A found message. SORT gives them in its order.
struct imap_found {
    uint32_t seq, uid;
    uint64_t modseq;
};

// RFC 6203 section 4: of the found messages, by UID.
struct imap_scores {
    struct imap_score {
        uint32_t uid;
        uint8_t score;
    } * list;
    size_t n, room;
};

struct imap_search {
    struct imap_command *c;
    struct query *query;
    struct span charset;  // SPAN_NONE: UTF-8
    uint32_t returns;     // enum imap_search_return
    bool has_return;
    struct imap_partial partial;  // RETURN_PARTIAL
    uint32_t depth, keys;
    struct {                        // results that are followed (imap/context.h)
        const struct seqset *only;  // NULL: all messages; UIDs: only these are looked at
        bool
            looked_up;  // a key was answered by what other mailboxes hold: no UPDATE can follow it
        struct span update;                 // FETCH items of RETURN_UPDATE; SPAN_NONE: none
        const struct sort_program *sorted;  // of SORT; NULL: in mailbox order
        struct view_mark
            mark;  // RETURN_UPDATE: what the view was told of before the search
    };
    bool has_modseq;  // a MODSEQ key: the answer tells the highest one
    uint64_t modseq_first, modseq_last, modseq_highest;  // of the found messages
    struct seqset seqs, uids;
    // Called for each found message, ascending, not suspending; NULL: seqs and uids are enough.
    void (*on_found)(struct imap_search *s, const struct view_message *v);
    void *own;  // for on_found
    const struct imap_found
        *order;  // all of them in the order of the answer; NULL: ascending
    struct {
        struct imap_search_bind *binds;
        struct query_texts *texts;     // NULL: the prepared query asks for none
        bool prepared, uses_saved;     // "$" is among the keys
        bool fuzzy, scored;            // FUZZY is; its relevancy is asked for
        size_t converted;              // octets of texts that came in the charset
        struct search_index *indexes;  // base/search_index.h
    } asked;
    struct arena *arena;  // of what is found; NULL: the command's
    struct imap_scores scores;
    struct {
        // messages of those that were searched before, of all; 0: there is only one
        uint64_t done, goal;
        const struct imap_search_source *source;  // NULL: the selected one
        bool elsewhere;                           // it is not the selected one
    } mailboxes;
    struct {             // FILTER (RFC 5466)
        bool form_only;  // a definition is looked at: what it names need not be there
        struct imap_filter *inside;  // those that are being read; NULL: none
        size_t octets;
        struct span undefined;  // the first that is not there; SPAN_NONE: all are
    } filters;
    struct fault fault;  // of a key's argument: bad charset, "$"
    bool failed;
};

// Text arguments, converted from the charset to UTF-8.
struct span imap_search_text(struct imap_search *s, struct parse *p);
// " 1-Feb-1994" into q->number, as days since 1970.
void imap_search_day(struct imap_search *s, struct parse *p, struct query *q);
// One key (a word, a sequence set, or a list in parentheses).
struct query *imap_search_parse_key(struct imap_search *s, struct parse *p);
// Behind "RETURN": " (MIN ALL) ", with the space after it. c->own must be the struct imap_search.
void imap_search_parse_return(struct imap_search *s, struct parse *p);
// A charset's name. One that is not known fails the command when it is parsed: NO [BADCHARSET].
void imap_search_parse_charset(struct imap_search *s, struct parse *p);
// key *(SP key), to the end of the command.
enum result imap_search_parse_program(struct imap_search *s, struct parse *p,
                                      struct fault *f) MUST_CHECK;
// [RETURN (...)] [CHARSET name] and the program.
enum result imap_search_parse_arguments(struct imap_search *s, struct parse *p,
                                        struct fault *f) MUST_CHECK;
// Suspends. Finds the messages of the selected mailbox: fills seqs and uids, calls on_found.
enum result imap_search_find(struct imap_search *s, struct fault *f) MUST_CHECK;
// Suspends. The same in any mailbox, one after the other; imap_search_done (which suspends) after the last one. "$" is for the
// selected one.
enum result imap_search_find_in(struct imap_search *s, struct view *v,
                                struct fault *f) MUST_CHECK;
void imap_search_done(struct imap_search *s);

// Suspends. Scores a message that was found, after all with lower UIDs.
enum result imap_relevancy_note(struct imap_search *s, struct mail *m,
                                const struct message_row *row, struct arena *scratch,
                                struct fault *f) MUST_CHECK;
unsigned imap_relevancy_of(const struct imap_search *s, uint32_t uid);

// A set of numbers in an order of its own: only rising runs are ranges (RFC 5267 section 3.2). A long one leaves in pieces.
struct imap_runs {
    struct imap_session *session;
    struct buf *b;
    struct seqset_range run;  // first 0: nothing yet
    bool some;                // one was put
};
void imap_runs_add(struct imap_runs *r, uint32_t n);
void imap_runs_end(struct imap_runs *r);  // after one at least

// `* ESEARCH (TAG "a1") UID`: more items may be put, then imap_line_send.
struct buf *imap_esearch_begin(struct imap_command *c);
// Suspends. " MIN 2 ALL 2,9 ..." of what is found, as RETURN asks (without RETURN: ALL).
void imap_esearch_put(struct imap_search *s, struct buf *b);
// Suspends. After parsing and finding, with their result: "$" and the answer, which is ESEARCH when there is RETURN or no
// `plain` function.
typedef void imap_search_plain_fn(struct imap_search *s);
enum result imap_search_answer(struct imap_search *s, enum result found,
                               imap_search_plain_fn *plain, struct fault *f) MUST_CHECK;

extern const struct imap_word imap_search_words[];

#endif
