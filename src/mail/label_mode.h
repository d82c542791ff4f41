#ifndef MAIL_LABEL_MODE_H
#define MAIL_LABEL_MODE_H

// Labels mode, inside: flags belong to the message, and \All holds every message. In this mode each change is alone in its
// batch, and label_follow adds what its records mean for the other mailboxes, so that no command can forget it.
// docs/decisions/0009-labels.md. Only files of mail/ include this. Threads: the account's home.

#include "mail/home.h"

// Is the account in labels mode? *all_out (may be NULL): the mailbox with all messages, also a former one; 0: none.
bool label_mode(struct account *a, uint64_t *all_out);
// Puts the META record that says so.
void label_mode_put(struct account *a, struct store_batch *b, bool on, uint64_t all);
// Suspends. FAULT_CANNOT for what \All cannot bear.
enum result label_follow(struct account *a, struct store_batch *b,
                         struct fault *f) MUST_CHECK;
// Numbers of `to` for the keyword numbers of `from`, by name; new names are put into the batch.
enum result label_keywords(struct account *a, struct store_batch *b, struct mailbox *from,
                           struct mailbox *to, struct row_flags *now,
                           struct fault *f) MUST_CHECK;

#endif
