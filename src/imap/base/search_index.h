#ifndef IMAP_BASE_SEARCH_INDEX_H
#define IMAP_BASE_SEARCH_INDEX_H

// The text index in a search: asked once for all texts of the query, when reading the messages that are still open would cost
// more, and for all mailboxes of an account. Owner: the search; ends before the account is closed. Threads: the session's
// loop.

#include "imap/search.h"
#include "mail/index.h"

struct search_index {
    struct search_index *next;  // of another account
    struct account *account;
    const struct mail_user *user;  // who searches
    struct text_lookup *lookups;   // one per slot of the query; NULL: it has none
    size_t n;
    uint32_t *slots;  // of the query, of the lookups that are asked
    size_t asked;
    struct text_found *found;  // NULL: not asked, or it knows nothing
    bool reads_body, wants, tried, called;
    uint64_t looked, open;  // messages so far, and those that the row left open
};

// The search's index of this account.
struct search_index *search_index_for(struct imap_search *s, struct account *account);
// Suspends. So many messages more were looked at, of `all`, and `open` of them are open: true when the index can be asked about
// them.
struct search_seen {
    size_t n, open;
    uint64_t all;
};
bool search_index_ready(struct search_index *x, const struct search_seen *seen);
// What it says of a message, for query_message.indexed: `answers` has one, NOT_INDEXED, for each slot of the query.
void search_index_of(struct search_index *x, uint64_t emailid, enum text_answer *answers);
#endif
