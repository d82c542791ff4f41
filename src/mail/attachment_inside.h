#ifndef MAIL_ATTACHMENT_INSIDE_H
#define MAIL_ATTACHMENT_INSIDE_H

// The attachments of each home, which the mail owns. For attachment.c and account.c.

#include "mail/account.h"

struct attachments;
struct attachments *attachments_new(struct mail *m, unsigned homes);
void attachments_free(struct attachments **all, unsigned homes);
struct attachments *attachments_of(struct attachments *all, unsigned home);
struct attachments *mail_attachments(struct mail *m, unsigned home);
// In the account's home: it was deleted. Nothing more is kept of it.
void attachments_gone(struct mail *m, uint64_t account);

#endif
