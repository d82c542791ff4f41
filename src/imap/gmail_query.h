#ifndef IMAP_GMAIL_QUERY_H
#define IMAP_GMAIL_QUERY_H

// The query language of Gmail's search box (X-GM-RAW), read as search keys: words, "phrases", -not, OR, {one of these},
// (all of these), and operators as from: and label:. Words are fuzzy (search/fuzzy.h). It has no errors but AROUND: what is not
// understood is looked for as text. docs/search.md.
// Owner: an arena. Trust: any UTF-8, or what is not.

#include "search/query.h"

struct gmail_query {
    struct arena *arena;
    int64_t now_s;         // for older_than: and newer_than:
    struct span me;        // for from:me; empty: nobody
    uint32_t keys, depth;  // so far; caps of limits.def
    // A label ("inbox", "sent", ..., or a name) becomes a key.
    void (*label)(void *arg, struct span name, struct query *q);
    // The messages that have any label but the system's become a key.
    void (*user_labels)(void *arg, struct query *q);
    void *arg;
};

// FAULT_LIMIT: too many or too deeply nested keys. FAULT_CANNOT: AROUND.
enum result gmail_query_parse(struct gmail_query *g, struct span text, struct query **out,
                              struct fault *f) MUST_CHECK;

#endif
