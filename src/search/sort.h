#ifndef SEARCH_SORT_H
#define SEARCH_SORT_H

// Sorting messages (RFC 5256, RFC 5957): their values by the criteria of a program, and their order. Strings are compared
// by their folded form, octet by octet; the empty string comes first.
// Owner: who called sort_new. Threads: one at a time. Memory is charged to the account's ledger.

#include "mime/charset.h"
#include "mime/summary.h"
#include "search/ledger.h"
#include "store/row.h"

enum sort_key {
    SORT_ARRIVAL,
    SORT_CC,
    SORT_DATE,
    SORT_DISPLAYFROM,
    SORT_DISPLAYTO,
    SORT_FROM,
    SORT_MODSEQ,
    SORT_RELEVANCY,  // of program.query (search/fuzzy.h), the highest first
    SORT_SIZE,
    SORT_SUBJECT,
    SORT_TO,
    SORT_UID,
    SORT_PLACE,  // where it is stored; no client asks for it
    SORT_KEYS
};

struct query;
struct sort_criterion {
    enum sort_key key;
    bool reverse;
};
struct sort_program {
    struct sort_criterion list[SORT_KEYS];
    unsigned n;
    enum collation collation;   // of texts
    const struct query *query;  // of SORT_RELEVANCY
    bool summary;               // some values are in the summary; the others are in the row
};
// A key that is there already says nothing new.
void sort_program_add(struct sort_program *p, enum sort_key key, bool reverse);
// May a field that the program needs have been cut in this summary? Then mime_summary_whole has it.
bool sort_program_cut(const struct sort_program *p, const struct mime_summary *m);

// The value of one criterion: a number, or a folded text.
struct sort_value {
    uint64_t number;   // of a text its length
    const char *text;  // NULL: a number
};
// A message's values, p->n of them; summary may be NULL where the row is enough. Texts are put into the arena.
void sort_values_of(const struct sort_program *p, const struct message_row *row,
                    const struct mime_summary *summary, struct arena *a,
                    struct sort_value *out);
// Less than, equal to or greater than 0; p->n values each. Equal ones go by sequence number.
int sort_compare(const struct sort_program *p, const struct sort_value *a,
                 const struct sort_value *b);

// Many messages. FAULT_LIMIT when they are too much.
struct sort;
enum result sort_new(const struct sort_program *p, size_t count,
                     struct search_ledger *ledger, struct sort **out,
                     struct fault *f) MUST_CHECK;
// Message i of `count` in any order; summary: NULL when only those values are set that are in the row.
enum result sort_set(struct sort *s, size_t i, const struct message_row *row,
                     const struct mime_summary *summary, struct fault *f) MUST_CHECK;
// Instead: a number that stands for its value by this criterion.
void sort_set_number(struct sort *s, unsigned criterion, size_t i, uint64_t number);
// Suspends. All messages by their numbers, in the order of the program and else rising; lives as long as the sort.
enum result sort_order(struct sort *s, const uint32_t **order_out,
                       struct fault *f) MUST_CHECK;
void sort_free(struct sort **s);

#endif
