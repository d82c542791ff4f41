#ifndef MAIL_TREE_RECORD_H
#define MAIL_TREE_RECORD_H

// Puts records of the tree into a batch. Only files of mail/ include this.

#include "mail/home.h"

void tree_put_account(struct store_batch *b, const struct record_account *r);
void tree_put_mailbox(struct store_batch *b, const struct record_mailbox *r);
void tree_put_gone(struct store_batch *b, const struct record_mailbox_gone *r);
void tree_put_subscribe(struct store_batch *b, struct span name, bool on);
void tree_put_meta(struct store_batch *b, const struct record_meta *r);
// A UIDVALIDITY greater than any this account ever had, also when the clock went back: the last one is a
// META record of the account in the same batch.
uint32_t tree_uidvalidity(struct account *a, struct store_batch *b);

#endif
