#ifndef MAIL_TREE_INSIDE_H
#define MAIL_TREE_INSIDE_H

// Entries of the tree, for the files of mail/ that make some.

#include "mail/mount.h"
#include "mail/tree.h"

// In the home. All but the name, has_children and subscribed.
void tree_entry_fill(struct tree_entry *e, const struct mount *mount, uint32_t rights,
                     const struct mailbox_state *s);
// Suspends. Which of them the user is subscribed to.
void tree_mark_subscribed(struct mail_user *u, struct tree_entry *entries, size_t n);

#endif
