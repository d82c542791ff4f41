#ifndef MAIL_TREE_RECORD_H
#define MAIL_TREE_RECORD_H

// Puts records of the tree into a batch. Only files of mail/ include this.

#include "mail/home.h"

void tree_put_account(struct store_batch *b, const struct record_account *r);
void tree_put_mailbox(struct store_batch *b, const struct record_mailbox *r);
void tree_put_gone(struct store_batch *b, const struct record_mailbox_gone *r);
void tree_put_subscribe(struct store_batch *b, struct span name, bool on);
void tree_put_meta(struct store_batch *b, const struct record_meta *r);
// The owner's access key of a mailbox goes with it (urlkey.c).
void tree_put_key_gone(struct account *a, struct store_batch *b, uint64_t mailbox);
// A UIDVALIDITY greater than any this account ever had, also when the clock went back: the last one is a
// META record of the account in the same batch.
uint32_t tree_uidvalidity(struct account *a, struct store_batch *b);
// A mailbox has this one from elsewhere.
void tree_uidvalidity_adopted(struct account *a, struct store_batch *b, uint32_t theirs);

unsigned tree_levels_of(struct span name);
// FAULT_USEATTR: not offered, or another mailbox has it.
enum result tree_use_free(struct state *s, enum special_use use,
                          struct fault *f) MUST_CHECK;
// FAULT_LIMIT, FAULT_OVERQUOTA: too many mailboxes with the levels of this name.
enum result tree_room_for(struct account *a, struct span name, struct fault *f) MUST_CHECK;
// Makes the levels of `name` that are missing, each with the rights of the last one that is there; the last one's id.
uint64_t tree_put_levels(struct account *a, struct store_batch *b, struct span name,
                         enum special_use use);
// The last level of `name` that is there; 0: none.
uint64_t tree_nearest(struct account *a, struct span name);
// A \NoSelect level becomes a mailbox again: same id and name, a new UIDVALIDITY.
void tree_put_revived(struct account *a, struct store_batch *b,
                      const struct mailbox_state *m, enum special_use use);

#endif
