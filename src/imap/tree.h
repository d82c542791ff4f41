#ifndef IMAP_TREE_H
#define IMAP_TREE_H

// What parameters of CREATE set (RFC 4466 section 2.2); c->own while CREATE runs.
// Owner: the command.

#include "imap/session.h"
#include "mail/tree.h"

struct imap_create {
    enum special_use use;  // USE (\Sent), RFC 6154 section 3
};

// RFC 8474 section 4.1: the OK of CREATE tells MAILBOXID.
void imap_created_answer(struct imap_command *c, const struct mailbox_ref *ref);

#endif
