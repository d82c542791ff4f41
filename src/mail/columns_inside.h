#ifndef MAIL_COLUMNS_INSIDE_H
#define MAIL_COLUMNS_INSIDE_H

// The life of kept columns. Only files of mail/ include this. In the home.

#include "mail/columns.h"
#include "mail/home.h"

void mail_columns_free(struct mailbox *m);
// Those of the account that were not used within that time; returns octets.
size_t mail_columns_drop(struct account *a, uint64_t now_ms, uint64_t unused_ms);

#endif
