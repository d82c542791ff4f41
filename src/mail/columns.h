#ifndef MAIL_COLUMNS_H
#define MAIL_COLUMNS_H

// Columns of mailboxes (search/column.h), kept from one SORT or THREAD to the next while there is memory for them:
// LIMIT_column_octets for each account. Who finds none, or one that lacks messages, reads what it needs and offers a better one.
// Threads: any loop, in a task.

#include "mail/view.h"
#include "search/column.h"
#include "search/sort.h"

// By an enum sort_key, or:
enum { COLUMN_THREADS = SORT_KEYS, COLUMN_KINDS };

// Suspends. The caller's reference, or NULL. R_NONE: it would not be kept, so it is not worth making.
enum result mail_column_get(struct view *v, unsigned kind, struct column **out) MUST_CHECK;
// Suspends. Keeps it when it has more messages than the one that is kept. The caller's reference stays the caller's.
void mail_column_offer(struct view *v, unsigned kind, struct column *c);
// What the account's sorts and threads hold.
struct search_ledger *mail_search_ledger(struct account *a);

#endif
