#ifndef MAIL_LEARN_INSIDE_H
#define MAIL_LEARN_INSIDE_H

// What changes note for learning (mail/learn.h). Only files of mail/ include this. In the account's home, in a change.

#include "mail/home.h"
#include "mail/learn.h"

// Rows as they are at their source, whose mailbox had that use.
void learn_copied(struct account *a, uint8_t from_use, const struct mailbox *to,
                  const struct message_row *rows, size_t n);
// These leave their mailbox, and go nowhere new.
void learn_left(struct account *a, const struct mailbox *from,
                const struct message_row *row);
// A user puts it there. It has no body yet: it is found by its UID later.
void learn_added(struct account *a, const struct mailbox *to,
                 const struct message_row *row);
// Its keywords change.
void learn_marked(struct account *a, const struct mailbox *m, const struct message_row *row,
                  const struct row_flags *before, const struct row_flags *after);
// The batch is over.
void learn_settle(struct account *a, bool committed);

#endif
