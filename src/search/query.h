#ifndef SEARCH_QUERY_H
#define SEARCH_QUERY_H

// A query is a tree of search keys over messages (RFC 9051 section 6.4.4), without the protocol that asked. It is
// answered in steps, cheapest first: from the row, from the cached summary, and only where those do not
// decide from the header or body. Owner: an arena. Threads: one at a time.

#include "base/arena.h"
#include "mime/charset.h"
#include "mime/needle.h"
#include "mime/summary.h"
#include "mime/text.h"
#include "search/text_index.h"
#include "store/row.h"
#include "wire/seqset.h"

enum query_op {
    QUERY_ALL,
    QUERY_AND,
    QUERY_OR,
    QUERY_NOT,
    QUERY_FLAG,  // flags, all of them set
    QUERY_KEYWORD,
    QUERY_RECENT,  // text; -
    QUERY_SEQS,
    QUERY_UIDS,  // set; of UIDS, where it has '*', the set as text
    QUERY_LARGER,
    QUERY_SMALLER,
    QUERY_MODSEQ,  // number: this or higher
    QUERY_EMAILID,
    QUERY_THREADID,  // number
    QUERY_OLDER,
    QUERY_YOUNGER,  // number: seconds since 1970 of INTERNALDATE, this moment included
    QUERY_SAVED_BEFORE,
    QUERY_SAVED_ON,
    QUERY_SAVED_SINCE,  // day of the save date, UTC
    QUERY_DATE_BEFORE,
    QUERY_DATE_ON,
    QUERY_DATE_SINCE,  // day of INTERNALDATE, in its own zone
    QUERY_SENT_BEFORE,
    QUERY_SENT_ON,
    QUERY_SENT_SINCE,  // day of the Date field
    QUERY_ATTACHMENT,  // text in the name of one of its files; empty: it has one
    QUERY_SUBJECT,
    QUERY_FROM,
    QUERY_TO,
    QUERY_CC,
    QUERY_BCC,     // text in the decoded field
    QUERY_HEADER,  // name, text; its number is made by query_prepare
    QUERY_BODY,
    QUERY_TEXT,  // text
};

struct query {
    enum query_op op;
    struct query *first, *next;  // operands of AND, OR, NOT; the next operand
    uint64_t number;
    // UTF-8; text is folded by query_prepare where it is compared with what is cached
    struct span name, text;
    struct span said;           // text before it was folded
    struct mime_needle needle;  // of text, where it is not empty
    const struct seqset *set;
    uint32_t age;   // of OLDER, YOUNGER: `number` is so long before now; 0: a moment
    uint32_t slot;  // of SUBJECT and what follows: place in query_message.found
    enum collation collation;  // how text is compared
    bool fuzzy;  // a word, by COLLATION_FUZZY; of an AND: its words, `text` is all of them
};

enum query_answer { QUERY_NO, QUERY_YES, QUERY_UNKNOWN };

// What is known of a message so far.
struct query_message {
    uint32_t seq;
    bool recent;
    const struct message_row *row;
    const struct mime_summary *summary;  // NULL: not looked at yet
    struct span parts;  // mime/index.h part table; p NULL: not looked at yet
    const bool
        *found;  // NULL: texts not searched yet; one per slot (of a field: where it is cut)
    // What the text index says, one per slot; NULL: it was not asked.
    const enum text_answer *indexed;
    bool (*has_keyword)(void *arg, uint32_t set, struct span name);
    void *arg;
};

// A copy of the tree that lives in another arena.
struct query *query_copy(const struct query *q, struct arena *a);
// Folds texts for this comparator, numbers the slots. Once, after the tree is built.
void query_prepare(struct query *q, enum collation collation, struct arena *a);
// How many keys there are, those around others too.
size_t query_size(const struct query *q);
// Flags that every message has, and those that none has, which the query matches.
void query_flags(const struct query *q, uint16_t *with_out, uint16_t *without_out);
struct span query_field_name(enum query_op op);  // of SUBJECT, FROM, TO, CC, BCC
unsigned query_field_zone(enum query_op op);     // the same: mime/streams.h
// Of SUBJECT, FROM, TO, CC, BCC: may there be more of the field than the summary has? `summary` and `parts` are known.
bool query_field_cut(enum query_op op, const struct query_message *m);
// Does the summary or the part table decide of any key? Else neither needs to be known.
bool query_by_cache(const struct query *q);
// UNKNOWN: more of the message must be looked at (summary first, then texts).
enum query_answer query_match(const struct query *q, const struct query_message *m);

// What to ask the text index: lookup i is of slot i; those with an empty needle are not to be asked. NULL when the query has no
// slots.
struct text_lookup *query_lookups(const struct query *q, struct arena *a, size_t *n_out);

// The text half: searches headers and bodies for all needles of a query at once.
struct query_texts;
// NULL when the query has none; ends with the arena
struct query_texts *query_texts_new(const struct query *q, struct arena *a);
// while many messages are looked at: memory is kept from one to the next
void query_texts_keep(struct query_texts *t, bool keeps);
// the next message; its summary and parts are known
void query_texts_begin(struct query_texts *t, const struct query_message *m);
// does anything of the body matter, after the header?
bool query_texts_want_body(const struct query_texts *t);
// Suspends. Of the message itself (MIME_ZONE_HEADER), a part (MIME) or a nested message (NESTED)
void query_texts_header(struct query_texts *t, struct span block, enum mime_zone zone);
void query_texts_part_begin(struct query_texts *t, const struct mime_index_part *part);
void query_texts_part_feed(struct query_texts *t, struct span raw);
void query_texts_part_end(struct query_texts *t);
// a file's name, or what it says: UTF-8, whole
void query_texts_file(struct query_texts *t, struct span text);
// all needles found: nothing more needs to be read
bool query_texts_done(const struct query_texts *t);
const bool *query_texts_found(struct query_texts *t);  // for query_message.found

#endif
