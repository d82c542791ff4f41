#ifndef IMAP_CONTEXT_H
#define IMAP_CONTEXT_H

// Contexts (RFC 5267): results of SEARCH and SORT RETURN (UPDATE ...) that the client is told of as they change. Only messages
// that came or changed are asked again. Contexts live until CANCELUPDATE, or as long as the mailbox is selected.
// Owner: the session. Threads: its loop.

#include "imap/search.h"

struct imap_context {
    struct imap_context *next;
    struct arena *arena;  // of all but the result
    struct span tag;
    bool uid;
    struct query *query;  // prepared
    struct span fetch;  // "(uid flags)" of what comes (RFC 5465 section 7); SPAN_NONE: none
    struct arena *found_arena;
    struct seqset found;               // UIDs of the result
    struct imap_context_order *order;  // of SORT: the result in its order; NULL: SEARCH
    bool ages;                         // has OLDER or YOUNGER
    int64_t due_s;  // ages: from this wall time on a message may pass a bound; 0: not known
    bool has_star;  // has UID 7:*
    uint32_t star;  // what '*' meant
    struct arena *star_arena;
    const struct seqset *added;  // UIDs, during one update; NULL: none
};

struct imap_contexts {
    struct imap_context *first;
    unsigned count;
    struct view_mark mark;  // what they have followed
    struct timer timer;     // the first of their due_s
};

// Why the results of the session are too much to be followed; NULL: they are not.
const char *imap_contexts_excess(const struct imap_session *s);
// In imap_search: UPDATE and what may follow it. A tag that is in use is BAD.
void imap_context_parse(struct imap_command *c, struct parse *p);
// Suspends. After the answer of a search with UPDATE: from now on it is followed, or NO [NOUPDATE "tag"] says that it is not.
void imap_context_begin(struct imap_search *s);
// Suspends. NO [NOUPDATE "tag"] alone.
void imap_context_refuse(const struct imap_search *s, const char *why);
bool imap_context_has(const struct imap_session *s, struct span tag);
// One that there is not is none.
void imap_context_cancel(struct imap_session *s, struct span tag);
// Suspends. Ends it with NO [NOUPDATE "tag"].
void imap_context_give_up(struct imap_session *s, struct imap_context *x, const char *why);
// All of them, without a word.
void imap_contexts_end(struct imap_session *s);

// Has time changed a result?
bool imap_contexts_due(const struct imap_session *s);
// The session is poked when it has.
void imap_contexts_wait(struct imap_session *s);
// Suspends. Messages that are expunged, before EXPUNGE tells it: REMOVEFROM.
void imap_contexts_lose(struct imap_session *s, const uint32_t *seqs, const uint32_t *uids,
                        size_t n, struct arena *a);
// Suspends. After FETCH and EXISTS: REMOVEFROM and ADDTO of what came or changed. untold: changes of flags, too, that the
// client does not want to be told.
enum result imap_contexts_update(struct imap_session *s, bool untold, struct arena *a,
                                 struct fault *f) MUST_CHECK;
// Suspends. FETCH of messages [first, last], which are new and were just told by EXISTS: what NOTIFY and the contexts ask
// for, together.
void imap_fresh_fetch(struct imap_session *s, uint32_t first, uint32_t last,
                      struct arena *a);

#endif
